"""Readings of many points on one time grid, straight from PostgreSQL's arrays into numpy."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from facilities.columns import Column, columns

from .core import Floats, Ints

MINUTE_S: Final = 60.0
CACHE_S: Final = 15.0
"""How long a facility-wide matrix serves again: one alarm makes several people look. assumed"""
USABLE: Final = "quality IN (1, 2, 3)"
"""QARTOD good, unknown, suspect. An excursion is often flagged suspect; fail and missing are out."""

_MINUTES: Final = """
SELECT array_agg(point_id), array_agg(ts), array_agg(mean) FROM facilities_rollup_1m
WHERE ts >= %(start)s AND ts < %(end)s AND mean IS NOT NULL
"""
_READINGS: Final = f"""
SELECT array_agg(point_id), array_agg(bin), array_agg(mean) FROM (
    SELECT point_id, date_bin(%(step)s, ts, %(origin)s) AS bin, avg(value) AS mean
    FROM facilities_reading
    WHERE ts >= %(start)s AND ts < %(end)s AND {USABLE}
    GROUP BY 1, 2
) AS binned
"""  # noqa: S608 (only constants of this file)
# Point by point through the primary key: by time it would read everybody's hour.
_SOME_READINGS: Final = f"""
SELECT array_agg(id), array_agg(bin), array_agg(mean) FROM unnest(%(ids)s::bigint[]) AS id
CROSS JOIN LATERAL (
    SELECT date_bin(%(step)s, ts, %(origin)s) AS bin, avg(value) AS mean
    FROM facilities_reading
    WHERE point_id = id AND ts >= %(start)s AND ts < %(end)s AND {USABLE}
    GROUP BY 1
) AS binned
"""  # noqa: S608 (only constants of this file)


@dataclass(frozen=True, slots=True)
class Grid:
    """``steps`` intervals of ``step_s`` seconds from ``start`` (aware)."""

    start: datetime
    step_s: float
    steps: int

    @classmethod
    def over(cls, start: datetime, end: datetime, step_s: float) -> Grid:
        """Cover [start, end), aligned to whole steps since 1970."""
        first = start.timestamp() // step_s * step_s
        steps = max(1, int(-(-(end.timestamp() - first) // step_s)))
        return cls(datetime.fromtimestamp(first, tz=start.tzinfo), step_s, steps)

    @property
    def end(self) -> datetime:
        """End of the last interval."""
        return self.start + timedelta(seconds=self.step_s * self.steps)

    def times(self) -> list[float]:
        """Epoch seconds at the middle of each interval."""
        first = self.start.timestamp() + self.step_s / 2
        return [first + self.step_s * number for number in range(self.steps)]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Means [points, steps] of the points ``ids`` (ascending); NaN where there is no reading."""

    grid: Grid
    ids: Ints
    values: Floats

    def row(self, point_id: int) -> Floats | None:
        """Return one point's values, or None when it has none at all."""
        at = int(np.searchsorted(self.ids, point_id))
        known = at < len(self.ids) and self.ids[at] == point_id
        return self.values[at] if known else None


def facility(grid: Grid) -> Matrix:
    """Return every point on the grid. Two queries at most.

    Whole minutes come from the rollups, what these do not know yet from the readings; a grid finer
    than a minute from the readings alone. The last answer is kept for ``CACHE_S`` seconds.
    """
    with _cache_lock:
        if _cache and _cache[0] == grid and time.monotonic() - _cache[1] < CACHE_S:
            return _cache[2]
    parts = []
    tail = grid.start
    if grid.step_s % MINUTE_S == 0:
        parts.append(columns(_MINUTES, {"start": grid.start, "end": grid.end}, *_TYPES))
        if len(parts[0][1]):
            newest = datetime.fromtimestamp(int(parts[0][1].max()) / 1e6, tz=grid.start.tzinfo)
            tail = newest + timedelta(seconds=MINUTE_S)
    if tail < grid.end:
        step = min(grid.step_s, MINUTE_S)
        parts.append(_readings(grid, start=tail, step_s=step, ids=None))
    matrix = _matrix(grid, parts)
    with _cache_lock:
        _cache[:] = [grid, time.monotonic(), matrix]
    return matrix


def some(grid: Grid, ids: Sequence[int]) -> Matrix:
    """Return these points on the grid, from the readings. One query."""
    return _matrix(grid, [_readings(grid, start=grid.start, step_s=grid.step_s, ids=ids)])


def forget() -> None:
    """Empty the cache."""
    with _cache_lock:
        _cache.clear()


_cache: list[Any] = []
_cache_lock = threading.Lock()

_TYPES: Final = ("int8", "time", "float8")


def _readings(
    grid: Grid, *, start: datetime, step_s: float, ids: Sequence[int] | None
) -> list[Column]:
    query = _READINGS if ids is None else _SOME_READINGS
    parameters = {
        "start": start,
        "end": grid.end,
        "origin": grid.start,
        "step": timedelta(seconds=step_s),
        "ids": None if ids is None else list(ids),
    }
    return columns(query, parameters, *_TYPES)


def _matrix(grid: Grid, parts: Sequence[Sequence[Column]]) -> Matrix:
    """Put (id, time, value) into the grid; of several in one interval the mean."""
    ids, ts, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    known, row = np.unique(ids, return_inverse=True)
    step = ((ts - round(grid.start.timestamp() * 1e6)) / (grid.step_s * 1e6)).astype(np.int64)
    inside = (step >= 0) & (step < grid.steps)
    cell = row[inside] * grid.steps + step[inside]
    size = len(known) * grid.steps
    count = np.bincount(cell, minlength=size)
    total = np.bincount(cell, weights=values[inside], minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(count > 0, total / count, np.nan)
    return Matrix(grid, known, means.reshape(len(known), grid.steps))
