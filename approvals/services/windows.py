"""Change windows are made and cancelled here; they are never changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.errors import (
    ConflictError,
    GateError,
    NotAllowedError,
    NotFoundError,
    ReasonRequiredError,
)
from approvals.models import ChangeWindow, WindowKind
from approvals.policy.check import match_problems
from approvals.policy.windows import Window, moment

LONGEST = timedelta(days=366 * 2)


class InvalidWindowError(GateError):
    """Times or a match that mean nothing (400)."""

    code = "invalid_window"


def window_create(
    *,
    user: AbstractUser,
    name: str,
    kind: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    weekly: dict[str, Any] | None = None,
    match: dict[str, Any] | None = None,
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
) -> ChangeWindow:
    """Plan a freeze or a maintenance window.

    A maintenance window lets through what would be held up, so it needs the password or a code
    again; a freeze does not. Raises NotAllowedError, ReasonRequiredError, InvalidWindowError,
    ReauthenticationRequiredError.
    """
    window = ChangeWindow(
        name=name.strip(),
        kind=kind,
        starts_at=starts_at,
        ends_at=ends_at,
        weekly=weekly or {},
        match=match or {},
        reason=reason.strip(),
        made_by_id=user.pk,
        made_at=timezone.now(),
    )
    try:
        _may_change(user)
        if not window.reason:
            raise ReasonRequiredError("a window needs a reason: people will read it when held up")
        _sensible(window)
        if kind == WindowKind.MAINTENANCE:
            _reauthenticate(user, password, otp, request)
    except GateError as error:
        _audit_denied(user, "window", error)
        raise
    with transaction.atomic():
        window.save(force_insert=True)
        audit_append(
            event="window.created",
            actor=user.get_username(),
            obj=f"window:{window.pk}",
            payload=_content(window),
        )
    return window


def window_cancel(
    *,
    window_id: int,
    user: AbstractUser,
    reason: str,
    password: str = "",
    otp: str = "",
    request: HttpRequest | None = None,
) -> ChangeWindow:
    """End a window for good, from now on.

    Lifting a freeze lets changes through, so it needs the password or a code again. Raises
    NotFoundError, NotAllowedError, ReasonRequiredError, ReauthenticationRequiredError,
    ConflictError (`already_cancelled`, `over`).
    """
    window = ChangeWindow.objects.filter(pk=window_id).first()
    if window is None:
        raise NotFoundError(f"there is no window {window_id}")
    try:
        _may_change(user)
        if not reason.strip():
            raise ReasonRequiredError("cancelling a window needs a reason")
        if window.ends_at <= timezone.now():
            raise ConflictError(
                f"“{window.name}” ended at {moment(window.ends_at)} by itself", code="over"
            )
        if window.kind == WindowKind.FREEZE:
            _reauthenticate(user, password, otp, request)
        with transaction.atomic():
            now = timezone.now()
            cancelled = ChangeWindow.objects.filter(pk=window_id, cancelled_at=None).update(
                cancelled_at=now, cancelled_by_id=user.pk
            )
            window.refresh_from_db()
            if cancelled != 1:
                raise ConflictError(
                    f"“{window.name}” was cancelled before", code="already_cancelled"
                )
            audit_append(
                event="window.cancelled",
                actor=user.get_username(),
                obj=f"window:{window_id}",
                payload={"name": window.name, "kind": window.kind, "reason": reason.strip()},
            )
    except GateError as error:
        _audit_denied(user, f"window:{window_id}", error)
        raise
    return window


def _sensible(window: ChangeWindow) -> None:
    kind, starts_at, ends_at = window.kind, window.starts_at, window.ends_at
    if kind not in WindowKind.values:
        raise InvalidWindowError(f"{kind!r} is no kind of window; there is freeze and maintenance")
    if starts_at.tzinfo is None or ends_at.tzinfo is None:
        raise InvalidWindowError("give both times with their offset from UTC")
    if ends_at <= starts_at:
        raise InvalidWindowError(
            f"it would end at {moment(ends_at)}, before it starts at {moment(starts_at)}"
        )
    if ends_at <= timezone.now():
        raise InvalidWindowError(f"it would be over already: it ends at {moment(ends_at)}")
    if ends_at - starts_at > LONGEST:
        raise InvalidWindowError("a window lasts two years at most")
    if problems := [p for p in match_problems(window.match, window.weekly) if p.is_error]:
        raise InvalidWindowError(
            "; ".join(f"{p.where}: {p.text}" for p in problems[:5]),
            problems=[{"where": p.where, "text": p.text} for p in problems],
        )
    if not Window.of(window).spans(starts_at, ends_at):
        raise InvalidWindowError(
            f"“{window.name}” would never stand: none of its days lies between "
            f"{moment(starts_at)} and {moment(ends_at)}"
        )


def _may_change(user: AbstractUser) -> None:
    if not user.has_perm("approvals.change_policy"):
        raise NotAllowedError(
            f"{user.get_username()} may not plan windows (needs approvals.change_policy)"
        )


def _reauthenticate(
    user: AbstractUser, password: str, otp: str, request: HttpRequest | None
) -> None:
    from approvals.signing import reauthenticate

    reauthenticate(user=user, password=password, otp=otp, request=request)


def _audit_denied(user: AbstractUser, obj: str, error: GateError) -> None:
    audit_append(
        event="window.denied",
        actor=user.get_username(),
        obj=obj,
        payload={"status": error.status, "code": error.code, "detail": error.detail},
    )


def _content(window: ChangeWindow) -> dict[str, Any]:
    return {
        "name": window.name,
        "kind": window.kind,
        "starts_at": iso_utc(window.starts_at),
        "ends_at": iso_utc(window.ends_at),
        "weekly": window.weekly,
        "match": window.match,
        "reason": window.reason,
    }
