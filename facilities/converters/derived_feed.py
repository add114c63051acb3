"""Which committed readings feed a derived point: a mask over the data list, kept per process."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import DatabaseError

from facilities.ingest.points import PointColumns
from facilities.models import DerivedInput

REFRESH_S: Final = 10.0
"""How long a process may not know of a derived point that was made without a change of the data
list; the sweep computes it meanwhile."""

MOST: Final = 2_000
"""Readings of one commit that are handed on; more wait for the sweep (a storm of history)."""


class Feed:
    """Answers for every commit, so it costs one lookup a reading and no query."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._columns: PointColumns | None = None
        self._mask: npt.NDArray[np.bool_] | None = None
        self._read_at = 0.0

    def pick(
        self,
        columns: PointColumns,
        row: npt.NDArray[np.int32],
        ts_us: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        flag: npt.NDArray[np.uint8],
    ) -> list[list[Any]]:
        """Those of these readings that feed a derived point: [point id, ts_us, value, flag]."""
        mask = self._current(columns)
        if mask is None:
            return []
        at = np.flatnonzero(mask[row])[-MOST:]
        ids = columns.id[row[at]].tolist()
        return [
            list(reading)
            for reading in zip(
                ids, ts_us[at].tolist(), value[at].tolist(), flag[at].tolist(), strict=True
            )
        ]

    def _current(self, columns: PointColumns) -> npt.NDArray[np.bool_] | None:
        """None where nothing feeds anything."""
        now = time.monotonic()
        if columns is self._columns and now - self._read_at < REFRESH_S:
            return self._mask
        with self._lock:
            try:
                points = list(
                    DerivedInput.objects.filter(derived__enabled=True)
                    .values_list("point_id", flat=True)
                    .distinct()
                )
            except DatabaseError:
                return None  # the sweep computes them
            rows = columns.rows_of(np.array(sorted(points), dtype=np.int64)) if points else None
            self._mask = None
            if rows is not None and (rows >= 0).any():
                self._mask = np.zeros(len(columns), dtype=np.bool_)
                self._mask[rows[rows >= 0]] = True
            self._columns, self._read_at = columns, now
            return self._mask
