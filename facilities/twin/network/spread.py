"""How the fault of one link spreads: links, jobs, GPUs that wait, and the next bottleneck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..drive import Drive
from ..site import Floats, Ints, SiteError
from .model import Network
from .state import NetworkState

MATTERS = 1e-3


@dataclass(frozen=True, slots=True)
class JobEffect:
    """One job before and with the fault; ``throughput`` 0..1 of the healthy pace."""

    job: str
    gpus: int
    throughput_before: float
    throughput: float
    step_s_before: float
    step_s: float
    exposed_before: float
    exposed: float
    bottleneck_before: str
    bottleneck: str
    between_gbps_before: float
    between_gbps: float
    running: bool
    waiting_gpus: float
    """GPUs' worth of busy time that the job no longer does."""

    @property
    def slowdown(self) -> float:
        """Step time with the fault over before; infinite when the job stands still."""
        if not self.running or self.throughput <= 0:
            return float("inf")
        return self.throughput_before / self.throughput

    @property
    def affected(self) -> bool:
        """Whether the fault changes the job's pace."""
        return abs(self.throughput - self.throughput_before) > MATTERS


@dataclass(frozen=True, slots=True)
class LinkEffect:
    """One link before and with the fault, Gb/s and share of capacity 0..1."""

    link: str
    capacity_gbps: float
    load_before: float
    load: float
    util_before: float
    util: float


@dataclass(frozen=True, slots=True)
class Spread:
    """What a fault does; ``gpu_util`` and ``gpu_util_before`` are of all GPUs, 0..1."""

    link: str
    capacity: float
    jobs: tuple[JobEffect, ...]
    links: tuple[LinkEffect, ...]
    gpu_util_before: Floats
    gpu_util: Floats


def with_link(drive: Drive, network: Network, link: str, capacity: float) -> Drive:
    """Two members: the drive as it is, and with the link at ``capacity`` (0 is down).

    Raises ``SiteError`` for what is no link.
    """
    place = network.site.locate(link)
    if place.kind != "link":
        raise SiteError(f"{link} is a {place.kind}: the fault of a link needs a link")
    both = drive.repeated(2)
    both["link", "capacity"][1, place.row] = capacity
    return both


def spread(
    network: Network,
    state: NetworkState,
    drive: Drive,
    *,
    link: str,
    capacity: float,
    gpu_speed: Floats,
) -> Spread:
    """Compare the present (first member) with the link at ``capacity`` share of its rating.

    The link's own health is taken as 1 in the fault, so ``capacity`` is what it has left.
    """
    both = with_link(drive, network, link, capacity)
    row = network.site.locate(link).row
    health = np.repeat(state.link_health[:1], 2, axis=0)
    health[1, row] = 1.0
    solved = network.settled(
        both,
        gpu_speed=np.repeat(gpu_speed[:1], 2, axis=0),
        link_health=health,
        background_gbps=np.repeat(state.background_gbps[:1], 2, axis=0),
        crossings=np.repeat(state.crossings[:1], 2, axis=0),
    )
    solution = network.solution(solved, both)
    return Spread(
        link,
        capacity,
        tuple(
            _job(network, solved, solution.bottleneck, solution.between_gbps, job)
            for job in range(network.site.count("job"))
        ),
        tuple(_link(network, solved, row) for row in range(network.site.count("link"))),
        solved.gpu_util[0],
        solved.gpu_util[1],
    )


def bottleneck(network: Network, arcs: Ints, job: int, gbps: Floats) -> tuple[str, float]:
    """The arc that holds a job back and its servers' pace in Gb/s; empty where nothing does."""
    for index, group in enumerate(network.jobs.groups):
        if group.job == job and arcs[index] >= 0:
            return network.fabric.label(int(arcs[index])), float(gbps[index])
    return "", 0.0


def _job(network: Network, solved: NetworkState, arcs: Ints, gbps: Floats, job: int) -> JobEffect:
    mine = network.jobs.gpus[
        np.array([group.job == job for group in network.jobs.groups])[network.jobs.group_of]
    ]
    before, now = (bottleneck(network, arcs[m], job, gbps[m]) for m in (0, 1))
    util = solved.gpu_util[:, mine].sum(axis=1)
    return JobEffect(
        network.site.tags("job")[job],
        len(mine),
        float(solved.throughput[0, job]),
        float(solved.throughput[1, job]),
        float(solved.step_time_s[0, job]),
        float(solved.step_time_s[1, job]),
        float(solved.exposed[0, job]),
        float(solved.exposed[1, job]),
        before[0],
        now[0],
        before[1],
        now[1],
        bool(solved.running[1, job] > 0),
        float(max(util[0] - util[1], 0.0)),
    )


def _link(network: Network, solved: NetworkState, row: int) -> LinkEffect:
    load, capacity = solved.link_gbps[:, row], solved.link_capacity_gbps[:, row]
    share = np.divide(load, capacity, out=np.zeros(2), where=capacity > 0)
    return LinkEffect(
        network.site.tags("link")[row],
        float(capacity[1]),
        float(load[0]),
        float(load[1]),
        float(share[0]),
        float(share[1]),
    )
