"""The facility as the catalogue sees it: one hall with the plant that serves it, latest values,
write limits and how everything is connected. Pure data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from approvals.catalogue.equipment import (
    Connection,
    CoolingUnit,
    GpuState,
    JobState,
    LinkState,
    Machine,
    Place,
    RackState,
    ServerState,
    UpsState,
)
from approvals.catalogue.procedures import Procedure

__all__ = [
    "INLET_LIMIT_C",
    "CoolingUnit",
    "Limits",
    "Measured",
    "RackState",
    "Situation",
    "needed_w",
]

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
class Situation:
    """Snapshot of one hall.

    `subject` is the asset an alarm is about ("" for an operator's own proposal). `units`, `racks`,
    `servers`, `gpus` and `links` are the hall's; machines, UPSs and jobs are the site's. `assets`
    has every asset of the site. `procedures` is filled for the kinds that ask for it.
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
    machines: tuple[Machine, ...] = ()
    upss: tuple[UpsState, ...] = ()
    servers: tuple[ServerState, ...] = ()
    gpus: tuple[GpuState, ...] = ()
    links: tuple[LinkState, ...] = ()
    jobs: tuple[JobState, ...] = ()
    assets: Mapping[str, Place] = field(default_factory=dict)
    connections: tuple[Connection, ...] = ()
    procedures: tuple[Procedure, ...] = ()

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

    def machine(self, tag: str) -> Machine | None:
        return next((m for m in self.machines if m.tag == tag), None)

    def ups(self, tag: str) -> UpsState | None:
        return next((u for u in self.upss if u.tag == tag), None)

    def server(self, tag: str) -> ServerState | None:
        return next((s for s in self.servers if s.tag == tag), None)

    def gpu(self, tag: str) -> GpuState | None:
        return next((g for g in self.gpus if g.tag == tag), None)

    def link(self, tag: str) -> LinkState | None:
        return next((one for one in self.links if one.tag == tag), None)

    def servers_in(self, rack: str) -> tuple[ServerState, ...]:
        return tuple(s for s in self.servers if s.rack == rack)

    def jobs_on(self, servers: Iterable[str]) -> tuple[JobState, ...]:
        """The jobs that use at least one of these servers."""
        asked = set(servers)
        return tuple(job for job in self.jobs if asked.intersection(job.servers))

    @property
    def hall_tag(self) -> str:
        """The asset that has the hall's own points."""
        return next(
            (t for t, p in self.assets.items() if p.kind == "hall" and p.hall == self.hall),
            self.hall,
        )

    def name(self, tag: str) -> str:
        """What people call an asset; its tag where nobody named it."""
        place = self.assets.get(tag)
        return (place.name if place else "") or tag

    def kind_of(self, tag: str) -> str:
        """The kind of an asset; "" for one that the site does not have."""
        place = self.assets.get(tag)
        return place.kind if place else ""

    def has(self, tag: str) -> bool:
        """Whether a point has a good reading."""
        return tag in self.values

    def value(self, tag: str, default: float = 0.0) -> float:
        measured = self.values.get(tag)
        return default if measured is None else measured.value

    def first_running(self, tags: tuple[str, ...]) -> str:
        """The first of `tags` that runs; the first of all when none does (its condition then fails
        by name).
        """
        return next((t for t in tags if self.value(f"{t}.running") >= 1), tags[0] if tags else "")

    def downstream(self, tag: str, *, link: str) -> tuple[str, ...]:
        """What an asset feeds, cools or carries along one kind of connection, nearest first."""
        return reached(self.connections, tag, link=link)

    def upstream(self, tag: str, *, link: str) -> tuple[str, ...]:
        """What feeds, cools or carries an asset along one kind of connection, nearest first."""
        turned = [Connection(c.kind, c.target, c.source) for c in self.connections]
        return reached(turned, tag, link=link)

    def peers(self, tag: str, *, link: str) -> tuple[str, ...]:
        """Assets of the same kind that reach at least one of the same targets: what could take
        over. In the order of their tags.
        """
        kind, mine = self.kind_of(tag), set(self.downstream(tag, link=link))
        return tuple(
            other
            for other in sorted(self.assets)
            if other != tag
            and self.assets[other].kind == kind
            and mine.intersection(self.downstream(other, link=link))
        )


def reached(connections: Iterable[Connection], tag: str, *, link: str) -> tuple[str, ...]:
    """Every asset behind `tag` along connections of one kind, nearest first, without itself."""
    step: dict[str, list[str]] = {}
    for one in connections:
        if one.kind == link:
            step.setdefault(one.source, []).append(one.target)
    found: dict[str, None] = {}
    queue = deque([tag])
    while queue:
        for other in step.get(queue.popleft(), ()):
            if other != tag and other not in found:
                found[other] = None
                queue.append(other)
    return tuple(found)


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
