"""The facility as the catalogue sees it: cooling units, racks, latest values and write limits of
one hall. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# Volumetric heat capacity of air at 20 °C, J/(m³·K): 1.2 kg/m³ × 1005 J/(kg·K).
AIR_J_PER_M3K = 1206.0
# ASHRAE TC 9.9, class A1: recommended upper limit of the rack inlet temperature.
INLET_LIMIT_C = 27.0


class Measured(NamedTuple):
    """Latest value of a point in the point's unit."""

    value: float
    ts: datetime
    unit: str


class Limits(NamedTuple):
    """Write limits of a point in its unit."""

    low: float
    high: float
    unit: str


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
class Situation:
    """Snapshot of one hall.

    `subject` is the asset an alarm is about ("" for an operator's own proposal).
    """

    hall: str
    values: Mapping[str, Measured]
    limits: Mapping[str, Limits]
    units: tuple[CoolingUnit, ...]
    racks: tuple[RackState, ...]
    chillers: tuple[str, ...] = ()
    pumps: tuple[str, ...] = ()
    subject: str = ""
    subject_kind: str = ""
    subject_rack: str = ""
    quantity: str = ""
    window_s: float = 120.0

    @property
    def lost_units(self) -> tuple[CoolingUnit, ...]:
        return tuple(u for u in self.units if u.lost)

    @property
    def running_units(self) -> tuple[CoolingUnit, ...]:
        return tuple(u for u in self.units if u.running and not u.fault)

    @property
    def hottest(self) -> RackState | None:
        return max(self.racks, key=lambda r: r.inlet_c, default=None)

    @property
    def heat_w(self) -> float:
        """Electrical power of all racks, W; all of it becomes heat in the hall."""
        return sum(r.power_w for r in self.racks)

    @property
    def capacity_w(self) -> float:
        """Sensible capacity of the running units at their fan setpoints, W."""
        return sum(u.capacity_w for u in self.running_units)

    def unit(self, tag: str) -> CoolingUnit | None:
        return next((u for u in self.units if u.tag == tag), None)

    def rack(self, tag: str) -> RackState | None:
        return next((r for r in self.racks if r.tag == tag), None)

    def value(self, tag: str, default: float = 0.0) -> float:
        measured = self.values.get(tag)
        return default if measured is None else measured.value

    def first_running(self, tags: tuple[str, ...]) -> str:
        """The first of `tags` that runs; the first of all when none does (its condition then fails
        by name).
        """
        return next((t for t in tags if self.value(f"{t}.running") >= 1), tags[0] if tags else "")


def needed_w(situation: Situation) -> float:
    """Cooling that is missing now, W.

    With lost units: their capacity at their fan setpoints; a faulted unit counts as lost as a
    whole, also in the seconds in which its fan still turns. Otherwise: the excess of the hottest
    inlet over one kelvin below the limit, times the heat the running airflow carries per kelvin.
    Never below 1 kW, so that scores stay finite.
    """
    lost = sum(u.capacity_w for u in situation.lost_units)
    hottest = situation.hottest
    if lost or hottest is None:
        return max(lost, 1000.0)
    excess_k = max(0.0, hottest.inlet_c - (INLET_LIMIT_C - 1))
    return max(excess_k * sum(u.air_w_per_k for u in situation.running_units), 1000.0)
