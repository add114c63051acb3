"""Another secret of the installation: every authenticator's key is sealed anew."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django_otp.plugins.otp_static.models import StaticDevice

from approvals.audit import SYSTEM, audit_append
from approvals.models import Authenticator
from approvals.signing.sealing import mark_of, seal, unseal


class Resealed(NamedTuple):
    """How many keys were sealed anew, how many had been, and whose recovery codes ended."""

    resealed: int
    already: int
    recovery_ended: int


@transaction.atomic
def authenticators_reseal(*, old_secret: str) -> Resealed:
    """From `old_secret` to the installation's present one; all or none. Safe to repeat.

    Recovery codes end: they are hashes keyed with the old secret, which nothing turns into new
    ones. Raises SealError for a key that neither secret opens.
    """
    new_secret, new_mark = settings.SECRET_KEY, mark_of(settings.SECRET_KEY)
    resealed = already = 0
    for device in Authenticator.objects.select_for_update().order_by("pk"):
        if device.sealed.split(".")[1:2] == [new_mark]:
            unseal(sealed=device.sealed, secret=new_secret, of=device.bound_to)
            already += 1
            continue
        key = unseal(sealed=device.sealed, secret=old_secret, of=device.bound_to)
        device.sealed = seal(key=key, secret=new_secret, of=device.bound_to)
        device.save(update_fields=["sealed"])
        resealed += 1
    ended = 0
    if mark_of(old_secret) != new_mark and resealed:
        codes = StaticDevice.objects.all()
        ended = codes.values("user_id").distinct().count()
        codes.delete()
    if resealed:
        audit_append(
            event="totp.resealed",
            actor=SYSTEM,
            obj="authenticators",
            payload={
                "count": resealed,
                "from": mark_of(old_secret),
                "to": new_mark,
                "recovery_codes_ended": ended,
            },
        )
    return Resealed(resealed, already, ended)
