"""UPS batteries: rate-dependent capacity (Peukert), charging, runtime."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facilities.twin.site import Floats

from .constants import Number, PowerConstants

LONGEST_S = 86_400.0
"""A longer runtime is reported as this."""

FLOAT_CHARGE = 0.9995
"""Above it the charger only floats."""


class Flow(NamedTuple):
    """Powers of one step (M, U), W: drawn at the input to charge, heat, change of the store."""

    charging_w: Floats
    loss_w: Floats
    stored_w: Floats


class Battery:
    """The batteries of all UPS.

    A battery gives its rated power for its rated minutes. At a power of share x of that the
    capacity is x^(1-k) times as large (Peukert, k about 1.25), at most that of the share
    ``peukert_low``. The difference to the full capacity is heat inside the battery, so that
    energy is conserved: store = what left the terminals + heat.
    """

    def __init__(self, constants: PowerConstants, *, reference_w: Floats, rated_s: Floats) -> None:
        self._reference_w = reference_w
        self._low = np.asarray(constants.peukert_low, dtype=np.float64)
        self._exponent = np.asarray(constants.peukert, dtype=np.float64) - 1.0
        self._tau_s = float(np.mean(constants.charge_tau_s))
        self._efficiency = constants.charge_efficiency
        self.capacity_j = reference_w * rated_s * self._low**-self._exponent
        """As new and discharged slowly."""

    def rate(self, power_w: Floats) -> Floats:
        """Energy that leaves the store for each joule at the terminals, 1 or more."""
        share = np.maximum(power_w / self._reference_w, self._low)
        return np.asarray((share / self._low) ** self._exponent)

    def runtime_s(self, charge: Floats, power_w: Floats, health: Floats) -> Floats:
        """How long ``power_w`` can be carried; at most a day."""
        power = np.maximum(power_w, 1.0)
        left_j = np.maximum(charge, 0.0) * self.capacity_j * health
        return np.asarray(np.minimum(left_j / (power * self.rate(power)), LONGEST_S))

    def step(
        self,
        charge: Floats,
        *,
        power_w: Floats,
        share: Floats,
        can_charge: Floats,
        limit_w: Number,
        health: Floats,
        dt_s: float,
    ) -> Flow:
        """Discharge with mean ``power_w`` over ``share`` of the step, or charge; changes ``charge``.

        ``can_charge`` is the share of the step with an input. All of shape (M, U).
        """
        capacity_j = self.capacity_j * health
        drawn_w = power_w * self.rate(power_w / np.maximum(share, 1e-9))
        missing_j = capacity_j * (1.0 - charge)
        taper_w = missing_j * (-np.expm1(-dt_s / self._tau_s) / dt_s) / self._efficiency
        charging_w = np.minimum(taper_w, limit_w) * can_charge * (charge < FLOAT_CHARGE)
        kept_w = self._efficiency * charging_w
        stored_w = kept_w - drawn_w
        charge += stored_w * dt_s / capacity_j
        return Flow(charging_w, charging_w - kept_w + drawn_w - power_w, stored_w)
