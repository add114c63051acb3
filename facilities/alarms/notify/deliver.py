"""Sends what is due, keeps what became of it, tries again with growing pauses."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F

from facilities.models import Delivery, NotificationChannel
from facilities.models.notify import ChannelKind, DeliveryState

from . import email, webhook
from .targets import Refused

FIRST_PAUSE_S: Final = 5.0
MAX_PAUSE_S: Final = 900.0
MAX_ATTEMPTS: Final = 10
"""Pauses double from 5 s to 15 min: the last attempt is about 50 minutes after the first. Assumed."""

LEASE: Final = timedelta(seconds=30)
"""A claimed delivery is nobody else's for this long; a killed worker's comes back after it."""

BUDGET_S: Final = 10.0
"""One call sends no longer than this, so that slow receivers never hold a worker's thread."""


def pause_s(attempts: int) -> float:
    """Return the pause after this many failed attempts: doubling, with a fifth of jitter."""
    pause: float = min(FIRST_PAUSE_S * 2 ** (attempts - 1), MAX_PAUSE_S)
    return pause * random.uniform(0.8, 1.2)  # noqa: S311  # jitter, not a secret


def deliver_due(*, now: datetime | None = None) -> int:
    """Send what is due, oldest first, within the budget; return how many were tried."""
    until = time.monotonic() + BUDGET_S
    tried = 0
    ids = (
        Delivery.objects.filter(next_attempt_at__lte=now or datetime.now(UTC))
        .order_by("next_attempt_at", "pk")
        .values_list("pk", flat=True)[:500]
    )
    for pk in list(ids):
        if time.monotonic() > until:
            break
        tried += deliver(delivery_id=pk, now=now)
    return tried


def deliver(*, delivery_id: int, now: datetime | None = None) -> bool:
    """Try one delivery; False when somebody else has it or it is not due.

    The claim is a conditional update, outside any transaction: a message leaves at least once, and
    its idempotency key lets the receiver drop a repetition.
    """
    at = now or datetime.now(UTC)
    hit = Delivery.objects.filter(
        pk=delivery_id, state=DeliveryState.PENDING, next_attempt_at__lte=at
    ).update(next_attempt_at=at + LEASE, attempts=F("attempts") + 1)
    if hit != 1:
        return False
    delivery = Delivery.objects.select_related("channel").get(pk=delivery_id)
    started = time.monotonic()
    answer = _send(delivery)
    took_ms = (time.monotonic() - started) * 1000
    again = answer.again and delivery.attempts < MAX_ATTEMPTS
    values = {
        "state": DeliveryState.SENT
        if answer.ok
        else (DeliveryState.PENDING if again else DeliveryState.FAILED),
        "next_attempt_at": None
        if answer.ok or not again
        else at + timedelta(seconds=pause_s(delivery.attempts)),
        "outcome": answer.text[:300].replace("\0", ""),
        "duration_ms": took_ms,
        "sent_at": datetime.now(UTC) if answer.ok else None,
    }
    Delivery.objects.filter(pk=delivery_id, state=DeliveryState.PENDING).update(**values)
    return True


def _send(delivery: Delivery) -> webhook.Answer:
    if delivery.kind == ChannelKind.EMAIL:
        return email.send(to=delivery.target, key=str(delivery.key), body=delivery.body)
    if delivery.channel is None:
        return webhook.Answer(False, False, "the channel was deleted; nothing signs the message")
    body = json.dumps(delivery.body, separators=(",", ":")).encode()
    try:
        return webhook.post(
            url=delivery.target,
            secret=webhook.secret_of(delivery.channel),
            key=str(delivery.key),
            timestamp=int(time.time()),
            body=body,
        )
    except Refused as error:
        return webhook.Answer(False, False, f"refused: {error}")


@transaction.atomic
def delivery_resend(*, delivery_id: int) -> Delivery:
    """Queue the same message again, with a key of its own. Raises ``Delivery.DoesNotExist``."""
    old = Delivery.objects.get(pk=delivery_id)
    return Delivery.objects.create(
        channel=old.channel,
        alarm=old.alarm,
        kind=old.kind,
        target=old.target,
        event=old.event,
        body=old.body,
        next_attempt_at=datetime.now(UTC),
    )


def channel_test(*, channel: NotificationChannel, by: str) -> list[Delivery]:
    """Queue a test message to every address of the channel."""
    from .escalation import channel_targets
    from .messages import trial_body, type_of

    body = trial_body(channel.name, by)
    now = datetime.now(UTC)
    return [
        Delivery.objects.create(
            channel=channel,
            kind=target.kind,
            target=target.address,
            event=type_of(body),
            body=body,
            next_attempt_at=now,
        )
        for target in channel_targets(channel)
    ]
