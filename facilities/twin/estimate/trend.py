"""Slow trends that are neither noise nor the daily load: regression with honest errors."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from facilities.twin.site import Flags, Floats

LEAST_SAMPLES: Final = 12
BARE: Final = 0.5
"""Share of the slope that the plain readings must show (assumed)."""

HALVES: Final = 0.25
"""Each half must rise by at least this share of the whole slope, or it was a step (assumed)."""


class Trend(NamedTuple):
    """Each of shape (series,). ``slope`` per second; NaN where there are too few values.

    ``steady`` tells that both halves go the same way, so that it is no step.
    """

    value: Floats
    sigma: Floats
    slope: Floats
    slope_sigma: Floats
    samples: np.ndarray
    steady: np.ndarray


def fit_trend(
    times_s: Floats, values: Floats, covariates: Floats, sway: Floats | None = None
) -> Trend:
    """Regress each series on time and on the covariates (load, weather).

    ``times_s`` is (k,), ``values`` (k, series) with NaN where nothing is known, ``covariates``
    (k, c), scaled so that 1 is a large change. ``sway`` (series,) is how much of a series a change
    of 1 plausibly explains (standard deviation; without it anything): what load or weather explain
    within that is no trend, and where they go along with time the error of the slope grows
    accordingly. Errors are widened for the residuals' memory (AR(1)) or wandering (random walk).
    """
    moment = times_s - times_s[-1]
    span = max(-float(moment[0]), 1.0)
    centred = covariates - covariates.mean(axis=0)
    design = np.column_stack([np.ones_like(moment), moment / span, centred])
    explains = np.full(values.shape[1], np.inf) if sway is None else sway
    whole = _fit(design, values, explains)
    middle = len(moment) // 2
    halves = [_slopes(moment[part] / span, values[part] - _explained(design, whole, part))
              for part in (slice(None, middle), slice(middle, None))]  # fmt: skip
    slope = whole.beta[:, 1]
    steady = np.all([half * np.sign(slope) >= HALVES * np.abs(slope) for half in halves], axis=0)
    # A slope that shows only once load or weather are taken off is no trend.
    bare = _slopes(moment / span, values)
    steady &= bare * np.sign(slope) >= BARE * np.abs(slope)
    known = whole.samples >= LEAST_SAMPLES
    nothing = np.full(values.shape[1], np.nan)
    last = design[-1]
    value = np.einsum("d,nd->n", last, whole.beta)
    sigma = np.sqrt(np.maximum(np.einsum("d,nde,e->n", last, whole.covariance, last), 0.0))
    return Trend(
        np.where(known, value, nothing),
        np.where(known, sigma, nothing),
        np.where(known, slope / span, nothing),
        np.where(known, np.sqrt(whole.covariance[:, 1, 1]) / span, nothing),
        whole.samples,
        steady & known,
    )


class _Fit(NamedTuple):
    beta: Floats
    covariance: Floats
    samples: np.ndarray


def _fit(design: Floats, values: Floats, sway: Floats) -> _Fit:
    """Least squares twice: the second time with what the covariates may explain held to ``sway``,
    now that the noise is known.
    """
    known = np.isfinite(values)
    shown = np.where(known, values, 0.0)
    samples = known.sum(axis=0)
    freedom = np.maximum(samples - 2, 1)
    normal = np.einsum("kd,ke,kn->nde", design, design, known.astype(np.float64))
    right = np.einsum("kd,kn->nd", design, shown)
    size = np.maximum(np.trace(normal, axis1=1, axis2=2), 1e-9)
    index = np.arange(2, design.shape[1])
    weight = np.full(len(sway), 1e-9) * size
    for _ in range(2):
        held = normal + (1e-12 * size)[:, None, None] * np.eye(design.shape[1])
        held[:, index, index] += weight[:, None]
        inverse = np.linalg.inv(held)
        beta = np.einsum("nde,ne->nd", inverse, right)
        left = np.where(known, values - design @ beta.T, 0.0)
        square = (left**2).sum(axis=0)
        variance = square / freedom
        both = known[1:] & known[:-1]
        memory = np.where(both, left[1:] * left[:-1], 0.0).sum(axis=0) / np.maximum(square, 1e-300)
        memory = np.clip(memory, 0.0, 0.98)
        wider = np.maximum(
            variance * (1.0 + memory) / (1.0 - memory),
            _wandering(left, known) * samples**2 / 10.0,
        )
        weight = np.maximum(variance / sway**2, 1e-9 * size)
    return _Fit(beta, inverse * wider[:, None, None], samples)


def _wandering(left: Floats, known: Flags) -> Floats:
    """Step variance of the random walk in the residuals, (series,).

    A walk of step variance q and white noise w differ by 4q + 2w over four steps and by q + 2w
    over one. A walk gives a line's slope the variance 1.2 q/n where white noise gives 12 w/n³,
    so it counts as white noise of variance q n²/10. Noise with a memory of a few steps counts as
    a walk too: the error is then too large, which is the safe side.
    """

    def differ(lag: int) -> Floats:
        both = known[lag:] & known[:-lag]
        square = np.where(both, (left[lag:] - left[:-lag]) ** 2, 0.0)
        return square.sum(axis=0) / np.maximum(both.sum(axis=0), 1)

    return np.maximum(differ(4) - differ(1), 0.0) / 3.0


def _explained(design: Floats, whole: _Fit, part: slice) -> Floats:
    return design[part][:, 2:] @ whole.beta[:, 2:].T


def _slopes(moment: Floats, values: Floats) -> Floats:
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    shown = np.where(known, values, 0.0)
    middle = np.where(known, moment[:, None], 0.0).sum(axis=0) / count
    away = np.where(known, moment[:, None] - middle, 0.0)
    return (away * shown).sum(axis=0) / np.maximum((away**2).sum(axis=0), 1e-12)
