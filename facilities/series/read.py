"""Choosing the level, reading it, and the shape of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from facilities.models import Point
from facilities.models.reading import Quality
from facilities.models.rollup import Level
from facilities.partitions import READINGS, ROLLUPS_1M

from .fetch import Readings, Sums, readings, sums
from .thin import chosen, thinned

MAX_SERIES_POINTS: Final = 10_000
MAX_WALL_POINTS: Final = 500
MAX_WALL_SAMPLES: Final = 100_000
RAW_ROWS: Final = 200_000
"""More readings than this are not read for one answer: the rollup by minute stands in (assumed;
reading and thinning so many takes about 0.1 s)."""

METHODS: Final = ("minmax", "m4", "lttb", "band")
LEVELS: Final = {"raw": Level.RAW, "1m": Level.MINUTE, "1h": Level.HOUR}
LENGTH_S: Final = {Level.MINUTE: 60, Level.HOUR: 3600}
UNDECLARED_S: Final = 1.0
"""Interval assumed of a point that declares none."""


class TooMany(ValueError):
    """More was asked for than one answer may hold; the message says what to change."""


class Series(NamedTuple):
    """A point's values over time. ``ts`` holds epoch seconds, ascending; ``flags`` the QARTOD
    flag of each value, the worst of an interval where one value stands for many.

    ``level`` is where they come from: raw, 1m or 1h. ``step_s`` is the length of an interval, 0
    when every value is a reading. ``low``, ``high``, ``counts`` and ``bad`` (readings flagged fail
    or missing) are filled where each value is the mean of an interval (method ``band``); None
    stands where no reading was usable.
    """

    tag: str
    unit: str
    ts: list[float]
    values: list[float | None]
    level: str = "raw"
    step_s: float = 0.0
    flags: list[int] = []
    low: list[float | None] = []
    high: list[float | None] = []
    counts: list[int] = []
    bad: list[int] = []

    def usable(self) -> list[float]:
        """The values that are not flagged fail or missing."""
        return [
            value
            for value, flag in zip(self.values, self.flags, strict=True)
            if value is not None and flag < Quality.FAIL
        ]


def point_series(
    *,
    tag: str,
    start: datetime,
    end: datetime,
    max_points: int = 500,
    method: str = "minmax",
    level: str = "",
) -> Series:
    """Values of a point with start <= ts <= end, at most ``max_points`` of them.

    Readings when they fit; otherwise each interval gives its lowest and its highest value, of the
    readings or, over longer times, of their rollups, so that no excursion disappears. ``level``
    (raw, 1m, 1h) overrides the choice. Raises ``Point.DoesNotExist``, ``ValueError`` and
    ``TooMany``.
    """
    _check(start, end, max_points, method, level)
    point = Point.objects.only("pk", "tag", "unit", "sampling_interval_s").get(tag=tag)
    return _series([point], start, end, max_points, method, level)[0]


def wall_series(
    *,
    tags: Sequence[str],
    start: datetime,
    end: datetime,
    max_points: int = 200,
    method: str = "minmax",
    level: str = "",
) -> list[Series]:
    """The series of many points, in the order of ``tags``; unknown tags are left out.

    Raises ``ValueError``, and ``TooMany`` when the answer would be too large.
    """
    _check(start, end, max_points, method, level)
    wanted = list(dict.fromkeys(tags))
    if len(wanted) > MAX_WALL_POINTS:
        raise TooMany(f"{len(wanted)} points were asked for; one wall holds {MAX_WALL_POINTS}")
    if len(wanted) * max_points > MAX_WALL_SAMPLES:
        raise TooMany(
            f"{len(wanted)} points of {max_points} values each are more than {MAX_WALL_SAMPLES}; "
            f"lower max_points to {MAX_WALL_SAMPLES // len(wanted)}"
        )
    found = Point.objects.only("pk", "tag", "unit", "sampling_interval_s").in_bulk(
        wanted, field_name="tag"
    )
    points = [found[tag] for tag in wanted if tag in found]
    return _series(points, start, end, max_points, method, level) if points else []


def _check(start: datetime, end: datetime, max_points: int, method: str, level: str) -> None:
    if start >= end:
        raise ValueError(f"start {start.isoformat()} is not before end {end.isoformat()}")
    if not 2 <= max_points <= MAX_SERIES_POINTS:
        raise ValueError(f"max_points {max_points} is not from 2 to {MAX_SERIES_POINTS}")
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if level and level not in LEVELS:
        raise ValueError(f"level {level!r} is not one of {', '.join(LEVELS)}")


def _series(
    points: list[Point], start: datetime, end: datetime, max_points: int, method: str, level: str
) -> list[Series]:
    chosen_level = LEVELS[level] if level else choose_level(points, start, end, max_points)
    now = datetime.now(UTC)
    ids = [point.pk for point in points]
    if chosen_level == Level.RAW:
        rows = readings(ids, start=start, end=end, limit=RAW_ROWS)
        if rows is not None:
            return [
                _from_readings(point, rows.of(n), max_points, method)
                for n, point in enumerate(points)
            ]
        if level:
            raise TooMany(
                f"more than {RAW_ROWS} readings lie between {start.isoformat()} and "
                f"{end.isoformat()}; ask for a shorter time, or for level 1m"
            )
        chosen_level = Level.MINUTE
    intervals = max_points if method == "band" else max_points // 2
    width_s, origin = _intervals(start, end, intervals, LENGTH_S[chosen_level])
    found = sums(ids, level=chosen_level, origin=origin, end=end, width_s=width_s)
    is_kept = start.astimezone(UTC).date() >= READINGS.kept_from(now)
    fits = all(int(found.of(n).count.sum()) <= max_points for n in range(len(points)))
    if not level and method != "band" and is_kept and fits:
        # Points that say something seldom: their few readings are exact.
        rows = readings(ids, start=start, end=end, limit=RAW_ROWS)
        if rows is not None:
            return [
                _from_readings(point, rows.of(n), max_points, method)
                for n, point in enumerate(points)
            ]
    return [
        _from_sums(point, found.of(n), width_s, max_points, method, chosen_level)
        for n, point in enumerate(points)
    ]


def choose_level(points: Sequence[Point], start: datetime, end: datetime, max_points: int) -> Level:
    """The coarsest level that still has a lowest and highest value for every two samples.

    Coarser is faster, and nothing is lost: a rollup knows its extremes. Readings are left out
    when there would be too many, and every level where retention has already been.
    """
    seconds = (end - start).total_seconds()
    now = datetime.now(UTC)
    if seconds / LENGTH_S[Level.HOUR] >= max_points / 2:
        return Level.HOUR
    if start.astimezone(UTC).date() < ROLLUPS_1M.kept_from(now):
        return Level.HOUR
    expected = sum(seconds / (point.sampling_interval_s or UNDECLARED_S) for point in points)
    if (
        seconds / LENGTH_S[Level.MINUTE] >= max_points / 2
        or start.astimezone(UTC).date() < READINGS.kept_from(now)
        or expected > RAW_ROWS
    ):
        return Level.MINUTE
    return Level.RAW


def _intervals(start: datetime, end: datetime, most: int, length_s: int) -> tuple[float, datetime]:
    """Width and first begin of at most ``most`` intervals, each of whole minutes or hours."""
    first = start.timestamp() // length_s * length_s
    pieces = math.floor((end.timestamp() - first) / length_s) + 1
    width_s = float(math.ceil(pieces / most) * length_s)
    return width_s, datetime.fromtimestamp(first, UTC)


def _from_readings(point: Point, rows: Readings, max_points: int, method: str) -> Series:
    kept = thinned(rows, max_points, "minmax" if method == "band" else method)
    return Series(
        point.tag,
        point.unit,
        kept.ts.tolist(),
        kept.value.tolist(),
        flags=kept.flag.tolist(),
    )


def _from_sums(
    point: Point, rows: Sums, width_s: float, max_points: int, method: str, level: Level
) -> Series:
    label, middle = level.label, rows.ts + width_s / 2
    if method == "band":
        return Series(
            point.tag,
            point.unit,
            middle.tolist(),
            _listed(rows.mean),
            label,
            width_s,
            rows.flag.tolist(),
            _listed(rows.low),
            _listed(rows.high),
            rows.count.tolist(),
            rows.bad.tolist(),
        )
    measured = np.isfinite(rows.low)
    low, high, flag = rows.low[measured], rows.high[measured], rows.flag[measured]
    if method == "lttb":
        mean, at = rows.mean[measured], middle[measured]
        keep = chosen(at, mean, max_points, method)
        return Series(
            point.tag, point.unit, at[keep].tolist(), mean[keep].tolist(), label, width_s,
            flag[keep].tolist(),
        )  # fmt: skip
    # Two values per interval, a quarter from its ends, the one nearer to the interval before
    # first: when exactly they were is not known at this level.
    rising = np.diff(rows.mean[measured], prepend=rows.mean[measured][:1]) >= 0
    values = np.column_stack([np.where(rising, low, high), np.where(rising, high, low)]).ravel()
    begins = rows.ts[measured]
    at = np.column_stack([begins + width_s / 4, begins + 3 * width_s / 4]).ravel()
    # A usable value is not bad because another one of its interval was.
    shown = np.where(flag >= Quality.FAIL, int(Quality.SUSPECT), flag)
    return Series(
        point.tag,
        point.unit,
        at.tolist(),
        values.tolist(),
        label,
        width_s,
        np.repeat(shown, 2).tolist(),
    )


def _listed(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
