"""Moist air: relative humidity from dew point."""

from __future__ import annotations

import numpy as np

from facilities.twin.site import Floats

_WATER = (-5.8002206e3, 1.3914993, -4.8640239e-2, 4.1764768e-5, -1.4452093e-8, 6.5459673)


def saturation_pa(air_c: Floats) -> Floats:
    """Saturation pressure over liquid water, Pa, 0…200 °C (ASHRAE Fundamentals 2017, ch. 1 eq. 6,
    as psychrolib has it).
    """
    kelvin = np.asarray(air_c) + 273.15
    a, b, c, d, e, f = _WATER
    polynomial = b + kelvin * (c + kelvin * (d + kelvin * e))
    return np.asarray(np.exp(a / kelvin + polynomial + f * np.log(kelvin)))


def relative_humidity_pct(air_c: Floats, dew_point_c: Floats) -> Floats:
    """Relative humidity of air of a temperature and a dew point, at most 100 %."""
    return np.minimum(100.0, 100.0 * saturation_pa(dew_point_c) / saturation_pa(air_c))


def dew_point_c(air_c: Floats, relative_humidity_pct: Floats) -> Floats:
    """Dew point by the inverse of ``saturation_pa`` (Newton, four steps from Magnus)."""
    pressure = saturation_pa(air_c) * np.asarray(relative_humidity_pct) / 100.0
    ratio = np.log(np.maximum(pressure, 1.0) / 610.94)  # Alduchov & Eskridge 1996
    dew = 243.04 * ratio / (17.625 - ratio)
    for _ in range(4):
        here = saturation_pa(dew)
        slope = (saturation_pa(dew + 0.01) - here) / 0.01
        dew = dew - (here - pressure) / slope
    return np.asarray(dew)
