"""Raise or lower the fan of a running CRAC."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import chilled_water, inlet_expectation
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# Steps offered above the present setpoint, percentage points (assumed: half and all of the usual
# reserve).
STEPS_PCT = (15.0, 30.0)


class SetFanSpeed(SetPoint):
    name = "set_fan_speed"
    title = "Set fan speed"
    risk = "low"
    target_kind = "crac"
    points = (("crac", "fan_speed_sp_pct"),)
    quantity, param, label = "fan_speed_sp_pct", "fan_speed_pct", "Fan speed setpoint"
    cool_down_s = 60.0  # assumed: room air answers within a minute
    summary = "Set the fan speed of a running CRAC. Airflow follows the speed, fan power its cube."
    step_words = (("fan",), ("raise", "increase"), ("speed",))
    query = "raise CRAC fan speed setpoint, rack inlet temperature high"

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.quantity != "inlet_c" and not situation.lost_units:
            return []
        actions = []
        for unit in situation.running_units:
            limits = situation.limits.get(self.tag(unit.tag))
            if limits is None:
                continue
            for value in sorted({min(unit.fan_sp_pct + step, limits.high) for step in STEPS_PCT}):
                if value >= max(unit.fan_sp_pct + 5, limits.low):
                    actions.append(Action(self.name, unit.tag, {self.param: value}))
        return actions

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.running", ">=", 1, "only a running fan follows its setpoint"),
            Condition(f"{tag}.fault", "<", 1, "a faulted unit must be left to the technician"),
            self.change(action),
            *chilled_water(situation),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        gain = (self.value(action) - (unit.fan_sp_pct if unit else 0.0)) / 100
        return inlet_expectation(
            situation,
            relief_w=max(0.0, gain * (unit.sensible_w if unit else 0.0)),
            rollback=self.undo(action, situation),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Set fan of {name} to {self.value(action):g} %"
