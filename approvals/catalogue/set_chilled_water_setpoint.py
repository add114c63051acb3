"""Lower or raise the leaving water setpoint of a running chiller."""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# Steps offered below the present setpoint, K (assumed).
STEPS_K = (1.0, 2.0)
# How near the water has to come to its setpoint, K (assumed: twice the alarm's usual deviation).
NEAR_K = 1.0
# Water in a ring answers slower than air: times the effect window (assumed; EOP-CHW-01 gives four
# minutes).
SLOWER = 2.5


class SetChilledWaterSetpoint(SetPoint):
    name = "set_chilled_water_setpoint"
    title = "Set chilled water setpoint"
    risk = "medium"
    target_kind = "chiller"
    points = (("chiller", "supply_sp_c"),)
    quantity, param, label = "supply_sp_c", "chilled_water_c", "Leaving water setpoint"
    cool_down_s = 600.0  # assumed: a ring of water settles in ten minutes
    summary = "Set the leaving water temperature of a running chiller: every coil on it follows."
    step_words = (
        ("chilled water", "leaving water"),
        ("setpoint", "set point"),
        ("lower", "colder"),
    )
    step_not = ("return", "raise")
    query = "chilled water supply setpoint of the chiller, lower or raise leaving water temperature"

    def candidates(self, situation: Situation) -> list[Action]:
        """Colder water while an alarm says that it is warm."""
        if situation.quantity != "supply_c" or situation.subject_kind not in ("chiller", "crac"):
            return []
        actions = []
        for machine in situation.machines:
            tag = self.tag(machine.tag)
            limits = situation.limits.get(tag)
            if machine.kind != "chiller" or not machine.running or machine.fault or limits is None:
                continue
            present = situation.value(tag, limits.high)
            for value in sorted({max(present - step, limits.low) for step in STEPS_K}):
                if situation.has(tag) and value <= min(present - 0.5, limits.high):
                    actions.append(Action(self.name, machine.tag, {self.param: value}))
        return actions

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        tag = action.target
        return [
            Condition(f"{tag}.running", ">=", 1, "only a running chiller holds its setpoint"),
            Condition(f"{tag}.fault", "<", 1, "a tripped chiller must be left to the engineer"),
            self.change(action),
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """Lower: the water comes down. Higher: the racks stay cool all the same."""
        water, rollback = f"{action.target}.supply_c", self.undo(action, situation)
        present = situation.value(self.tag(action.target), self.value(action))
        if self.value(action) > present or not situation.has(water):
            return inlet_expectation(situation, relief_w=0.0, rollback=rollback)
        goal, window_s = self.value(action) + NEAR_K, SLOWER * situation.window_s
        return Expectation(
            tag=water,
            direction="below",
            threshold=goal,
            unit="Cel",
            window_s=window_s,
            sentence=f"Chilled water gets below {goal:g} °C within {window_s:.0f} s "
            f"(now {situation.value(water):.1f} °C)",
            relief_w=0.0,
            rollback=rollback,
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Set chilled water of {name} to {self.value(action):g} °C"

    def merit(self, action: Action, situation: Situation) -> float | None:
        return 0.6 if situation.quantity == "supply_c" else None
