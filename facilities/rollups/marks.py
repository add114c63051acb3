"""Marks: which minutes have readings that their rollup does not know yet."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MINUTE_US: Final = 60_000_000
LATE_US: Final = 120_000_000
"""A reading this long after its minute began is marked with its point: the minute has probably
been summed up, and one late point must not cost a recount of all (assumed)."""

POINTS_PER_MARK: Final = 2_000
"""With more late points than this in one minute, the whole minute is recounted (assumed)."""

_WHOLE: Final = """
INSERT INTO facilities_rollupmark (level, start)
SELECT 1, to_timestamp(minute * 60) FROM unnest(%s::bigint[]) AS minute
"""
_LATE: Final = """
INSERT INTO facilities_rollupmark (level, start, point_ids)
VALUES (1, to_timestamp(%s::bigint * 60), %s::bigint[])
"""


def mark(cursor: Any, minutes: Collection[int]) -> None:
    """Mark whole minutes (minutes since 1970 UTC), in the transaction of their readings.

    One INSERT. ``cursor`` may be Django's or psycopg's.
    """
    if minutes:
        cursor.execute(_WHOLE, [[int(minute) for minute in minutes]])


def mark_readings(
    cursor: Any, point_ids: npt.NDArray[np.int64], ts_us: npt.NDArray[np.int64], now_us: int
) -> None:
    """Mark what these readings change, in the transaction that stores them.

    Takes parallel arrays of point ids and times (µs since 1970). Minutes of the last
    ``LATE_US`` are marked whole; an older minute with the points concerned only, so that a late
    reading costs a recount of its own point. One INSERT, and one more per older minute.
    """
    if not len(ts_us):
        return
    minutes = ts_us // MINUTE_US
    first, last = int(minutes.min()), int(minutes.max())
    fresh = (now_us - LATE_US) // MINUTE_US
    if first > fresh:
        mark(cursor, np.unique(minutes).tolist() if last > first else [first])
        return
    late = minutes <= fresh
    whole = set(np.unique(minutes[~late]).tolist())
    for minute in np.unique(minutes[late]).tolist():
        concerned = np.unique(point_ids[minutes == minute])
        if len(concerned) > POINTS_PER_MARK:
            whole.add(minute)
        else:
            cursor.execute(_LATE, [minute, concerned.tolist()])
    mark(cursor, whole)
