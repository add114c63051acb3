"""State of the electrical system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from facilities.twin.site import Floats
from facilities.twin.state import PartState

LOADS: Final = ("rack", "crac", "cdu", "chiller", "pump", "tower")
"""Kinds that draw power, in the order of the load columns; the halls' lighting follows them."""


@dataclass
class PowerState(PartState):
    """Powers are means over the last step, in W; shares and flags are 0..1.

    M members, R racks, U UPS, P PDUs, G generators, N utility feeds, H halls; ``target``
    arrays have one column for each UPS, PDU and load.
    """

    rack_w: Floats
    """Drawn by each rack (M, R)."""
    rack_on: Floats
    """Share of the step with power on at least one cord (M, R)."""
    crac_on: Floats
    cdu_on: Floats
    chiller_on: Floats
    pump_on: Floats
    tower_on: Floats
    other_it_w: Floats
    """IT that is no server, where the drive does not say (M, R)."""
    loss_w: Floats
    """Heat of PDUs, UPS and lighting that stays in each hall (M, H)."""
    load_w: Floats
    """Taken by each load: racks, mechanical plant, lighting (M, loads)."""
    charge: Floats
    """Battery charge 0..1 (M, U). What a last step overdraws is owed and shows as below 0."""
    ups_w: Floats
    """Output (M, U)."""
    ups_in_w: Floats
    """Output and conversion loss, whatever carries it (M, U)."""
    ups_battery_w: Floats
    """Out of the battery; negative while it charges (M, U)."""
    ups_loss_w: Floats
    """Heat of conversion and battery (M, U)."""
    ups_mains: Floats
    """Share of the step with an input (M, U)."""
    ups_out: Floats
    """Share of the step with an output (M, U)."""
    ups_heat: Floats
    """Used up overload allowance, 1 transfers to bypass (M, U)."""
    ups_latched: Floats
    """1: on bypass (or off) since an overload, until the load fits again (M, U)."""
    ups_stored_w: Floats
    """Change of what the batteries hold (M, U)."""
    pdu_w: Floats
    """Input (M, P)."""
    pdu_loss_w: Floats
    pdu_on: Floats
    """Share of the step with an output (M, P)."""
    breaker_heat: Floats
    """Square of the current that the thermal release has followed, rated is 1 (M, P)."""
    breaker_tripped: Floats
    """1: tripped by overload until commanded open and closed again (M, P)."""
    generator_w: Floats
    generator_s: Floats
    """Seconds since it began to crank (M, G)."""
    generator_wanted_s: Floats
    """Seconds since the start order (M, G)."""
    generator_cooling_s: Floats
    """Seconds left to run after it is no longer needed; 0: stopped (M, G)."""
    generator_heat: Floats
    """Used up overload allowance, 1 trips the set (M, G)."""
    generator_ready: Floats
    """Share of the step with voltage accepted (M, G)."""
    fuel: Floats
    """Fill of the tank 0..1 (M, G)."""
    utility_w: Floats
    utility_back_s: Floats
    """Seconds that the feed has been present (M, N)."""
    implied_w: Floats
    """Drawn from a feed that the data list does not have: 0 where it has any source (M, 1)."""
    on_generator: Floats
    """1: this target's transfer switch stands on the generators (M, target)."""

    @property
    def powered(self) -> dict[str, Floats]:
        """Share of the last step with power, by kind, each (M, n)."""
        return {kind: getattr(self, f"{kind}_on") for kind in LOADS}


class PowerBalance(NamedTuple):
    """Powers of the last step by member, W; ``error`` is relative to what came in."""

    in_w: Floats
    served_w: Floats
    loss_w: Floats
    stored_w: Floats
    error: Floats
