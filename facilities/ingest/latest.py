"""The newest reading of every point: written a moment after the commit, right after any crash.

``LatestReading`` is a copy for quick answers; the readings are the truth. A process keeps the
newest values of its own commits in columns and writes those that changed at most every
``FLUSH_S``, thousands of rows in one statement. What a killed process had not written yet is
found again in the readings when the next process starts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from facilities.ingest.pipeline import Group
from facilities.ingest.points import PointColumns, columns_of
from facilities.models.reading import Quality

LOOK_BACK: Final = timedelta(days=7)
"""How far ``recover`` looks for the first reading of a point that has no latest one yet."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER_US: Final = np.iinfo(np.int64).min

# Every process touches the rows in the order of point_id: two can wait for one another, but never
# in a circle. The join leaves out points that were deleted meanwhile.
_UPSERT: Final = """
INSERT INTO facilities_latestreading AS latest (point_id, ts, value, quality, received_at)
SELECT p.id, new.ts, new.value, new.quality, new.received_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::float8[], %s::smallint[], %s::timestamptz[])
     AS new (point_id, ts, value, quality, received_at)
JOIN facilities_point p ON p.id = new.point_id
ORDER BY p.id
ON CONFLICT (point_id) DO UPDATE
SET ts = EXCLUDED.ts, value = EXCLUDED.value, quality = EXCLUDED.quality,
    received_at = EXCLUDED.received_at
WHERE latest.ts < EXCLUDED.ts
RETURNING point_id
"""
_STALE: Final = """
UPDATE facilities_latestreading SET quality = %s
WHERE point_id = %s AND ts <= %s
"""
# Index scans from the newest reading backwards, only in partitions that may hold newer ones.
_RECOVER: Final = """
INSERT INTO facilities_latestreading AS latest (point_id, ts, value, quality, received_at)
SELECT p.id, r.ts, r.value, r.quality, r.received_at
FROM facilities_point p
LEFT JOIN facilities_latestreading l ON l.point_id = p.id
CROSS JOIN LATERAL (
    SELECT ts, value, quality, received_at FROM facilities_reading
    WHERE point_id = p.id AND ts > coalesce(l.ts, %s) ORDER BY ts DESC LIMIT 1
) AS r
ORDER BY p.id
ON CONFLICT (point_id) DO UPDATE
SET ts = EXCLUDED.ts, value = EXCLUDED.value, quality = EXCLUDED.quality,
    received_at = EXCLUDED.received_at
WHERE latest.ts < EXCLUDED.ts
"""


class Newest(NamedTuple):
    """New latest values, as columns of one length, ascending by point."""

    point_id: npt.NDArray[np.int64]
    ts_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    received_us: npt.NDArray[np.int64]

    def take(self, which: npt.NDArray[np.bool_]) -> Newest:
        """The rows of a mask."""
        return Newest(
            self.point_id[which],
            self.ts_us[which],
            self.value[which],
            self.flag[which],
            self.received_us[which],
        )


def newest_of(group: Group) -> Newest:
    """The newest reading of each point of a committed group."""
    last = group.last_of_each()
    return Newest(
        group.columns.id[group.row[last]],
        group.ts_us[last],
        group.value[last],
        group.flag[last],
        group.received_us()[last],
    )


def upsert(newest: Newest) -> npt.NDArray[np.bool_]:
    """Write latest readings where they are newer; which were. About 8 µs a row."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            [
                newest.point_id.tolist(),
                _texts(newest.ts_us),
                newest.value.tolist(),
                newest.flag.tolist(),
                _texts(newest.received_us),
            ],
        )
        changed = np.array([row[0] for row in cursor.fetchall()], np.int64)
    return np.isin(newest.point_id, changed)


def mark_ended(ended: Sequence[tuple[int, int]]) -> None:
    """Flag the latest values of (point id, time in µs) whose series has ended as MISSING."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            _STALE,
            [(Quality.MISSING, point, _EPOCH + timedelta(microseconds=ts)) for point, ts in ended],
        )


def recover(*, now: datetime | None = None) -> int:
    """Bring ``LatestReading`` up to the readings; return how many rows changed. Idempotent."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECOVER, [(now or datetime.now(UTC)) - LOOK_BACK])
        return cursor.rowcount


def _texts(times_us: npt.NDArray[np.int64]) -> list[str]:
    texts = np.datetime_as_string(times_us.astype("datetime64[us]"), timezone="UTC")
    return [str(text) for text in texts]


@dataclass(slots=True, eq=False)
class _Columns:
    points: PointColumns
    ts_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    received_us: npt.NDArray[np.int64]
    database: npt.NDArray[np.bool_]
    browsers: npt.NDArray[np.bool_]


def _blank(points: PointColumns) -> _Columns:
    size = len(points)
    return _Columns(
        points,
        np.full(size, NEVER_US, np.int64),
        np.full(size, np.nan),
        np.zeros(size, np.uint8),
        np.zeros(size, np.int64),
        np.zeros(size, np.bool_),
        np.zeros(size, np.bool_),
    )


class Keeper:
    """The newest reading of each point that this process committed, and who has yet to hear of it.

    Two readers take what changed since they last did: ``database`` and ``browsers``. Safe to use
    from several threads; memory is 35 bytes a point.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = _blank(columns_of(None, []))

    @property
    def points(self) -> PointColumns:
        """The data list of the newest group."""
        return self._kept.points

    def note(self, group: Group) -> npt.NDArray[np.bool_]:
        """Remember a committed group; return which of its readings are older than known ones."""
        last = group.last_of_each()
        received = group.received_us()
        with self._lock:
            if self._kept.points is not group.columns:
                self._kept = _moved(self._kept, group.columns)
            kept = self._kept
            late = group.ts_us < kept.ts_us[group.row]
            last = last[group.ts_us[last] > kept.ts_us[group.row[last]]]
            row = group.row[last]
            kept.ts_us[row] = group.ts_us[last]
            kept.value[row] = group.value[last]
            kept.flag[row] = group.flag[last]
            kept.received_us[row] = received[last]
            kept.database[row] = kept.browsers[row] = True
        return late

    def take(self, reader: str) -> Newest:
        """The newest readings of the points that changed since this reader's last call."""
        with self._lock:
            kept = self._kept
            dirty = getattr(kept, reader)
            row = np.flatnonzero(dirty)
            dirty[row] = False
            return Newest(
                kept.points.id[row],
                kept.ts_us[row],
                kept.value[row],
                kept.flag[row],
                kept.received_us[row],
            )

    def give_back(self, reader: str, newest: Newest) -> None:
        """Mark what a reader could not use as changed again."""
        with self._lock:
            row = self._kept.points.rows_of(newest.point_id)
            getattr(self._kept, reader)[row[row >= 0]] = True

    def forget(self) -> None:
        """Begin with no memory."""
        with self._lock:
            self._kept = _blank(columns_of(None, []))


def _moved(old: _Columns, points: PointColumns) -> _Columns:
    """The same memory under another version of the data list."""
    new = _blank(points)
    row = points.rows_of(old.points.id)
    known = row >= 0
    for name in ("ts_us", "value", "flag", "received_us", "database", "browsers"):
        getattr(new, name)[row[known]] = getattr(old, name)[known]
    return new
