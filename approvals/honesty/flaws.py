"""Known-bad proposals: a live situation with one thing wrong. Each says afterwards what it was.

A flaw is a function of the situation and a random source that answers a `Planted`, or None where
the hall has nothing for it. A new one is a function here, in `FLAWS`. What is wrong must be seen by
whoever reads the card; it must not be a matter of taste.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final

from django.utils import timezone

from approvals.agent.support import Passage, cite, name_step
from approvals.canonical import iso_utc
from approvals.catalogue import KINDS, Action
from approvals.catalogue.situation import CoolingUnit, RackState, Situation

OLD_S: Final = 2 * 3600.0
"""Evidence this old says nothing about now (the catalogue takes readings of 60 s)."""
STEP_PCT: Final = (15.0, 20.0)
STEP_K: Final = (2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Planted:
    """An action with a reason that does not hold; `flaw` says why, for afterwards."""

    action: Action
    rationale: str
    flaw: str
    evidence: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)


Flaw = Callable[[Situation, Random], Planted | None]


def wrong_direction(situation: Situation, rng: Random) -> Planted | None:
    """Cools less, and says that it cools more."""
    unit, hot = _unit(situation, rng), situation.hottest
    if unit is None or hot is None:
        return None
    choices = [_fan_down(situation, unit, rng), _supply_up(situation, unit, rng)]
    possible = [choice for choice in choices if choice is not None]
    if not possible:
        return None
    action, words, truth = rng.choice(possible)
    kind = KINDS[action.kind]
    return Planted(
        action,
        f"Hottest rack inlet: {hot.name} at {hot.inlet_c:.1f} °C (recommended limit 27 °C). "
        f"{words} brings {hot.name} more cooling.",
        f"{kind.sentence(action, unit.name)} goes the wrong way: {truth}.",
        _readings(situation, f"{hot.tag}.inlet_c", *(w.tag for w in _writes(action, situation))),
        _steps(kind.name, instructing=True)[:1],
    )


def wrong_unit(situation: Situation, rng: Random) -> Planted | None:
    """Names one unit in the reason and acts on another."""
    lost = [u for u in situation.units if u.lost]
    others = [u for u in situation.running_units if u not in lost]
    if len(others) < 2:
        return None
    ailing, chosen = rng.sample(others, 2)
    if lost:
        ailing = lost[0]
    made = _fan_up(situation, chosen, rng)
    if made is None:
        return None
    action, _, _ = made
    kind = KINDS[action.kind]
    return Planted(
        action,
        f"{ailing.name} has to carry more: its fan is at {ailing.fan_sp_pct:g} % and the racks give "
        f"off {situation.heat_w / 1000:.0f} kW. Raising the fan of {ailing.name} frees cooling.",
        f"The reason speaks of {ailing.name}, but it writes to {chosen.name}.",
        _readings(situation, f"{ailing.tag}.fan_speed_sp_pct", f"{ailing.tag}.running"),
        _steps(kind.name, instructing=True)[:1],
    )


def contrary_step(situation: Situation, rng: Random) -> Planted | None:
    """Cites a step that instructs something else."""
    unit = _unit(situation, rng)
    made = _fan_up(situation, unit, rng) if unit else None
    if unit is None or made is None:
        return None
    action, _, _ = made
    kind = KINDS[action.kind]
    steps = _steps(kind.name, instructing=False)
    if not steps:
        return None
    cited = rng.choice(steps[:5])
    return Planted(
        action,
        f"{unit.name} runs at {unit.fan_sp_pct:g} % fan and the racks give off "
        f"{situation.heat_w / 1000:.0f} kW. {name_step(cited)} instructs it.",
        f"{name_step(cited)} does not instruct this: it says “{cited['section']}”.",
        _readings(situation, f"{unit.tag}.fan_speed_sp_pct"),
        [cited],
    )


def stale_evidence(situation: Situation, rng: Random) -> Planted | None:
    """Argues with a reading of hours ago as if it were of now."""
    unit = _unit(situation, rng)
    made = _fan_up(situation, unit, rng) if unit else None
    racks = [r for r in situation.racks if f"{r.tag}.inlet_c" in situation.values]
    if unit is None or made is None or not racks:
        return None
    rack = rng.choice(racks)
    old = _reading_before(rack, situation)
    if old is None:
        return None
    action, _, _ = made
    now = situation.values[f"{rack.tag}.inlet_c"]
    return Planted(
        action,
        f"{rack.name} inlet is {old['value']:.1f} °C. {unit.name} runs at {unit.fan_sp_pct:g} % "
        "fan; a higher fan speed brings it more cooling.",
        f"The reading of {rack.name} that it argues with was of {old['at'][:16]} UTC; it was "
        f"{now.value:.1f} °C when the proposal was made.",
        [old],
        _steps(KINDS[action.kind].name, instructing=True)[:1],
    )


FLAWS: Final[dict[str, Flaw]] = {
    "wrong_direction": wrong_direction,
    "wrong_unit": wrong_unit,
    "contrary_step": contrary_step,
    "stale_evidence": stale_evidence,
}


def _unit(situation: Situation, rng: Random) -> CoolingUnit | None:
    running = situation.running_units
    return rng.choice(running) if running else None


def _fan_up(situation: Situation, unit: CoolingUnit, rng: Random) -> Any:
    limits = situation.limits.get(f"{unit.tag}.fan_speed_sp_pct")
    if limits is None:
        return None
    value = min(unit.fan_sp_pct + rng.choice(STEP_PCT), limits.high)
    if value <= unit.fan_sp_pct:
        return None
    action = Action("set_fan_speed", unit.tag, {"fan_speed_pct": value})
    return action, f"Setting the fan of {unit.name} to {value:g} %", ""


def _fan_down(situation: Situation, unit: CoolingUnit, rng: Random) -> Any:
    limits = situation.limits.get(f"{unit.tag}.fan_speed_sp_pct")
    value = unit.fan_sp_pct - rng.choice(STEP_PCT)
    if limits is None or value < limits.low:
        return None
    action = Action("set_fan_speed", unit.tag, {"fan_speed_pct": value})
    truth = f"the fan is at {unit.fan_sp_pct:g} %, so {value:g} % moves less air"
    return action, f"Setting the fan of {unit.name} to {value:g} %", truth


def _supply_up(situation: Situation, unit: CoolingUnit, rng: Random) -> Any:
    limits = situation.limits.get(f"{unit.tag}.supply_sp_c")
    value = unit.supply_sp_c + rng.choice(STEP_K)
    if limits is None or value > limits.high:
        return None
    name = next(iter(KINDS["set_supply_setpoint"].schema(unit.tag, situation)["properties"]))
    action = Action("set_supply_setpoint", unit.tag, {name: value})
    truth = f"the supply setpoint is {unit.supply_sp_c:g} °C, so {value:g} °C is warmer air"
    return action, f"Setting the supply air of {unit.name} to {value:g} °C", truth


def _writes(action: Action, situation: Situation) -> Sequence[Any]:
    return KINDS[action.kind].writes(action, situation)


def _readings(situation: Situation, *tags: str) -> list[dict[str, Any]]:
    return [
        {"kind": "reading", "tag": tag, "value": m.value, "unit": m.unit, "at": iso_utc(m.ts)}
        for tag in dict.fromkeys(tags)
        if (m := situation.values.get(tag)) is not None
    ]


def _steps(kind_name: str, *, instructing: bool) -> list[dict[str, Any]]:
    """Numbered steps in force near this action that do (or do not) instruct it, as citations."""
    from rag.retrieval.search import search

    kind = KINDS[kind_name]
    hits = search(query=kind.query, k=10, kinds=["eop", "sop", "mop"]).hits
    return [
        cite(Passage.of(hit))
        for hit in hits
        if hit.step not in (None, "") and kind.instructed_by(hit.section) == instructing
    ]


def _reading_before(rack: RackState, situation: Situation) -> dict[str, Any] | None:
    """The highest inlet of that rack from hours ago, if it was clearly another one than now."""
    from facilities.selectors import point_series

    tag, now = f"{rack.tag}.inlet_c", timezone.now()
    series = point_series(
        tag=tag, start=now - timedelta(hours=24), end=now - timedelta(seconds=OLD_S)
    )
    rows = [(v, t) for v, t in zip(series.values, series.ts, strict=True) if v is not None]
    if not rows:
        return None
    value, ts = max(rows)
    if value < situation.values[tag].value + 1.0:
        return None
    from datetime import UTC, datetime

    at = iso_utc(datetime.fromtimestamp(ts, UTC))
    return {"kind": "reading", "tag": tag, "value": value, "unit": series.unit, "at": at}
