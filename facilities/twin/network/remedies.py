"""What to do about a slow link: each candidate is simulated, the results are ranked.

A candidate costs time of its own (a job that moves restarts from its checkpoint), so it is ranked
by what the jobs get done within an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from ..drive import Drive
from ..site import Floats, Site
from .model import Network
from .solution import arc_capacity
from .state import NetworkState

HORIZON_S: Final = 3600.0
RESTART_S: Final = 300.0
"""assumed: stop, schedule, load the checkpoint and warm up; half a checkpoint interval is lost
besides"""
REPAIR_S: Final = 1800.0
"""assumed: hands on site, a new transceiver or cable, and its test"""
MOST_SWAPS: Final = 6


class Fault(NamedTuple):
    """The present and its fault: the link has ``capacity`` left, 0..1."""

    network: Network
    state: NetworkState
    drive: Drive
    gpu_speed: Floats
    link: str
    capacity: float


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out. Paces are mean throughputs of all jobs by their GPUs, 0..1 of healthy."""

    key: str
    title: str
    how: str
    pace: float
    pace_now: float
    pace_healthy: float
    interruption_s: float
    """GPU-weighted time the jobs stand still for it."""
    jobs: dict[str, float]

    @property
    def regained(self) -> float:
        """Share of the lost pace that comes back, before its interruption is counted."""
        lost = self.pace_healthy - self.pace_now
        return (self.pace - self.pace_now) / lost if lost > 1e-6 else 0.0

    @property
    def work(self) -> float:
        """Pace over the next hour, interruption counted."""
        return self.pace * max(0.0, 1.0 - self.interruption_s / HORIZON_S)

    @property
    def helps(self) -> bool:
        """Whether the hour yields more than leaving things as they are."""
        return self.work > self.pace_now + 1e-4


def remedies(fault: Fault) -> list[Remedy]:
    """Every candidate that fits the fault, best first, simulated with the fault present."""
    faulty, healthy = _faulty(fault), _faulty(fault, 1.0)
    now = _throughput(fault.network, fault, faulty)
    before = _throughput(fault.network, fault, healthy)
    weights = _weights(fault.network)
    hurt = [int(job) for job in np.nonzero(before - now > 1e-3)[0]]
    found = [
        Remedy(
            candidate.key,
            candidate.title,
            candidate.how,
            float(weights @ candidate.throughput),
            float(weights @ now),
            float(weights @ before),
            float(weights @ candidate.stopped_s),
            dict(zip(fault.network.site.tags("job"), candidate.throughput.tolist(), strict=True)),
        )
        for candidate in _candidates(fault, hurt)
    ]
    return sorted(found, key=lambda remedy: (-round(remedy.work, 6), remedy.interruption_s))


class _Candidate(NamedTuple):
    key: str
    title: str
    how: str
    throughput: Floats  # (jobs,)
    stopped_s: Floats  # (jobs,)


def _candidates(fault: Fault, hurt: list[int]) -> Iterator[_Candidate]:
    network, site = fault.network, fault.network.site
    nobody = np.zeros(site.count("job"))
    drive = _faulty(fault)
    if fault.capacity > 0:
        avoid = drive.repeated(1)
        avoid.set(fault.link, "enabled", 0.0)
        yield _Candidate(
            "disable",
            f"Take {fault.link} out of service",
            "ECMP sends everything over the links that are left",
            _throughput(network, fault, avoid),
            nobody,
        )
        adaptive = Network(site, network.parameters, route_weights=_usable(fault, drive))
        yield _Candidate(
            "adaptive",
            "Turn on adaptive routing",
            "switches share by the bandwidth each path has left, not evenly",
            _throughput(adaptive, fault, drive)
            * _against(network, adaptive, fault.state.crossings[:1]),
            nobody,
        )
    for job in hurt:
        yield from _for_job(fault, drive, job)
    yield _Candidate(
        "repair",
        f"Take {fault.link} out of service and repair it",
        "ECMP avoids it while hands change its transceiver or cable; then it is as new",
        _repaired(fault),
        nobody,
    )


def _for_job(fault: Fault, drive: Drive, job: int) -> Iterator[_Candidate]:
    network, site = fault.network, fault.network.site
    asset = site.of_kind("job")[job]
    stopped = np.zeros(site.count("job"))
    stopped[job] = _restart_s(site, job)
    if asset.attributes.get("kind") != "inference" and asset.attributes.get("allreduce_gb"):
        half = _with_jobs(site, {asset.tag: {"allreduce_gb": asset.attributes["allreduce_gb"] / 2}})
        yield _on_site(
            fault,
            drive,
            half,
            "accumulate",
            f"{asset.tag}: reduce gradients every second step",
            "halves what its servers send in a step, at twice the batch",
            stopped,
        )
        other = "tree" if asset.attributes.get("algorithm", "ring") == "ring" else "ring"
        yield _on_site(
            fault,
            drive,
            _with_jobs(site, {asset.tag: {"algorithm": other}}),
            other,
            f"{asset.tag}: all-reduce by a {other}",
            "changes who sends to whom",
            stopped,
        )
    behind = _behind(fault, job)
    group = [g for g in network.jobs.groups if g.job == job]
    if 0 < len(behind) < sum(len(g.servers) for g in group):
        drained = drive.repeated(1)
        for server in behind:
            drained.set(site.tags("server")[server], "in_service", 0.0)
        yield _Candidate(
            "drain",
            f"{asset.tag}: go on without the {len(behind)} servers behind the link",
            "smaller job, nothing crosses the link; it restarts from its checkpoint",
            _throughput(network, fault, drained),
            stopped,
        )
    for number, (swapped, partner, moved) in enumerate(_swaps(fault, job, behind)):
        if number == MOST_SWAPS:
            return
        both = stopped.copy()
        both[partner] = _restart_s(site, partner)
        yield _on_site(
            fault,
            drive,
            swapped,
            "swap",
            f"{asset.tag} and {site.tags('job')[partner]} exchange {moved}",
            "both restart from their checkpoints",
            both,
        )


