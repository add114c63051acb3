"""What the limits of a GPU cost over a time, from its stored readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from facilities.models.reading import Quality
from facilities.series import Series, wall_series
from facilities.twin.gpu.nvml import REASONS, Reason
from facilities.twin.gpu.performance import FELL_OFF, Lost, lost
from facilities.twin.site import Floats

from .read import GpuRow

NEEDED: Final = ("sm_clock_mhz", "throttle_reasons", "util_pct", "xid")
MAX_SAMPLES: Final = 4_000
LONGEST_GAP_S: Final = 30.0
"""A reading stands for no longer than this; what follows is not known (assumed)."""

TOGETHER_S: Final = 1.0
"""Readings of one poll may lie this far apart (assumed)."""


@dataclass(frozen=True)
class Loss:
    """What was lost from ``start`` to ``end``; ``missing`` names quantities without readings."""

    start: datetime
    end: datetime
    lost: Lost
    known_s: float
    missing: tuple[str, ...]

    @property
    def coverage(self) -> float:
        """Share of the time for which the readings tell, 0..1."""
        span = (self.end - self.start).total_seconds()
        return min(self.known_s / span, 1.0) if span > 0 else 0.0

    @property
    def causes(self) -> list[tuple[str, float, float]]:
        """Cause in words, GPU-seconds lost, seconds in charge; largest first."""
        return [
            (cause_name(cause), seconds, self.lost.held_s[cause])
            for cause, seconds in self.lost.by_cause.items()
        ]


def cause_name(cause: int) -> str:
    """A cause of ``performance.Lost`` in words."""
    return "fell off the bus" if cause == FELL_OFF else REASONS[Reason(cause)].name


def gpu_loss(*, gpu: GpuRow, end: datetime, seconds: float = 3600.0) -> Loss:
    """Throughput that one GPU lost up to ``end``. Two queries.

    Where the clock reasons are not read (dcgm-exporter leaves field 112 out by default) the
    clock's loss counts, without a cause.
    """
    start = end - timedelta(seconds=seconds)
    found = wall_series(
        tags=[f"{gpu.tag}.{name}" for name in NEEDED], start=start, end=end, max_points=MAX_SAMPLES
    )
    series = {one.tag.rpartition(".")[2]: one for one in found}
    missing = tuple(name for name in NEEDED if name not in series or not series[name].ts)
    clock = series.get("sm_clock_mhz")
    if clock is None or not clock.ts:
        return Loss(start, end, Lost(0.0, {}, {}), 0.0, missing)
    at = np.array(clock.ts)
    stands = np.minimum(np.diff(at, append=min(at[-1] + LONGEST_GAP_S, end.timestamp())), 1e9)
    stands = np.clip(stands, 0.0, LONGEST_GAP_S)
    columns = {name: _held(series.get(name), at)[:, None] for name in NEEDED}
    if "util_pct" in missing:
        columns["util_pct"] = np.full_like(columns["sm_clock_mhz"], 100.0)
    known = ~np.isnan(columns["sm_clock_mhz"][:, 0]) & ~np.isnan(columns["util_pct"][:, 0])
    result = lost(
        interval_s=stands,
        clock_mhz=columns["sm_clock_mhz"],
        reasons=columns["throttle_reasons"],
        util=columns["util_pct"] / 100.0,
        max_clock_mhz=gpu.device.max_clock_mhz,
        gone=(columns["xid"] == 79).astype(np.float64),
    )
    return Loss(start, end, result, float(stands[known].sum()), missing)


def _held(series: Series | None, at: Floats) -> Floats:
    """The last usable value at each time; NaN before the first and after a gap."""
    held = np.full(len(at), np.nan)
    if series is None or not series.ts:
        return held
    usable = np.array(series.flags) < Quality.FAIL
    times = np.array(series.ts)[usable]
    values = np.array(
        [np.nan if value is None else value for value in series.values], dtype=np.float64
    )[usable]
    if not len(times):
        return held
    place = np.searchsorted(times, at + TOGETHER_S, side="right") - 1
    known = place >= 0
    known[known] &= at[known] - times[place[known]] <= LONGEST_GAP_S
    held[known] = values[place[known]]
    return held
