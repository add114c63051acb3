"""Authenticator apps (TOTP, RFC 6238) and recovery codes, on django-otp's devices.

django-otp keeps the app's key in the database, as every verifier of TOTP must. Recovery codes are
stored as a keyed hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode
from typing import Any, NamedTuple

import django_otp
from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from approvals.audit import audit_append
from approvals.errors import ConflictError, GateError, NotFoundError

RECOVERY_CODES = 10
MAX_DEVICES = 5
NAME = "authenticator"


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
    found = TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).order_by("pk")
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
    TOTPDevice.objects.filter(user_id=user.pk, confirmed=False).delete()
    if TOTPDevice.objects.filter(user_id=user.pk).count() >= MAX_DEVICES:
        raise ConflictError(
            f"{user.get_username()} has {MAX_DEVICES} authenticators; remove one first",
            code="too_many_devices",
        )
    device = TOTPDevice.objects.create(
        user_id=user.pk, name=(name.strip() or NAME)[:64], confirmed=False
    )
    secret = b32encode(device.bin_key).decode()
    return Enrolment(device.pk, device.config_url, secret)


def confirm(*, user: AbstractUser, device_id: int, code: str) -> list[str]:
    """Take a new authenticator into use with its first code. Returns recovery codes, shown once,
    when the account had none.

    Raises NotFoundError, WrongCodeError.
    """
    with transaction.atomic():
        device = (
            TOTPDevice.objects.select_for_update()
            .filter(pk=device_id, user_id=user.pk, confirmed=False)
            .first()
        )
        if device is None:
            raise NotFoundError(f"no new authenticator {device_id} waits for a code; begin again")
        right = bool(device.verify_token(_digits(code)))
        if right:
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
    device = TOTPDevice.objects.filter(pk=device_id, user_id=user.pk).first()
    if device is None:
        raise NotFoundError(f"{user.get_username()} has no authenticator {device_id}")
    name = device.name
    device.delete()
    if not TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).exists():
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


def code_holds(*, user: AbstractUser, code: str) -> str:
    """`totp` or `recovery` when the code is right (it is used up then), else ''."""
    plain = code.strip().replace(" ", "").replace("-", "").lower()
    if not plain or len(plain) > 32:
        return ""
    if plain.isascii() and plain.isdigit() and len(plain) == 6:
        for device in TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).order_by("pk"):
            if django_otp.verify_token(user, device.persistent_id, plain) is not None:
                return "totp"
        return ""
    for spare in StaticDevice.objects.filter(user_id=user.pk, confirmed=True):
        stored = _kept(user, plain)
        if django_otp.verify_token(user, spare.persistent_id, stored) is not None:
            return "recovery"
    return ""


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
