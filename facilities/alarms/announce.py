"""News of alarms after the commit: browsers get every change, other apps the alarms that count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Case, QuerySet, Value, When

from facilities import live
from facilities.models import Alarm
from facilities.models.alarm import SEVERITY_ORDER
from facilities.signals import alarm_raised

from .many import any_of
from .payload import alarm_payload

PUSHED_SINGLY: Final = 50
"""A change of more alarms at once is one message, and browsers read the list again."""

SIGNALLED: Final = 10
"""Signals of one change at most, worst first; receivers sweep for the rest."""


def relations() -> QuerySet[Alarm]:
    """Alarms with all that their payload needs."""
    return Alarm.objects.select_related(
        "point__asset__hall", "rule", "acknowledged_by", "assignee", "maintenance"
    )


def tell_on_commit(alarm_ids: Sequence[int], event: str) -> None:
    """Push the alarms as they will be after the commit."""
    if alarm_ids:
        transaction.on_commit(partial(_push, list(alarm_ids), str(event)), robust=True)


def _push(alarm_ids: list[int], event: str) -> None:
    if len(alarm_ids) > PUSHED_SINGLY:
        live.push("alarms", {"type": "alarms.changed", "event": event, "count": len(alarm_ids)})
        return
    for alarm in relations().filter(pk__in=alarm_ids).order_by("raised_at", "pk"):
        live.push("alarms", {"type": "alarm", "event": event, "alarm": alarm_payload(alarm)})


def audible(alarm_ids: Iterable[int], now: datetime) -> list[int]:
    """Those that are active, not acknowledged and held back by nothing; worst first. One query."""
    from .quiet import quiet_now

    rows = (
        Alarm.objects.filter(
            pk__in=any_of(alarm_ids), cleared_at__isnull=True, acknowledged_at__isnull=True
        )
        # Judged by the row: as a condition it makes the planner join all alarms with themselves.
        .annotate(quiet=Case(When(quiet_now(now), then=Value(True)), default=Value(False)))
        .values_list("pk", "severity", "raised_at", "quiet")
    )
    loud = [row for row in rows if not row[3]]
    return [row[0] for row in sorted(loud, key=lambda r: (SEVERITY_ORDER[r[1]], r[2], r[0]))]


def signal_on_commit(alarm_ids: Sequence[int]) -> None:
    """Send ``alarm_raised`` for each, after the commit."""
    for alarm_id in alarm_ids[:SIGNALLED]:
        transaction.on_commit(
            partial(alarm_raised.send_robust, sender=Alarm, alarm_id=alarm_id), robust=True
        )
