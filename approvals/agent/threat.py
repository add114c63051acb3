"""Whether the plant cannot wait for hands: then what protects it comes before the work order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from approvals.agent.causes.base import Hypothesis
from approvals.agent.causes.compute import HOT_C
from approvals.agent.causes.network import SLOWED_PCT
from approvals.agent.facts import Facts, Thing
from approvals.agent.rank import HARMLESS, Candidate
from approvals.catalogue.situation import INLET_LIMIT_C
from approvals.catalogue.start_standby_crac import weak_units

# An action protects where it helps at least so directly against the leading cause (assumed).
PROTECTS = 0.5
# Parts of the plant whose faults take cooling away.
COOLING = frozenset({"air", "water", "wear", "building"})


def threat_of(facts: Facts, cause: Hypothesis) -> str:
    """What is lost or about to be lost while nobody acts, in a sentence; "" where a repair can be
    waited for.
    """
    if cause.of_instrument:
        return ""
    if cause.domain == "power":
        return _on_battery(facts)
    if cause.domain in COOLING:
        return _alone(facts, cause) or _short_of_cooling(facts) or _hot_behind(facts, cause)
    _, _, server = cause.domain.partition("server ")
    return _slowed(facts) or _hot_gpu(facts.gpus_of(server) if server else (), facts)


def protect_first(
    candidates: Sequence[Candidate], facts: Facts, causes: Sequence[Hypothesis]
) -> list[Candidate]:
    """The candidates, with work orders put second where the plant is threatened and something that
    may be proposed protects it until the repair.
    """
    threat = threat_of(facts, causes[0]) if causes else ""
    protects = any(
        c.action.kind not in HARMLESS
        and c.score > 0
        and causes[0].helps(c.action.kind, c.action.target) >= PROTECTS
        for c in candidates
    )
    if not threat or not protects:
        return list(candidates)
    return [replace(c, second=threat) if c.action.kind in HARMLESS else c for c in candidates]


def _alone(facts: Facts, cause: Hypothesis) -> str:
    """A machine in the water that has stopped, with no other of its kind to carry on."""
    thing = facts.things.get(cause.asset)
    if thing is None or cause.domain != "water" or not facts.below(thing.tag, "running", 1):
        return ""
    peers = [
        other for other in facts.of_kind(thing.kind) if facts.at_least(other.tag, "running", 1)
    ]
    return "" if peers else f"{thing.name} stands still and no other does its work"


def _short_of_cooling(facts: Facts) -> str:
    situation = facts.situation
    hot = situation.hottest
    if hot is not None and hot.inlet_c >= INLET_LIMIT_C - 1:
        return f"{hot.name} takes in {hot.inlet_c:.1f} °C"
    weak = weak_units(situation)
    held_w = sum(unit.capacity_w for unit in situation.running_units if unit not in weak)
    if situation.units and held_w < situation.heat_w:
        return (
            f"the units that hold their supply air remove {held_w / 1000:.0f} kW of the "
            f"{situation.heat_w / 1000:.0f} kW that the racks give off"
        )
    return ""


def _hot_behind(facts: Facts, cause: Hypothesis) -> str:
    """A hot GPU in a rack that hangs on the machine's water."""
    racks = facts.downstream(cause.asset, "cooling") if cause.domain == "water" else set()
    return _hot_gpu([gpu for tag in sorted(racks) for gpu in facts.gpus_of(tag)], facts)


def _hot_gpu(gpus: Sequence[Thing], facts: Facts) -> str:
    found = [
        (value, gpu)
        for gpu in gpus
        if (value := facts.value(gpu.tag, "temp_c")) is not None and value >= HOT_C
    ]
    if not found:
        return ""
    value, gpu = max(found, key=lambda one: (one[0], one[1].tag))
    return f"{gpu.name} has {value:.0f} °C"


def _slowed(facts: Facts) -> str:
    for job in facts.of_kind("job"):
        pace = facts.value(job.tag, "throughput_pct")
        if pace is not None and pace < SLOWED_PCT and facts.at_least(job.tag, "running", 1):
            return f"{job.name} runs at {pace:.0f} %"
    return ""


def _on_battery(facts: Facts) -> str:
    for ups in facts.of_kind("ups"):
        if facts.at_least(ups.tag, "on_battery", 1):
            return f"{ups.name} is on battery"
    return ""
