"""The barrier at a time T: closes when every source is in up to T, or when time is out.

`wait` is the barrier a reader stands before. `probe` asks afterwards, from the times at which the
readings came, what a barrier would have cost: a picture without anybody waiting.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils import timezone

from facilities.models import Barrier

from .watermarks import SILENT, silence_parameters, watermarks

POLL_S: Final = 0.1
PROBE_EVERY_S: Final = 30.0
PROBE_TIMEOUT_S: Final = 10.0
PROBE_POINTS: Final = 20_000
"""A probe of a larger facility looks at an even share of its points."""

KEPT: Final = timedelta(days=7)
"""How long barriers are remembered (assumed); 20,000 rows of probes."""


class Arrival(NamedTuple):
    """One source at a barrier. ``delay_s`` is None when it did not arrive in time."""

    source: str
    points: int
    silent: int
    delay_s: float | None
    holder: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it is kept in ``Barrier.sources``."""
        return {
            "name": self.source,
            "points": self.points,
            "silent": self.silent,
            "delay_s": None if self.delay_s is None else round(self.delay_s, 3),
            "holder": self.holder,
        }


class Outcome(NamedTuple):
    """How a barrier closed. ``held_s`` is what the slowest cost all the others."""

    complete: bool
    waited_s: float
    slowest: str
    held_s: float
    arrivals: list[Arrival]


def wait(*, at: datetime, timeout_s: float) -> Outcome:
    """Wait until every source is in up to ``at``, at most ``timeout_s``.

    Polls the sources that are still missing. Delays count from the call: what the reader lost.
    """
    started = time.monotonic()
    marks = watermarks(at=at)
    arrived: dict[int | None, float] = {}
    elapsed = 0.0
    while True:
        for mark in marks:
            if mark.upto is None or mark.upto >= at:
                arrived.setdefault(mark.source_id, elapsed)
        if len(arrived) == len(marks) or elapsed >= timeout_s:
            break
        time.sleep(min(POLL_S, max(timeout_s - elapsed, 0.01)))
        fresh = {mark.source_id: mark for mark in watermarks(at=at)}
        marks = [fresh.get(mark.source_id, mark) for mark in marks]
        elapsed = time.monotonic() - started
    waited = elapsed if len(arrived) < len(marks) else max(arrived.values(), default=0.0)
    return outcome(
        [Arrival(m.source, m.points, m.silent, arrived.get(m.source_id), m.holder) for m in marks],
        waited_s=waited,
        timeout_s=timeout_s,
    )


def outcome(arrivals: list[Arrival], *, waited_s: float, timeout_s: float) -> Outcome:
    """Say who was last, and by how much. A source that did not arrive cost the whole time-out."""
    cost = sorted(
        ((timeout_s if a.delay_s is None else a.delay_s), a.source) for a in arrivals if a.points
    )
    last, slowest = cost[-1] if cost else (0.0, "")
    before = cost[-2][0] if len(cost) > 1 else 0.0
    complete = all(a.delay_s is not None for a in arrivals)
    return Outcome(
        complete, waited_s, slowest if last > 0 else "", max(last - before, 0.0), arrivals
    )


def remember(
    result: Outcome, *, at: datetime, timeout_s: float, asked: str, reader: str = ""
) -> Barrier:
    """Keep what a barrier cost."""
    return Barrier.objects.create(
        at=at,
        asked=asked,
        reader=reader[:60],
        waited_s=result.waited_s,
        timeout_s=timeout_s,
        complete=result.complete,
        slowest=result.slowest,
        held_s=result.held_s,
        sources=[arrival.as_dict() for arrival in result.arrivals],
    )


# First reading that settles the point up to T; whose the point is, tells that reading, or the
# newest one when it never came.
_ARRIVALS: Final = f"""
WITH looked_at AS (
    SELECT l.point_id, l.ts, p.tag, make_interval(secs => p.sampling_interval_s) AS step,
           {SILENT} AS silent
    FROM facilities_latestreading l JOIN facilities_point p ON p.id = l.point_id
    WHERE p.sampling_interval_s > 0 AND l.point_id %% %(share)s = 0
), found AS (
    SELECT looked_at.tag, looked_at.silent, settled.received_at,
           coalesce(settled.source_id, newest.source_id) AS source_id
    FROM looked_at
    LEFT JOIN LATERAL (
        SELECT received_at, source_id FROM facilities_reading
        WHERE point_id = looked_at.point_id AND ts >= %(at)s - looked_at.step AND ts >= %(since)s
        ORDER BY ts LIMIT 1
    ) settled ON NOT looked_at.silent
    LEFT JOIN LATERAL (
        SELECT source_id FROM facilities_reading
        WHERE point_id = looked_at.point_id AND ts = looked_at.ts AND ts >= %(since)s
    ) newest ON true
)
SELECT coalesce(s.name, 'unknown'), count(*) FILTER (WHERE NOT silent),
       count(*) FILTER (WHERE silent), bool_or(NOT silent AND received_at IS NULL),
       max(received_at) FILTER (WHERE NOT silent),
       coalesce((array_agg(tag ORDER BY received_at DESC NULLS FIRST, tag)
                 FILTER (WHERE NOT silent))[1], '')
FROM found LEFT JOIN facilities_source s ON s.id = found.source_id
GROUP BY 1 ORDER BY 1
"""  # noqa: S608 (only constants of this file)


def arrivals_at(at: datetime, *, timeout_s: float) -> list[Arrival]:
    """When each source was in up to ``at``, by the times its readings were received."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM facilities_latestreading")
        share = cursor.fetchone()[0] // PROBE_POINTS + 1
        cursor.execute(_ARRIVALS, silence_parameters(at) | {"share": share})
        rows = cursor.fetchall()
    found = []
    for name, points, silent, missing, last, holder in rows:
        delay = None if missing or last is None else max((last - at).total_seconds(), 0.0)
        if not points:
            delay = 0.0
        elif delay is not None and delay > timeout_s:
            delay = None
        found.append(Arrival(name, points, silent, delay, holder))
    return found


def probe(*, now: datetime | None = None) -> Barrier | None:
    """Record the barrier of a moment ago; forget old ones. None when nothing has ever reported."""
    moment = now or timezone.now()
    at = moment - timedelta(seconds=PROBE_TIMEOUT_S)
    Barrier.objects.filter(at__lt=moment - KEPT).delete()
    arrivals = arrivals_at(at, timeout_s=PROBE_TIMEOUT_S)
    if not arrivals:
        return None
    waited = max(
        (PROBE_TIMEOUT_S if a.delay_s is None else a.delay_s for a in arrivals if a.points),
        default=0.0,
    )
    return remember(
        outcome(arrivals, waited_s=waited, timeout_s=PROBE_TIMEOUT_S),
        at=at,
        timeout_s=PROBE_TIMEOUT_S,
        asked=Barrier.Asked.PROBE,
    )
