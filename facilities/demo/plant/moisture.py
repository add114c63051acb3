"""Moisture of the hall: fresh air, humidifier, and what cold coils condense."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.weather import Outside

Floats = NDArray[np.float64]

FRESH_AIR_S = 1500.0  # assumed: air change by the fresh-air unit
DRIEST_C, WETTEST_C = 7.0, 9.5  # assumed dew points that the unit holds; ASHRAE allows -9..15
FOLLOW_SHARE = 0.12  # assumed: how much of the outside's dew point gets through that control
STUCK_C = 20.0  # assumed: dew point that an unbroken humidifier works towards
COIL_DRIES_K = 3.5  # assumed: coils condense when the dew point is this far above the water


class Moisture:
    """Dew point of the hall's air, °C."""

    def __init__(self) -> None:
        self.dew_point_c = 8.5

    def step(
        self, dt_s: float, *, outside: Outside, stuck: bool, powered: bool, coldest_c: float
    ) -> None:
        """Advance by dt_s; ``coldest_c`` is the chilled water."""
        mean_c = 0.5 * (DRIEST_C + WETTEST_C)
        target_c = mean_c + FOLLOW_SHARE * (outside.dew_point_c - 6.0)
        target_c = min(max(target_c, DRIEST_C), WETTEST_C)
        if stuck and powered:
            target_c = STUCK_C
        self.dew_point_c += (target_c - self.dew_point_c) * (1.0 - math.exp(-dt_s / FRESH_AIR_S))
        over_k = self.dew_point_c - (coldest_c + COIL_DRIES_K)
        if over_k > 0:
            self.dew_point_c -= over_k * (1.0 - math.exp(-dt_s / (3 * FRESH_AIR_S)))


def relative_humidity_pct(air_c: Floats, *, dew_point_c: float) -> Floats:
    """Relative humidity of air with the given dew point (Magnus, Alduchov & Eskridge 1996)."""
    b, c = 17.625, 243.04
    exponent = b * dew_point_c / (c + dew_point_c) - b * air_c / (c + air_c)
    return np.minimum(100.0, 100.0 * np.exp(exponent))
