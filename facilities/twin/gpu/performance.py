"""What the limits cost: throughput lost, by the limit in charge, in GPU-seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..site import Floats, Ints
from .nvml import PRIORITY, Reason, in_charge

BUSY_UTIL: Final = 0.01
FELL_OFF: Final = -1
"""Cause of a GPU that is lost: all of its time counts."""

_CHARGE: Final = np.array([int(in_charge(bits)) for bits in range(0x200)])


def gate(bits: Floats) -> Ints:
    """``nvml.in_charge`` for arrays: the reason bit that sets the clock, 0 for none."""
    index = np.nan_to_num(bits, nan=0.0).astype(np.int64) & 0x1FF
    return _CHARGE[index]


def throughput(speed: Floats, *, memory_share: float = 0.0) -> Floats:
    """Throughput relative to the full clock.

    ``memory_share`` of the unthrottled time waits for memory and does not follow the SM clock: 0 is
    dense tensor work, which is linear in the clock (reference B3).
    """
    time = memory_share + (1.0 - memory_share) / np.maximum(speed, 1e-9)
    return np.where(speed > 0, 1.0 / time, 0.0)


@dataclass(frozen=True)
class Lost:
    """What one or several GPUs lost in a time."""

    busy_s: float
    """GPU-seconds in which work was there."""
    by_cause: dict[int, float]
    """GPU-seconds lost, by the reason bit in charge (``FELL_OFF`` for lost GPUs), largest first."""
    held_s: dict[int, float]
    """Seconds that each limit was in charge, whatever it cost."""

    @property
    def lost_s(self) -> float:
        """Equivalent GPU-seconds lost to all causes."""
        return sum(self.by_cause.values())

    @property
    def share(self) -> float:
        """Share of the throughput lost, 0..1."""
        return self.lost_s / self.busy_s if self.busy_s > 0 else 0.0


def lost(
    *,
    interval_s: Floats,
    clock_mhz: Floats,
    reasons: Floats,
    util: Floats,
    max_clock_mhz: float | Floats,
    gone: Floats | None = None,
    memory_share: float = 0.0,
) -> Lost:
    """Throughput lost over samples.

    ``interval_s`` (times,) is how long each sample stands; the others are (times, gpus), NaN where
    nothing is known (those intervals count neither as busy nor as lost). ``gone`` marks lost GPUs.
    """
    stands = interval_s[:, None] * np.ones_like(clock_mhz)
    known = ~np.isnan(clock_mhz) & ~np.isnan(util)
    away = np.zeros_like(known) if gone is None else np.nan_to_num(gone) > 0
    busy = known & (np.nan_to_num(util) >= BUSY_UTIL) & ~away
    speed = np.clip(np.nan_to_num(clock_mhz) / max_clock_mhz, 0.0, 1.0)
    missing = np.where(busy, 1.0 - throughput(speed, memory_share=memory_share), 0.0) * stands
    charge = gate(reasons)
    by_cause: dict[int, float] = {}
    held: dict[int, float] = {}
    for reason in PRIORITY:
        if reason is Reason.GPU_IDLE:
            continue
        rules = busy & (charge == int(reason))
        if rules.any():
            by_cause[int(reason)] = float(missing[rules].sum())
            held[int(reason)] = float(stands[rules].sum())
    if away.any():
        by_cause[FELL_OFF] = float(stands[away].sum())
        held[FELL_OFF] = by_cause[FELL_OFF]
    ordered = dict(sorted(by_cause.items(), key=lambda item: -item[1]))
    return Lost(float(stands[busy | away].sum()), ordered, held)
