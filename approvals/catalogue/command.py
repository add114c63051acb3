"""What the kinds that give one command share: a point, a fixed value, no parameters."""

from __future__ import annotations

from typing import Any, ClassVar

from approvals.catalogue.base import Action, ActionKind, Condition, Write
from approvals.catalogue.restore import restoring
from approvals.catalogue.schemas import command_schema
from approvals.catalogue.situation import Situation


class Command(ActionKind):
    """Writes `order` to the point `quantity` of the target."""

    quantity: ClassVar[str]
    order: ClassVar[float]
    verb: ClassVar[str]

    def tag(self, target: str) -> str:
        """The point that is written."""
        return f"{target}.{self.quantity}"

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return command_schema(tag=self.tag(target), situation=situation)

    def candidates(self, situation: Situation) -> list[Action]:
        """None: only people ask for it."""
        return []

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        return [Write(self.tag(action.target), self.order)]

    def change(self, action: Action, why: str) -> Condition:
        """The command is not given already."""
        op = "<" if self.order >= 1 else ">="
        return Condition(self.tag(action.target), op, 1, why)

    def confirmed(self, action: Action, why: str) -> Condition:
        """The point reads the command afterwards."""
        op = ">=" if self.order >= 1 else "<"
        return Condition(self.tag(action.target), op, 1, why)

    def undo(self, action: Action, situation: Situation) -> tuple[Write, ...]:
        """Back to the present value."""
        return restoring([self.tag(action.target)], situation)

    def sentence(self, action: Action, name: str) -> str:
        return f"{self.verb} {name}"


class RunCommand(Command):
    """Starts (`order` 1) or stops (0) a machine by its run command."""

    quantity = "run_cmd"

    def reported(self, action: Action) -> Condition:
        """The machine says that it runs, or that it does not."""
        if self.order >= 1:
            return Condition(f"{action.target}.running", ">=", 1, "the unit reports that it runs")
        return Condition(f"{action.target}.running", "<", 1, "the unit reports that it stopped")
