"""How the alarm system itself does, in the figures of ISA-18.2 / IEC 62682."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Count, Q

from facilities.models import Alarm, AlarmPolicy, Shelf

from .quiet import quiet_now

ACCEPTABLE_PER_10MIN: Final = 1
MANAGEABLE_PER_10MIN: Final = 2
FLOOD_PER_10MIN: Final = 10
"""Alarms per operator in ten minutes: about one is very likely acceptable, two the most that can be
managed, more than ten a flood (ISA-18.2 / EEMUA 191, recalled; check against the standard)."""

STANDING: Final = timedelta(hours=24)
"""An alarm active for longer is stale (ISA-18.2, recalled)."""

BAD_ACTORS: Final = 10


@dataclass(frozen=True, slots=True)
class Slot:
    """Alarms told to operators in one ten-minute slot that starts at ``at``."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class BadActor:
    """A point and rule with its share of all alarms of the period."""

    point: str
    rule: str
    count: int
    share: float


class Metrics(NamedTuple):
    """Figures of the period. ``flood_share``: ten-minute slots with a flood, per operator."""

    hours: float
    operators: int
    total: int
    told: int
    suppressed: int
    per_10min: float
    per_10min_peak: float
    flood_share: float
    slots: list[Slot]
    bad_actors: list[BadActor]
    by_severity: dict[str, int]
    standing: int
    chattering: int
    shelved: int
    unacknowledged: int
    median_acknowledge_s: float | None


# Slots count what an operator had to look at: not what was hidden under a cause.
_SLOTS: Final = """
SELECT date_bin('10 minutes', raised_at, %(start)s), count(*)
FROM facilities_alarm
WHERE raised_at >= %(start)s AND raised_at < %(end)s AND NOT suppressed
GROUP BY 1 ORDER BY 1
"""
_ACTORS: Final = """
SELECT p.tag, r.name, sum(a.occurrences)
FROM facilities_alarm a JOIN facilities_point p ON p.id = a.point_id
JOIN facilities_alarmrule r ON r.id = a.rule_id
WHERE a.raised_at >= %(start)s AND a.raised_at < %(end)s
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s
"""
_CHATTER: Final = """
SELECT count(*) FROM (
    SELECT DISTINCT point_id, rule_id FROM (
        SELECT point_id, rule_id, raised_at, lag(raised_at, %(back)s) OVER (
            PARTITION BY point_id, rule_id ORDER BY raised_at) AS before
        FROM facilities_alarm WHERE raised_at >= %(start)s AND raised_at < %(end)s) AS gaps
    WHERE raised_at - before < %(window)s
    UNION SELECT point_id, rule_id FROM facilities_alarm
    WHERE raised_at >= %(start)s AND raised_at < %(end)s AND occurrences >= %(count)s) AS pairs
"""
_MEDIAN: Final = """
SELECT percentile_cont(0.5) WITHIN GROUP (
    ORDER BY extract(epoch FROM acknowledged_at - raised_at))
FROM facilities_alarm
WHERE raised_at >= %(start)s AND raised_at < %(end)s AND acknowledged_at IS NOT NULL
"""


def metrics(*, end: datetime, hours: float = 24.0) -> Metrics:
    """Measure the period of ``hours`` that ends at ``end``. Nine queries."""
    start = end - timedelta(hours=hours)
    policy = AlarmPolicy.current()
    span: dict[str, Any] = {"start": start, "end": end}
    with connection.cursor() as cursor:
        cursor.execute(_SLOTS, span)
        slots = [Slot(*row) for row in cursor.fetchall()]
        cursor.execute(_ACTORS, {**span, "limit": BAD_ACTORS})
        actors = cursor.fetchall()
        chatter: dict[str, Any] = {
            **span,
            "back": policy.chatter_count - 1,
            "count": policy.chatter_count,
            "window": timedelta(seconds=policy.chatter_window_s),
        }
        cursor.execute(_CHATTER, chatter)
        chattering = cursor.fetchone()[0]
        cursor.execute(_MEDIAN, span)
        median = cursor.fetchone()[0]
    raised = Alarm.objects.filter(raised_at__gte=start, raised_at__lt=end)
    figures = raised.aggregate(
        total=Count("pk"),
        suppressed=Count("pk", filter=Q(suppressed=True)),
        **{
            name: Count("pk", filter=Q(severity=name))
            for name in ("critical", "high", "medium", "low")
        },
    )
    now = Alarm.objects.filter(cleared_at__isnull=True).aggregate(
        standing=Count("pk", filter=Q(raised_at__lt=end - STANDING)),
        unacknowledged=Count("pk", filter=Q(acknowledged_at__isnull=True) & ~quiet_now(end)),
    )
    operators = max(_operators(), 1)
    told = sum(slot.count for slot in slots)
    all_slots = max(round(hours * 6), 1)
    occurred = sum(count for *_, count in actors) or 1
    return Metrics(
        hours=hours,
        operators=operators,
        total=figures["total"],
        told=told,
        suppressed=figures["suppressed"],
        per_10min=told / all_slots / operators,
        per_10min_peak=max((slot.count for slot in slots), default=0) / operators,
        flood_share=sum(slot.count / operators > FLOOD_PER_10MIN for slot in slots) / all_slots,
        slots=slots,
        bad_actors=[
            BadActor(tag, rule, int(count), float(count) / float(max(figures["total"], occurred)))
            for tag, rule, count in actors
        ],
        by_severity={name: figures[name] for name in ("critical", "high", "medium", "low")},
        standing=now["standing"],
        chattering=chattering,
        shelved=Shelf.objects.filter(until__gt=end).count(),
        unacknowledged=now["unacknowledged"],
        median_acknowledge_s=None if median is None else float(median),
    )


def _operators() -> int:
    """How many people may acknowledge and are active: those who share the load."""
    return (
        get_user_model()
        ._default_manager.filter(is_active=True, groups__permissions__codename="acknowledge_alarm")
        .distinct()
        .count()
    )
