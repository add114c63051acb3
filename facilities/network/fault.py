"""The fault of a link, asked of the live twin: how it spreads in time, and what helps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from facilities.tracking.live import Live, current
from facilities.twin.network.remedies import Fault, remedies
from facilities.twin.network.spread import Spread, spread
from facilities.twin.schedule import Change, Schedule
from facilities.twin.site import Floats, SiteError
from facilities.twin.trajectory import Trajectory

DURATION_S: Final = 1200.0
DT_S: Final = 10.0
RECORDED: Final = (
    ("link", "util_pct"),
    ("job", "throughput_pct"),
    ("gpu", "util_pct"),
    ("gpu", "temp_c"),
    ("server", "power_w"),
    ("rack", "power_w"),
    ("rack", "outlet_c"),
    ("rack", "inlet_c"),
    ("hall", "facility_power_w"),
)
SMALL: Final = {"%": 0.2, "W": 20.0, "Cel": 0.02, "kW": 0.05}
"""Changes below this are not shown (assumed: below what the instruments resolve)."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One link of the chain: what changes where, by how much, and when 90 % of it is there."""

    stage: str
    asset: str
    quantity: str
    unit: str
    before: float
    after: float
    settles_s: float
    values: list[float]
    """With the fault, along the answer's ``times_s``."""


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """What the fault does to links, jobs and heat; remedies best first."""

    at: datetime
    link: str
    capacity_pct: float
    jobs: list[dict[str, Any]]
    links: list[dict[str, Any]]
    racks: list[str]
    servers: list[str]
    times_s: list[float]
    chain: list[Stage]
    remedies: list[dict[str, Any]]
    note: str


def link_fault(*, link: str, capacity_pct: float, live: Live | None = None) -> FaultAnswer:
    """Degrade ``link`` to ``capacity_pct`` of its rating (0: down) in the twin; nothing is sent.

    20 simulated minutes beside doing nothing, about 0.2 s for the demo site. Raises ``SiteError``
    for an unknown link, ``ValueError`` for a capacity outside 0…100.
    """
    if not math.isfinite(capacity_pct) or not 0 <= capacity_pct <= 100:
        raise ValueError(
            f"capacity_pct is {capacity_pct:g}; it goes from 0 (down) to 100 (healthy)"
        )
    live = live or current()
    twin, capacity = live.twin, capacity_pct / 100.0
    network, state = twin.network, live.state.network
    place = twin.site.locate(link)
    if place.kind != "link":
        raise SiteError(f"{link} is a {place.kind}: choose a link of the network")
    speed = live.state.gpu.speed
    network.step(state, live.drive, gpu_speed=speed, dt_s=1.0)
    found = spread(network, state, live.drive, link=link, capacity=capacity, gpu_speed=speed)
    rated = float(network.link_ratings[place.row])
    health = float(state.link_health[0, place.row])
    # the drive is multiplied by the health that readings show: divide it out
    target = capacity / health if health > 0 else capacity
    schedule = Schedule([Change(0.0, link, "capacity", target, variant=1)])
    run = twin.run(
        live.state,
        live.drive,
        schedule,
        duration_s=DURATION_S,
        dt_s=DT_S,
        record=RECORDED,
        every_s=20.0,
        variants=2,
    )
    hit = [job for job in found.jobs if job.affected]
    servers = _servers(live, [job.job for job in hit])
    racks = list(dict.fromkeys(_rack(live, tag) for tag in servers if _rack(live, tag)))
    ranked = remedies(Fault(network, state, live.drive, speed, link, capacity))
    return FaultAnswer(
        live.at,
        link,
        capacity_pct,
        [_job(job) for job in sorted(found.jobs, key=lambda job: job.throughput)],
        [asdict(effect) for effect in found.links],
        racks,
        servers,
        run.times_s.tolist(),
        _chain(live, run, found, racks, servers),
        [
            {
                **asdict(remedy),
                "regained": min(max(remedy.regained, -1.0), 2.0),
                "work": remedy.work,
                "helps": remedy.helps,
            }
            for remedy in ranked
        ]
        if hit
        else [],
        ""
        if hit
        else f"No job is slowed: what {link} still carries of {rated:g} Gb/s is enough for all "
        "that crosses it.",
    )


def _job(effect: Any) -> dict[str, Any]:
    slowdown = effect.slowdown
    return {
        **asdict(effect),
        "slowdown": slowdown if math.isfinite(slowdown) else None,
        "affected": effect.affected,
    }


def _servers(live: Live, jobs: list[str]) -> list[str]:
    network, site = live.twin.network, live.twin.site
    rows = [
        server
        for group in network.jobs.groups
        if site.tags("job")[group.job] in jobs
        for server in group.servers
    ]
    return [site.tags("server")[row] for row in rows]


def _rack(live: Live, server: str) -> str:
    row = live.twin.site.locate(server).row
    return live.twin.site.of_kind("server")[row].rack or ""


def _chain(
    live: Live, run: Trajectory, found: Spread, racks: list[str], servers: list[str]
) -> list[Stage]:
    """Link → jobs → GPUs → servers and racks → air, each as the mean or sum of those it touches."""
    site = live.twin.site
    gpus = [
        gpu
        for gpu, server in zip(site.tags("gpu"), site.within("gpu", "server"), strict=True)
        if server >= 0 and site.tags("server")[server] in servers
    ]
    stages = [_stage(run, "Link load", [found.link], ("link", "util_pct"), "%")]
    for job in found.jobs:
        if job.affected:
            stages.append(_stage(run, "Job pace", [job.job], ("job", "throughput_pct"), "%"))
    if gpus:
        stages += [
            _stage(run, "GPUs busy", gpus, ("gpu", "util_pct"), "%"),
            _stage(run, "Server power", servers, ("server", "power_w"), "kW", total=True),
            _stage(run, "GPU temperature", gpus, ("gpu", "temp_c"), "Cel"),
        ]
    if racks:
        stages += [
            _stage(run, "Rack exhaust", racks, ("rack", "outlet_c"), "Cel"),
            _stage(run, "Rack inlet", racks, ("rack", "inlet_c"), "Cel"),
        ]
    halls = list(site.tags("hall"))
    if halls:
        key = ("hall", "facility_power_w")
        stages.append(_stage(run, "Facility power", halls, key, "kW", total=True))
    return [stage for stage in stages if stage.stage.startswith(("Link", "Job")) or _matters(stage)]


def _matters(stage: Stage) -> bool:
    return abs(stage.after - stage.before) >= SMALL[stage.unit]


def _stage(
    run: Trajectory,
    name: str,
    assets: list[str],
    key: tuple[str, str],
    unit: str,
    *,
    total: bool = False,
) -> Stage:
    rows = [run.site.locate(asset).row for asset in assets]
    values = run.values[key][:, :, rows].astype(np.float64)
    both = values.sum(axis=2) if total else values.mean(axis=2)
    if unit == "kW":
        both = both / 1e3
    change = both[:, 1] - both[:, 0]
    asset = assets[0] if len(assets) == 1 else f"{len(assets)} {key[0]}s"
    return Stage(
        name,
        asset,
        key[1],
        unit,
        float(both[-1, 0]),
        float(both[-1, 1]),
        _settles_s(run.times_s, change),
        both[:, 1].tolist(),
    )


def _settles_s(times_s: Floats, change: Floats) -> float:
    """When the change has come to 90 % of its end and stays there."""
    end = change[-1]
    away = np.nonzero(np.abs(change - end) > 0.1 * abs(end))[0]
    return float(times_s[min(away[-1] + 1, len(times_s) - 1)]) if len(away) else 0.0
