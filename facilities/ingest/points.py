"""The data list as ingestion needs it: columns in the process, never stale.

Every request knows the data list's version (from its token's look-up, at most a second old);
triggers in the database change the version with every change to points, assets or alarm rules, in
the same transaction.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

from facilities.ingest.samples import Floats


@dataclass(slots=True, eq=False)
class PointColumns:
    """The data list at one version. A point's *row* is its place in these columns.

    Rows ascend with the point's id; a row means a point only together with ``version``. Numbers
    that a point does not declare are NaN, except the limits of its range, which are infinite.
    """

    version: int | None
    id: npt.NDArray[np.int64]
    tags: list[str]
    units: list[str]
    quantities: list[str]
    asset_id: npt.NDArray[np.int64]
    low: Floats
    high: Floats
    precision: Floats
    interval_s: Floats
    response_s: Floats
    ruled: npt.NDArray[np.bool_]
    by_tag: dict[str, int] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)
    """What others derive from this version (resolved series, thresholds); dies with it."""

    def __len__(self) -> int:
        return len(self.tags)

    def rows_of(self, point_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The rows of these points; -1 for a point that this version does not know."""
        if not len(self.id):
            return np.full(len(point_ids), -1, np.int32)
        at = np.minimum(np.searchsorted(self.id, point_ids), len(self.id) - 1)
        return np.where(self.id[at] == point_ids, at, -1).astype(np.int32)


_SQL = """
SELECT p.id, p.tag, p.unit, p.quantity, p.asset_id,
       coalesce(p.min_value, '-infinity'), coalesce(p.max_value, 'infinity'),
       coalesce(p.precision, 'NaN'), coalesce(p.sampling_interval_s, 'NaN'),
       coalesce(p.response_time_s, 'NaN'),
       EXISTS (SELECT 1 FROM facilities_alarmrule r WHERE r.enabled AND (
           r.point_id = p.id OR (r.asset_kind = a.kind AND r.quantity = p.quantity)))
FROM facilities_point p JOIN facilities_asset a ON a.id = p.asset_id
ORDER BY p.id
"""


def columns_of(version: int | None, rows: list[tuple[Any, ...]]) -> PointColumns:
    """Build the columns from rows in the order of ``_SQL``; for tests and tools too."""
    rows = sorted(rows)
    made = [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 11
    tags: list[str] = made[1]
    return PointColumns(
        version,
        np.array(made[0], np.int64),
        tags,
        made[2],
        made[3],
        np.array(made[4], np.int64),
        np.array(made[5], np.float64),
        np.array(made[6], np.float64),
        np.array(made[7], np.float64),
        np.array(made[8], np.float64),
        np.array(made[9], np.float64),
        np.array(made[10], np.bool_),
        {tag: row for row, tag in enumerate(tags)},
    )


_table = columns_of(None, [])
_lock = threading.Lock()


def point_table(version: int | None) -> PointColumns:
    """Return the data list of this version or a newer one; None always reads.

    Costs nothing while the version stands; otherwise one query over all points (600 points:
    about 3 ms).
    """
    if version is not None and _table.version == version:
        return _table
    with _lock:
        if version is not None and _table.version == version:
            return _table
        return _read()


def _read() -> PointColumns:
    global _table
    with connection.cursor() as cursor:
        # The version is read before the rows: at worst they are newer than it says, and the
        # next request reads them once more.
        cursor.execute("SELECT version FROM facilities_datalistversion WHERE id = 1")
        row = cursor.fetchone()
        cursor.execute(_SQL)
        _table = columns_of(row[0] if row else None, cursor.fetchall())
    return _table


def forget() -> None:
    """Read the data list again at the next use."""
    global _table
    with _lock:
        _table = columns_of(None, [])
