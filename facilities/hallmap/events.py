"""What happened in a hall over a period: alarms, what people did about them, setpoint changes.

Rooms above register what they know (decisions, executions) with ``register_events``; this one does
not import them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from facilities.models import Alarm, AlarmEvent, Asset, Point
from facilities.models.alarm import AlarmEventKind

MAX_ALARMS: Final = 500
MAX_EVENTS: Final = 500
MAX_SETPOINTS: Final = 200

UNSUMMED: Final = timedelta(minutes=5)
"""Changes of the last minutes are looked for in readings: the rollup may not be there yet."""

TOLD: Final[dict[str, str]] = {
    AlarmEventKind.RAISED: "raised",
    AlarmEventKind.CLEARED: "cleared",
    AlarmEventKind.ACKNOWLEDGED: "acknowledged",
    AlarmEventKind.SHELVED: "shelved",
    AlarmEventKind.NOTED: "noted",
}


@dataclass(frozen=True, slots=True)
class MapEvent:
    """One line of the timeline. ``asset`` and ``href`` may be empty.

    ``kind`` is raised, cleared, acknowledged, shelved, noted, setpoint, or what a provider says;
    ``tone`` a severity, ok, info or accent.
    """

    at: datetime
    kind: str
    asset: str
    text: str
    href: str = ""
    tone: str = "info"


@dataclass(frozen=True, slots=True)
class AlarmSpan:
    """When an alarm was active; ``group`` is the alarm that heads its group, ``rack`` where the
    asset stands (None: not in a rack).
    """

    id: int
    asset: str
    rack: str | None
    point: str
    rule: str
    severity: str
    raised_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    group: int
    suppressed: bool


@dataclass(frozen=True, slots=True)
class Happenings:
    """Alarms and events of a period, by time. ``cut`` tells that there were more."""

    alarms: list[AlarmSpan]
    events: list[MapEvent]
    cut: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


Provider = Callable[[datetime, datetime], Iterable[MapEvent]]
_providers: dict[str, Provider] = {}


def register_events(name: str, provider: Provider) -> None:
    """Have the timeline ask ``provider(start, end)`` too; the same name replaces itself.

    A provider bounds its own answer.
    """
    _providers[name] = provider


def happenings(*, hall_id: int, start: datetime, end: datetime) -> Happenings:
    """What happened from ``start`` to ``end``. Four queries and those of the providers."""
    place = Q(point__asset__hall=hall_id) | Q(point__asset__hall=None)
    spans = [
        AlarmSpan(*cast(Any, row))
        for row in Alarm.objects.filter(place, raised_at__lte=end)
        .filter(Q(cleared_at__isnull=True) | Q(cleared_at__gte=start))
        .order_by("-raised_at", "-id")
        .values_list(
            "pk",
            "point__asset__tag",
            "point__asset__rack__tag",
            "point__tag",
            "rule__name",
            "severity",
            "raised_at",
            "cleared_at",
            "acknowledged_at",
            "root",
            "suppressed",
        )[: MAX_ALARMS + 1]
    ]
    shown = [replace(span, group=span.group or span.id) for span in reversed(spans[:MAX_ALARMS])]
    told = _told(hall_id, start, end)
    events = told[:MAX_EVENTS] + setpoint_changes(hall_id=hall_id, start=start, end=end)
    events += _here(hall_id, [e for ask in _providers.values() for e in ask(start, end)])
    events.sort(key=lambda event: event.at)
    return Happenings(shown, events, len(spans) > MAX_ALARMS or len(told) > MAX_EVENTS)


def _here(hall_id: int, events: list[MapEvent]) -> list[MapEvent]:
    """Leave out what other halls' assets were about."""
    tags = {event.asset for event in events if event.asset}
    if not tags:
        return events
    elsewhere = set(
        Asset.objects.filter(tag__in=tags, hall__isnull=False)
        .exclude(hall=hall_id)
        .values_list("tag", flat=True)
    )
    return [event for event in events if event.asset not in elsewhere]


