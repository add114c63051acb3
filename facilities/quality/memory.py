"""What the streaming tests remember of every point: one row of arrays, restored after a restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connection

from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Flags, Floats, Times

NEVER: Final = -(2**62)
"""The time of a point that has shown nothing yet, in µs."""

HALF_LIFE_S: Final = 86_400.0
"""After a day the longest run counts half, so that a new habit is learned; assumed."""

_RECENT = """
SELECT l.point_id, l.ts, l.value, q.run_since, q.longest_run_s, q.changes
FROM facilities_latestreading l LEFT JOIN facilities_pointquality q ON q.point_id = l.point_id
"""
_STANDING = "SELECT point_id, standing FROM facilities_pointquality WHERE standing IN (3, 4)"


@dataclass(slots=True, eq=False)
class Memory:
    """State by row. Times are µs since 1970 UTC; ``run`` is the time without a change of value."""

    last_us: Times
    last: Floats
    before: Floats  # the value before the last; NaN when there is none
    run_us: Times  # when the present run began
    run_value: Floats  # its first value
    longest_s: Floats  # longest usual run
    changes: npt.NDArray[np.int32]
    standing: Flags

    @classmethod
    def empty(cls, count: int) -> Memory:
        """No point has shown anything."""
        return cls(
            last_us=np.full(count, NEVER, np.int64),
            last=np.full(count, np.nan),
            before=np.full(count, np.nan),
            run_us=np.full(count, NEVER, np.int64),
            run_value=np.full(count, np.nan),
            longest_s=np.zeros(count),
            changes=np.zeros(count, np.int32),
            standing=np.ones(count, np.uint8),
        )

    def moved(self, old: PointColumns, new: PointColumns) -> Memory:
        """The same points under another version of the data list; what is new starts empty."""
        made = Memory.empty(len(new))
        rows = old.rows_of(new.id)
        known = rows >= 0
        for name in self.__slots__:
            getattr(made, name)[known] = getattr(self, name)[rows[known]]
        return made

    def fade(self, elapsed_s: float) -> None:
        """Forget longest runs by half a day's half-life."""
        self.longest_s *= 0.5 ** (elapsed_s / HALF_LIFE_S)

    def restore(self, columns: PointColumns) -> None:
        """Take up where the database stands: latest readings, learned runs, standing verdicts."""
        with connection.cursor() as cursor:
            cursor.execute(_RECENT)
            found = cursor.fetchall()
        rows = columns.rows_of(np.array([row[0] for row in found], np.int64))
        for row, (_, ts, value, run_since, longest_s, changes) in zip(rows, found, strict=True):
            if row < 0 or self.last_us[row] != NEVER:
                continue
            self.last_us[row] = to_us(ts)
            self.last[row] = self.run_value[row] = value
            self.run_us[row] = min(to_us(run_since or ts), self.last_us[row])
            self.longest_s[row] = longest_s or 0.0
            self.changes[row] = changes or 0
        self.read_standing(columns)

    def read_standing(self, columns: PointColumns) -> None:
        """Read the slow tests' standing verdicts; one query over few rows."""
        with connection.cursor() as cursor:
            cursor.execute(_STANDING)
            found = np.array(cursor.fetchall(), np.int64).reshape(-1, 2)
        rows = columns.rows_of(found[:, 0])
        self.standing[:] = 1
        self.standing[rows[rows >= 0]] = found[rows >= 0, 1]


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return round(moment.timestamp() * 1e6)
