"""What the kinds that set one number share: limits from the point, write, rollback."""

from __future__ import annotations

from typing import Any, ClassVar

from approvals.catalogue.base import Action, ActionKind, Condition, Write
from approvals.catalogue.restore import restoring
from approvals.catalogue.schemas import number_schema
from approvals.catalogue.situation import Situation


class SetPoint(ActionKind):
    """One parameter `param` that goes to the point `quantity` of the target.

    Subclasses add the conditions, the candidates and what should be measured.
    """

    quantity: ClassVar[str]
    param: ClassVar[str]
    # What the parameter is called in a form.
    label: ClassVar[str]

    def tag(self, target: str) -> str:
        """The point that is written."""
        return f"{target}.{self.quantity}"

    def value(self, action: Action) -> float:
        """The value that is asked for, in the point's unit."""
        return float(action.params[self.param])

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return number_schema(
            name=self.param, tag=self.tag(target), situation=situation, description=self.label
        )

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        return [Write(self.tag(action.target), self.value(action))]

    def change(self, action: Action) -> Condition:
        """The point is somewhere else now, or nothing would change."""
        return Condition(
            self.tag(action.target), "!=", self.value(action), "the setpoint is not there already"
        )

    def undo(self, action: Action, situation: Situation) -> tuple[Write, ...]:
        """Back to the present value."""
        return restoring([self.tag(action.target)], situation)
