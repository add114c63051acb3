"""Watermarks: up to which time everything of a source is in.

A point that is sampled every i seconds is settled up to (its newest reading + i): nothing before
that time is still to come. A source is settled as far as the slowest of its points. Points without
a declared sampling interval report by event, so their last value holds and nobody waits for them.
Points that have been silent for long are left out and counted: a dead sensor must not hold up the
facility for ever.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils import timezone

SILENT_INTERVALS: Final = 10
SILENT_LEAST_S: Final = 60.0
"""A point is silent after this many of its intervals, and at least this many seconds (assumed)."""

LOOK_BACK: Final = timedelta(days=1)
"""Older readings are not searched for their source; such points are long silent anyway."""


class Watermark(NamedTuple):
    """How far a source is in. ``points`` are waited for, ``silent`` ones are not.

    ``upto`` is None when nothing of the source is waited for. ``holder`` is the tag of the point
    that holds the watermark back.
    """

    source_id: int | None
    source: str
    points: int
    silent: int
    upto: datetime | None
    holder: str
    last_received: datetime | None


SETTLED: Final = """
    l.ts + make_interval(secs => p.sampling_interval_s)
"""
SILENT: Final = """
    l.ts < %(at)s - make_interval(secs => greatest(p.sampling_interval_s * %(times)s, %(least)s))
"""
_SQL: Final = f"""
WITH state AS (
    SELECT r.source_id, p.tag, l.received_at, {SETTLED} AS upto, {SILENT} AS silent
    FROM facilities_latestreading l
    JOIN facilities_point p ON p.id = l.point_id
    LEFT JOIN LATERAL (
        SELECT source_id FROM facilities_reading
        WHERE point_id = l.point_id AND ts = l.ts AND ts >= %(since)s
    ) r ON true
    WHERE p.sampling_interval_s > 0
)
SELECT state.source_id, coalesce(s.name, 'unknown'),
       count(*) FILTER (WHERE NOT silent), count(*) FILTER (WHERE silent),
       min(upto) FILTER (WHERE NOT silent),
       coalesce((array_agg(tag ORDER BY upto, tag) FILTER (WHERE NOT silent))[1], ''),
       max(received_at)
FROM state LEFT JOIN facilities_source s ON s.id = state.source_id
WHERE %(sources)s::bigint[] IS NULL OR state.source_id = ANY(%(sources)s)
GROUP BY 1, 2 ORDER BY 2
"""  # noqa: S608 (only constants of this file)


def silence_parameters(at: datetime) -> dict[str, Any]:
    """What ``SILENT`` needs besides its tables."""
    return {"at": at, "times": SILENT_INTERVALS, "least": SILENT_LEAST_S, "since": at - LOOK_BACK}


def watermarks(
    *, at: datetime | None = None, source_ids: Collection[int] | None = None
) -> list[Watermark]:
    """Watermark of every source (or of these), by name. One query.

    ``at`` (default now) decides which points count as silent.
    """
    sources = None if source_ids is None else list(source_ids)
    with connection.cursor() as cursor:
        cursor.execute(_SQL, silence_parameters(at or timezone.now()) | {"sources": sources})
        return [Watermark(*row) for row in cursor.fetchall()]
