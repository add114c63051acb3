"""Raise or lower the fan of a running CRAC."""

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
from approvals.catalogue.cooling import chilled_water, inlet_expectation
from approvals.catalogue.situation import Situation

# Steps offered above the present setpoint, percentage points (assumed: half and all of the usual
# reserve).
STEPS_PCT = (15.0, 30.0)


class SetFanSpeed(ActionKind):
    name = "set_fan_speed"
    title = "Set fan speed"
    risk = "low"
    target_kind = "crac"
    summary = "Set the fan speed of a running CRAC. Airflow follows the speed, fan power its cube."
    step_words = (("fan",), ("raise", "increase"), ("speed",))
    query = "raise CRAC fan speed setpoint, rack inlet temperature high"

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return number_schema(
            name="fan_speed_pct",
            tag=f"{target}.fan_speed_sp_pct",
            situation=situation,
            description="Fan speed setpoint",
        )

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.quantity != "inlet_c" and not situation.lost_units:
            return []
        actions = []
        for unit in situation.running_units:
            limits = situation.limits.get(f"{unit.tag}.fan_speed_sp_pct")
            if limits is None:
                continue
            for value in sorted({min(unit.fan_sp_pct + step, limits.high) for step in STEPS_PCT}):
                if value >= unit.fan_sp_pct + 5:
                    actions.append(Action(self.name, unit.tag, {"fan_speed_pct": value}))
        return actions

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        conditions = [
            Condition(f"{tag}.running", ">=", 1, "only a running fan follows its setpoint"),
            Condition(f"{tag}.fault", "<", 1, "a faulted unit must be left to the technician"),
            Condition(
                f"{tag}.fan_speed_sp_pct",
                "!=",
                action.params["fan_speed_pct"],
                "the setpoint is not there already",
            ),
        ]
        return [*conditions, *chilled_water(situation)]

    def writes(self, action: Action) -> list[Write]:
        return [Write(f"{action.target}.fan_speed_sp_pct", action.params["fan_speed_pct"])]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        before = unit.fan_sp_pct if unit else 0.0
        gain = (action.params["fan_speed_pct"] - before) / 100
        return inlet_expectation(
            situation,
            relief_w=max(0.0, gain * (unit.sensible_w if unit else 0.0)),
            rollback=(Write(f"{action.target}.fan_speed_sp_pct", before),),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Set fan of {name} to {action.params['fan_speed_pct']:g} %"
