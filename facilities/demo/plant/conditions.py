"""What is broken: the inputs by which faults reach the physics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Ailment(NamedTuple):
    """What is wrong with one instrument; the meaning of ``amount`` goes with ``kind``.

    ``stuck`` and ``silent`` have none; ``drift`` and ``offset`` are the present error in the
    point's unit; ``spikes`` and ``dropout`` the share of readings that they hit; ``lag`` the added
    time constant in seconds.
    """

    kind: str
    amount: float = 0.0


HEALTHY: Final[dict[str, tuple[str, bool | float]]] = {
    "crac_tripped": ("crac", False),
    "crac_fan_limit": ("crac", 1.0),
    "crac_fan_wear": ("crac", 0.0),
    "crac_filter_resistance": ("crac", 1.0),
    "crac_coil_ua": ("crac", 1.0),
    "crac_valve_stuck": ("crac", np.nan),
    "pump_tripped": ("pump", False),
    "pump_head": ("pump", 1.0),
    "chiller_tripped": ("chiller", False),
    "tower_tripped": ("tower", False),
    "tower_fill": ("tower", 1.0),
    "cdu_tripped": ("cdu", False),
    "cdu_exchanger_ua": ("cdu", 1.0),
    "ups_input_lost": ("ups", False),
    "ups_rectifier_failed": ("ups", False),
    "ups_battery_wear": ("ups", 0.0),
    "pdu_breaker_open": ("pdu", False),
    "gpu_resistance": ("gpu", 1.0),
    "gpu_paste": ("gpu", 1.0),
    "gpu_xid": ("gpu", 0.0),
    "gpu_lost": ("gpu", False),
    "server_brake": ("server", False),
    "server_nvlink": ("server", 1.0),
    "link_capacity": ("link", 1.0),
    "link_errors": ("link", 0.0),
    "link_flapping": ("link", False),
    "rack_surge": ("rack", 0.0),
}
"""Of each array of `Conditions`: the asset kind it is by, and the value that is healthy."""


@dataclass
class Conditions:
    """Health of the equipment; arrays are in file order of their asset kind."""

    crac_tripped: Flags
    crac_fan_limit: Floats  # highest fan speed the drive allows, 0..1
    crac_fan_wear: Floats  # 0 new .. 1 worn out: less air, more power
    crac_filter_resistance: Floats  # multiple of a clean filter
    crac_coil_ua: Floats  # share of the clean coil's heat transfer
    crac_valve_stuck: Floats  # opening where it stands; NaN moves
    pump_tripped: Flags
    pump_head: Floats  # share of the flow of a new impeller
    chiller_tripped: Flags
    tower_tripped: Flags  # the fan stands, the condenser pump runs
    tower_fill: Floats  # share of the clean fill's transfer
    cdu_tripped: Flags
    cdu_exchanger_ua: Floats
    ups_input_lost: Flags  # the feed to this UPS is dead
    ups_rectifier_failed: Flags  # fed, but carrying the load from its battery
    ups_battery_wear: Floats  # 0 new .. 1 end of life and beyond
    pdu_breaker_open: Flags
    gpu_resistance: Floats  # multiple of the clean heat sink's
    gpu_paste: Floats  # multiple of the fresh paste's resistance
    gpu_xid: Floats  # last XID error
    gpu_lost: Flags  # fell off the bus
    server_brake: Flags  # external power brake asserted
    server_nvlink: Floats  # share of the NVLink bandwidth left
    link_capacity: Floats  # share of the rated capacity, 0 is down
    link_errors: Floats  # added symbol errors, 1/s
    link_flapping: Flags
    rack_surge: Floats  # 0 normal .. 1: everything at its limit
    utility_available: bool = True
    generator_fails: bool = False
    leak: bool = False
    fire_trouble: bool = False
    door_open: float = 0.0
    humidifier_stuck: bool = False
    instruments: dict[str, Ailment] = field(default_factory=dict)

    @classmethod
    def healthy(cls, facility: FacilitySpec) -> Conditions:
        """Nothing is broken."""
        arrays: dict[str, Any] = {
            name: np.full(len(facility.of_kind(kind)), healthy)
            for name, (kind, healthy) in HEALTHY.items()
        }
        return cls(**arrays)
