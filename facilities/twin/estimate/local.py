"""Slow parameters and offsets of every asset of a kind, estimated from its own measurements.

Each asset has a small state of its own: p parameters θ (times as new, or a share) and one offset b
for each of its m measured quantities. With the sensitivities S = ∂y/∂θ of the running model

    y - model(θ) = S δθ + b + noise,

a Kalman filter with random walks on θ and b, all assets of a kind at once. What the present
operation cannot tell (S = 0) is not touched: uncertainty grows only where information comes in, so
nothing winds up and nothing drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from facilities.twin.site import Floats

GATE: Final = 4.0
"""Innovations beyond this many standard deviations are taken with less weight (Huber)."""

LEAST_INFORMATION: Final = 0.02
"""A parameter whose whole prior spread moves the reading by less than this share of the noise is
not estimated from it (assumed)."""


@dataclass(frozen=True)
class Prior:
    """What is believed beforehand; arrays of shape (p,) for parameters and (m,) for offsets.

    ``walk`` and ``offset_walk`` are standard deviations after an hour. ``model_error`` is the
    standard deviation of what the model leaves out, in the quantity's unit; it is correlated over
    ``correlation_s``, so that many readings of one minute do not count as many.
    """

    value: Floats
    sigma: Floats
    low: Floats
    high: Floats
    walk: Floats
    offset_sigma: Floats
    offset_walk: Floats
    model_error: Floats
    correlation_s: float = 120.0


class Innovation(NamedTuple):
    """Each (assets, m): what the filter did not expect, and its standard deviation."""

    residual: Floats
    sigma: Floats
    used: np.ndarray


class LocalFilter:
    """The filter of one kind. ``mean`` is (assets, p + m), ``covariance`` (assets, p + m, p + m)."""

    def __init__(self, assets: int, prior: Prior) -> None:
        self.prior = prior
        self.parameters, self.quantities = len(prior.value), len(prior.offset_sigma)
        start = np.concatenate([prior.value, np.zeros(self.quantities)])
        self._prior_variance = np.concatenate([prior.sigma, prior.offset_sigma]) ** 2
        self.mean = np.tile(start, (assets, 1))
        self.covariance = np.tile(np.diag(self._prior_variance), (assets, 1, 1))
        #: Running variance of the innovations, (assets, m): the uncertainty that is shown.
        self.spread = np.tile(prior.model_error**2, (assets, 1))
        self.seen = np.zeros((assets, self.quantities))

    @property
    def theta(self) -> Floats:
        """Parameters, (assets, p)."""
        return self.mean[:, : self.parameters]

    @property
    def offset(self) -> Floats:
        """Offsets, (assets, m)."""
        return self.mean[:, self.parameters :]

    @property
    def theta_sigma(self) -> Floats:
        """Standard deviations of the parameters, (assets, p)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2)[:, : self.parameters])

    def update(
        self,
        dt_s: float,
        difference: Floats,
        sensitivity: Floats,
        noise: Floats,
        *,
        learn: bool = True,
    ) -> Innovation:
        """Take what was measured minus what the model says at the present θ, (assets, m).

        NaN is not measured. ``sensitivity`` is (assets, m, p), ``noise`` the variance of each
        reading, (assets, m). Without ``learn`` only the innovation is told.
        """
        p, prior = self.parameters, self.prior
        known = np.isfinite(difference) & np.isfinite(sensitivity).all(axis=2)
        shown = np.where(known, difference, 0.0)
        slope = np.where(known[:, :, None], sensitivity, 0.0)
        repeat = max(prior.correlation_s / dt_s, 1.0)
        variance = noise + prior.model_error**2 * repeat
        effect = np.abs(slope) * prior.sigma
        slope = np.where(effect < LEAST_INFORMATION * np.sqrt(variance)[:, :, None], 0.0, slope)
        if not learn:
            return Innovation(
                np.where(known, shown - self.offset, np.nan), np.sqrt(self.spread + noise), known
            )
        jacobian = np.concatenate(
            [slope, np.tile(np.eye(self.quantities), (len(slope), 1, 1))], axis=2
        )
        self._walk(dt_s, slope, variance, known)
        residual = shown - self.offset
        own = np.einsum("nmi,nij,nmj->nm", jacobian, self.covariance, jacobian)
        excess = np.abs(residual) / (GATE * np.sqrt(own + variance))
        variance = variance * np.maximum(excess, 1.0) ** 2
        variance = np.where(known, variance, 1e18)
        gain = self._gain(jacobian, variance)
        self.mean = self.mean + np.einsum("nim,nm->ni", gain, np.where(known, residual, 0.0))
        left = np.eye(self.mean.shape[1]) - gain @ jacobian
        self.covariance = left @ self.covariance @ left.transpose(0, 2, 1) + (
            gain * variance[:, None, :]
        ) @ gain.transpose(0, 2, 1)
        self.mean[:, :p] = np.clip(self.mean[:, :p], prior.low, prior.high)
        self._remember(dt_s, residual, known, noise)
        sigma = np.sqrt(self.spread + noise)
        return Innovation(np.where(known, residual, np.nan), sigma, known)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything that ``put`` takes back."""
        return {
            "mean": self.mean,
            "covariance": self.covariance,
            "spread": self.spread,
            "seen": self.seen,
        }

    def put(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a stored filter. Raises ``ValueError`` where shapes differ, ``KeyError``."""
        for name, own in self.to_arrays().items():
            if arrays[name].shape != own.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {own.shape}")
        for name in self.to_arrays():
            setattr(self, name, np.array(arrays[name], dtype=np.float64))

    def _walk(self, dt_s: float, slope: Floats, variance: Floats, known: np.ndarray) -> None:
        """Add the random walks, each where information about it comes in, up to the prior."""
        hours = dt_s / 3600.0
        own = np.diagonal(self.covariance, axis1=1, axis2=2)
        carried = np.einsum("nmp,nm->np", slope**2, known / variance) * own[:, : self.parameters]
        share = np.concatenate([carried / (1.0 + carried), known.astype(np.float64)], axis=1)
        walk = np.concatenate([self.prior.walk, self.prior.offset_walk]) ** 2
        added = np.minimum(walk * hours * share, np.maximum(self._prior_variance - own, 0.0))
        index = np.arange(own.shape[1])
        self.covariance[:, index, index] += added

    def _gain(self, jacobian: Floats, variance: Floats) -> Floats:
        across = self.covariance @ jacobian.transpose(0, 2, 1)
        total = jacobian @ across
        index = np.arange(self.quantities)
        total[:, index, index] += variance
        gain = np.asarray(np.linalg.solve(total, across.transpose(0, 2, 1)), dtype=np.float64)
        return gain.transpose(0, 2, 1)

    def _remember(self, dt_s: float, residual: Floats, known: np.ndarray, noise: Floats) -> None:
        """Running mean square of the innovations over an hour, without single outliers."""
        self.seen += known
        share = np.maximum(1.0 - np.exp(-dt_s / 3600.0), 1.0 / np.maximum(self.seen, 1.0))
        limit = (GATE**2) * (self.spread + noise)
        square = np.minimum(residual**2, limit)
        self.spread = np.where(known, self.spread + share * (square - self.spread), self.spread)
