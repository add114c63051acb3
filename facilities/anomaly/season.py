"""What a point usually is at this time of day, where that explains it at all."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLOTS: Final = 48
"""Half hours of a UTC day. assumed"""
SLOT_S: Final = 86_400.0 / SLOTS
DAY_WEIGHT: Final = 0.15
"""Weight of the newest day in a slot's mean. assumed"""
EXPLAINS: Final = 0.5
"""The time of day must explain half of the variance before it may judge. assumed"""
GATE_PER_SAMPLE: Final = 1.0 / 300
MAX_SQUARES: Final = 36.0
"""An error beyond six standard deviations counts as six when the gate is kept."""


class Seasonal(NamedTuple):
    """Signed distance outside the neighbouring slots' means (NaN: may not judge), and the mean."""

    outside: Floats
    expected: Floats


class Season:
    """Mean per half hour for each row. 400 bytes per row."""

    def __init__(self, rows: int) -> None:
        self.mean = np.full((rows, SLOTS), np.nan)
        self.count = np.zeros((rows, SLOTS), np.float32)
        self.error = np.zeros((rows, 2), np.float32)  # mean square about slot mean, about mean

    ARRAYS: Final = ("mean", "count", "error")

    def judge(
        self,
        rows: Ints,
        ts_us: Ints,
        value: Floats,
        mean: Floats,
        variance: Floats,
        every_s: Floats,
    ) -> Seasonal:
        """Compare with the slot and its two neighbours, then learn. ``every_s``: usual interval."""
        slot = ts_us // 1_000_000 % 86_400 * SLOTS // 86_400
        around = np.stack(
            [self.mean[rows, (slot - 1) % SLOTS], self.mean[rows, slot],
             self.mean[rows, (slot + 1) % SLOTS]]
        )  # fmt: skip
        known = ~np.isnan(around).any(axis=0)
        low, high = around.min(axis=0), around.max(axis=0)
        outside = np.maximum(0.0, value - high) - np.maximum(0.0, low - value)
        at = rows[known]
        if len(at):
            limit = MAX_SQUARES * variance[known]
            errors = np.stack([value[known] - around[1][known], value[known] - mean[known]], axis=1)
            squares = np.minimum(errors * errors, limit[:, None])
            self.error[at] += (squares - self.error[at]) * GATE_PER_SAMPLE
        trusted = known & (self.error[rows, 0] < EXPLAINS * self.error[rows, 1])
        self._learn(rows, slot, value, around[1], every_s)
        return Seasonal(np.where(trusted, outside, np.nan), np.where(trusted, around[1], mean))

    def _learn(self, rows: Ints, slot: Ints, value: Floats, old: Floats, every_s: Floats) -> None:
        count = self.count[rows, slot] + 1
        self.count[rows, slot] = count
        per_slot = np.maximum(SLOT_S / np.maximum(every_s, 1.0), 1.0)
        weight = np.maximum(DAY_WEIGHT / per_slot, 1.0 / count)
        self.mean[rows, slot] = np.where(np.isnan(old), value, old + (value - old) * weight)
