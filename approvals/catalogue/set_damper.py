"""Open or close the discharge damper of a CRAC, e.g. to stop warm air from flowing back through a
unit that stands still.
"""

from __future__ import annotations

from approvals.catalogue.base import Action, Condition, Expectation
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.setpoint import SetPoint
from approvals.catalogue.situation import Situation

# A fan may not blow against a damper that is more closed than this, % (assumed).
LEAST_RUNNING_PCT = 30.0
# Share of the hall's air that flows back through the open damper of a tripped unit (the demo
# plant's; docs/demo-plant.md).
BACK_FLOW = 0.03


class SetDamper(SetPoint):
    name = "set_damper"
    title = "Set discharge damper"
    risk = "medium"
    target_kind = "crac"
    points = (("crac", "damper_pct"),)
    quantity, param, label = "damper_pct", "damper_pct", "Damper position, 0 closed … 100 open"
    cool_down_s = 60.0  # assumed: an actuator travels in a minute
    summary = (
        "Open or close the discharge damper of a CRAC. Closed, it stops back-flow of warm air."
    )
    step_words = (("damper",),)
    query = "close or open the discharge damper of a CRAC, back-flow of warm air"

    def candidates(self, situation: Situation) -> list[Action]:
        """Closed on a lost unit whose fan stands, open on a running unit that blows against it."""
        actions = []
        for unit in situation.units:
            tag = self.tag(unit.tag)
            limits = situation.limits.get(tag)
            if limits is None or not situation.has(tag):
                continue
            present = situation.value(tag)
            if unit.lost and not unit.running and present > limits.low:
                grounds = (Condition(f"{unit.tag}.fault", ">=", 1, f"{unit.name} is still lost"),)
                actions.append(
                    Action(
                        self.name, unit.tag, {self.param: limits.low}, grounds if unit.fault else ()
                    )
                )
            elif unit.running and not unit.fault and present < min(100.0, limits.high) - 5:
                actions.append(Action(self.name, unit.tag, {self.param: min(100.0, limits.high)}))
        return actions

    def instructed_by(self, heading: str, action: Action | None = None) -> bool:
        """A step that closes a damper does not instruct to open one."""
        if not super().instructed_by(heading):
            return False
        way = "" if action is None else "close" if self.value(action) < 50 else "open"
        return way in heading.lower()

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        conditions = [self.change(action)]
        if self.value(action) < LEAST_RUNNING_PCT:
            conditions.append(
                Condition(
                    f"{action.target}.running", "<", 1,
                    f"a running fan must not blow against a damper below {LEAST_RUNNING_PCT:g} %",
                )
            )  # fmt: skip
        return conditions

    def effect(self, action: Action, situation: Situation) -> Expectation:
        unit = situation.unit(action.target)
        share = abs(self.value(action) - situation.value(self.tag(action.target))) / 100
        return inlet_expectation(
            situation,
            relief_w=BACK_FLOW * share * (unit.sensible_w if unit else 0.0),
            rollback=self.undo(action, situation),
        )

    def sentence(self, action: Action, name: str) -> str:
        value = self.value(action)
        if value <= 0:
            return f"Close damper of {name}"
        return f"Open damper of {name}" if value >= 100 else f"Set damper of {name} to {value:g} %"
