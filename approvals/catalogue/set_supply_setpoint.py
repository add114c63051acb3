"""Lower or raise the supply air setpoint of a running CRAC."""

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

# Steps offered below the present setpoint, K (assumed: small enough to stay above the dew point of
# the hall).
STEPS_K = (2.0, 3.0)


class SetSupplySetpoint(ActionKind):
    name = "set_supply_setpoint"
    title = "Set supply air setpoint"
    risk = "low"
    target_kind = "crac"
    summary = "Set the supply air temperature of a running CRAC."
    step_words = (("supply",), ("setpoint", "set point"), ("lower", "reduce", "decrease"))
    query = "lower CRAC supply air setpoint, rack inlet temperature high"

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return number_schema(
            name="supply_c",
            tag=f"{target}.supply_sp_c",
            situation=situation,
            description="Supply air setpoint",
        )

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.quantity != "inlet_c" and not situation.lost_units:
            return []
        actions = []
        for unit in situation.running_units:
            limits = situation.limits.get(f"{unit.tag}.supply_sp_c")
            if limits is None:
                continue
            for value in sorted({max(unit.supply_sp_c - step, limits.low) for step in STEPS_K}):
                if value <= unit.supply_sp_c - 0.5:
                    actions.append(Action(self.name, unit.tag, {"supply_c": value}))
        return actions

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        conditions = [
            Condition(f"{tag}.running", ">=", 1, "only a running unit controls its supply air"),
            Condition(f"{tag}.fault", "<", 1, "a faulted unit must be left to the technician"),
            Condition(
                f"{tag}.supply_sp_c",
                "!=",
                action.params["supply_c"],
                "the setpoint is not there already",
            ),
        ]
        return [*conditions, *chilled_water(situation)]

    def writes(self, action: Action) -> list[Write]:
        return [Write(f"{action.target}.supply_sp_c", action.params["supply_c"])]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        before = unit.supply_sp_c if unit else action.params["supply_c"]
        drop_k = max(0.0, before - action.params["supply_c"])
        return inlet_expectation(
            situation,
            relief_w=drop_k * (unit.air_w_per_k if unit else 0.0),
            rollback=(Write(f"{action.target}.supply_sp_c", before),),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Set supply air of {name} to {action.params['supply_c']:g} °C"
