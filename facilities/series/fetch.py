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
_HEADER: Final = 19
"""Bytes of COPY BINARY before the first row (PostgreSQL manual, COPY, "Binary Format")."""

_READING: Final = np.dtype(
    [
        ("fields", ">i2"),
        *[("n_len", ">i4"), ("n", ">i4")],
        *[("ts_len", ">i4"), ("ts", ">i8")],
        *[("value_len", ">i4"), ("value", ">f8")],
        *[("flag_len", ">i4"), ("flag", ">i2")],
    ]
)
# OFFSET 0 keeps each LATERAL a subquery of its own: the planner then looks every point up in the
# index instead of reading whole partitions to join them.
_READINGS: Final = """
COPY (
    SELECT wanted.n::integer, r.ts, r.value, r.quality
    FROM unnest(%(points)s::bigint[]) WITH ORDINALITY AS wanted(id, n)
    CROSS JOIN LATERAL (
        SELECT ts, value, quality FROM facilities_reading
        WHERE point_id = wanted.id AND ts >= %(start)s AND ts <= %(end)s
        ORDER BY ts OFFSET 0
    ) r
    LIMIT %(limit)s
) TO STDOUT (FORMAT BINARY)
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
    parameters = {"points": list(points), "start": start, "end": end, "limit": limit + 1}
    with connection.cursor() as cursor:
        statement = cursor.mogrify(_READINGS, parameters)
        with connection.wrap_database_errors, cursor.copy(statement) as copy:
            body = b"".join(copy)
    count = (len(body) - _HEADER - 2) // _READING.itemsize
    if count > limit:
        return None
    rows = np.frombuffer(body, _READING, count, offset=_HEADER)
    if (np.diff(rows["n"]) < 0).any():  # a parallel plan need not keep the points together
        rows = rows[np.lexsort((rows["ts"], rows["n"]))]
    n, ts = rows["n"].astype(np.int64) - 1, rows["ts"].astype(np.int64)
    return Readings(
        n,
        (ts + _PG_EPOCH_US) / 1e6,
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
SELECT n, floor(extract(epoch FROM ts - %(origin)s)::float8 / %(width)s)::integer AS bucket,
       coalesce(min(low), 'NaN'), coalesce(max(high), 'NaN'),
       coalesce(sum(mean * (count - bad)) / nullif(sum(count - bad), 0), 'NaN'),
       sum(count)::bigint, sum(bad)::bigint,
       CASE WHEN bool_or(flag = 4) THEN 4 WHEN bool_or(flag = 3) THEN 3
            WHEN bool_or(flag = 1) THEN 1 WHEN bool_or(flag = 2) THEN 2 ELSE 9 END
FROM rows GROUP BY 1, 2 ORDER BY 1, 2
"""
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
        rows = cursor.fetchall()
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 8)
    return Sums(
        n=table[:, 0].astype(np.int64),
        ts=origin.timestamp() + table[:, 1] * width_s,
        low=table[:, 2],
        high=table[:, 3],
        mean=table[:, 4],
        count=table[:, 5].astype(np.int64),
        bad=table[:, 6].astype(np.int64),
        flag=table[:, 7].astype(np.int64),
    )
