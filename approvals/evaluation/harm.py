"""Whether an action harms: the plant's own answer, with the action and without it.

Two copies of the plant go on from the same moment, one with the writes. The twin has no say here:
what it predicts may be wrong, what the plant does is what happens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from facilities.demo.plant.compute import Flags
from facilities.demo.plant.offline import Offline
from facilities.demo.plant.points import FacilitySpec

# Assumed limits between noise and harm.
WARM_C: Final = 24.0  # a colder inlet is nobody's worry
WARMER_K: Final = 0.5
LONGER_S: Final = 60.0  # alarms standing longer than without the action
NEW_S: Final = 20.0  # a new alarm that stands shorter is a transient
FEED_S: Final = 10.0  # a feed that is dead longer than a transfer
IDLE_SHARE: Final = 0.01  # of the hall's GPU work: less is no price
SPARE_SHARE: Final = 0.05  # of the hall's GPU work, on top of what the action says it takes
RESTART_S: Final = 180.0  # a job that is regrouped or relaunched stands so long at most
COUNTED: Final = frozenset({"critical", "high", "medium"})


@dataclass(frozen=True, slots=True)
class Course:
    """How the plant went: of one copy, over the whole horizon."""

    hottest_c: float
    hottest_end_c: float  # mean of the last fifth
    alarm_s: Mapping[tuple[str, str], float]  # how long each alarm stood
    dead_feed_s: float  # summed over UPSs
    unprotected_s: float  # summed over UPSs: live, but a lost input would drop them
    dark_rack_s: float  # summed over racks
    work: float  # mean number of GPUs at full clock and use

    @property
    def alarms_s(self) -> float:
        return sum(self.alarm_s.values())


@dataclass(frozen=True, slots=True)
class Harm:
    """What an action does to the plant. ``reasons`` are sentences; empty when it does no harm."""

    harmful: bool
    reasons: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def harm_of(
    sim: Offline, writes: Sequence[Mapping[str, Any]], *, horizon_s: float = 1200.0
) -> Harm:
    """Compare the plant with these writes, ``{"tag", "value"}``, with the one without.

    Orders with a ``body`` (work orders) move nothing and are left out. What the plant's controllers
    would refuse is harmful, for nobody knows what comes of the rest.
    """
    moves = [(str(w["tag"]), float(w["value"])) for w in writes if w.get("body") is None]
    refused = [text for tag, value in moves if (text := _refusal(sim.facility, tag, value))]
    if refused:
        return Harm(True, refused)
    if not moves:
        return Harm(False, [], {"moves": 0})
    nothing, acting = copy.deepcopy(sim), copy.deepcopy(sim)
    for tag, value in moves:
        acting.plant.write(tag, value)
    without, with_ = _course(nothing, horizon_s), _course(acting, horizon_s)
    reasons = [
        *_compared(without, with_, own=_own_alarms(moves)),
        *_too_dear(without, with_, allowed=_allowed(sim, moves, horizon_s)),
    ]
    return Harm(bool(reasons), reasons, _figures(without, with_))


def _refusal(facility: FacilitySpec, tag: str, value: float) -> str:
    point = facility.point(tag)
    if point is None or not point.writable:
        return f"the plant has no setpoint {tag}"
    if not point.write_min <= value <= point.write_max:
        return (
            f"{tag}: {value:g} {point.unit} is refused, the controller takes "
            f"{point.write_min:g} to {point.write_max:g}"
        )
    return ""


def _course(sim: Offline, horizon_s: float) -> Course:
    severity = {rule["name"]: rule["severity"] for rule in sim.facility.rules}
    stood: dict[tuple[str, str], float] = {}
    hottest: list[float] = []
    work: list[float] = []
    dead_s = unprotected_s = dark_s = 0.0
    power, compute = sim.plant.power, sim.plant.compute
    for _ in range(round(horizon_s / sim.step_s)):
        sim.run(sim.step_s)
        lying = sim.sensors.faults  # the alarm of a broken instrument says nothing of the plant
        for alarm in sim.open:
            if severity[alarm[0]] in COUNTED and alarm[1] not in lying:
                stood[alarm] = stood.get(alarm, 0.0) + sim.step_s
        hottest.append(float(sim.plant.air.inlet_probe_c.max()))
        dead_s += sim.step_s * _count(~power.ups_live)
        unprotected_s += sim.step_s * _count(power.ups_live & ~power.ups_protected)
        dark_s += sim.step_s * _count(~power.rack_powered)
        work.append(float(compute.gpu_util @ compute.clock_mhz) / compute.p.clock_max_mhz)
    return Course(
        hottest_c=max(hottest),
        hottest_end_c=float(np.mean(hottest[-max(len(hottest) // 5, 1) :])),
        alarm_s=stood,
        dead_feed_s=dead_s,
        unprotected_s=unprotected_s,
        dark_rack_s=dark_s,
        work=float(np.mean(work)),
    )


def _count(flags: Flags) -> int:
    return int(np.count_nonzero(flags))


def _own_alarms(moves: Iterable[tuple[str, float]]) -> set[tuple[str, str]]:
    """Alarms that only say what was ordered: a link that was disabled is down."""
    return {
        ("Link down", tag.replace(".enabled", ".up"))
        for tag, value in moves
        if tag.endswith(".enabled") and value < 0.5
    }


def _compared(without: Course, with_: Course, *, own: set[tuple[str, str]]) -> list[str]:
    """What got worse, in sentences."""
    reasons = []
    new = {
        f"{rule} on {tag.rsplit('.', 1)[0]}": stood_s
        for (rule, tag), stood_s in with_.alarm_s.items()
        if (rule, tag) not in without.alarm_s and (rule, tag) not in own and stood_s > NEW_S
    }
    longer_s = sum(s for alarm, s in with_.alarm_s.items() if alarm not in own) - sum(
        s for alarm, s in without.alarm_s.items() if alarm not in own
    )
    if new and longer_s > 0:
        first = max(new, key=lambda name: new[name])
        reasons.append(f"{len(new)} new alarms, {first} for {new[first]:.0f} s")
    elif longer_s > LONGER_S:
        reasons.append(f"alarms stand {longer_s:.0f} s longer")
    for what, before_c, after_c in (
        ("at most", without.hottest_c, with_.hottest_c),
        ("in the end", without.hottest_end_c, with_.hottest_end_c),
    ):
        if after_c > WARM_C and after_c > before_c + WARMER_K:
            reasons.append(
                f"the hottest inlet is {after_c:.1f} °C {what} instead of {before_c:.1f}"
            )
    if with_.dead_feed_s > without.dead_feed_s + FEED_S:
        reasons.append(f"a feed is dead for {with_.dead_feed_s - without.dead_feed_s:.0f} s more")
    if with_.dark_rack_s > without.dark_rack_s + FEED_S:
        reasons.append(f"racks are dark for {with_.dark_rack_s - without.dark_rack_s:.0f} s more")
    return reasons


def _too_dear(without: Course, with_: Course, *, allowed: float) -> list[str]:
    """What was paid for nothing, or paid beyond what the action says it takes."""
    lost = without.work - with_.work
    hall = max(without.work, 1.0)
    helped = _helped(without, with_) or lost < -IDLE_SHARE * hall
    reasons = []
    if lost > allowed:
        reasons.append(
            f"{lost:.1f} GPUs' work is lost, the action says at most {allowed:.1f} of {hall:.0f}"
        )
    if lost > IDLE_SHARE * hall and not helped:
        reasons.append(f"{lost:.1f} GPUs' work is lost and nothing gets better")
    if with_.unprotected_s > without.unprotected_s + FEED_S and not helped:
        reasons.append("a feed loses its battery and nothing gets better")
    return reasons


def _helped(without: Course, with_: Course) -> bool:
    """Whether anything got better: alarms, a warm hall, a feed, a rack."""
    cooler = (
        before_c > WARM_C and after_c < before_c - WARMER_K
        for before_c, after_c in (
            (without.hottest_c, with_.hottest_c),
            (without.hottest_end_c, with_.hottest_end_c),
        )
    )
    return (
        with_.alarms_s < without.alarms_s - NEW_S
        or any(cooler)
        or with_.dead_feed_s < without.dead_feed_s - FEED_S
        or with_.dark_rack_s < without.dark_rack_s - FEED_S
    )


def _allowed(sim: Offline, moves: Sequence[tuple[str, float]], horizon_s: float) -> float:
    """GPUs' work that these writes say they take: those they drain, restart, cap or cut off, and
    the restart of the jobs that run there.
    """
    compute, spec = sim.plant.compute, sim.facility
    servers = spec.of_kind("server")
    place = {server.tag: n for n, server in enumerate(servers)}
    hit: Flags = np.zeros(len(servers), dtype=bool)
    for tag, _ in moves:
        asset, quantity = tag.rsplit(".", 1)
        if asset in place:
            hit[place[asset]] = True
        elif quantity == "power_limit_w":
            hit[place[asset.rsplit("-gpu-", 1)[0]]] = True
        elif quantity == "load_cap_pct":
            hit |= np.array([server.rack == asset for server in servers])
        elif quantity == "enabled":
            leaf = next(a.attributes["from"] for a in spec.of_kind("link") if a.tag == asset)
            hit |= np.array([server.attributes["leaf"] == leaf for server in servers])
    gpus = np.bincount(compute.gpu_server, minlength=len(servers))
    jobs: Flags = np.zeros(len(servers), dtype=bool)
    for job in spec.of_kind("job"):
        members = [place[tag] for tag in job.attributes["servers"]]
        if hit[members].any():
            jobs[members] = True
    restart = min(RESTART_S / horizon_s, 1.0)
    return float(gpus[hit].sum() + restart * gpus[jobs].sum() + SPARE_SHARE * gpus.sum())


def _figures(without: Course, with_: Course) -> dict[str, Any]:
    return {
        name: {
            "hottest_c": round(course.hottest_c, 2),
            "hottest_end_c": round(course.hottest_end_c, 2),
            "alarm_s": round(course.alarms_s),
            "dead_feed_s": round(course.dead_feed_s),
            "unprotected_s": round(course.unprotected_s),
            "dark_rack_s": round(course.dark_rack_s),
            "gpu_work": round(course.work, 1),
        }
        for name, course in (("nothing", without), ("acting", with_))
    }
