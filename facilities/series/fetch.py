"""Rows of a series from the database, as numpy arrays: readings, or sums over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connection

from facilities.models.rollup import Level
from facilities.rollups.sql import USABLE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: PostgreSQL counts from there."""

UNEVEN: Final = 4
"""A point of a wall may have this many times its share of the readings (assumed)."""

_READING: Final = np.dtype([("ts", ">i8"), ("value", ">f8"), ("flag", ">i2")])

# One bytea per point instead of one row per reading: a driver that makes Python objects of 100,000
# rows takes a second.
_READINGS: Final = """
SELECT r.packed
FROM unnest(%(points)s::bigint[]) WITH ORDINALITY AS wanted(id, n)
CROSS JOIN LATERAL (
    SELECT string_agg(
        timestamptz_send(ts) || float8send(value) || int2send(quality), ''::bytea
    ) AS packed
    FROM (
        SELECT ts, value, quality FROM facilities_reading
        WHERE point_id = wanted.id AND ts >= %(start)s AND ts <= %(end)s
        ORDER BY ts LIMIT %(limit)s
    ) ordered
) r
ORDER BY wanted.n
"""


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of several points: parallel arrays, ordered by (n, ts). ``n`` counts from 0."""

    n: Ints
    ts: Floats
    value: Floats
    flag: Ints

    def of(self, n: int) -> Readings:
        """The readings of one point."""
        low, high = np.searchsorted(self.n, [n, n + 1])
        cut = slice(low, high)
        return Readings(self.n[cut], self.ts[cut], self.value[cut], self.flag[cut])


def readings(
    points: Sequence[int], *, start: datetime, end: datetime, limit: int
) -> Readings | None:
    """Readings with start <= ts <= end; None when there are more than ``limit``."""
    # No point may take much more than its share: memory stays bounded before all is counted.
    each = min(limit, limit // len(points) * UNEVEN) + 1
    with connection.cursor() as cursor:
        cursor.execute(
            _READINGS, {"points": list(points), "start": start, "end": end, "limit": each}
        )
        packed = [row[0] or b"" for row in cursor.fetchall()]
    counts = np.array([len(data) // _READING.itemsize for data in packed])
    if counts.sum() > limit or counts.max() >= each:
        return None
    rows = np.frombuffer(b"".join(packed), _READING)
    return Readings(
        np.repeat(np.arange(len(points)), counts),
        (rows["ts"].astype(np.int64) + _PG_EPOCH_US) / 1e6,
        rows["value"].astype(np.float64),
        rows["flag"].astype(np.int64),
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over equal times: parallel arrays, ordered by (n, ts). ``ts`` is where each begins.

    ``low``, ``high`` and ``mean`` are NaN where no reading was usable.
    """

    n: Ints
    ts: Floats
    low: Floats
    high: Floats
    mean: Floats
    count: Ints
    bad: Ints
    flag: Ints

    def of(self, n: int) -> Sums:
        """The sums of one point."""
        low, high = np.searchsorted(self.n, [n, n + 1])
        cut = slice(low, high)
        return Sums(*(getattr(self, name)[cut] for name in self.__slots__))


