"""Writes what is to be sent, in the transaction of what it tells of."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from approvals.canonical import iso_utc
from approvals.models import Delivery, NotificationRule, Proposal
from approvals.notify.events import EVENTS, TEST

log = logging.getLogger(__name__)

RISKS = ("low", "medium", "high")
SUBJECT_CHARS = 200


def notify(*, event: str, text: str, key: str, proposal: Proposal | None = None) -> int:
    """Write one delivery for each rule that wants this event; return how many.

    It commits or vanishes with the caller's transaction, and is sent after the commit. `key` names
    what happened: the same key again writes nothing, so callers may repeat. One query when no rule
    wants it, else two. Raises ValueError for an event that is not in EVENTS.
    """
    if event not in EVENTS:
        raise ValueError(f"there is no event {event!r}; known are {', '.join(EVENTS)}")
    wanting = NotificationRule.objects.filter(is_active=True, events__contains=[event])
    rules = [rule for rule in wanting.select_related("user") if _wants(rule, event, proposal)]
    if not rules:
        return 0
    now, message = timezone.now(), message_of(event=event, text=text, proposal=proposal)
    Delivery.objects.bulk_create(
        [
            Delivery(
                rule=rule,
                proposal=proposal,
                event=event,
                message=message,
                key=key[:120],
                next_at=now,
            )
            for rule in rules
        ],
        ignore_conflicts=True,
    )
    transaction.on_commit(send_soon)
    return len(rules)


def _wants(rule: NotificationRule, event: str, proposal: Proposal | None) -> bool:
    """Rules of switched-off accounts are silent, and who asked for it need not be asked to sign."""
    if rule.user is not None and not rule.user.is_active:
        return False
    if proposal is None:
        return True
    if event == "proposal.pending" and rule.user_id and rule.user_id == proposal.requested_by_id:
        return False
    return RISKS.index(proposal.risk) >= RISKS.index(rule.least_risk)


def message_of(*, event: str, text: str, proposal: Proposal | None) -> dict[str, Any]:
    """What every channel says: type, subject, text, tone, url, at and, with one, the proposal.

    Without OPS_PUBLIC_URL the address is a path. Nothing in it tells a drill from the rest.
    """
    label, tone = ("Test", "info") if event == TEST else (EVENTS[event].label, EVENTS[event].tone)
    about = proposal.title if proposal else text
    path = reverse("approvals:proposal", args=[proposal.pk]) if proposal else "/approvals/"
    risk = f"[{proposal.risk} risk] " if proposal else ""
    subject = " ".join(f"{risk}{label}: {about}".split())
    message: dict[str, Any] = {
        "type": event,
        "subject": subject[:SUBJECT_CHARS],
        "text": text,
        "tone": tone,
        "path": path,
        "url": f"{settings.PUBLIC_URL}{path}",
        "at": iso_utc(timezone.now()),
    }
    if proposal:
        message["proposal"] = {
            "id": proposal.pk,
            "title": proposal.title,
            "kind": proposal.kind,
            "target": proposal.target,
            "risk": proposal.risk,
            "digest": proposal.digest,
            "expires_at": iso_utc(proposal.expires_at),
        }
    return message


def send_soon() -> None:
    """Have a worker send what is due. Best effort: the beat sweep sends what a lost message left."""
    from approvals.tasks import send_notifications

    try:
        send_notifications.delay()
    except Exception as error:
        log.warning("queueing notifications failed, the sweep will send them: %s", error)
