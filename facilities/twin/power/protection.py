"""Devices that act when they have carried too much for too long."""

from __future__ import annotations

import math

import numpy as np

from facilities.twin.site import Floats

from .constants import Number, PowerConstants


class Allowance:
    """Overload capability that is used up: tolerated for ``a (x - from)^-n`` seconds at load x.

    Below ``from`` (share of rating) it recovers within ``recovery_s``.
    """

    def __init__(self, *, start: Number, a_s: Number, power: Number, recovery_s: Number) -> None:
        self._start, self._a, self._power = start, a_s, power
        self._recovery_s = recovery_s

    def tolerated_s(self, share: Number) -> Number:
        """Seconds that a load (share of rating) is carried; infinite up to ``start``."""
        over = np.maximum(np.asarray(share) - self._start, 1e-9)
        return np.asarray(self._a * over**-self._power)

    def follow(self, used: Floats, share: Floats, dt_s: float) -> None:
        """Move the used part 0..1 on, in place. One comparison where nothing is overloaded."""
        over = share - self._start
        if not np.count_nonzero(over > 0):
            if np.count_nonzero(used):
                used -= dt_s / self._recovery_s
                np.maximum(used, 0.0, out=used)
            return
        rate = np.where(
            over > 0,
            np.maximum(over, 1e-9) ** self._power / self._a,
            -1.0 / np.asarray(self._recovery_s),
        )
        used += rate * dt_s
        np.clip(used, 0.0, 1.0, out=used)


class Breaker:
    """Thermal-magnetic release: a bimetal follows the square of the current with one time constant.

    It trips half way between the standard's non-tripping and tripping current, or at once at
    ``breaker_instant`` times the rating.
    """

    def __init__(self, constants: PowerConstants) -> None:
        middle = 0.5 * (np.asarray(constants.breaker_hold) + constants.breaker_trip)
        self.threshold = np.asarray(middle**2)
        self._instant = np.asarray(np.asarray(constants.breaker_instant) ** 2)
        self._tau_s = float(np.mean(constants.breaker_tau_s))

    def tolerated_s(self, share: Number) -> Floats:
        """Seconds from cold at a current (share of rating) until it trips; infinite: it holds."""
        square = np.asarray(share, dtype=np.float64) ** 2
        over = np.maximum(square - self.threshold, 1e-12)
        after = self._tau_s * np.log(np.maximum(square, 1e-12) / over)
        after = np.where(square > self.threshold, after, np.inf)
        return np.where(square >= self._instant, 0.0, after)

    def follow(self, heat: Floats, tripped: Floats, share: Floats, dt_s: float) -> None:
        """Move heat and trips on, in place; ``share`` is current over rating, (M, P)."""
        square = share * share
        towards = square - heat
        towards *= -math.expm1(-dt_s / self._tau_s)
        heat += towards
        over = heat > self.threshold
        over |= square >= self._instant
        if np.count_nonzero(over):
            np.maximum(tripped, over, out=tripped)
