"""Signal receivers: alarms start investigations, log-ins go to the trail. No rules in here."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from approvals.audit import SYSTEM, audit_append
from approvals.signing.throttle import CLOSED
from facilities.signals import alarm_acknowledged, alarm_raised, source_token_changed

log = logging.getLogger(__name__)


@receiver(alarm_raised, dispatch_uid="approvals.investigate")
def investigate_on_alarm(sender: Any, *, alarm_id: int, **_: Any) -> None:
    """Queue an investigation. Best effort: the beat sweep finds what a missing broker lost."""
    from approvals.tasks import investigate_alarm

    try:
        investigate_alarm.delay(alarm_id)
    except Exception as error:
        log.warning(
            "queueing the investigation of alarm %s failed, the sweep will: %s", alarm_id, error
        )


@receiver(alarm_acknowledged, dispatch_uid="approvals.audit_acknowledge")
def audit_acknowledge(
    sender: Any, *, alarm_id: int, tag: str, actor: str, note: str, **_: Any
) -> None:
    audit_append(
        event="alarm.acknowledged",
        actor=actor,
        obj=f"alarm:{alarm_id}",
        payload={"point": tag, "note": note},
    )


@receiver(source_token_changed, dispatch_uid="approvals.audit_source_token")
def audit_source_token(
    sender: Any, *, name: str, what: str, actor: str, facts: dict[str, Any], **_: Any
) -> None:
    """In the transaction that changes the token: without its entry there is no token."""
    audit_append(
        event=f"source.token_{what}", actor=actor or SYSTEM, obj=f"source:{name}", payload=facts
    )


@receiver(user_logged_in, dispatch_uid="approvals.audit_login")
def audit_login(sender: Any, *, request: HttpRequest | None, user: Any, **_: Any) -> None:
    audit_append(
        event="login.succeeded", actor=user.get_username(), payload={"address": _address(request)}
    )


@receiver(user_logged_out, dispatch_uid="approvals.audit_logout")
def audit_logout(sender: Any, *, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is not None:
        audit_append(
            event="logout", actor=user.get_username(), payload={"address": _address(request)}
        )


@receiver(user_login_failed, dispatch_uid="approvals.audit_login_failed")
def audit_login_failed(
    sender: Any, *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """The name that was tried, never the password (Django has masked it before).

    While a name is closed nothing was tried (`signing/throttle.py`): that does not count on.
    """
    audit_append(
        event="login.throttled" if hasattr(request, CLOSED) else "login.failed",
        actor=str(credentials.get("username", ""))[:150] or "unknown",
        payload={"address": _address(request)},
    )


def _address(request: HttpRequest | None) -> str:
    return "" if request is None else str(request.META.get("REMOTE_ADDR", ""))