def _told(hall_id: int, start: datetime, end: datetime) -> list[MapEvent]:
    rows = (
        AlarmEvent.objects.filter(
            Q(alarm__point__asset__hall=hall_id) | Q(alarm__point__asset__hall=None),
            at__gte=start,
            at__lte=end,
            event__in=list(TOLD),
            alarm__suppressed=False,
        )
        .order_by("at", "id")
        .values_list(
            "at",
            "event",
            "alarm_id",
            "alarm__rule__name",
            "alarm__severity",
            "alarm__point__tag",
            "alarm__point__asset__tag",
            "actor__username",
            "note",
        )[: MAX_EVENTS + 1]
    )
    events = []
    for at, event, pk, rule, severity, point, asset, actor, note in rows:
        text = f"{rule} on {point}"
        if event != AlarmEventKind.RAISED:
            text += f" {TOLD[event]}"
            text += f" by {actor}" if actor else ""
            text += f": {note}" if note and event == AlarmEventKind.NOTED else ""
        tones: dict[str, str] = {AlarmEventKind.RAISED: severity, AlarmEventKind.CLEARED: "ok"}
        tone = tones.get(event, "info")
        events.append(MapEvent(at, TOLD[event], asset, text, f"/alarms/#alarm-{pk}", tone))
    return events


# A minute in which a setpoint moved, or that differs from the one before, is read exactly.
_CHANGES: Final = """
WITH minute AS (
    SELECT point_id, ts, low, high, lag(low) OVER w AS low0, lag(high) OVER w AS high0
    FROM facilities_rollup_1m
    WHERE point_id = ANY(%(points)s) AND ts >= %(minute)s AND ts <= %(end)s
    WINDOW w AS (PARTITION BY point_id ORDER BY ts)
), spans AS (
    SELECT point_id, ts - interval '1 minute' AS since, ts + interval '1 minute' AS until
    FROM minute WHERE low <> high OR low <> low0 OR high <> high0
    UNION ALL
    SELECT unnest(%(points)s::bigint[]), %(recent)s, %(end)s WHERE %(recent)s < %(end)s
), exact AS (
    SELECT DISTINCT r.point_id, r.ts, r.value
    FROM spans s CROSS JOIN LATERAL (
        SELECT point_id, ts, value FROM facilities_reading
        WHERE point_id = s.point_id AND ts >= s.since AND ts < s.until
          AND ts >= %(start)s AND ts <= %(end)s AND quality < 4
        OFFSET 0
    ) r
), change AS (
    SELECT point_id, ts, value, lag(value) OVER (PARTITION BY point_id ORDER BY ts) AS before
    FROM exact
)
SELECT c.ts, c.before, c.value, p.tag, p.unit, p.enum, a.tag
FROM change c JOIN facilities_point p ON p.id = c.point_id
JOIN facilities_asset a ON a.id = p.asset_id
WHERE c.before <> c.value ORDER BY c.ts DESC LIMIT %(most)s
"""
UNITS: Final = {"Cel": " °C", "1": ""}


def setpoint_changes(*, hall_id: int, start: datetime, end: datetime) -> list[MapEvent]:
    """Changes that the plant's own setpoint readings show, whoever made them. Two queries.

    The newest ``MAX_SETPOINTS`` of the period. The first reading of the period is no change.
    """
    points = list(
        Point.objects.filter(Q(asset__hall=hall_id) | Q(asset__hall=None), writable=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    recent = max(start, timezone.now() - UNSUMMED)
    with connection.cursor() as cursor:
        cursor.execute(
            _CHANGES,
            {
                "points": points,
                "start": start,
                "minute": start.replace(second=0, microsecond=0),
                "end": end,
                "recent": min(recent, end),
                "most": MAX_SETPOINTS,
            },
        )
        rows = cursor.fetchall()
    events = []
    for at, before, value, tag, unit, enum, asset in rows:
        suffix = UNITS.get(unit, f" {unit}")

        def named(number: float, enum: Any = enum, suffix: str = suffix) -> str:
            return (enum or {}).get(f"{number:g}") or f"{number:g}{suffix}"

        text = f"{tag}: {named(before)} → {named(value)}"
        events.append(MapEvent(at, "setpoint", asset, text, f"/points/{tag}/", "accent"))
    return events
