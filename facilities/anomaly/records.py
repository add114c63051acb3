"""The largest deviations each test has seen, and how far a new one exceeds them.

A series that is often extreme (a disk that bursts) must not raise alarms for one more burst, and a
calm one must for its first. So a deviation is compared with the largest ones that this test has
seen on this point, on a logarithmic scale, divided by how far those lie apart (Hill's estimator of
the tail; B. M. Hill, Annals of Statistics 3, 1975). Neighbouring samples belong to one excursion and count
once (declustering, as in the peaks-over-threshold method).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KEPT: Final = 4
"""Largest excursions kept per test. assumed; 4 to 8 score within 4 points of one another on NAB."""
CLUSTER_SAMPLES: Final = 20
"""Samples of one excursion. assumed"""
FADE_PER_SAMPLE: Final = 1.0 / 20_000
"""A record loses this much of its logarithm per sample, so a changed plant is learned. assumed"""
PRIOR_SPREAD: Final = 0.25
PRIOR_WEIGHT: Final = 2.0
"""A tail of which little is known is taken to be as wide as a normal distribution's. assumed"""
SPREAD_FLOOR: Final = 0.25
"""Even a series that bursts to exactly the same height may go a quarter higher. assumed"""
NEEDED: Final = 3
"""Excursions a test must have seen before it may judge. assumed"""

_NEVER: Final = -np.inf


class Records:
    """State of ``tests`` record books for each row. 44 bytes per row and test."""

    def __init__(self, rows: int, tests: int) -> None:
        self.top = np.full((rows, tests, KEPT), _NEVER, np.float32)  # log deviation, descending
        self.current = np.full((rows, tests), _NEVER, np.float32)  # of the excursion under way
        self.since = np.full((rows, tests), 1e6, np.float32)  # samples since it began
        self.seen = np.zeros((rows, tests), np.float32)  # excursions, ever

    ARRAYS: Final = ("top", "current", "since", "seen")

    def surprise(
        self, rows: Ints, deviation: Floats, floor: Floats, margin: Floats | float = 0.0
    ) -> Floats:
        """Return how far each deviation exceeds the record, and remember it.

        ``deviation`` and ``floor`` are [n, tests] in the same unit; NaN means not judged. Below
        the floor a deviation is as good as none; ``margin`` is taken off before it is compared, for
        what the instrument cannot tell apart. 0 and less: within what was seen; 1: beyond the
        record by one spread of the tail.
        """
        floor_log = np.log(floor).astype(np.float32)
        log = np.log(np.fmax(deviation, floor)).astype(np.float32)
        sure = np.log(np.fmax(deviation - margin, floor)).astype(np.float32)
        judged = ~np.isnan(deviation)
        top = self.top[rows]
        known = top > _NEVER
        np.subtract(top, FADE_PER_SAMPLE, out=top, where=known)
        np.maximum(top, floor_log[:, :, None], out=top, where=known)
        lowest = np.where(known, top, np.inf).min(axis=2)
        spread = np.where(known, top - lowest[:, :, None], 0.0).sum(axis=2)
        count = np.minimum(self.seen[rows], KEPT)
        spread = (spread + PRIOR_SPREAD * PRIOR_WEIGHT) / (count + PRIOR_WEIGHT)
        enough = judged & (self.seen[rows] >= NEEDED)
        with np.errstate(invalid="ignore"):
            out = np.where(enough, (sure - top[:, :, 0]) / (spread + SPREAD_FLOOR), 0.0)
        self.top[rows] = top
        self._remember(rows, log, judged, floor_log)
        return out

    def _remember(
        self,
        rows: Ints,
        log: npt.NDArray[np.float32],
        judged: npt.NDArray[np.bool_],
        floor_log: npt.NDArray[np.float32],
    ) -> None:
        since = self.since[rows] + 1
        current = np.maximum(self.current[rows] - FADE_PER_SAMPLE, floor_log)
        current[self.current[rows] == _NEVER] = _NEVER
        same = since <= CLUSTER_SAMPLES
        higher = judged & np.where(same, log > current, log > self.top[rows][:, :, -1])
        at, test = np.nonzero(higher)
        if len(at):
            row, value, ongoing = rows[at], log[at, test], same[at, test]
            top = self.top[row, test]
            distance = np.abs(np.where(top > _NEVER, top, np.inf) - current[at, test][:, None])
            place = np.where(ongoing, distance.argmin(axis=1), KEPT - 1)
            top[np.arange(len(at)), place] = value
            top.sort(axis=1)
            self.top[row, test] = top[:, ::-1]
            current[at, test] = value
            since[at[~ongoing], test[~ongoing]] = 0
            self.seen[row, test] += ~ongoing
        self.current[rows] = current
        self.since[rows] = since
