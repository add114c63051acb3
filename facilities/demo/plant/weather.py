"""Outside air: season, day and passing fronts from a seeded process; the same time, the same air."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

FRONT_S = 6 * 3600.0  # assumed spacing of the knots that fronts pass through


@dataclass(frozen=True)
class Climate:
    """A temperate site; means and amplitudes are those of a Berlin year, rounded."""

    mean_c: float = 10.0  # assumed, annual mean
    season_k: float = 9.5  # assumed amplitude, warmest day 20 July
    day_winter_k: float = 2.5  # assumed amplitude of a winter's day
    day_summer_k: float = 5.5  # assumed amplitude of a summer's day
    front_k: float = 3.2  # assumed standard deviation of what fronts bring
    dew_below_k: float = 4.5  # assumed mean depression of the dew point under the daily mean
    dew_front_k: float = 1.8  # assumed
    offset_k: float = 0.0  # a scenario's heat wave or cold spell
    fixed_dry_bulb_c: float | None = None  # a scenario's constant weather


@dataclass(frozen=True)
class Outside:
    """Outside air at one time, °C."""

    dry_bulb_c: float
    wet_bulb_c: float
    dew_point_c: float


class Weather:
    """Weather as a function of the time; it has no state, so a restart does not change it."""

    def __init__(self, *, seed: int, climate: Climate = Climate()) -> None:
        self.climate = climate
        self._seed = seed

    def at(self, moment: datetime) -> Outside:
        """The outside air at a UTC time."""
        c = self.climate
        seconds = moment.timestamp()
        day = moment.timetuple().tm_yday
        season = math.cos(2 * math.pi * (day - 201) / 365.25)
        hour = (seconds % 86_400) / 3600.0
        swing = c.day_winter_k + (c.day_summer_k - c.day_winter_k) * 0.5 * (1 + season)
        front = self._front(seconds, 0)
        mean = c.mean_c + c.season_k * season + c.front_k * front + c.offset_k
        dry = mean + swing * _day_shape(hour)
        if c.fixed_dry_bulb_c is not None:
            dry = mean = c.fixed_dry_bulb_c
        dew = min(dry, mean - c.dew_below_k + c.dew_front_k * self._front(seconds, 1))
        return Outside(dry, wet_bulb_c(dry, dew), dew)

    def _front(self, seconds: float, what: int) -> float:
        """Smooth noise of unit size: seeded knots, eased from one to the next."""
        place = seconds / FRONT_S
        knot = math.floor(place)
        ease = place - knot
        ease = ease * ease * (3.0 - 2.0 * ease)
        return (1 - ease) * _knot(self._seed, knot, what) + ease * _knot(self._seed, knot + 1, what)


@lru_cache(maxsize=4096)
def _knot(seed: int, knot: int, what: int) -> float:
    """Noise at a knot, remembering the three before it as weather does (weights assumed)."""
    own = [
        float(np.random.default_rng((seed, abs(k), what)).standard_normal())
        for k in range(knot - 3, knot + 1)
    ]
    return float(np.dot(own, (0.3, 0.45, 0.55, 0.63)))


def _day_shape(hour: float) -> float:
    """-1 before sunrise, 1 in mid-afternoon: quick up, slow down (hours UTC)."""
    if 4.5 <= hour < 14.0:
        return -math.cos(math.pi * (hour - 4.5) / 9.5)
    return math.cos(math.pi * ((hour - 14.0) % 24.0) / 14.5)


def wet_bulb_c(dry_bulb_c: float, dew_point_c: float) -> float:
    """Wet-bulb temperature after Stull (2011) from the relative humidity; within 0.3 K above 5 %."""
    b, c = 17.625, 243.04  # Magnus, Alduchov & Eskridge 1996
    rh = 100.0 * math.exp(b * dew_point_c / (c + dew_point_c) - b * dry_bulb_c / (c + dry_bulb_c))
    rh = min(max(rh, 5.0), 99.0)
    wet = (
        dry_bulb_c * math.atan(0.151977 * math.sqrt(rh + 8.313659))
        + math.atan(dry_bulb_c + rh)
        - math.atan(rh - 1.676331)
        + 0.00391838 * rh**1.5 * math.atan(0.023101 * rh)
        - 4.686035
    )
    return min(wet, dry_bulb_c)
