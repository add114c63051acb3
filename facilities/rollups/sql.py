"""The sums themselves: one statement per level, the same for the job and for unsummed minutes."""

from __future__ import annotations

from typing import Final

_WORST: Final = """
    CASE WHEN bool_or({flag} = 4) THEN 4 WHEN bool_or({flag} = 3) THEN 3
         WHEN bool_or({flag} = 1) THEN 1 WHEN bool_or({flag} = 2) THEN 2 ELSE 9 END
"""
"""Worst flag in QARTOD's order: missing < unknown < good < suspect < fail (ioos_qc)."""

USABLE: Final = "quality < 4"
"""Readings that count as measured: good, unknown, suspect."""

MINUTES: Final = f"""
WITH sums AS (
    SELECT point_id, date_trunc('minute', ts) AS start,
           min(value) FILTER (WHERE {USABLE}) AS low, max(value) FILTER (WHERE {USABLE}) AS high,
           avg(value) FILTER (WHERE {USABLE}) AS mean,
           max(ts) FILTER (WHERE {USABLE}) AS last_ts,
           count(*)::integer AS count, (count(*) FILTER (WHERE NOT {USABLE}))::integer AS bad,
           {_WORST.format(flag="quality")} AS flag
    FROM facilities_reading
    WHERE ts >= %(start)s AND ts < %(end)s {{points}}
    GROUP BY point_id, date_trunc('minute', ts)
)
SELECT sums.point_id, sums.start AS ts, low, high, mean, r.value AS last, count, bad, flag
FROM sums LEFT JOIN facilities_reading r
    ON r.point_id = sums.point_id AND r.ts = sums.last_ts
    AND r.ts >= %(start)s AND r.ts < %(end)s
"""  # noqa: S608 (only constants of this file)
"""Minutes of [start, end), from readings. ``points`` is empty or ``SOME_POINTS``."""

HOURS: Final = f"""
WITH sums AS (
    SELECT point_id, date_trunc('hour', ts, 'UTC') AS start, min(low) AS low, max(high) AS high,
           sum(mean * (count - bad)) / nullif(sum(count - bad), 0) AS mean,
           max(ts) FILTER (WHERE last IS NOT NULL) AS last_ts,
           sum(count)::integer AS count, sum(bad)::integer AS bad,
           {_WORST.format(flag="flag")} AS flag
    FROM facilities_rollup_1m
    WHERE ts >= %(start)s AND ts < %(end)s {{points}}
    GROUP BY point_id, date_trunc('hour', ts, 'UTC')
)
SELECT sums.point_id, sums.start AS ts, sums.low, sums.high, sums.mean, r.last AS last,
       sums.count, sums.bad, sums.flag
FROM sums LEFT JOIN facilities_rollup_1m r
    ON r.point_id = sums.point_id AND r.ts = sums.last_ts
    AND r.ts >= %(start)s AND r.ts < %(end)s
"""  # noqa: S608 (only constants of this file)
"""Hours of [start, end), from minutes."""

SOME_POINTS: Final = "AND point_id = ANY(%(points)s)"

UPSERT: Final = """
INSERT INTO {table} AS old (point_id, ts, low, high, mean, last, count, bad, flag)
{sums}
ON CONFLICT (point_id, ts) DO UPDATE
SET low = EXCLUDED.low, high = EXCLUDED.high, mean = EXCLUDED.mean, last = EXCLUDED.last,
    count = EXCLUDED.count, bad = EXCLUDED.bad, flag = EXCLUDED.flag
"""
