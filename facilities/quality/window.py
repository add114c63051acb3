"""The last minutes of readings as columns, for the slow tests. One query, no objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from facilities.columns import columns
from facilities.ingest.samples import Floats, Times

_QUERY: Final = """
SELECT array_agg(point_id), array_agg(ts), array_agg(value), array_agg(quality),
       array_agg(source), array_agg(received_at)
FROM (SELECT point_id, ts, value, quality, coalesce(source_id, 0) AS source, received_at
      FROM facilities_reading
      WHERE point_id = ANY(%(points)s) AND ts > %(begin)s AND ts <= %(end)s
      ORDER BY point_id, ts) AS window_readings
"""


@dataclass(slots=True, eq=False)
class Window:
    """Readings in the order of (point, time). ``start`` and ``stop`` delimit each point's own.

    ``points`` are the ids asked for, ascending; a point without readings has start == stop.
    Times are µs since 1970 UTC, delays (received − measured) seconds.
    """

    points: npt.NDArray[np.int64]
    begin_us: int
    end_us: int
    ts_us: Times
    value: Floats
    flag: npt.NDArray[np.int16]
    source: npt.NDArray[np.int64]
    delay_s: Floats
    start: npt.NDArray[np.intp]
    stop: npt.NDArray[np.intp]


def read_window(*, point_ids: Sequence[int], begin: datetime, end: datetime) -> Window:
    """Readings of these points with begin < ts <= end; about 1 µs a reading."""
    of, ts_us, value, flag, source, received_us = columns(
        _QUERY,
        {"points": list(point_ids), "begin": begin, "end": end},
        "int8",
        "time",
        "float8",
        "int2",
        "int8",
        "time",
    )
    points = np.sort(np.array(point_ids, np.int64))
    return Window(
        points,
        round(begin.timestamp() * 1e6),
        round(end.timestamp() * 1e6),
        ts_us,
        value,
        flag,
        source,
        (received_us - ts_us) * 1e-6,
        np.searchsorted(of, points, "left"),
        np.searchsorted(of, points, "right"),
    )
