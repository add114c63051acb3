"""Cap the load of one rack: computing work is lost, so this is the last resort and high risk."""

from __future__ import annotations

from typing import Any

from approvals.catalogue.base import (
    Action,
    ActionKind,
    Condition,
    Expectation,
    Write,
    number_schema,
)
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.situation import Situation

# Inlet from which shedding is considered at all, °C: between the recommended 27 and the allowable
# 32 of ASHRAE TC 9.9 class A1 (the middle is assumed).
SHED_FROM_C = 30.0
CAPS_PCT = (70.0, 50.0)
# What less load helps against: heat and electrical load. A GPU that fell off its bus, or a link
# with errors, is not helped by slowing its neighbours.
HELPS_AGAINST = frozenset(
    {"inlet_c", "outlet_c", "temp_c", "power_w", "current_a", "load_w", "load_pct", "runtime_s"}
)


class ShedRackLoad(ActionKind):
    name = "shed_rack_load"
    title = "Shed rack load"
    risk = "high"
    target_kind = "rack"
    summary = "Cap the electrical load of a rack. Jobs on it slow down or stop."
    step_words = (("shed", "cap "), ("rack",))
    query = "shed load on a rack, load cap, thermal emergency"

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return number_schema(
            name="load_cap_pct",
            tag=f"{target}.load_cap_pct",
            situation=situation,
            description="Load cap of the rack",
        )

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.quantity not in HELPS_AGAINST:
            return []
        rack = situation.rack(situation.subject_rack)
        if rack is None or (situation.quantity == "inlet_c" and rack.inlet_c < SHED_FROM_C):
            return []
        limits = situation.limits.get(f"{rack.tag}.load_cap_pct")
        if limits is None:
            return []
        return [
            Action(self.name, rack.tag, {"load_cap_pct": cap})
            for cap in CAPS_PCT
            if limits.low <= cap < rack.load_cap_pct
        ]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            Condition(
                f"{action.target}.load_cap_pct",
                ">",
                action.params["load_cap_pct"],
                "the new cap must be below the present one, or nothing is shed",
            )
        ]

    def writes(self, action: Action) -> list[Write]:
        return [Write(f"{action.target}.load_cap_pct", action.params["load_cap_pct"])]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        rack = situation.rack(action.target)
        before = rack.load_cap_pct if rack else 100.0
        share = max(0.0, before - action.params["load_cap_pct"]) / max(before, 1.0)
        return inlet_expectation(
            situation,
            rack=action.target,
            relief_w=share * (rack.power_w if rack else 0.0),
            rollback=(Write(f"{action.target}.load_cap_pct", before),),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Cap load of {name} at {action.params['load_cap_pct']:g} %"
