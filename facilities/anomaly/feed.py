"""Committed readings that the detector has not seen, in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from facilities.columns import columns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CATCH_UP: Final = timedelta(minutes=30)
"""How far back readings are read again after a pause. A longer one leaves a gap. assumed"""
SKIPPED: Final = 1.6
"""A latest reading so many intervals after the last one seen has others before it."""

_LATEST: Final = """
SELECT array_agg(point_id), array_agg(ts), array_agg(value), array_agg(quality),
       array_agg(received_at)
FROM facilities_latestreading
"""
_BETWEEN: Final = """
SELECT array_agg(point_id), array_agg(ts), array_agg(value), array_agg(quality)
FROM facilities_reading WHERE point_id = ANY(%(ids)s) AND ts > %(since)s AND ts <= %(until)s
"""


class Readings(NamedTuple):
    """Parallel columns: row of the detector, time (µs since 1970), value, QARTOD flag."""

    row: Ints
    ts_us: Ints
    value: Floats
    flag: npt.NDArray[np.int16]

    def pick(self, at: npt.NDArray[np.bool_] | Ints) -> Readings:
        """Return these readings."""
        return Readings(self.row[at], self.ts_us[at], self.value[at], self.flag[at])

    def join(self, other: Readings) -> Readings:
        """Return these readings and the others."""
        return Readings(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.ts_us, other.ts_us]),
            np.concatenate([self.value, other.value]),
            np.concatenate([self.flag, other.flag]),
        )


class News(NamedTuple):
    """Readings not seen yet, and when the newest of them was received (0: there are none)."""

    readings: Readings
    received_us: int


def unseen(
    row_of: dict[int, int], seen_us: Ints, interval_s: Floats, *, now: datetime | None = None
) -> News:
    """Return what was committed after ``seen_us`` (by row; 0: never). One query, rarely two.

    The latest reading of each point is enough while the detector keeps up; points with more than
    one new reading are read from the store, ``CATCH_UP`` back at most.
    """
    ids, ts, value, flag, received = columns(_LATEST, {}, "int8", "time", "float8", "int2", "time")
    row = np.fromiter((row_of.get(pk, -1) for pk in ids.tolist()), np.int64, len(ids))
    new = row >= 0
    new[new] = ts[new] > seen_us[row[new]]
    ids, row, ts, value, flag = ids[new], row[new], ts[new], value[new], flag[new]
    if not len(row):
        return News(Readings(row, ts, value, flag), 0)
    floor = int(((now or datetime.now(UTC)) - CATCH_UP).timestamp() * 1e6)
    since = np.maximum(seen_us[row], floor)
    behind = ts - since > SKIPPED * interval_s[row] * 1e6
    latest = Readings(row[~behind], ts[~behind], value[~behind], flag[~behind])
    newest = int(received[new].max())
    if not behind.any():
        return News(latest, newest)
    missed = _between(row_of, ids[behind], int(since[behind].min()), int(ts[behind].max()))
    fresh = missed.ts_us > np.maximum(seen_us[missed.row], floor)
    return News(latest.join(missed.pick(fresh)), newest)


def _between(row_of: dict[int, int], ids: Ints, since_us: int, until_us: int) -> Readings:
    parameters = {
        "ids": ids.tolist(),
        "since": datetime.fromtimestamp(since_us / 1e6, UTC) - timedelta(microseconds=1),
        "until": datetime.fromtimestamp(until_us / 1e6, UTC) + timedelta(microseconds=1),
    }
    found, ts, value, flag = columns(_BETWEEN, parameters, "int8", "time", "float8", "int2")
    row = np.fromiter((row_of[pk] for pk in found.tolist()), np.int64, len(found))
    return Readings(row, ts, value, flag)


def rounds(readings: Readings) -> Iterator[Readings]:
    """Cut into rounds that hold each row once, each row's readings ascending in time."""
    order = np.lexsort((readings.ts_us, readings.row))
    row = readings.row[order]
    if not len(row):
        return
    first = np.r_[True, row[1:] != row[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(row)), 0))
    turn = np.arange(len(row)) - start
    by_turn = order[np.argsort(turn, kind="stable")]
    edges = np.cumsum(np.bincount(turn))[:-1]
    for part in np.split(by_turn, edges):
        yield readings.pick(part)
