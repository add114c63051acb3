"""Sends what is due, keeps what became of it, tries again with growing pauses.

The senders of the alarms' messages are used (`facilities.alarms.notify`): one place checks where a
webhook may go, signs it, and talks to the mail server.
"""

from __future__ import annotations

import binascii
import json
import random
import time
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from approvals.audit import audit_append
from approvals.live import push_notice
from approvals.models import Channel, Delivery
from facilities.alarms.notify import email, webhook
from facilities.alarms.notify.targets import Refused

NOTIFIER: Final = "notifier"
FIRST_PAUSE_S: Final = 5.0
MAX_PAUSE_S: Final = 900.0
MAX_ATTEMPTS: Final = 10
"""Pauses double from 5 s to 15 min: the last attempt is about 50 minutes after the first. Assumed."""

LEASE: Final = timedelta(seconds=30)
"""A claimed delivery is nobody else's for this long; a killed worker's comes back after it."""

BUDGET_S: Final = 10.0
"""One call sends no longer than this, so that slow receivers never hold a worker."""

BROWSER_STALE: Final = timedelta(minutes=10)
"""A note that pops up later than this is no news; the queue shows what is."""

WAITING, SENT, FAILED = "waiting", "sent", "failed"


def pause_s(attempts: int) -> float:
    """The pause after this many failed attempts: doubling, with a fifth of jitter."""
    pause: float = min(FIRST_PAUSE_S * 2 ** (attempts - 1), MAX_PAUSE_S)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter, not a secret


def deliver_due(*, now: datetime | None = None) -> int:
    """Send what is due, oldest first, within the budget; return how many were tried."""
    until = time.monotonic() + BUDGET_S
    due = Delivery.objects.filter(state=WAITING, next_at__lte=now or timezone.now())
    tried = 0
    for pk in list(due.order_by("next_at", "pk").values_list("pk", flat=True)[:500]):
        if time.monotonic() > until:
            break
        tried += deliver(delivery_id=pk, now=now)
    return tried


def deliver(*, delivery_id: int, now: datetime | None = None) -> bool:
    """Try one delivery; False when somebody else has it or it is not due.

    The claim is a conditional update outside any transaction: a message leaves at least once, and
    its key lets the receiver drop a repetition.
    """
    at = now or timezone.now()
    hit = Delivery.objects.filter(pk=delivery_id, state=WAITING, next_at__lte=at).update(
        next_at=at + LEASE, attempts=F("attempts") + 1
    )
    if hit != 1:
        return False
    delivery = Delivery.objects.select_related("rule__user").get(pk=delivery_id)
    answer = _send(delivery)
    again = answer.again and delivery.attempts < MAX_ATTEMPTS
    values: dict[str, Any] = {
        "state": SENT if answer.ok else WAITING if again else FAILED,
        "next_at": at + timedelta(seconds=pause_s(delivery.attempts)) if again else at,
        "error": "" if answer.ok else answer.text[:500].replace("\0", ""),
        "sent_at": timezone.now() if answer.ok else None,
    }
    Delivery.objects.filter(pk=delivery_id, state=WAITING).update(**values)
    return True


def _send(delivery: Delivery) -> webhook.Answer:
    rule = delivery.rule
    if rule.user is not None and not rule.user.is_active:
        return webhook.Answer(False, False, f"not sent: {rule.user.username} is switched off")
    if rule.channel == Channel.BROWSER:
        return _browser(delivery)
    if rule.channel == Channel.EMAIL:
        return email.send(to=rule.address, key=_key(delivery), body=_mail(delivery.message))
    return _webhook(delivery)


def _browser(delivery: Delivery) -> webhook.Answer:
    if delivery.made_at < timezone.now() - BROWSER_STALE:
        return webhook.Answer(False, False, "not shown: older than ten minutes")
    problem = push_notice(
        user_id=delivery.rule.user_id, notice={**delivery.message, "delivery": delivery.pk}
    )
    return webhook.Answer(not problem, bool(problem), problem)


def _mail(message: dict[str, Any]) -> dict[str, Any]:
    proposal = message.get("proposal")
    lines = [message["text"], ""]
    if proposal:
        lines += [
            f"Action: {proposal['title']}",
            f"On: {proposal['target']}, {proposal['risk']} risk",
            f"Decide before: {proposal['expires_at']}",
            f"Digest: {proposal['digest']}",
            "",
        ]
    lines.append(f"Look and decide: {message['url']}")
    lines.append("An answer to this mail decides nothing.")
    return {"subject": message["subject"], "text": "\n".join(lines)}


def _webhook(delivery: Delivery) -> webhook.Answer:
    """Sign and post once; reading the signing secret is in the trail, once a message."""
    name = delivery.rule.secret_name
    secret = settings.DRIVER_SECRETS.get(name, "")
    if not secret:
        return webhook.Answer(
            False, False, f"no signing secret {name!r} in OPS_DRIVER_SECRETS; add it, send again"
        )
    if delivery.attempts == 1:
        audit_append(
            event="secret.read",
            actor=NOTIFIER,
            obj=f"notification_rule:{delivery.rule_id}",
            payload={"secret": name, "delivery": delivery.pk},
        )
    body = json.dumps(delivery.message, separators=(",", ":"), sort_keys=True).encode()
    try:
        return webhook.post(
            url=delivery.rule.address,
            secret=secret,
            key=_key(delivery),
            timestamp=int(time.time()),
            body=body,
        )
    except Refused as error:
        return webhook.Answer(False, False, f"refused: {error}")
    except binascii.Error:
        return webhook.Answer(
            False, False, f"the secret {name!r} is not base64 (whsec_…) and cannot sign"
        )


def _key(delivery: Delivery) -> str:
    """The same at every attempt, and another for each rule: `delivery` names both."""
    return f"notify-{delivery.pk}"
