"""What wears out: trends of health parameters, and when each will reach its threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from facilities.twin.site import Floats

from .trend import Trend, fit_trend

What = Literal["filter", "fan", "coil", "sensor", "battery", "paste"]

FINE_S: Final = 300.0
COARSE_S: Final = 3600.0
FINE_KEPT: Final = 288
COARSE_KEPT: Final = 720
"""A day of five-minute means and thirty days of hourly means."""

WINDOWS: Final = ((3, FINE_S), (8, FINE_S), (24, FINE_S), (24 * 7, COARSE_S), (24 * 30, COARSE_S))
"""Hours looked back, and on which means: a slow trend needs the long ones."""

CERTAIN: Final = 6.0
"""Standard errors a slope must be from zero (assumed)."""

LARGE: Final = 2.0
LARGE_CERTAIN: Final = 2.5
"""A change of twice the floor is believed at fewer standard errors: the floors are more than what
healthy days show, and a trend that bends looks less certain than it is (assumed)."""

HORIZON_S: Final = 60 * 86400.0
"""Further ahead nothing is said (assumed)."""

HELD: Final = 6
"""A trend must be seen this many times in a row, five minutes apart (assumed)."""

FORGET_S: Final = 3 * 3600.0
"""A finding whose trend is not seen for this long is over (assumed)."""

Z95: Final = 1.645
"""Normal quantile of 5 and 95 %."""


@dataclass(frozen=True)
class Monitor:
    """One series per asset of a kind that must not trend.

    ``direction`` +1: rising is bad; -1: falling; 0: either. ``floor`` is the least change over the
    window that means anything, in the series' unit. ``level`` is where the alarm or the limit is,
    in the same unit (for direction 0 its distance from 0).
    """

    what: What
    assets: tuple[str, ...]
    parameter: str
    unit: str
    direction: int
    floor: float
    level: float
    says: str
    sway: float = np.inf
    """What load or weather may move the series by while nothing wears out, standard deviation."""
    points: tuple[str, ...] = ()
    """Tag of the point behind each asset's series, where there is one."""


class Finding(NamedTuple):
    """One asset that wears out. Times in seconds from now; None: not within the horizon."""

    what: What
    asset: str
    point: str
    parameter: str
    unit: str
    value: float
    sigma: float
    slope_per_h: float
    slope_sigma_per_h: float
    level: float
    lead_s: float | None
    lead_low_s: float | None
    lead_high_s: float | None
    confidence: float
    text: str


