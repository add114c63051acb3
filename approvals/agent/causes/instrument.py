"""The instrument, not the plant: sensors that disagree with their redundants, the twin, the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median

from approvals.agent.causes.base import Suspicion, rule
from approvals.agent.facts import Facts, Thing

# A rack's probe and the middle of its servers' own inlet sensors differ less when both are right
# (assumed: half of the demo plant's instrument drift), K.
AGREE_K = 2.5
# Temperatures that a controller holds: with what, and between which values of that it has room left
# either way, % (assumed).
EFFORT: Mapping[tuple[str, str], tuple[str, float, float]] = {
    ("crac", "supply_c"): ("valve_pct", 40.0, 70.0),
    ("cdu", "supply_c"): ("valve_pct", 20.0, 80.0),
    ("tower", "leaving_c"): ("fan_speed_pct", 20.0, 90.0),
}


@rule
def rules_of_instruments(facts: Facts) -> Iterator[Suspicion]:
    """The alarm itself says that the sensor or its source is not to be trusted."""
    occasion = facts.occasion
    if not occasion.of_instrument:
        return
    yield (
        _suspicion(facts, occasion.point, occasion.asset, prior=2.0)
        .speaks(True, f"{occasion.what} on {occasion.point}", 60)
        .refuted(f"{occasion.point} sends good readings for 2 min")
    )


@rule
def doubted(facts: Facts) -> Iterator[Suspicion]:
    """The point in question is doubted by the quality tests, the twin or its redundants."""
    for tag in _in_question(facts):
        asset, _, quantity = tag.rpartition(".")
        doubt, residual = facts.doubts.get(tag), facts.residuals.get(tag)
        thing = facts.things.get(asset)
        disagrees = redundants(facts, thing) if quantity == "inlet_c" and thing else ""
        if not (doubt or residual or disagrees):
            continue
        about = facts.occasion.point == tag
        explained = _explained(facts, asset)
        yield (
            _suspicion(facts, tag, asset, prior=0.6 if about else 0.3)
            .speaks(bool(doubt), f"the quality tests doubt {tag}: {doubt}", 6)
            .speaks(
                bool(residual),
                f"{tag} is {abs(residual['z']) if residual else 0:.1f} standard deviations from "
                "what the twin expects",
                2,
            )
            .speaks(bool(disagrees), disagrees, 40)
            .speaks(bool(explained), explained, 0.05)
            .refuted(f"{tag} agrees with its redundant sensors and with the twin")
        )


@rule
def controllers_calm(facts: Facts) -> Iterator[Suspicion]:
    """A temperature is off, and the controller that holds it does not strive: it has room left."""
    occasion = facts.occasion
    effort = EFFORT.get((occasion.asset_kind, occasion.quantity))
    if effort is None or occasion.of_instrument:
        return
    quantity, low, high = effort
    shown = facts.value(occasion.asset, quantity)
    if shown is None or not low <= shown < high:
        return
    yield (
        _suspicion(facts, occasion.point, occasion.asset, prior=0.6)
        .speaks(
            True,
            f"{occasion.asset}.{quantity} stands at {shown:.0f} %: its controller has room left and "
            "does not use it",
            12,
        )
        .refuted(f"{occasion.asset}.{quantity} runs to its end while {occasion.point} stays off")
    )


def _in_question(facts: Facts) -> list[str]:
    """The occasion's own point, and what the quality tests doubt where no alarm is looked at."""
    tags = [facts.occasion.point] if facts.occasion.point else []
    if facts.occasion.alarm is None:
        tags += [t for t in facts.doubts if facts.occasion.asset in ("", t.rpartition(".")[0])]
    return list(dict.fromkeys(tags))


def _suspicion(facts: Facts, tag: str, asset: str, *, prior: float) -> Suspicion:
    return Suspicion(
        "instrument",
        asset,
        f"the sensor {tag} is wrong, not the plant",
        "instruments",
        prior,
        frozenset(),
        {f"open_work_order@{asset}": 1.0},
        of_instrument=True,
    )


def redundants(facts: Facts, rack: Thing) -> str:
    """How a rack's inlet probe differs from its servers' own inlet sensors; "" where it agrees."""
    probe = facts.value(rack.tag, "inlet_c")
    inside = [
        value
        for server in facts.of_kind("server")
        if server.rack == rack.tag and (value := facts.value(server.tag, "inlet_c")) is not None
    ]
    if probe is None or len(inside) < 2 or abs(probe - median(inside)) <= AGREE_K:
        return ""
    return (
        f"{rack.tag}.inlet_c = {probe:.1f} °C, but its {len(inside)} servers measure "
        f"{median(inside):.1f} °C at their inlets"
    )


def _explained(facts: Facts, asset: str) -> str:
    """A fault of the plant that explains an unusual value as well."""
    faults = [
        a.tag for a in facts.alarms if a.quantity in ("fault", "wet", "door_open", "on_battery")
    ]
    others = [tag for tag in faults if tag.rpartition(".")[0] != asset]
    return f"{others[0]} is on, which explains unusual values" if others else ""
