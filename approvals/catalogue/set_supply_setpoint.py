"""Lower or raise the supply air setpoint of a running CRAC."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import chilled_water, inlet_expectation
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# Steps offered below the present setpoint, K (assumed: small enough to stay above the dew point of
# the hall).
STEPS_K = (2.0, 3.0)


class SetSupplySetpoint(SetPoint):
    name = "set_supply_setpoint"
    title = "Set supply air setpoint"
    risk = "low"
    target_kind = "crac"
    points = (("crac", "supply_sp_c"),)
    quantity, param, label = "supply_sp_c", "supply_c", "Supply air setpoint"
    cool_down_s = 120.0  # assumed: the coil's valve settles in two minutes
    summary = "Set the supply air temperature of a running CRAC."
    step_words = (("supply",), ("setpoint", "set point"), ("lower", "reduce", "decrease"))
    query = "lower CRAC supply air setpoint, rack inlet temperature high"

    def candidates(self, situation: Situation) -> list[Action]:
        if situation.quantity != "inlet_c" and not situation.lost_units:
            return []
        actions = []
        for unit in situation.running_units:
            limits = situation.limits.get(self.tag(unit.tag))
            if limits is None:
                continue
            for value in sorted({max(unit.supply_sp_c - step, limits.low) for step in STEPS_K}):
                if value <= min(unit.supply_sp_c - 0.5, limits.high):
                    actions.append(Action(self.name, unit.tag, {self.param: value}))
        return actions

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.running", ">=", 1, "only a running unit controls its supply air"),
            Condition(f"{tag}.fault", "<", 1, "a faulted unit must be left to the technician"),
            self.change(action),
            *chilled_water(situation),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        before = unit.supply_sp_c if unit else self.value(action)
        drop_k = max(0.0, before - self.value(action))
        return inlet_expectation(
            situation,
            relief_w=drop_k * (unit.air_w_per_k if unit else 0.0),
            rollback=self.undo(action, situation),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Set supply air of {name} to {self.value(action):g} °C"