class Maintenance:
    """Collects the monitored series and tells what trends. Times are epoch seconds."""

    def __init__(self, monitors: Sequence[Monitor], covariates: int) -> None:
        self.monitors = tuple(monitors)
        self.width = sum(len(monitor.assets) for monitor in monitors)
        self._columns = self.width + covariates
        self.rings = {
            FINE_S: np.full((FINE_KEPT, self._columns + 1), np.nan),
            COARSE_S: np.full((COARSE_KEPT, self._columns + 1), np.nan),
        }
        #: Sum, count and the bucket that is being filled, by length of the bucket.
        self._sum = {step: np.zeros((2, self._columns)) for step in self.rings}
        self._bucket: dict[float, float] = dict.fromkeys(self.rings, math.nan)
        self.held = np.zeros(self.width)
        counts = [len(monitor.assets) for monitor in monitors]
        self.sway = np.repeat([monitor.sway for monitor in monitors], counts)
        self.levels = np.repeat([float(monitor.level) for monitor in monitors], counts)

    def collect(
        self,
        at_s: float,
        series: Sequence[Floats],
        covariates: Floats,
        levels: Mapping[int, Floats] | None = None,
    ) -> bool:
        """Take one moment: an array per monitor, NaN where nothing is known.

        ``levels`` replaces the level of some monitors (by place) with one per asset, as the load
        moves it. Returns whether a five-minute mean was completed: then ``findings`` is worth
        asking.
        """
        row = np.concatenate([*series, covariates])
        for place, level in (levels or {}).items():
            first = sum(len(m.assets) for m in self.monitors[:place])
            known = np.isfinite(level)
            self.levels[first : first + len(level)][known] = level[known]
        done = False
        for step in self.rings:
            bucket = math.floor(at_s / step)
            if bucket != self._bucket[step]:
                done |= self._close(step) and step == FINE_S
                self._bucket[step] = bucket
                self._sum[step][:] = 0.0
            known = np.isfinite(row)
            self._sum[step][0] += np.where(known, row, 0.0)
            self._sum[step][1] += known
        return done

    def findings(self) -> list[Finding]:
        """What trends by the newest complete means, soonest first."""
        best: list[tuple[float, float, Trend, int] | None] = [None] * self.width
        for hours, step in WINDOWS:
            self._window(hours * 3600.0, step, best)
        self.held = np.array(
            [n + 1.0 if b is not None else 0.0 for n, b in zip(self.held, best, strict=True)]
        )
        found = []
        column = 0
        for monitor in self.monitors:
            for place, asset in enumerate(monitor.assets):
                seen = best[column]
                if seen is not None and self.held[column] >= HELD:
                    found.append(self._finding(monitor, place, asset, column, seen[2]))
                column += 1
        return sorted(found, key=lambda f: math.inf if f.lead_s is None else f.lead_s)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that ``put`` takes back; float32 is enough for trends, times are not."""
        arrays: dict[str, np.ndarray] = {"held": self.held, "levels": self.levels}
        for step, ring in self.rings.items():
            arrays[f"times_{step:.0f}"] = ring[:, 0]
            arrays[f"ring_{step:.0f}"] = ring[:, 1:].astype(np.float32)
            arrays[f"sum_{step:.0f}"] = self._sum[step]
            arrays[f"bucket_{step:.0f}"] = np.array(self._bucket[step])
        return arrays

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what was stored. Raises ``ValueError`` where it is of other series, KeyError"""
        for name, own in self.to_arrays().items():
            if arrays[name].shape != own.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {own.shape}")
        self.held, self.levels = arrays["held"].copy(), arrays["levels"].copy()
        for step, ring in self.rings.items():
            ring[:, 0] = arrays[f"times_{step:.0f}"]
            ring[:, 1:] = arrays[f"ring_{step:.0f}"]
            self._sum[step] = arrays[f"sum_{step:.0f}"].copy()
            self._bucket[step] = float(arrays[f"bucket_{step:.0f}"])

    def _close(self, step: float) -> bool:
        if not math.isfinite(self._bucket[step]):
            return False
        total, count = self._sum[step]
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        ring = self.rings[step]
        ring[:-1] = ring[1:]
        ring[-1, 0] = (self._bucket[step] + 0.5) * step
        ring[-1, 1:] = mean
        return True

    def _window(
        self,
        length_s: float,
        step: float,
        best: list[tuple[float, float, Trend, int] | None],
    ) -> None:
        ring = self.rings[step]
        times = ring[:, 0]
        kept = np.isfinite(times) & (times > times[-1] - length_s)
        # A window that is less than half full is a shorter window, which is looked at anyway.
        if kept.sum() < 0.5 * length_s / step:
            return
        covariates = ring[kept, 1 + self.width :]
        usable = np.isfinite(covariates).all(axis=1)
        times, values = times[kept][usable], ring[kept, 1 : 1 + self.width][usable]
        if len(times) < 0.5 * length_s / step:
            return
        trend = fit_trend(times, values, covariates[usable], self.sway)
        span = float(times[-1] - times[0])
        change = trend.slope * span
        certain = np.abs(trend.slope) / np.maximum(trend.slope_sigma, 1e-300)
        column = 0
        for monitor in self.monitors:
            part = slice(column, column + len(monitor.assets))
            bad = np.abs(change[part]) >= monitor.floor
            if monitor.direction:
                bad &= change[part] * monitor.direction > 0
            else:  # away from zero, not back to it
                bad &= trend.value[part] * change[part] > 0
            large = np.abs(change[part]) >= LARGE * monitor.floor
            bad &= trend.steady[part] & (certain[part] >= np.where(large, LARGE_CERTAIN, CERTAIN))
            for place in np.nonzero(bad)[0]:
                at = column + int(place)
                score = float(certain[at])
                before = best[at]
                if before is None or score > before[0]:
                    best[at] = (score, span, _one(trend, at), at)
            column += len(monitor.assets)

    def _finding(
        self, monitor: Monitor, place: int, asset: str, column: int, trend: Trend
    ) -> Finding:
        value, sigma = float(trend.value[0]), float(trend.sigma[0])
        slope, slope_sigma = float(trend.slope[0]), float(trend.slope_sigma[0])
        level = float(self.levels[column])
        if not monitor.direction:
            level = math.copysign(abs(level), slope)
        lead, low, high = lead_times(value, sigma, slope, slope_sigma, level)
        confidence = 0.5 * (1.0 + math.erf(abs(slope) / max(slope_sigma, 1e-300) / math.sqrt(2.0)))
        text = (
            f"{asset}: {monitor.says}. {monitor.parameter} is {value:.3g} {monitor.unit} and moves "
            f"by {slope * 3600:+.2g} {monitor.unit} an hour; {_reach(level, monitor.unit, lead)}"
        )
        point = monitor.points[place] if monitor.points else ""
        return Finding(
            monitor.what, asset, point, monitor.parameter, monitor.unit, value, sigma,
            slope * 3600.0, slope_sigma * 3600.0, level, lead, low, high, confidence,
            text.replace("  ", " "),
        )  # fmt: skip


def lead_times(
    value: float, sigma: float, slope: float, slope_sigma: float, level: float
) -> tuple[float | None, float | None, float | None]:
    """Seconds until ``level`` is reached: expected, and from the 5 % to the 95 % forecast.

    None where a forecast does not reach it within the horizon; 0 where it is reached already.
    """
    sign = math.copysign(1.0, slope)

    def at(rate: float, start: float) -> float | None:
        left = (level - start) * sign
        if left <= 0:
            return 0.0
        if rate * sign <= 0:
            return None
        ahead = left / (rate * sign)
        return ahead if ahead <= HORIZON_S else None

    return (
        at(slope, value),
        at(slope + sign * Z95 * slope_sigma, value + sign * Z95 * sigma),
        at(slope - sign * Z95 * slope_sigma, value - sign * Z95 * sigma),
    )


def _one(trend: Trend, at: int) -> Trend:
    return Trend(*(field[at : at + 1] for field in trend))


def _reach(level: float, unit: str, lead_s: float | None) -> str:
    if lead_s is None:
        return f"its limit of {level:.3g} {unit} is not in sight."
    if lead_s <= 0:
        return f"its limit of {level:.3g} {unit} is reached."
    hours = lead_s / 3600.0
    when = f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
    return f"it reaches its limit of {level:.3g} {unit} in about {when}."
