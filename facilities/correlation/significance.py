"""How much a correlation is worth when both series move slowly and thousands were tried."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from .core import Floats, Ints, _centred, filled

Z_95: Final = 1.96
"""Two-sided 95 % point of the normal distribution."""
LEAST_EFFECTIVE: Final = 4.0
"""Fisher's z has a variance of 1/(n − 3): nothing is claimed at or below this n."""


def effective_pairs(target: Floats, series: Floats, pairs: Ints) -> Floats:
    """Number of independent pairs: n / (1 + 2 Σ (1 − k/n) ρx(k) ρy(k)).

    Bartlett (1946), as in Pyper and Peterman (CJFAS 55, 1998); autocorrelations up to a fifth of
    the window, corrected for the bias of a short series as Pyper and Peterman advise.
    """
    n = target.shape[-1]
    most = max(1, n // 5)
    rho_x = autocorrelation(filled(target)[None, :], most)
    rho_y = autocorrelation(filled(series), most)
    taper = 1.0 - np.arange(1, most + 1) / n
    inflation = 1.0 + 2.0 * (np.maximum(rho_x * rho_y, 0.0) * taper).sum(axis=1)
    return np.asarray(np.minimum(pairs / np.maximum(inflation, 1.0), pairs), dtype=np.float64)


def autocorrelation(series: Floats, most: int) -> Floats:
    """Autocorrelation [points, most] at lags 1…most, by FFT."""
    n = series.shape[1]
    centred = np.nan_to_num(_centred(series))
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2
    raw = np.fft.irfft(power, size, axis=1)[:, : most + 1]
    steps = n - np.arange(most + 1)
    unbiased = raw / steps
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = unbiased[:, 1:] / unbiased[:, :1]
    return np.clip(np.nan_to_num(rho), -1.0, 1.0)


def p_values(r: Floats, effective: Floats, lags_tried: int, pairs: Ints) -> Floats:
    """Chance of so large a correlation at the best of ``lags_tried`` lags between strangers.

    Fisher's z with the effective number of pairs; lags closer together than the series' own memory
    (pairs / effective) are not separate tries (Šidák).
    """
    enough = effective > LEAST_EFFECTIVE
    size = np.arctanh(np.clip(np.abs(r), 0.0, 1.0 - 1e-12))
    z = size * np.sqrt(np.where(enough, effective - 3.0, 1.0))
    one = np.array([math.erfc(value / math.sqrt(2.0)) for value in z])
    memory = np.maximum(pairs / np.maximum(effective, 1.0), 1.0)
    tries = 1.0 + (lags_tried - 1) / memory
    with np.errstate(divide="ignore"):
        many = -np.expm1(tries * np.log1p(-np.minimum(one, 1.0 - 1e-16)))
    return np.where(enough, np.clip(many, 0.0, 1.0), 1.0)


def false_discovery(p: Floats, weight: Floats, tried: int) -> Floats:
    """Weighted Benjamini–Hochberg q-values of these p-values, the smallest of ``tried``.

    ``weight`` has mean 1 over all that were tried; it says before looking which are likelier
    (Genovese, Roeder and Wasserman, Biometrika 93, 2006).
    """
    weighted = np.minimum(p / np.maximum(weight, 1e-12), 1.0)
    order = np.argsort(weighted)
    ranks = np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate((weighted[order] * max(tried, len(p)) / ranks)[::-1])[::-1]
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def prior_weight(distance: Floats) -> Floats:
    """Weights of mean 1 that favour what is near: (1 + links)^-2, unconnected as 10 links."""
    weight = (1.0 + np.where(np.isfinite(distance), np.minimum(distance, 10.0), 10.0)) ** -2
    return np.asarray(weight / weight.mean(), dtype=np.float64)


def certain_part(r: Floats, effective: Floats) -> Floats:
    """Lower 95 % limit of \\|r\\|: what is left when the doubt is taken off; never below 0."""
    enough = effective > LEAST_EFFECTIVE
    size = np.arctanh(np.clip(np.abs(r), 0.0, 1.0 - 1e-12))
    lower = size - Z_95 / np.sqrt(np.where(enough, effective - 3.0, 1.0))
    return np.where(enough, np.tanh(np.maximum(lower, 0.0)), 0.0)


def proximity(distance: npt.NDArray[np.float64]) -> Floats:
    """Weight of a distance in links: 1 on the asset itself, 0.5 at 5 links, 0.4 if unconnected."""
    return np.where(np.isfinite(distance), 1.0 / (1.0 + 0.2 * distance), 0.4)
