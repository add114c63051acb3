"""Password or one-time code once more, right before something that matters.

Every attempt is in the audit trail, and the trail is the throttle: what failed can be neither
deleted nor forgotten by a restart.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import AbstractUser
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.errors import GateError
from approvals.models import AuditEntry
from approvals.signing import totp
from approvals.signing.sealing import SealError

ATTEMPTS: Final = 5
WITHIN: Final = timedelta(minutes=15)
"""Failures that are allowed in this time, counted from the last success (assumed: a person who
knows the password needs fewer; a guesser gets 480 a day)."""

# First key of the advisory lock; the second is the account's id.
ATTEMPT_LOCK: Final = 0x5245


class ReauthenticationRequiredError(GateError):
    """Password or one-time code is missing (`reauthentication_required`) or wrong
    (`reauthentication_failed`).
    """

    status = 403
    code = "reauthentication_required"


class TooManyAttemptsError(GateError):
    """Too many wrong passwords or codes; `until` says when the next may be tried."""

    status = 429
    code = "too_many_attempts"


def reauthenticate(
    *,
    user: AbstractUser,
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
    what: str = "",
) -> str:
    """Prove that `user` is at the keyboard; returns how: `password`, `totp` or `recovery`.

    With both given the code counts. `what` names the occasion in the trail, e.g. `proposal:12`.
    Raises ReauthenticationRequiredError, TooManyAttemptsError or SealError (an authenticator of the
    account cannot be read with this installation's secret). Call it outside of a transaction
    that may be rolled back: a wrong guess has to stay counted.
    """
    if not (password or otp):
        raise ReauthenticationRequiredError(
            "this needs your password again, or a code of your authenticator app"
        )
    facts: dict[str, Any] = {"for": what, "method": "code" if otp else "password"}
    if request is not None:
        facts["address"] = str(request.META.get("REMOTE_ADDR", ""))
    with transaction.atomic():
        _one_at_a_time(user)
        until = _closed_until(user)
        how, unreadable = "", None
        try:
            how = "" if until else _how(user, password, otp)
        except SealError as error:
            unreadable = error  # counted like a wrong code: others of the account are guessed too
        verdict = "throttled" if until else "succeeded" if how else "failed"
        audit_append(
            event=f"reauthentication.{verdict}",
            actor=user.get_username(),
            obj=f"user:{user.get_username()}",
            payload={**facts, **({"method": how} if how else {})},
        )
    if until:
        raise TooManyAttemptsError(
            f"{ATTEMPTS} wrong passwords or codes for {user.get_username()}; the next try is "
            f"possible at {until:%H:%M:%S} UTC",
            until=iso_utc(until),
        )
    if unreadable is not None:
        raise unreadable
    if not how:
        given = "code" if otp else "password"
        raise ReauthenticationRequiredError(
            f"that {given} is not right for {user.get_username()}; nothing was done",
            code="reauthentication_failed",
        )
    return how


def _one_at_a_time(user: AbstractUser) -> None:
    """Guesses of one account wait for one another, so that none slips past the count."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)", [ATTEMPT_LOCK, (user.pk or 0) % 2**31]
        )


def _closed_until(user: AbstractUser) -> datetime | None:
    """When this account may try again; None: now."""
    attempts = AuditEntry.objects.filter(
        actor=user.get_username(),
        event__in=("reauthentication.failed", "reauthentication.succeeded"),
        at__gt=timezone.now() - WITHIN,
    ).order_by("-seq")[:ATTEMPTS]
    failed = []
    for event, at in attempts.values_list("event", "at"):
        if event.endswith("succeeded"):
            break
        failed.append(at)
    return failed[-1] + WITHIN if len(failed) >= ATTEMPTS else None


def _how(user: AbstractUser, password: str, otp: str) -> str:
    """How the proof succeeded, '' when it did not."""
    if not user.is_active:
        return ""
    if otp:
        return totp.code_holds(user=user, code=otp)
    return "password" if user.check_password(password) else ""
