"""What is broken: the inputs by which faults reach the physics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


def _flags(kind: str) -> Any:
    return field(metadata={"kind": kind, "healthy": False})


def _floats(kind: str, healthy: float) -> Any:
    return field(metadata={"kind": kind, "healthy": healthy})


@dataclass
class Conditions:
    """Health of the equipment; arrays are in file order of their asset kind."""

    crac_tripped: Flags = _flags("crac")
    crac_fan_limit: Floats = _floats("crac", 1.0)  # highest fan speed the drive allows, 0..1
    crac_fan_wear: Floats = _floats("crac", 0.0)  # 0 new .. 1 worn out: less air, more power
    crac_filter_resistance: Floats = _floats("crac", 1.0)  # multiple of a clean filter
    crac_coil_ua: Floats = _floats("crac", 1.0)  # share of the clean coil's heat transfer
    crac_valve_stuck: Floats = _floats("crac", np.nan)  # opening where it stands; NaN moves
    pump_tripped: Flags = _flags("pump")
    pump_head: Floats = _floats("pump", 1.0)  # share of the flow of a new impeller
    chiller_tripped: Flags = _flags("chiller")
    tower_tripped: Flags = _flags("tower")  # the fan stands, the condenser pump runs
    tower_fill: Floats = _floats("tower", 1.0)  # share of the clean fill's transfer
    cdu_tripped: Flags = _flags("cdu")
    cdu_exchanger_ua: Floats = _floats("cdu", 1.0)
    ups_input_lost: Flags = _flags("ups")  # the feed to this UPS is dead
    ups_rectifier_failed: Flags = _flags("ups")  # fed, but carrying the load from its battery
    ups_battery_wear: Floats = _floats("ups", 0.0)  # 0 new .. 1 end of life and beyond
    pdu_breaker_open: Flags = _flags("pdu")
    gpu_resistance: Floats = _floats("gpu", 1.0)  # multiple of the clean heat sink's
    gpu_paste: Floats = _floats("gpu", 1.0)  # multiple of the fresh paste's resistance
    gpu_xid: Floats = _floats("gpu", 0.0)  # last XID error
    gpu_lost: Flags = _flags("gpu")  # fell off the bus
    server_brake: Flags = _flags("server")  # external power brake asserted
    server_nvlink: Floats = _floats("server", 1.0)  # share of the NVLink bandwidth left
    link_capacity: Floats = _floats("link", 1.0)  # share of the rated capacity, 0 is down
    link_errors: Floats = _floats("link", 0.0)  # added symbol errors, 1/s
    link_flapping: Flags = _flags("link")
    rack_surge: Floats = _floats("rack", 0.0)  # 0 normal .. 1: everything at its limit
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
        arrays = {
            entry.name: np.full(
                len(facility.of_kind(entry.metadata["kind"])), entry.metadata["healthy"]
            )
            for entry in dataclasses.fields(cls)
            if "kind" in entry.metadata
        }
        return cls(**arrays)
