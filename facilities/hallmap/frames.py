"""Frames: the values of a hall at equal steps of a period, from the store. No query per frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple

import numpy as np
from django.db.models import Q

from facilities.models import Point, Quality
from facilities.models.rollup import Level
from facilities.series.fetch import Floats, Ints, Readings, readings, sums

from .layers import WORST_HIGH, WORST_LOW, Key

MAX_FRAMES: Final = 400
MAX_SAMPLES: Final = 120_000
"""Values of one answer, frames times points; about 700 kB of JSON."""

RAW_READINGS: Final = 400_000
"""Readings that one answer may be made of; reading and sampling so many takes 0.3 s."""

SUMMED_FROM_S: Final = 60
"""Steps of this length or more are means of the rollup by minute; shorter ones are readings."""

HOLD_INTERVALS: Final = 5
HOLD_LEAST_S: Final = 10.0
"""A reading stands for this long: five of its intervals, at least ten seconds (assumed)."""


class Wanted(NamedTuple):
    """A point of the map: a line of the data list, as far as frames need it."""

    id: int
    tag: str
    quantity: str
    interval_s: float
    precision: float | None


@dataclass(frozen=True, slots=True)
class Frames:
    """Values by tag at ``start + n * step_s``; None where no reading stood for that moment.

    ``flags`` holds by tag runs ``[first frame, frames, flag]`` of values that are not good.
    ``source`` is ``readings``, ``minutes`` (each value the mean of its step, of a state the worst)
    or ``twin``.
    """

    start: datetime
    step_s: float
    count: int
    values: Mapping[str, list[float | None]]
    flags: Mapping[str, list[list[int]]] = field(default_factory=dict)
    source: str = "readings"

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it; times in epoch seconds."""
        return {
            "start": self.start.timestamp(),
            "step_s": self.step_s,
            "count": self.count,
            "source": self.source,
            "values": dict(self.values),
            "flags": dict(self.flags),
        }


def wanted_points(hall_id: int, keys: Iterable[Key]) -> list[Wanted]:
    """The points of a hall, and of the plant outside any hall, with these keys. One query."""
    keys = list(keys)
    if not keys:
        return []
    either = reduce(or_, (Q(asset__kind=kind, quantity=quantity) for kind, quantity in keys))
    rows = (
        Point.objects.filter(Q(asset__hall=hall_id) | Q(asset__hall=None))
        .filter(either)
        .order_by("tag")
        .values_list("pk", "tag", "quantity", "sampling_interval_s", "precision")
    )
    return [Wanted(pk, tag, name, every or 1.0, step) for pk, tag, name, every, step in rows]


def frames(points: Sequence[Wanted], *, start: datetime, end: datetime, step_s: float) -> Frames:
    """Frames from ``start`` to ``end``, both included. One query of readings, two of minutes.

    Raises ``ValueError`` where the answer would be too large; the message says what to change.
    """
    count = frame_count(start=start, end=end, step_s=step_s, points=len(points))
    if not points:
        return Frames(start, step_s, count, {})
    if step_s >= SUMMED_FROM_S:
        return _summed(points, start, end, step_s, count)
    longest = max(_hold_s(point) for point in points)
    rows = readings(
        [point.id for point in points],
        start=start - timedelta(seconds=longest),
        end=end,
        limit=RAW_READINGS,
    )
    if rows is None:
        raise ValueError(
            f"{len(points)} points have more than {RAW_READINGS} readings between "
            f"{start.isoformat()} and {end.isoformat()}; ask for a shorter time, or for step_s "
            f"{SUMMED_FROM_S} or more"
        )
    at = start.timestamp() + step_s * np.arange(count, dtype=np.float64)
    values: dict[str, list[float | None]] = {}
    flags: dict[str, list[list[int]]] = {}
    for n, point in enumerate(points):
        value, flag = sampled(rows.of(n), at, hold_s=_hold_s(point))
        _take(point, value, flag, values, flags)
    return Frames(start, step_s, count, values, flags)


