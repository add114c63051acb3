"""What is broken: the inputs by which faults reach the physics."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Conditions:
    """Health of the equipment; arrays are in file order of their asset kind."""

    crac_tripped: Flags
    crac_fan_limit: Floats  # highest fan speed the drive allows, 0..1
    crac_filter_resistance: Floats  # multiple of a clean filter's resistance
    pump_tripped: Flags
    chiller_tripped: Flags
    pdu_breaker_open: Flags
    gpu_resistance: Floats  # multiple of the clean thermal resistance
    link_capacity: Floats  # share of the rated capacity that is left, 0..1
    link_errors: Floats  # added symbol errors, 1/s
    utility_available: bool = True
    leak: bool = False
    fire_trouble: bool = False
    instruments: dict[str, str] = field(default_factory=dict)
    """What is wrong with an instrument, by tag: stuck, drift, spikes or silent."""

    @classmethod
    def healthy(cls, facility: FacilitySpec) -> "Conditions":
        """Nothing is broken."""
        cracs = len(facility.of_kind("crac"))
        links = len(facility.of_kind("link"))
        return cls(
            crac_tripped=np.zeros(cracs, dtype=bool),
            crac_fan_limit=np.ones(cracs),
            crac_filter_resistance=np.ones(cracs),
            pump_tripped=np.zeros(len(facility.of_kind("pump")), dtype=bool),
            chiller_tripped=np.zeros(len(facility.of_kind("chiller")), dtype=bool),
            pdu_breaker_open=np.zeros(len(facility.of_kind("pdu")), dtype=bool),
            gpu_resistance=np.ones(len(facility.of_kind("gpu"))),
            link_capacity=np.ones(links),
            link_errors=np.zeros(links),
        )
