"""Alarm groups of a hall as periods that can be played back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from facilities.models import Alarm
from facilities.models.alarm import SEVERITY_ORDER

LEAD_IN: Final = timedelta(minutes=5)
"""Shown before the first alarm of a group: what it was like when all was well (assumed)."""

LEAD_OUT: Final = timedelta(minutes=3)
LONGEST: Final = timedelta(hours=6)
LISTED: Final = 40


@dataclass(frozen=True, slots=True)
class Incident:
    """A group of alarms, named after the alarm that heads it.

    ``start`` to ``end`` is the period to play, lead-in and lead-out included, at most six hours.
    """

    id: int
    title: str
    asset: str
    severity: str
    raised_at: datetime
    cleared_at: datetime | None
    alarms: int
    start: datetime
    end: datetime


def incidents(*, hall_id: int, limit: int = LISTED, head: int | None = None) -> list[Incident]:
    """The newest groups of a hall, newest first; with ``head`` only that alarm's. Two queries."""
    now = timezone.now()
    heads = Alarm.objects.filter(
        Q(point__asset__hall=hall_id) | Q(point__asset__hall=None), suppressed=False
    )
    heads = heads.filter(pk=head) if head is not None else heads.filter(root=None)
    found = list(
        heads.order_by("-raised_at", "-id").values_list(
            "pk", "rule__name", "point__asset__tag", "severity", "raised_at", "cleared_at"
        )[:limit]
    )
    below: dict[int, list[tuple[str, datetime, datetime | None]]] = defaultdict(list)
    for root, severity, raised, cleared in Alarm.objects.filter(
        root__in=[row[0] for row in found]
    ).values_list("root_id", "severity", "raised_at", "cleared_at"):
        below[root].append((severity, raised, cleared))
    result = []
    for pk, rule, asset, severity, raised, cleared in found:
        group = [(severity, raised, cleared), *below[pk]]
        first = min(member[1] for member in group)
        ends = [member[2] for member in group]
        closed = None if None in ends else max(end for end in ends if end is not None)
        start = first - LEAD_IN
        end = min((closed or now) + LEAD_OUT, now, start + LONGEST)
        worst = min((member[0] for member in group), key=lambda name: SEVERITY_ORDER[name])
        result.append(Incident(pk, rule, asset, worst, first, closed, len(group), start, end))
    return result
