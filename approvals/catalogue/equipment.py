"""The equipment of a situation as frozen data: nameplate figures and latest state, no I/O.

Powers in W, flows of air in m³/s, temperatures in °C, shares in %. A value without a reading has
the neutral default of its field's reader (`approvals/situations.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Volumetric heat capacity of air at 20 °C, J/(m³·K): 1.2 kg/m³ × 1005 J/(kg·K).
AIR_J_PER_M3K = 1206.0


class Place(NamedTuple):
    """Where an asset is: tags of its rack and parent, slug of its hall ("": none)."""

    name: str
    kind: str
    rack: str
    hall: str
    parent: str


class Connection(NamedTuple):
    """`source` feeds, cools or carries `target`; kind power, cooling or network."""

    kind: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class CoolingUnit:
    """One CRAC: nameplate sensible capacity (W at 100 % fan), airflow (m³/s at 100 % fan) and its
    latest state.
    """

    tag: str
    name: str
    sensible_w: float
    airflow_m3s: float
    running: bool
    fault: bool
    commanded: bool
    fan_sp_pct: float
    supply_sp_c: float

    @property
    def lost(self) -> bool:
        """Meant to cool, but does not: faulted, or commanded on and not running."""
        return self.fault or (self.commanded and not self.running)

    @property
    def capacity_w(self) -> float:
        """Sensible capacity at the present fan setpoint, W (assumed proportional to airflow)."""
        return self.sensible_w * self.fan_sp_pct / 100

    @property
    def air_w_per_k(self) -> float:
        """Heat carried per kelvin by the present airflow, W/K."""
        return self.airflow_m3s * self.fan_sp_pct / 100 * AIR_J_PER_M3K


@dataclass(frozen=True, slots=True)
class RackState:
    """One rack: inlet (°C), electrical power (W) and its load cap (%)."""

    tag: str
    name: str
    inlet_c: float
    power_w: float
    load_cap_pct: float


@dataclass(frozen=True, slots=True)
class Machine:
    """A chiller, pump, CDU or cooling tower. `capacity_w` is its rated cooling (0: it has none)."""

    tag: str
    name: str
    kind: str
    capacity_w: float
    running: bool
    fault: bool
    commanded: bool

    @property
    def lost(self) -> bool:
        """Meant to run, but does not: faulted, or commanded on and not running."""
        return self.fault or (self.commanded and not self.running)


@dataclass(frozen=True, slots=True)
class UpsState:
    """One UPS: rated and present load, whether it lives on its battery or on the bypass."""

    tag: str
    name: str
    rated_w: float
    load_w: float
    load_pct: float
    on_battery: bool
    bypass: bool


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server. `gpus` are tags in order."""

    tag: str
    name: str
    rack: str
    power_w: float
    in_service: bool
    cordoned: bool
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU. `limit_w` is its present power limit, `xid` its last XID error (0: none)."""

    tag: str
    name: str
    server: str
    rack: str
    max_w: float
    limit_w: float
    power_w: float
    temp_c: float
    util_pct: float
    xid: float


@dataclass(frozen=True, slots=True)
class LinkState:
    """One network link between the assets `ends`, e.g. leaf and spine."""

    tag: str
    name: str
    ends: tuple[str, str]
    up: bool
    enabled: bool
    util_pct: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class JobState:
    """One job and the servers that it is spread over."""

    tag: str
    name: str
    kind: str
    servers: tuple[str, ...]
    running: bool