def _swaps(fault: Fault, job: int, behind: list[int]) -> Iterator[tuple[Site, int, str]]:
    """Sites where the job's servers behind the link change places with another job's."""
    site, tags = fault.network.site, fault.network.site.tags("server")
    leaf = fault.network.jobs.order
    own = {server for g in fault.network.jobs.groups if g.job == job for server in g.servers}
    for other in range(site.count("job")):
        theirs = [s for g in fault.network.jobs.groups if g.job == other for s in g.servers]
        for switch in dict.fromkeys(leaf[server][0] for server in theirs):
            there = [server for server in theirs if leaf[server][0] == switch]
            if other == job or len(there) < len(behind) or not behind:
                continue
            given = dict(zip(behind, there, strict=False))
            back = {there_: here for here, there_ in given.items()}
            mine = [tags[given.get(server, server)] for server in sorted(own)]
            others = [tags[back.get(server, server)] for server in theirs]
            names = site.tags("job")
            moved = f"{tags[behind[0]]}… for {tags[there[0]]}… ({len(given)} servers)"
            yield (
                _with_jobs(
                    site, {names[job]: {"servers": mine}, names[other]: {"servers": others}}
                ),
                other,
                moved,
            )


def _on_site(
    fault: Fault, drive: Drive, site: Site, key: str, title: str, how: str, stopped: Floats
) -> _Candidate:
    network = Network(site, fault.network.parameters)
    pace = _throughput(network, fault, drive) * _against(
        fault.network, network, fault.state.crossings[:1]
    )
    return _Candidate(key, title, how, pace, stopped)


def _faulty(fault: Fault, capacity: float | None = None) -> Drive:
    drive = fault.drive.repeated(1)
    drive.set(fault.link, "capacity", fault.capacity if capacity is None else capacity)
    if capacity is not None:
        drive.set(fault.link, "enabled", 1.0)
    return drive


def _health(fault: Fault) -> Floats:
    health = fault.state.link_health[:1].copy()
    health[0, fault.network.site.locate(fault.link).row] = 1.0
    return health


def _throughput(network: Network, fault: Fault, drive: Drive) -> Floats:
    solved = network.settled(
        drive,
        gpu_speed=fault.gpu_speed[:1],
        link_health=_health(fault),
        background_gbps=fault.state.background_gbps[:1],
        crossings=fault.state.crossings[:1],
    )
    return np.asarray(solved.throughput[0])


def _repaired(fault: Fault) -> Floats:
    """Mean of the hour: out of service during the repair, healthy after it."""
    out = _faulty(fault)
    out.set(fault.link, "enabled", 0.0)
    during = _throughput(fault.network, fault, out)
    after = _throughput(fault.network, fault, _faulty(fault, 1.0))
    part = REPAIR_S / HORIZON_S
    return part * during + (1 - part) * after


def _against(network: Network, other: Network, crossings: Floats) -> Floats:
    """Throughputs of ``other`` are against its own healthy steps: the factor to ``network``'s."""
    own, theirs = network.healthy_step_s(crossings), other.healthy_step_s(crossings)
    return np.asarray(np.divide(own, theirs, out=np.ones_like(own), where=theirs > 0)[0])


def _usable(fault: Fault, drive: Drive) -> Floats:
    share = drive["link", "capacity"] * drive["link", "enabled"] * _health(fault)
    network = fault.network
    return arc_capacity(network.fabric, network.jobs, network.parameters, share[:1])[0]


def _weights(network: Network) -> Floats:
    """Each job's share of the GPUs that work for jobs."""
    counts = np.zeros(network.site.count("job"))
    for group, gpus in zip(network.jobs.groups, network.jobs.gpus_per_group, strict=True):
        counts[group.job] += gpus
    return counts / max(counts.sum(), 1.0)


def _restart_s(site: Site, job: int) -> float:
    every = float(site.of_kind("job")[job].attributes.get("checkpoint_every_s") or 0.0)
    return RESTART_S + every / 2


def _behind(fault: Fault, job: int) -> list[int]:
    """The job's servers on the switch at one end of the link, fewest first; none for a spine."""
    network = fault.network
    edge = network.fabric.edge_of_link[network.site.locate(fault.link).row]
    if edge < 0:
        return []
    found = network.fabric.edges[int(edge)]
    own = [server for g in network.jobs.groups if g.job == job for server in g.servers]
    tags = network.site.tags("server")
    sides = [
        [server for server in own if end in network.fabric.neighbours(tags[server])]
        for end in (found.a, found.b)
    ]
    return min((side for side in sides if side), key=len, default=[])


def _with_jobs(site: Site, changes: dict[str, dict[str, object]]) -> Site:
    assets = [
        replace(asset, attributes={**asset.attributes, **changes[asset.tag]})
        if asset.tag in changes
        else asset
        for asset in site.assets
    ]
    return Site(assets, site.links, name=site.name)
