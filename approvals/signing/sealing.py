"""Keys of authenticators at rest: AES-256-GCM under a key derived from the installation's secret.

What is sealed for one row of one account opens nowhere else (both are authenticated with it), and
a database without its secret opens nothing. The secret itself is OPS_SECRET_KEY.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from approvals.errors import GateError

VERSION: Final = "v1"
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
MARK_BYTES: Final = 4


class SealError(GateError):
    """What is stored does not open: another secret, another row, or somebody changed it (409)."""

    status = 409
    code = "authenticator_unreadable"


def seal(*, key: bytes, secret: str, of: str) -> str:
    """`v1.<mark of the secret>.<nonce and ciphertext>`; `of` names the row it belongs to."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    closed = AESGCM(_derived(secret, b"seal", KEY_BYTES)).encrypt(nonce, key, _bound(of))
    return ".".join((VERSION, mark_of(secret), urlsafe_b64encode(nonce + closed).decode()))


def unseal(*, sealed: str, secret: str, of: str) -> bytes:
    """The key again. Raises SealError, which says which secret it was sealed with."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, _, rest = sealed.partition(".")
    mark, _, text = rest.partition(".")
    if version != VERSION:
        raise SealError(
            f"the key of {of} is sealed as {version[:8]!r}, this version reads {VERSION}"
        )
    if mark != mark_of(secret):
        raise SealError(
            f"the key of {of} was sealed with the secret {mark}, this installation's is "
            f"{mark_of(secret)}: set OPS_SECRET_KEY as it was, or re-seal with `manage.py "
            "reseal_authenticators --old-secret-file FILE`. Passwords work all the same"
        )
    try:
        raw = urlsafe_b64decode(text)
        return AESGCM(_derived(secret, b"seal", KEY_BYTES)).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(of)
        )
    except (InvalidTag, ValueError) as error:
        raise SealError(
            f"the key of {of} was changed in the database or belongs to another row; remove that "
            "authenticator and add a new one"
        ) from error


def mark_of(secret: str) -> str:
    """Eight hex digits that tell secrets apart and say nothing about them."""
    return _derived(secret, b"mark", MARK_BYTES).hex()


def _derived(secret: str, purpose: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(SHA256(), length, salt=None, info=b"holdpoint/authenticator/v1/" + purpose)
    return made.derive(secret.encode())


def _bound(of: str) -> bytes:
    return f"holdpoint:{VERSION}:{of}".encode()
