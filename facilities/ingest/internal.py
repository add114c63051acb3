"""Readings that the platform itself makes (derived points, heartbeats) or stores late (replays).

They pass no HTTP and no group commit, but end as any other: the reading, its rollup marks and the
latest value in one transaction, then the alarm rules.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection, transaction

from facilities import partitions, rollups

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEEP: Final = "DO NOTHING"
_REPLACE: Final = """
DO UPDATE SET value = EXCLUDED.value, quality = EXCLUDED.quality,
    received_at = EXCLUDED.received_at
WHERE (old.value, old.quality) IS DISTINCT FROM (EXCLUDED.value, EXCLUDED.quality)
"""
_READING: Final = """
INSERT INTO facilities_reading AS old (point_id, ts, value, quality, source_id, received_at)
SELECT new.point_id, new.ts, new.value, new.quality, %s, %s
FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::smallint[])
     AS new (point_id, ts, value, quality)
JOIN facilities_point p ON p.id = new.point_id
ORDER BY new.point_id, new.ts
ON CONFLICT (point_id, ts)
"""
_LATEST: Final = """
INSERT INTO facilities_latestreading AS latest (point_id, ts, value, quality, received_at)
SELECT DISTINCT ON (new.point_id) new.point_id, new.ts, new.value, new.quality, %s
FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::smallint[])
     AS new (point_id, ts, value, quality)
JOIN facilities_point p ON p.id = new.point_id
ORDER BY new.point_id, new.ts DESC
ON CONFLICT (point_id) DO UPDATE
SET ts = EXCLUDED.ts, value = EXCLUDED.value, quality = EXCLUDED.quality,
    received_at = EXCLUDED.received_at
WHERE latest.ts < EXCLUDED.ts OR (%s AND latest.ts = EXCLUDED.ts)
"""


class InternalReading(NamedTuple):
    """One value of a point, in its unit. ``ts_us``: microseconds since 1970 UTC."""

    point_id: int
    ts_us: int
    value: float
    quality: int


def moment(ts_us: int) -> datetime:
    """A time in microseconds since 1970 as a datetime, exactly."""
    return _EPOCH + timedelta(microseconds=ts_us)


def make_partitions(readings: Sequence[InternalReading]) -> None:
    """Make the day partitions these readings need; before the transaction that stores them."""
    partitions.ensure_partitions({moment(reading.ts_us).date() for reading in readings})


def store_internal(
    readings: Sequence[InternalReading], *, source_id: int | None = None, replace: bool = False
) -> int:
    """Store readings; return how many are new or, with ``replace``, changed.

    A (point, ts) that exists stays as it is, or takes the new value with ``replace``. Joins the
    caller's transaction. Partitions must exist (``make_partitions``).
    """
    if not readings:
        return 0
    unique = {(reading.point_id, reading.ts_us): reading for reading in reversed(readings)}
    kept = [unique[key] for key in sorted(unique)]
    now = datetime.now(UTC)
    columns: list[list[Any]] = [
        [reading.point_id for reading in kept],
        [moment(reading.ts_us) for reading in kept],
        [reading.value for reading in kept],
        [reading.quality for reading in kept],
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        conflict = _REPLACE if replace else _KEEP
        cursor.execute(_READING + conflict, [source_id, now, *columns])
        stored = cursor.rowcount
        if not stored:
            return 0
        rollups.mark_readings(
            cursor,
            np.array(columns[0], np.int64),
            np.array([reading.ts_us for reading in kept], np.int64),
            time.time_ns() // 1_000,
        )
        cursor.execute(_LATEST, [now, *columns, replace])
    return stored