def frame_count(*, start: datetime, end: datetime, step_s: float, points: int) -> int:
    """How many frames lie in a period. Raises ``ValueError`` where they are too many."""
    if start >= end:
        raise ValueError(f"start {start.isoformat()} is not before end {end.isoformat()}")
    if step_s <= 0:
        raise ValueError(f"step_s {step_s:g} is not above 0")
    length_s = (end - start).total_seconds()
    count = int(length_s // step_s) + 1
    most = min(MAX_FRAMES, MAX_SAMPLES // max(points, 1))
    if count > most:
        needed = math.ceil(length_s / max(most - 1, 1))
        raise ValueError(
            f"{count} frames of {points} points are more than one answer holds ({most}); ask for "
            f"step_s {needed} or more, or for a shorter time"
        )
    return count


def _hold_s(point: Wanted) -> float:
    return max(HOLD_INTERVALS * point.interval_s, HOLD_LEAST_S)


def sampled(rows: Readings, at: Floats, *, hold_s: float) -> tuple[Floats, Ints]:
    """Value and flag of the newest reading at or before each time; NaN and 9 where none is
    younger than ``hold_s``.
    """
    if not len(rows.ts):
        return np.full(len(at), np.nan), np.full(len(at), int(Quality.MISSING), dtype=np.int64)
    place = np.searchsorted(rows.ts, at, side="right") - 1
    known = place >= 0
    place = np.maximum(place, 0)
    known &= at - rows.ts[place] <= hold_s
    return (
        np.where(known, rows.value[place], np.nan),
        np.where(known, rows.flag[place], int(Quality.MISSING)),
    )


def _summed(
    points: Sequence[Wanted], start: datetime, end: datetime, step_s: float, count: int
) -> Frames:
    """Frames of means. They begin at a whole minute, so that no minute counts in two of them."""
    start = start.replace(second=0, microsecond=0)
    rows = sums(
        [point.id for point in points],
        level=Level.MINUTE,
        origin=start,
        end=end,
        width_s=step_s,
    )
    values: dict[str, list[float | None]] = {}
    flags: dict[str, list[list[int]]] = {}
    for n, point in enumerate(points):
        of = rows.of(n)
        place = np.rint((of.ts - start.timestamp()) / step_s).astype(np.int64)
        inside = (place >= 0) & (place < count)
        chosen = (
            of.high
            if point.quantity in WORST_HIGH
            else of.low
            if point.quantity in WORST_LOW
            else of.mean
        )
        value = np.full(count, np.nan)
        flag = np.full(count, int(Quality.MISSING), dtype=np.int64)
        value[place[inside]] = chosen[inside]
        flag[place[inside]] = of.flag[inside]
        _take(point, value, flag, values, flags)
    return Frames(start, step_s, count, values, flags, "minutes")


def _take(
    point: Wanted,
    value: Floats,
    flag: Ints,
    values: dict[str, list[float | None]],
    flags: dict[str, list[list[int]]],
) -> None:
    values[point.tag] = compact(value, point.precision)
    known = np.isfinite(value)
    doubtful = runs(np.where(known, flag, int(Quality.GOOD)))
    if doubtful:
        flags[point.tag] = doubtful


def compact(value: Floats, precision: float | None) -> list[float | None]:
    """Numbers with no more digits than the instrument has; None for NaN."""
    digits = 3 if not precision else min(max(math.ceil(-math.log10(precision)), 0), 6)
    rounded = np.round(value, digits)
    return [None if number != number else number for number in rounded.tolist()]


def runs(flag: Ints) -> list[list[int]]:
    """Runs ``[first, length, flag]`` of the flags that are not good."""
    edges = np.flatnonzero(np.diff(flag)) + 1
    firsts = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((firsts, [len(flag)])))
    return [
        [int(first), int(length), int(flag[first])]
        for first, length in zip(firsts, lengths, strict=True)
        if flag[first] != Quality.GOOD
    ]