# Minutes and hours that the job has not been at are left out of the rollup and taken from one
# level finer, down to the readings: the answer is right at any moment. A multirange finds out in
# O(log n) whether a row is in them.
_PENDING: Final = """
SELECT coalesce(range_agg(tstzrange(start, start + interval '1 minute'))
                FILTER (WHERE level = 1), '{}')::tstzmultirange::text,
       coalesce(range_agg(tstzrange(date_trunc('hour', start, 'UTC'),
                                    date_trunc('hour', start, 'UTC') + interval '1 hour')), '{}'
       )::tstzmultirange::text,
       min(start) FILTER (WHERE level = 1), min(date_trunc('hour', start, 'UTC'))
FROM facilities_rollupmark
WHERE start >= date_trunc('hour', %(start)s, 'UTC') AND start <= %(end)s
  AND (point_ids IS NULL OR point_ids && %(points)s::bigint[])
"""
# OFFSET 0 keeps each LATERAL a subquery of its own: the planner then looks every point up in the
# index instead of reading whole partitions to join them.
_FROM_ROLLUP: Final = """
    SELECT wanted.n, r.* FROM wanted CROSS JOIN LATERAL (
        SELECT ts, low, high, mean, count, bad, flag FROM facilities_rollup_{level}
        WHERE point_id = wanted.id AND ts >= %(origin)s AND ts <= %(end)s
          AND NOT ts <@ %(pending_{level})s::tstzmultirange
        OFFSET 0
    ) r
"""
_MINUTES_OF_PENDING_HOURS: Final = """
    UNION ALL
    SELECT wanted.n, r.*
    FROM unnest(%(pending_1h)s::tstzmultirange) AS span, wanted CROSS JOIN LATERAL (
        SELECT ts, low, high, mean, count, bad, flag FROM facilities_rollup_1m
        WHERE point_id = wanted.id AND ts >= %(first_1h)s AND ts <= %(end)s
          AND ts >= lower(span) AND ts < upper(span)
          AND NOT ts <@ %(pending_1m)s::tstzmultirange
        OFFSET 0
    ) r
"""
_READINGS_OF_PENDING_MINUTES: Final = f"""
    UNION ALL
    SELECT wanted.n, r.*
    FROM unnest(%(pending_1m)s::tstzmultirange) AS span, wanted CROSS JOIN LATERAL (
        SELECT ts, CASE WHEN {USABLE} THEN value END AS low,
               CASE WHEN {USABLE} THEN value END AS high,
               CASE WHEN {USABLE} THEN value END AS mean,
               1 AS count, CASE WHEN {USABLE} THEN 0 ELSE 1 END AS bad, quality AS flag
        FROM facilities_reading
        WHERE point_id = wanted.id AND ts >= %(first_1m)s AND ts <= %(end)s
          AND ts >= lower(span) AND ts < upper(span)
        OFFSET 0
    ) r
"""  # noqa: S608 (only constants)
_BUCKETS: Final = """
WITH wanted AS (
    SELECT id, n::integer - 1 AS n
    FROM unnest(%(points)s::bigint[]) WITH ORDINALITY AS wanted(id, n)
), rows AS ({rows})
SELECT string_agg(int4send(n) || int4send(bucket) || float8send(low) || float8send(high)
                  || float8send(mean) || int8send(count) || int8send(bad) || int4send(flag),
                  ''::bytea)
FROM (
    SELECT n, floor(extract(epoch FROM ts - %(origin)s)::float8 / %(width)s)::integer AS bucket,
           coalesce(min(low), 'NaN') AS low, coalesce(max(high), 'NaN') AS high,
           coalesce(sum(mean * (count - bad)) / nullif(sum(count - bad), 0), 'NaN') AS mean,
           sum(count)::bigint AS count, sum(bad)::bigint AS bad,
           CASE WHEN bool_or(flag = 4) THEN 4 WHEN bool_or(flag = 3) THEN 3
                WHEN bool_or(flag = 1) THEN 1 WHEN bool_or(flag = 2) THEN 2 ELSE 9 END AS flag
    FROM rows GROUP BY 1, 2 ORDER BY 1, 2
) buckets
"""
_SUM: Final = np.dtype(
    [
        *[("n", ">i4"), ("bucket", ">i4"), ("low", ">f8"), ("high", ">f8"), ("mean", ">f8")],
        *[("count", ">i8"), ("bad", ">i8"), ("flag", ">i4")],
    ]
)
_ROWS: Final = {
    Level.MINUTE: _FROM_ROLLUP.format(level="1m") + _READINGS_OF_PENDING_MINUTES,
    Level.HOUR: _FROM_ROLLUP.format(level="1h")
    + _MINUTES_OF_PENDING_HOURS
    + _READINGS_OF_PENDING_MINUTES,
}


def sums(
    points: Sequence[int], *, level: Level, origin: datetime, end: datetime, width_s: float
) -> Sums:
    """Sums over every ``width_s`` from ``origin``, a whole minute or hour, up to ``end``.

    Two queries, of one state of the database or, at worst, of a later second one: marks are read
    first, so a minute summed up in between counts as it was before.
    """
    parameters: dict[str, Any] = {
        "points": list(points),
        "start": origin,
        "origin": origin,
        "end": end,
        "width": width_s,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PENDING, parameters)
        parameters["pending_1m"], parameters["pending_1h"], minute, hour = cursor.fetchone()
        # As constants they tell the planner which partitions to leave alone.
        parameters["first_1m"] = max(minute or end, origin)
        parameters["first_1h"] = max(hour or end, origin)
        cursor.execute(_BUCKETS.format(rows=_ROWS[level]), parameters)
        rows = np.frombuffer(cursor.fetchone()[0] or b"", _SUM)
    return Sums(
        n=rows["n"].astype(np.int64),
        ts=origin.timestamp() + rows["bucket"] * width_s,
        low=rows["low"].astype(np.float64),
        high=rows["high"].astype(np.float64),
        mean=rows["mean"].astype(np.float64),
        count=rows["count"].astype(np.int64),
        bad=rows["bad"].astype(np.int64),
        flag=rows["flag"].astype(np.int64),
    )
