"""Normalised cross-correlation of one series with many, at many lags, with gaps. Pure numpy."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MIN_PAIRS: Final = 12
"""Pairs of values below which a correlation says nothing. assumed"""
ROUNDING: Final = 1e-12
"""Spread relative to the mean that double precision itself makes."""
FLAT: Final = 1e-9
"""Relative variance below which a series counts as constant within the pairs."""


class Lagged(NamedTuple):
    """Per series: the correlation of largest size, its lag in steps, and the pairs behind it.

    A positive lag means that the series follows the target, a negative one that it leads. ``r`` is
    0 where nothing can be said (too few pairs, a constant series).
    """

    r: Floats
    lag: Ints
    pairs: Ints


def lagged(target: Floats, series: Floats, max_lag: int) -> Lagged:
    """Correlate ``target`` [n] with every row of ``series`` [points, n]; NaN is a gap.

    At lag k the pairs are (target[t], series[t + k]); mean and variance are those of the pairs, so
    an overlap cut short by the lag, or by gaps, is not counted as agreement. Cost: six products of
    [points, n] by [n, 2 max_lag + 1].
    """
    _, n = series.shape
    lags = np.arange(-max_lag, max_lag + 1)
    shifted, there = _shifted(_centred(target), lags, n)
    centred = _centred(series)
    known = np.isfinite(centred).astype(np.float32)
    values = np.nan_to_num(centred).astype(np.float32)
    shifted, there = shifted.astype(np.float32), there.astype(np.float32)
    pairs = known @ there
    with np.errstate(invalid="ignore", divide="ignore"):
        sum_x, sum_y = values @ there, known @ shifted
        var_x = (values * values) @ there - sum_x * sum_x / pairs
        var_y = known @ (shifted * shifted) - sum_y * sum_y / pairs
        r = (values @ shifted - sum_x * sum_y / pairs) / np.sqrt(var_x * var_y)
    moved = (var_x > FLAT * pairs) & (var_y > FLAT * pairs)
    r = np.where((pairs >= MIN_PAIRS) & moved & np.isfinite(r), np.clip(r, -1.0, 1.0), 0.0)
    # Of lags that agree to the third decimal the shortest: noise must not choose a far one.
    best = (np.round(np.abs(r), 3) - 1e-6 * np.abs(lags)).argmax(axis=1)
    at = np.arange(len(series))
    return Lagged(
        r[at, best].astype(np.float64), lags[best], np.round(pairs[at, best]).astype(np.int64)
    )


def _centred(series: Floats) -> Floats:
    """Standardise along the last axis over what is known; a constant row becomes 0."""
    with np.errstate(invalid="ignore"):
        count = np.isfinite(series).sum(axis=-1, keepdims=True)
        mean = np.nansum(series, axis=-1, keepdims=True) / np.maximum(count, 1)
        moved = series - mean
        spread = np.sqrt(np.nansum(moved * moved, axis=-1, keepdims=True) / np.maximum(count, 1))
    flat = spread <= ROUNDING * np.abs(mean) + 1e-300
    return np.where(flat, moved * 0.0, moved / np.where(flat, 1.0, spread))


def _shifted(target: Floats, lags: Ints, n: int) -> tuple[Floats, Floats]:
    """Target values [n, lags] as row t + lag of a series meets them, and where there is one."""
    values, there = np.zeros((n, len(lags))), np.zeros((n, len(lags)))
    known, filled = np.isfinite(target), np.nan_to_num(target)
    for column, lag in enumerate(lags):
        to = slice(max(0, lag), min(n, n + lag))
        of = slice(max(0, -lag), min(n, n - lag))
        values[to, column], there[to, column] = filled[of], known[of]
    return values, there


def changes(series: Floats, width: int) -> Floats:
    """Change over the last ``width`` steps, along the last axis; NaN where either end is a gap."""
    out = np.full_like(series, np.nan)
    out[..., width:] = series[..., width:] - series[..., :-width]
    return out


def filled(series: Floats) -> Floats:
    """Rows with gaps bridged by straight lines, ends by the nearest value; all-gap rows are 0."""
    out = series.copy()
    at = np.arange(series.shape[-1])
    for row in out.reshape(-1, series.shape[-1]):
        known = np.isfinite(row)
        if known.any() and not known.all():
            row[~known] = np.interp(at[~known], at[known], row[known])
        elif not known.any():
            row[:] = 0.0
    return out
