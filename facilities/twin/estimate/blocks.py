"""What is followed and what is estimated, by kind of asset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from .local import Prior

Key = tuple[str, str]
Place = Literal["drive", "thermal", "power", "gpu", "network"]


class Unknown(NamedTuple):
    """One slow parameter of every asset of a kind. ``place`` is where the twin takes it from.

    All figures assumed: spread of equipment of one type, and how quickly it can change.
    ``nudge`` is the step of the sensitivity run. ``meaning`` is shown on pages.
    """

    kind: str
    name: str
    place: Place
    value: float
    sigma: float
    low: float
    high: float
    walk_per_h: float
    nudge: float
    meaning: str


UNKNOWNS: Final = (
    Unknown("crac", "coil_ua", "drive", 1.0, 0.2, 0.2, 2.0, 0.05, 0.05, "coil UA, times rated"),
    Unknown(
        "crac", "filter_resistance", "drive", 1.0, 0.5, 0.2, 8.0, 0.2, 0.05, "filter, times clean"
    ),
    Unknown(
        "crac", "fan_efficiency", "drive", 1.0, 0.15, 0.2, 2.0, 0.05, 0.05, "fan efficiency, share"
    ),
    Unknown("rack", "mixing", "thermal", 0.06, 0.05, 0.0, 0.4, 0.01, 0.01, "recirculated share"),
    Unknown(
        "gpu", "thermal_resistance", "drive", 1.0, 0.15, 0.4, 4.0, 0.05, 0.05,
        "thermal resistance, times new",
    ),
    Unknown("gpu", "power_scale", "gpu", 1.0, 0.06, 0.7, 1.4, 0.01, 0.03, "switching power"),
    Unknown("chiller", "chiller_cop", "thermal", 1.0, 0.15, 0.4, 2.0, 0.02, 0.05, "COP"),
    Unknown("pump", "head", "drive", 1.0, 0.1, 0.3, 1.3, 0.02, 0.03, "pump head, share of rated"),
    Unknown("tower", "approach_k", "thermal", 4.0, 1.5, 1.0, 12.0, 0.1, 0.2, "approach, K"),
    Unknown("cdu", "exchanger_ua", "drive", 1.0, 0.2, 0.2, 2.0, 0.05, 0.05, "exchanger UA"),
)  # fmt: skip


class Followed(NamedTuple):
    """One measured quantity that the twin predicts.

    ``model_error``: standard deviation of what the model leaves out; ``offset`` and
    ``offset_walk``: of what it is off by, and of how that moves in an hour (all assumed).
    ``published``: its residual goes back as a reading.
    """

    kind: str
    quantity: str
    unit: str
    model_error: float
    offset: float
    offset_walk: float
    published: bool = True


FOLLOWED: Final = (
    Followed("crac", "supply_c", "K", 0.3, 0.5, 0.05),
    Followed("crac", "return_c", "K", 0.5, 1.5, 0.1),
    Followed("crac", "valve_pct", "%", 3.0, 8.0, 0.5),
    Followed("crac", "filter_dp_pa", "Pa", 3.0, 1.0, 0.02),
    Followed("crac", "power_w", "W", 60.0, 20.0, 1.0),
    Followed("rack", "inlet_c", "K", 0.4, 1.0, 0.1),
    Followed("rack", "outlet_c", "K", 0.8, 3.0, 0.2),
    Followed("rack", "power_w", "W", 300.0, 800.0, 50.0),
    Followed("gpu", "temp_c", "K", 1.5, 1.0, 0.05),
    Followed("gpu", "power_w", "W", 10.0, 5.0, 0.5, False),
    Followed("server", "power_w", "W", 80.0, 200.0, 10.0),
    Followed("server", "inlet_c", "K", 0.6, 1.5, 0.1),
    Followed("server", "fan_pct", "%", 3.0, 10.0, 0.5),
    Followed("chiller", "supply_c", "K", 0.3, 0.6, 0.05),
    Followed("chiller", "return_c", "K", 0.4, 1.0, 0.1),
    Followed("chiller", "power_w", "W", 800.0, 1000.0, 50.0),
    Followed("pump", "flow_lps", "L/s", 0.2, 0.3, 0.02),
    Followed("cdu", "supply_c", "K", 0.4, 0.8, 0.05),
    Followed("cdu", "return_c", "K", 0.6, 1.5, 0.1),
    Followed("tower", "leaving_c", "K", 0.5, 1.5, 0.1),
    Followed("tower", "power_w", "W", 300.0, 1000.0, 50.0),
    Followed("pdu", "power_w", "W", 500.0, 1500.0, 100.0),
    Followed("ups", "load_w", "W", 800.0, 2500.0, 150.0),
    Followed("utility", "power_w", "W", 2500.0, 8000.0, 400.0),
    Followed("hall", "it_power_w", "W", 1500.0, 4000.0, 250.0),
    Followed("hall", "facility_power_w", "W", 2500.0, 8000.0, 400.0),
)


@dataclass(frozen=True)
class Block:
    """One kind with its unknowns and followed quantities: one local filter."""

    kind: str
    unknowns: tuple[Unknown, ...]
    followed: tuple[Followed, ...]

    def prior(self) -> Prior:
        """The block's beliefs as arrays."""
        u, f = self.unknowns, self.followed
        return Prior(
            value=np.array([x.value for x in u], dtype=np.float64),
            sigma=np.array([x.sigma for x in u], dtype=np.float64),
            low=np.array([x.low for x in u], dtype=np.float64),
            high=np.array([x.high for x in u], dtype=np.float64),
            walk=np.array([x.walk_per_h for x in u], dtype=np.float64),
            offset_sigma=np.array([x.offset for x in f]),
            offset_walk=np.array([x.offset_walk for x in f]),
            model_error=np.array([x.model_error for x in f]),
        )


def blocks(kinds: frozenset[str], quantities: frozenset[Key]) -> tuple[Block, ...]:
    """Blocks for the kinds and measured quantities a site has."""
    found = []
    for kind in dict.fromkeys(f.kind for f in FOLLOWED):
        followed = tuple(f for f in FOLLOWED if f.kind == kind and (kind, f.quantity) in quantities)
        if kind in kinds and followed:
            found.append(Block(kind, tuple(u for u in UNKNOWNS if u.kind == kind), followed))
    return tuple(found)
