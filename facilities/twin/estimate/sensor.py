"""What a slow instrument hides: the true value behind a lagged, rounded, noisy reading.

The instrument follows the true value with its time constant τ:  dy/dt = (x - y) / τ.  A Kalman
filter on [x, dx/dt, y] with a random walk on the slope gives the true value, its rate and their
uncertainty, for any number of points at once, at irregular times and with readings missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from facilities.twin.site import Flags, Floats

GOOD: Final = 1
UNKNOWN: Final = 2
SUSPECT: Final = 3
"""QARTOD flags (ioos_qc); above SUSPECT a reading is not used."""

SUSPECT_FACTOR: Final = 9.0
"""A suspect reading has three times the standard deviation (assumed)."""

NOISE_STEPS: Final = 0.4
"""Standard deviation of the noise before rounding, in steps of the precision (assumed)."""

LEAST_TAU_S: Final = 1e-3
GATE: Final = 5.0
"""Readings further off than this many standard deviations count less (Huber's weight)."""


@dataclass(frozen=True)
class Instruments:
    """What is known of the instruments, each array of shape (points,).

    ``delay_s``: transport plus half the polling interval, so how old a value is on arrival.
    ``slope_noise``: how restless the true value is, unit²/s³ (variance of the slope per second).
    """

    tau_s: Floats
    precision: Floats
    delay_s: Floats
    slope_noise: Floats

    @property
    def noise(self) -> Floats:
        """Variance of one reading: noise before rounding plus rounding (uniform, step²/12)."""
        return self.precision**2 * (NOISE_STEPS**2 + 1.0 / 12.0)


class Gap(NamedTuple):
    """Each of shape (points,): the best estimate of the true value now, and what is shown.

    ``gap`` is true minus detected; ``slope`` in units per second; ``sigma`` of the true value.
    """

    value: Floats
    slope: Floats
    gap: Floats
    sigma: Floats


class SensorFilter:
    """The Kalman filter over all points. A point without a reading yet is NaN."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        count = len(instruments.tau_s)
        self.mean = np.full((count, 3), np.nan)
        self.covariance = np.zeros((count, 3, 3))
        self._tau_s = np.maximum(instruments.tau_s, LEAST_TAU_S)

    def update(self, dt_s: float | Floats, readings: Floats, flags: Sequence[int] | Flags) -> None:
        """Advance by ``dt_s`` (a number, or one per point) and take the readings, shape (points,).

        NaN, or a flag above suspect, is a missing reading: the point is predicted only. A time that
        does not advance leaves the point as it is.
        """
        flags = np.asarray(flags)
        usable = np.isfinite(readings) & (flags <= SUSPECT)
        fresh = usable & np.isnan(self.mean[:, 0])
        elapsed = np.broadcast_to(np.asarray(dt_s, dtype=np.float64), readings.shape)
        moving = ~fresh & np.isfinite(self.mean[:, 0]) & (elapsed > 0)
        self._predict(moving, elapsed)
        self._correct(moving & usable, readings, flags)
        self._begin(fresh, readings)

    def restart(self, points: Flags) -> None:
        """Forget these points; their next reading begins anew."""
        self.mean[points] = np.nan
        self.covariance[points] = 0.0

    def gap(self) -> Gap:
        """Value, slope and gap of every point, brought forward over its delay."""
        ahead = self.instruments.delay_s
        value = self.mean[:, 0] + self.mean[:, 1] * ahead
        variance = (
            self.covariance[:, 0, 0]
            + 2 * ahead * self.covariance[:, 0, 1]
            + ahead**2 * self.covariance[:, 1, 1]
        )
        return Gap(value, self.mean[:, 1], value - self.mean[:, 2], np.sqrt(variance))

    def _begin(self, fresh: Flags, readings: Floats) -> None:
        if not fresh.any():
            return
        noise = self.instruments.noise[fresh]
        self.mean[fresh] = np.stack([readings[fresh], 0 * noise, readings[fresh]], axis=1)
        start = np.zeros((len(noise), 3, 3))
        slope = self.instruments.slope_noise[fresh] * 60.0  # a minute's worth of unrest
        tau = self._tau_s[fresh]
        start[:, 1, 1] = slope
        start[:, 0, 0] = noise + slope * tau**2
        start[:, 2, 2] = noise
        self.covariance[fresh] = start

    def _predict(self, points: Flags, elapsed: Floats) -> None:
        if not points.any():
            return
        dt, tau = elapsed[points], self._tau_s[points]
        step, noise = transition(dt, tau), process_noise(dt, tau)
        self.mean[points] = np.einsum("nij,nj->ni", step, self.mean[points])
        self.covariance[points] = (
            step @ self.covariance[points] @ step.transpose(0, 2, 1)
            + noise * self.instruments.slope_noise[points, None, None]
        )

    def _correct(self, points: Flags, readings: Floats, flags: np.ndarray) -> None:
        if not points.any():
            return
        mean, covariance = self.mean[points], self.covariance[points]
        noise = self.instruments.noise[points]
        noise = np.where(flags[points] == SUSPECT, noise * SUSPECT_FACTOR, noise)
        surprise = readings[points] - mean[:, 2]
        spread = covariance[:, 2, 2] + noise
        excess = np.abs(surprise) / (GATE * np.sqrt(spread))
        noise = np.where(excess > 1.0, noise + covariance[:, 2, 2] * (excess - 1.0), noise)
        gain = covariance[:, :, 2] / (covariance[:, 2, 2] + noise)[:, None]
        self.mean[points] = mean + gain * surprise[:, None]
        left = np.eye(3) - gain[:, :, None] * np.array([0.0, 0.0, 1.0])
        self.covariance[points] = (
            left @ covariance @ left.transpose(0, 2, 1)
            + gain[:, :, None] * gain[:, None, :] * noise[:, None, None]
        )


def transition(dt_s: Floats, tau_s: Floats) -> Floats:
    """Exact transition of [value, slope, reading] over ``dt_s``; shape (points, 3, 3).

    On a ramp r the reading ends up r·τ behind:  y = x - r·τ + (y0 - x0 + r·τ) e^(-dt/τ).
    """
    keep = np.exp(-dt_s / tau_s)
    matrix = np.zeros((len(dt_s), 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1.0
    matrix[:, 0, 1] = dt_s
    matrix[:, 2, 0] = 1.0 - keep
    matrix[:, 2, 1] = dt_s - tau_s * (1.0 - keep)
    matrix[:, 2, 2] = keep
    return matrix


def process_noise(dt_s: Floats, tau_s: Floats) -> Floats:
    """Covariance that a slope's random walk of unit intensity adds in ``dt_s``; (points, 3, 3).

    ∫ g g' du with g(u) = [u, 1, u - τ(1 - e^(-u/τ))], by Gauss–Legendre with five nodes (exact for
    the polynomial part, and within 1e-6 for the lag).
    """
    nodes, weights = np.polynomial.legendre.leggauss(5)
    at = 0.5 * dt_s[:, None] * (nodes + 1.0)
    lagged = at - tau_s[:, None] * (1.0 - np.exp(-at / tau_s[:, None]))
    response = np.stack([at, np.ones_like(at), lagged], axis=2)
    scaled = 0.5 * dt_s[:, None] * weights
    return np.einsum("nk,nki,nkj->nij", scaled, response, response)


def lagged(reading: Floats, true: Floats, dt_s: float, tau_s: Floats) -> Floats:
    """What the instrument shows ``dt_s`` later when the true value holds: first-order lag."""
    keep = np.where(tau_s > 0, np.exp(-dt_s / np.maximum(tau_s, LEAST_TAU_S)), 0.0)
    return true + (reading - true) * keep


def quantised(value: Floats, precision: Floats) -> Floats:
    """Rounded to the instrument's step; a precision of 0 leaves it as it is."""
    step = np.where(precision > 0, precision, 1.0)
    return np.where(precision > 0, np.round(value / step) * step, value)
