"""Authenticator apps (TOTP, RFC 6238) and recovery codes.

The app's key is stored sealed (`sealing.py`), recovery codes as a keyed hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from base64 import b32encode
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import django_otp
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice

from approvals.audit import audit_append
from approvals.errors import ConflictError, GateError, NotFoundError
from approvals.models import Authenticator
from approvals.signing.sealing import SealError, seal, unseal

RECOVERY_CODES = 10
MAX_DEVICES = 5
NAME = "authenticator"
KEY_BYTES: Final = 20
"""RFC 4226, section 4: at least 128 bits, 160 recommended."""
DIGITS: Final = 6
STEP_S: Final = 30
TOLERANCE: Final = 1
"""Steps before and after that are taken as well: a clock that is off, a slow hand (RFC 6238, 5.2)."""


class Enrolment(NamedTuple):
    """A device that waits for its first code. The key is shown once, to its owner alone."""

    device: int
    uri: str
    secret: str


class WrongCodeError(GateError):
    """The first code does not fit the new device."""

    code = "wrong_code"


def devices_of(*, user: AbstractUser) -> list[dict[str, Any]]:
    """Confirmed authenticators, without their keys."""
    found = Authenticator.objects.filter(user_id=user.pk, confirmed=True)
    return [
        {"id": d.pk, "name": d.name, "created_at": d.created_at, "last_used_at": d.last_used_at}
        for d in found
    ]


def recovery_left(*, user: AbstractUser) -> int:
    """How many recovery codes have not been used."""
    return sum(d.token_set.count() for d in StaticDevice.objects.filter(user_id=user.pk))


@transaction.atomic
def enrol(*, user: AbstractUser, name: str = "") -> Enrolment:
    """A new key for an authenticator; it proves nothing before `confirm`. Earlier keys that nobody
    confirmed are dropped.
    """
    Authenticator.objects.filter(user_id=user.pk, confirmed=False).delete()
    if Authenticator.objects.filter(user_id=user.pk).count() >= MAX_DEVICES:
        raise ConflictError(
            f"{user.get_username()} has {MAX_DEVICES} authenticators; remove one first",
            code="too_many_devices",
        )
    key = secrets.token_bytes(KEY_BYTES)
    device = Authenticator(
        user_id=user.pk,
        name=(name.strip() or NAME)[:64],
        label=uuid.uuid4(),
        created_at=timezone.now(),
    )
    device.sealed = seal(key=key, secret=settings.SECRET_KEY, of=device.bound_to)
    device.save(force_insert=True)
    secret = b32encode(key).decode()
    return Enrolment(device.pk, _uri(user, secret), secret)


def confirm(*, user: AbstractUser, device_id: int, code: str) -> list[str]:
    """Take a new authenticator into use with its first code. Returns recovery codes, shown once,
    when the account had none.

    Raises NotFoundError, WrongCodeError.
    """
    with transaction.atomic():
        device = (
            Authenticator.objects.select_for_update()
            .filter(pk=device_id, user_id=user.pk, confirmed=False)
            .first()
        )
        if device is None:
            raise NotFoundError(f"no new authenticator {device_id} waits for a code; begin again")
        if _verified(device, _digits(code)):
            device.confirmed = True
            device.save(update_fields=["confirmed"])
            audit_append(
                event="totp.added",
                actor=user.get_username(),
                obj=f"user:{user.get_username()}",
                payload={"device": device.pk, "name": device.name},
            )
            return [] if recovery_left(user=user) else _recovery_renew(user)
    raise WrongCodeError(
        "that code does not fit the new authenticator; check the clock of the phone and try the "
        "next code"
    )


@transaction.atomic
def remove(*, user: AbstractUser, device_id: int) -> None:
    """Drop an authenticator (re-authenticate before). The last one takes the recovery codes with
    it.
    """
    device = Authenticator.objects.filter(pk=device_id, user_id=user.pk).first()
    if device is None:
        raise NotFoundError(f"{user.get_username()} has no authenticator {device_id}")
    name = device.name
    device.delete()
    if not Authenticator.objects.filter(user_id=user.pk, confirmed=True).exists():
        StaticDevice.objects.filter(user_id=user.pk).delete()
    audit_append(
        event="totp.removed",
        actor=user.get_username(),
        obj=f"user:{user.get_username()}",
        payload={"device": device_id, "name": name},
    )


@transaction.atomic
def recovery_renew(*, user: AbstractUser) -> list[str]:
    """New recovery codes (re-authenticate before); the old ones end. Shown once."""
    if not devices_of(user=user):
        raise ConflictError(
            "recovery codes stand in for an authenticator; add one first", code="no_authenticator"
        )
    return _recovery_renew(user)


@transaction.atomic
def code_holds(*, user: AbstractUser, code: str) -> str:
    """`totp` or `recovery` when the code is right (it is used up then), else ''.

    Raises SealError when no authenticator took it and one of them cannot be read.
    """
    plain = code.strip().replace(" ", "").replace("-", "").lower()
    if not plain or len(plain) > 32:
        return ""
    if plain.isascii() and plain.isdigit() and len(plain) == DIGITS:
        mine = Authenticator.objects.select_for_update().filter(user_id=user.pk, confirmed=True)
        unreadable: SealError | None = None
        for device in mine:
            try:
                if _verified(device, plain):
                    return "totp"
            except SealError as error:
                unreadable = error
        if unreadable is not None:
            raise unreadable
        return ""
    for spare in StaticDevice.objects.filter(user_id=user.pk, confirmed=True):
        stored = _kept(user, plain)
        if django_otp.verify_token(user, spare.persistent_id, stored) is not None:
            return "recovery"
    return ""


def _verified(device: Authenticator, code: str) -> bool:
    """Whether the code is right now and of a later step than the last one; notes it if so. The row
    is locked.
    """
    if not (code.isascii() and code.isdigit() and len(code) == DIGITS):
        return False
    key = unseal(sealed=device.sealed, secret=settings.SECRET_KEY, of=device.bound_to)
    now = timezone.now()
    clock = TOTP(key, STEP_S, 0, DIGITS, device.drift)
    clock.time = now.timestamp()
    if not clock.verify(int(code), TOLERANCE, device.last_step + 1):
        return False
    device.last_step, device.drift, device.last_used_at = clock.t(), clock.drift, now
    device.save(update_fields=["last_step", "drift", "last_used_at"])
    return True


def _uri(user: AbstractUser, secret: str) -> str:
    """What an app scans (Google Authenticator's key URI format)."""
    issuer = settings.OTP_TOTP_ISSUER
    facts = {"secret": secret, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_S}
    label = quote(f"{issuer}:{user.get_username()}")
    return f"otpauth://totp/{label}?{urlencode(facts)}&issuer={quote(issuer)}"


def _recovery_renew(user: AbstractUser) -> list[str]:
    StaticDevice.objects.filter(user_id=user.pk).delete()
    device = StaticDevice.objects.create(user_id=user.pk, name="recovery codes")
    codes = [secrets.token_hex(5) for _ in range(RECOVERY_CODES)]
    for code in codes:
        device.token_set.create(token=_kept(user, code))
    audit_append(
        event="totp.recovery_codes",
        actor=user.get_username(),
        obj=f"user:{user.get_username()}",
        payload={"count": len(codes)},
    )
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def _kept(user: AbstractUser, code: str) -> str:
    """What is stored of a recovery code: 80 bits of a keyed hash (the column has 16 letters)."""
    key = f"recovery:{settings.SECRET_KEY}".encode()
    made = hmac.new(key, f"{user.pk}:{code}".encode(), hashlib.sha256).digest()
    return b32encode(made[:10]).decode().lower()


def _digits(code: str) -> str:
    return code.strip().replace(" ", "")
