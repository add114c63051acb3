"""A point's good readings around the writes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BIN_S: Final = 10.0
"""Readings are compared in means over this long (assumed: five pushes of the 2 s demo plant)."""
JUST_AFTER: Final = 1e-6
"""A reading at the very moment of the write is one from before it."""


@dataclass(frozen=True, slots=True)
class Course:
    """``t``: seconds after the first write, ascending (negative before it); ``values`` in the
    point's unit. ``bad``: readings in the same time that the quality tests had failed.
    """

    tag: str
    t: Floats
    values: Floats
    bad: int = 0

    @property
    def gap_s(self) -> float:
        """Usual time between two readings; ``BIN_S`` where fewer than two are there."""
        return float(np.median(np.diff(self.t))) if self.t.size > 1 else BIN_S

    def between(self, start: float, end: float) -> Floats:
        """Values with start <= t <= end."""
        low, high = np.searchsorted(self.t, [start, np.nextafter(end, np.inf)])
        return self.values[low:high]

    def mean(self, start: float, end: float) -> float | None:
        """Mean over that time; None without a reading in it."""
        found = self.between(start, end)
        return float(found.mean()) if found.size else None

    def bins(self, start: float, end: float, width: float = BIN_S) -> Floats:
        """Means over equal times from start to end; NaN where one has no reading."""
        count = int((end - start) // width)
        inside = (self.t >= start) & (self.t < start + count * width)
        place = ((self.t[inside] - start) // width).astype(int)
        sums = np.bincount(place, self.values[inside], minlength=count)
        counts = np.bincount(place, minlength=count)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, sums / counts, np.nan)

    def jitter(self) -> float:
        """Standard deviation of one reading about its neighbours: half the mean squared step
        (von Neumann et al. 1941), which a slow drift hardly moves.
        """
        if self.t.size < 3:
            return 0.0
        return float(np.sqrt(np.mean(np.diff(self.values) ** 2) / 2))


@dataclass(frozen=True, slots=True)
class Span:
    """The two times whose means are compared: right before the first write, and the latest."""

    anchor_s: float
    settle_s: float
    end_s: float

    @classmethod
    def of(cls, *, end_s: float, gap_s: float) -> Span:
        """Wide enough for two readings each; the late one is a quarter of the time since."""
        least = 2.5 * gap_s
        return cls(max(60.0, least), max(min(max(end_s / 4, 10.0), 60.0), least), end_s)

    def before(self, course: Course) -> float | None:
        return course.mean(-self.anchor_s, 0.0)

    def after(self, course: Course) -> float | None:
        return course.mean(max(self.end_s - self.settle_s, JUST_AFTER), self.end_s)

    def change(self, course: Course) -> float | None:
        """What the point did: late mean less the mean before; None where one has no reading."""
        before, after = self.before(course), self.after(course)
        return None if before is None or after is None else after - before

    def noise(self, course: Course) -> float:
        """Standard deviation of ``change`` from the jitter of single readings."""
        first = course.between(-self.anchor_s, 0.0).size
        last = course.between(max(self.end_s - self.settle_s, JUST_AFTER), self.end_s).size
        if not first or not last:
            return 0.0
        return course.jitter() * float(np.sqrt(1 / first + 1 / last))
