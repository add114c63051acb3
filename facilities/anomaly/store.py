"""Writes what the detector says: newest scores by point, events above the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction

from facilities.models import AnomalyEvent

EVENT_GAP: Final = timedelta(minutes=10)
"""Above the threshold again within this time belongs to the same event. assumed"""
KEEP_EVENTS: Final = timedelta(days=400)
"""Events older than this are deleted: a year and a month, so that seasons can be compared."""

_SCORES: Final = """
INSERT INTO facilities_anomalyscore (point_id, ts, score, expert)
SELECT new.* FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::text[])
    AS new (point_id, ts, score, expert)
JOIN facilities_point p ON p.id = new.point_id ORDER BY 1
ON CONFLICT (point_id) DO UPDATE
SET ts = EXCLUDED.ts, score = EXCLUDED.score, expert = EXCLUDED.expert
"""
# An event goes on when the point's newest one was above the threshold a short while ago.
_EXTEND: Final = """
UPDATE facilities_anomalyevent e
SET last_at = greatest(e.last_at, %(at)s), peak_score = greatest(e.peak_score, %(score)s)
WHERE e.point_id = %(point)s AND e.started_at <= %(at)s AND e.last_at >= %(at)s - %(gap)s
"""
_OPEN: Final = """
INSERT INTO facilities_anomalyevent
    (point_id, started_at, last_at, peak_score, value, expected, expert)
SELECT %(point)s, %(at)s, %(at)s, %(score)s, %(value)s, %(expected)s, %(expert)s
WHERE EXISTS (SELECT FROM facilities_point WHERE id = %(point)s)
ON CONFLICT (point_id, started_at) DO NOTHING
"""


class PointScore(NamedTuple):
    """The newest score (0 to 1) of a point."""

    point_id: int
    ts_us: int
    score: float
    expert: str


class Surprise(NamedTuple):
    """One reading above the threshold."""

    point_id: int
    ts_us: int
    score: float
    value: float
    expected: float
    expert: str


def scores_store(*, scores: Sequence[PointScore]) -> None:
    """Replace the newest scores of these points; a point deleted meanwhile is left out."""
    if not scores:
        return
    ids, times, values, experts = zip(*scores, strict=True)
    moments = [datetime.fromtimestamp(ts / 1e6, UTC) for ts in times]
    with connection.cursor() as cursor:
        cursor.execute(_SCORES, [list(ids), moments, list(values), list(experts)])


def events_store(*, surprises: Sequence[Surprise]) -> int:
    """Open or extend events, in the order of time; return how many are new."""
    opened = 0
    with transaction.atomic(), connection.cursor() as cursor:
        for surprise in sorted(surprises, key=lambda item: item.ts_us):
            parameters: dict[str, Any] = {
                "point": surprise.point_id,
                "at": datetime.fromtimestamp(surprise.ts_us / 1e6, UTC),
                "score": surprise.score,
                "value": surprise.value,
                "expected": surprise.expected,
                "expert": surprise.expert,
                "gap": EVENT_GAP,
            }
            cursor.execute(_EXTEND, parameters)
            if cursor.rowcount == 0:
                cursor.execute(_OPEN, parameters)
                opened += cursor.rowcount
    return opened


def events_drop_old(*, now: datetime | None = None) -> int:
    """Delete events past ``KEEP_EVENTS``; return how many."""
    limit = (now or datetime.now(UTC)) - KEEP_EVENTS
    return AnomalyEvent.objects.filter(started_at__lt=limit).delete()[0]
