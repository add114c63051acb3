"""Steps taken until somebody acknowledges. State is a row; a step is claimed by moving it on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, Q

from facilities.alarms.many import any_of
from facilities.models import (
    Alarm,
    AlarmEvent,
    Delivery,
    Escalation,
    EscalationChain,
    EscalationStep,
    NotificationChannel,
)
from facilities.models.alarm import SEVERITY_ORDER, AlarmEventKind
from facilities.models.notify import ChannelKind

from .email import addresses
from .messages import alarm_body, type_of

AT_ONCE: Final = 200
"""Steps taken by one call; the rest waits for the next second."""


class _Target(NamedTuple):
    kind: str
    address: str
    channel_id: int | None


def start(*, alarm_ids: Sequence[int], now: datetime) -> int:
    """Put alarms on the chain that fits each; return how many started. Call in a transaction.

    One query when no chain is enabled, else three. An alarm that has been on a chain and was not
    acknowledged starts it anew.
    """
    if not alarm_ids:
        return 0
    chains = list(EscalationChain.objects.filter(enabled=True).prefetch_related("steps"))
    if not chains:
        return 0
    rows = []
    facts = Alarm.objects.filter(pk__in=any_of(alarm_ids)).values_list(
        "pk", "severity", "point__asset__hall_id", "point__asset__kind"
    )
    for pk, severity, hall_id, kind in facts:
        chain = next((c for c in chains if _fits(c, severity, hall_id, kind)), None)
        steps = list(chain.steps.all()) if chain else []
        if chain is None or not steps:
            continue
        due = now + timedelta(seconds=steps[0].wait_s)
        rows.append(Escalation(alarm_id=pk, chain=chain, started_at=now, due_at=due))
    Escalation.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["alarm"],
        update_fields=["chain", "started_at", "due_at", "steps_done", "ended"],
    )
    return len(rows)


def _fits(chain: EscalationChain, severity: str, hall_id: int | None, kind: str) -> bool:
    return (
        SEVERITY_ORDER[severity] <= SEVERITY_ORDER[chain.min_severity]
        and chain.hall_id in (None, hall_id)
        and chain.asset_kind in ("", kind)
    )


def stop(*, alarm_ids: Sequence[int], why: str) -> int:
    """End the escalations that still run; messages not yet sent of them are not sent."""
    Delivery.objects.filter(
        alarm__in=alarm_ids, state="pending", attempts=0, next_attempt_at__isnull=False
    ).update(state="failed", next_attempt_at=None, outcome=f"not sent: {why}"[:300])
    return Escalation.objects.filter(alarm__in=alarm_ids, due_at__isnull=False).update(
        due_at=None, ended=why[:60]
    )


def take_due_steps(*, now: datetime) -> int:
    """Take every step whose time has come; return how many messages were written."""
    due = list(
        Escalation.objects.filter(due_at__lte=now)
        .select_related("chain", "alarm__maintenance")
        .order_by("due_at")[:AT_ONCE]
    )
    return sum(_take(escalation, now) for escalation in due)


@transaction.atomic
def _take(escalation: Escalation, now: datetime) -> int:
    """Claim one step, write its messages, set the time of the next. Nothing when lost the claim."""
    alarm = escalation.alarm
    why = _over(alarm, now)
    steps = list(escalation.chain.steps.select_related("channel", "user").order_by("order", "pk"))
    done = escalation.steps_done
    rounds = escalation.chain.repeats + 1
    step = steps[done % len(steps)] if steps and done < len(steps) * rounds else None
    next_at = None
    if step is None:
        why = why or "the chain has no further step"
    elif done + 1 < len(steps) * rounds:
        next_at = now + timedelta(seconds=max(steps[(done + 1) % len(steps)].wait_s, 1))
    else:
        why_after = "every step was taken"
    ended = why or ("" if next_at else why_after)
    claimed = Escalation.objects.filter(
        pk=escalation.pk, due_at=escalation.due_at, steps_done=done
    ).update(
        due_at=None if why else next_at,
        steps_done=done if why else done + 1,
        ended=ended,
    )
    if claimed != 1 or why or step is None:
        return 0
    label = f"{escalation.chain.name}, step {done % len(steps) + 1} of {len(steps)}"
    if done >= len(steps):
        label += f", round {done // len(steps) + 1}"
    return _write(alarm, step, label, now)


def _over(alarm: Alarm, now: datetime) -> str:
    """Why nobody needs to be told any more, or an empty string."""
    if alarm.acknowledged_at is not None:
        return "acknowledged"
    if alarm.cleared_at is not None:
        return "cleared"
    if alarm.suppressed:
        return "a consequence of another alarm"
    if alarm.shelved_until is not None and alarm.shelved_until > now:
        return "shelved"
    window = alarm.maintenance
    if window is not None and window.starts_at <= now < window.ends_at:
        return "in maintenance"
    return ""


def _write(alarm: Alarm, step: EscalationStep, label: str, now: datetime) -> int:
    from facilities.alarms.announce import relations

    full = relations().get(pk=alarm.pk)
    hidden = Alarm.objects.filter(root=alarm, suppressed=True, cleared_at__isnull=True).count()
    body = alarm_body(full, consequences=hidden, step=label)
    targets = _targets(step)
    Delivery.objects.bulk_create(
        Delivery(
            channel_id=target.channel_id,
            alarm=alarm,
            kind=target.kind,
            target=target.address,
            event=type_of(body),
            body=body,
            next_attempt_at=now,
        )
        for target in targets
    )
    whom = ", ".join(target.address for target in targets) or "nobody has an address"
    AlarmEvent.objects.create(
        alarm=alarm, at=now, event=AlarmEventKind.NOTIFIED, note=f"{label}: {whom}"[:500]
    )
    return len(targets)


def _targets(step: EscalationStep) -> list[_Target]:
    if step.channel is not None:
        return channel_targets(step.channel) if step.channel.enabled else []
    people = get_user_model()._default_manager.filter(is_active=True)
    if step.user_id is not None:
        people = people.filter(pk=step.user_id)
    elif step.role == "admin":
        people = people.filter(is_superuser=True)
    else:
        people = people.filter(groups__name=step.role)
    return [
        _Target(ChannelKind.EMAIL, email, None)
        for email in people.exclude(email="").order_by("pk").values_list("email", flat=True)
    ]


def channel_targets(channel: NotificationChannel) -> list[_Target]:
    """Every address of a channel."""
    if channel.kind == ChannelKind.WEBHOOK:
        return [_Target(channel.kind, channel.url, channel.pk)]
    return [_Target(channel.kind, to, channel.pk) for to in addresses(channel.recipients)]


def start_missing(*, now: datetime) -> list[int]:
    """Start what should be running and is not: released, unshelved, window over, worker killed.

    Returns the alarms. An escalation that ended for a reason that is gone starts anew.
    """
    from facilities.alarms.quiet import quiet_now

    again = ("a consequence of another alarm", "shelved", "in maintenance")
    held = Alarm.objects.filter(quiet_now(now)).values("pk")
    ids = list(
        Alarm.objects.filter(cleared_at__isnull=True, acknowledged_at__isnull=True)
        .filter(Q(escalation__isnull=True) | Q(escalation__ended__in=again))
        .exclude(pk__in=held)
        .order_by("-raised_at", "-pk")
        .values_list("pk", flat=True)[:AT_ONCE]
    )
    start(alarm_ids=ids, now=now)
    return ids


def counts() -> Counter[str]:
    """Deliveries by state."""
    rows = Delivery.objects.values_list("state").annotate(count=Count("pk")).order_by()
    return Counter(dict(rows))
