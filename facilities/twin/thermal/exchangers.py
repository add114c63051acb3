"""Heat exchangers by effectiveness and number of transfer units, in one pass for all units."""

from __future__ import annotations

import numpy as np

from facilities.twin.site import Floats

# scalars as arrays: NumPy takes twice as long with a number of Python
_ONE = np.array(1.0)
_LEAST, _LARGER = np.array(1e-6), np.array(1e-5)
_BALANCED = np.array(0.9999)


def conductance_w_k(ua_w_k: Floats, hot_w_k: Floats, cold_w_k: Floats) -> Floats:
    """Heat per kelvin between the entering streams of counterflow exchangers, W/K.

    ε C_min with ε = (1 - exp(-NTU (1 - r))) / (1 - r exp(-NTU (1 - r))), r = C_min / C_max (Kays &
    London). Streams are heat capacity rates; without one of them the result is 0.
    """
    small = np.minimum(hot_w_k, cold_w_k)
    np.maximum(small, _LEAST, out=small)
    ratio = np.maximum(hot_w_k, cold_w_k)
    np.divide(small, np.maximum(ratio, _LARGER, out=ratio), out=ratio)
    np.minimum(ratio, _BALANCED, out=ratio)
    decay = ua_w_k / small
    decay *= ratio - _ONE
    np.exp(decay, out=decay)
    ratio *= decay
    small *= np.subtract(_ONE, decay, out=decay)
    small /= np.subtract(_ONE, ratio, out=ratio)
    return small


def rated_ua_w_k(heat_w: Floats, drop_k: float, hot_w_k: Floats, cold_w_k: Floats) -> Floats:
    """UA that transfers ``heat_w`` between streams that enter ``drop_k`` apart: the inverse.

    Heat beyond 98 % of what the smaller stream could take is cut to that.
    """
    small, large = np.minimum(hot_w_k, cold_w_k), np.maximum(hot_w_k, cold_w_k)
    ratio = np.minimum(small / large, 0.9999)
    effectiveness = np.minimum(heat_w / (small * drop_k), 0.98)
    return small * np.log((1 - effectiveness * ratio) / (1 - effectiveness)) / (1 - ratio)
