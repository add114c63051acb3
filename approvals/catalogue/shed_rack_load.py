"""Cap the load of one rack: computing work is lost, so this is the last resort and high risk."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.heat import rack_to_relieve
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

CAPS_PCT = (70.0, 50.0)


class ShedRackLoad(SetPoint):
    name = "shed_rack_load"
    title = "Shed rack load"
    risk = "high"
    target_kind = "rack"
    points = (("rack", "load_cap_pct"),)
    quantity, param, label = "load_cap_pct", "load_cap_pct", "Load cap of the rack"
    cool_down_s = 60.0  # assumed: GPUs follow a cap within seconds, air within a minute
    summary = "Cap the electrical load of a rack. Jobs on it slow down or stop."
    step_words = (("shed", "cap "), ("rack",))
    query = "shed load on a rack, load cap, thermal emergency"

    def candidates(self, situation: Situation) -> list[Action]:
        rack = rack_to_relieve(situation)
        limits = situation.limits.get(self.tag(rack.tag)) if rack else None
        if rack is None or limits is None:
            return []
        return [
            Action(self.name, rack.tag, {self.param: cap})
            for cap in CAPS_PCT
            if limits.low <= cap <= limits.high and cap < rack.load_cap_pct
        ]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            Condition(
                self.tag(action.target),
                ">",
                self.value(action),
                "the new cap must be below the present one, or nothing is shed",
            )
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        rack = situation.rack(action.target)
        before = rack.load_cap_pct if rack else 100.0
        share = max(0.0, before - self.value(action)) / max(before, 1.0)
        return inlet_expectation(
            situation,
            rack=action.target,
            relief_w=share * (rack.power_w if rack else 0.0),
            rollback=self.undo(action, situation),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Cap load of {name} at {self.value(action):g} %"
