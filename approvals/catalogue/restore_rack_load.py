"""Raise the load cap of a rack again once cooling and supply carry it."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# Highest inlet from which load is given back, °C (EOP-LOAD-01 step 6).
CALM_C = 26.0
# The next cap that is offered, % (EOP-LOAD-01 step 6: first 80, then 100).
STEPS_PCT = (80.0, 100.0)


class RestoreRackLoad(SetPoint):
    name = "restore_rack_load"
    title = "Restore rack load"
    risk = "medium"
    target_kind = "rack"
    points = (("rack", "load_cap_pct"),)
    quantity, param, label = "load_cap_pct", "load_cap_pct", "Load cap of the rack"
    cool_down_s = 300.0  # EOP-LOAD-01 step 6: wait 5 minutes between two steps
    summary = "Raise the load cap of a rack: its jobs take their power again within seconds."
    step_words = (("return", "restore", "raise"), ("load", "cap", "rack"))
    query = "return the load of a rack in steps after shedding, raise the load cap"

    def candidates(self, situation: Situation) -> list[Action]:
        """The coolest capped rack, one step up, while no alarm asks for anything and no unit is
        lost."""
        hottest = situation.hottest
        if situation.quantity or situation.lost_units or not hottest or hottest.inlet_c > CALM_C:
            return []
        for rack in sorted(situation.racks, key=lambda r: r.inlet_c):
            limits = situation.limits.get(self.tag(rack.tag))
            if limits is None or not situation.has(self.tag(rack.tag)):
                continue
            for cap in STEPS_PCT:
                if rack.load_cap_pct < cap <= limits.high:
                    return [Action(self.name, rack.tag, {self.param: max(cap, limits.low)})]
        return []

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(
                self.tag(tag), "<", self.value(action), "the new cap must be above the present one"
            ),
            Condition(
                f"{tag}.inlet_c", "<=", CALM_C, "the rack must be cool before it gets more load"
            ),
            *(
                Condition(f"{u.tag}.fault", "<", 1, f"{u.name} must carry its share of the heat")
                for u in situation.running_units
            ),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        return inlet_expectation(
            situation, rack=action.target, relief_w=0.0, rollback=self.undo(action, situation)
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Raise load cap of {name} to {self.value(action):g} %"
