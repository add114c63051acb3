"""The network now: devices, links with load and state, jobs with what slows them, weak points."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from facilities.models import AssetLink, LatestReading
from facilities.models.asset import LinkKind
from facilities.tracking.live import Live, current
from facilities.twin.network import Network
from facilities.twin.network.blame import blame
from facilities.twin.network.redundancy import (
    Loss,
    Resilience,
    job_resilience,
    management_resilience,
    shape_of,
    single_failures,
)
from facilities.twin.network.spread import bottleneck
from facilities.twin.network.topology import Edge
from facilities.twin.network.traffic import edge_loads
from facilities.twin.site import Site

TIERS: Final = {"storage": 0, "core": 1, "spine": 2, "switch": 3, "leaf": 3, "server": 4}
"""Rows of the map from above; what else is on the network stands with the servers."""
FULL: Final = 0.8
"""A link above this mean load is shown as full (assumed: bursts leave no room)."""
SLOW: Final = 1.02
"""A job slower than this is shown as slowed (assumed: above the noise of step times)."""


class WeakPoints(NamedTuple):
    """What does not change while nothing is switched."""

    resilience: list[Resilience]
    management: Resilience
    losses: list[Loss]


_kept: WeakKeyDictionary[Site, dict[bytes, WeakPoints]] = WeakKeyDictionary()
MOST_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A device or server on the map; ``util`` is the busy share of its GPUs, 0..1."""

    tag: str
    kind: str
    tier: int
    group: str
    rack: str
    gpus: int
    util: float | None
    job: str
    in_service: bool


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One connection. ``measured_util`` and ``errors`` come from readings, the rest from the twin.

    ``state`` is ok, full, errors, degraded or down.
    """

    label: str
    link: str | None
    a: str
    b: str
    rated_gbps: float
    capacity_gbps: float
    load_gbps: float
    util: float
    measured_util: float | None
    errors: float | None
    enabled: bool
    state: str
    medium: str
    layer: str
    private: bool
    management: bool
    shape: str
    paths: int
    """Ways around it: connections of the same switch to the same tier besides this one."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job: pace, what it waits for, and who is to blame (shares 0..1)."""

    tag: str
    name: str
    kind: str
    servers: list[str]
    gpus: int
    step_s: float
    ideal_step_s: float
    measured_step_s: float | None
    throughput: float
    slowdown: float | None
    exposed: float
    running: bool
    bottleneck: str
    between_gbps: float
    nvlink_gbps: float
    causes: list[dict[str, Any]]
    together: float

    @property
    def is_slow(self) -> bool:
        """Whether the page marks it."""
        return not self.running or self.slowdown is None or self.slowdown > SLOW


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything of the network page."""

    at: datetime
    followed: bool
    shape: str
    nodes: list[Node]
    links: list[LinkRow]
    jobs: list[JobRow]
    resilience: list[Resilience]
    management: Resilience
    losses: list[Loss]
    unplaced: list[str]


def has_network() -> bool:
    """Whether the data list has a network at all."""
    return AssetLink.objects.filter(kind=LinkKind.NETWORK).exists()


def network_picture(*, live: Live | None = None) -> Picture:
    """The network now. Raises ``SiteError`` for a data list that cannot be simulated.

    Cost: what ``current()`` asks, one query for readings, about 15 ms for the demo site; the weak
    points are kept for a data list until links or servers change.
    """
    live = live or current()
    network = live.twin.network
    # what readings say of links is an input; loads and paces follow from it in a step
    network.step(live.state.network, live.drive, gpu_speed=live.state.gpu.speed, dt_s=1.0)
    readings = _readings()
    resilience, management, losses = _weak_points(live)
    return Picture(
        live.at,
        live.followed,
        shape_of(network.fabric),
        _nodes(live),
        _links(live, readings),
        _jobs(live, readings),
        resilience,
        management,
        losses,
        network.fabric.unplaced,
    )


def as_json(picture: Picture) -> dict[str, Any]:
    """The picture as JSON has it."""
    found = asdict(picture)
    found["losses"] = [{**asdict(loss), "worst": loss.worst} for loss in picture.losses]
    return found


def _readings() -> dict[str, float]:
    rows = LatestReading.objects.filter(
        point__asset__kind__in=["link", "job"],
        point__quantity__in=["util_pct", "error_rate", "step_time_s"],
    ).values_list("point__tag", "value")
    return {tag: value for tag, value in rows if value is not None and math.isfinite(value)}


def _nodes(live: Live) -> list[Node]:
    network, site = live.twin.network, live.twin.site
    util, counts = live.state.network.gpu_util[0], network.jobs.gpus_of_server
    server_of = site.within("gpu", "server")
    total = np.bincount(server_of[server_of >= 0], util[server_of >= 0], len(counts))
    job_of = {
        server: site.tags("job")[group.job]
        for group in network.jobs.groups
        for server in group.servers
    }
    nodes = []
    for tag in network.fabric.nodes:
        kind, row = site.locate(tag)
        asset = site.of_kind(kind)[row]
        served = kind == "server"
        gpus = int(counts[row]) if served else 0
        around = network.fabric.neighbours(tag) if TIERS.get(kind, 4) == 4 else []
        nodes.append(
            Node(
                tag,
                kind,
                TIERS.get(kind, 4),
                around[0] if around else tag,
                asset.rack or "",
                gpus,
                float(total[row] / gpus) if gpus else None,
                job_of.get(row, "") if served else "",
                bool(live.drive["server", "in_service"][0, row] > 0.5) if served else True,
            )
        )
    return nodes


def _links(live: Live, readings: dict[str, float]) -> list[LinkRow]:
    network, site = live.twin.network, live.twin.site
    state, drive = live.state.network, live.drive
    loads = edge_loads(network, state, drive)
    rows = []
    for number, edge in enumerate(network.fabric.edges):
        row = int(network.fabric.link_row[number])
        capacity, enabled = edge.capacity_gbps, True
        if row >= 0:
            capacity = float(state.link_capacity_gbps[0, row])
            enabled = bool(drive["link", "enabled"][0, row] > 0.5)
        errors = readings.get(f"{edge.link}.error_rate") if edge.link else None
        measured = readings.get(f"{edge.link}.util_pct") if edge.link else None
        util = float(loads[number] / capacity) if capacity > 0 else 0.0
        ways = [
            other
            for other in network.fabric.neighbours(edge.a)
            if other != edge.b and site.locate(other).kind == site.locate(edge.b).kind
        ]
        rows.append(
            LinkRow(
                edge.label,
                edge.link,
                edge.a,
                edge.b,
                edge.capacity_gbps,
                capacity,
                float(loads[number]),
                util,
                None if measured is None else measured / 100.0,
                errors,
                enabled,
                _state(edge, capacity, util, errors, live.twin.network),
                str(edge.attribute("medium", "unknown")),
                str(edge.attribute("layer", "unknown")),
                bool(edge.attribute("private", True)),
                bool(edge.attribute("management", False)),
                _shape(edge, network),
                len(ways),
            )
        )
    return rows


def _state(edge: Edge, capacity: float, util: float, errors: float | None, network: Network) -> str:
    if capacity <= 0:
        return "down"
    if capacity < 0.995 * edge.capacity_gbps:
        return "degraded"
    if errors is not None and errors > network.parameters.errors_limit:
        return "errors"
    return "full" if util > FULL else "ok"


def _shape(edge: Edge, network: Network) -> str:
    """Ring, star or leaf–spine: of the switches between switches, a star at a host."""
    places = [network.site.locate(end).kind for end in (edge.a, edge.b)]
    hosts = any(TIERS.get(kind, 4) in (0, 4) for kind in places)
    given = edge.attribute("shape") or edge.attribute("topology")
    return str(given) if given else ("star" if hosts else shape_of(network.fabric))


def _jobs(live: Live, readings: dict[str, float]) -> list[JobRow]:
    network, site, state = live.twin.network, live.twin.site, live.state.network
    tags = site.tags("server")
    solution = network.solution(state, live.drive)
    arcs, pace = solution.bottleneck[0], solution.between_gbps[0]
    nvlink = 8 * float(np.mean(network.parameters.nvlink_gb_s))
    rows = []
    for row, found in enumerate(blame(network, state, live.drive, live.state.gpu.speed)):
        asset = site.of_kind("job")[row]
        groups = [
            (number, group) for number, group in enumerate(network.jobs.groups) if group.job == row
        ]
        servers = [tags[server] for _, group in groups for server in group.servers]
        where, gbps = bottleneck(network, arcs, row, pace)
        rows.append(
            JobRow(
                found.job,
                str(asset.attributes.get("name", found.job)),
                str(asset.attributes.get("kind", "training")),
                servers,
                int(sum(network.jobs.gpus_per_group[number] for number, _ in groups)),
                found.step_s,
                found.ideal_step_s,
                readings.get(f"{found.job}.step_time_s"),
                found.throughput,
                found.slowdown if math.isfinite(found.slowdown) else None,
                float(state.exposed[0, row]),
                bool(state.running[0, row] > 0),
                where,
                gbps,
                nvlink,
                [cause._asdict() for cause in found.causes],
                found.together,
            )
        )
    return rows


def _weak_points(live: Live) -> WeakPoints:
    """Kept by this process for a data list and for what is in service."""
    network, drive = live.twin.network, live.drive
    alive = drive["link", "enabled"].tobytes() + drive["server", "in_service"].tobytes()
    kept = _kept.setdefault(live.twin.site, {})
    if alive not in kept:
        if len(kept) >= MOST_KEPT:
            kept.clear()
        kept[alive] = WeakPoints(
            job_resilience(network),
            management_resilience(network.fabric),
            single_failures(network, drive),
        )
    return kept[alive]
