"""Carry out a written procedure step by step, with its hold points. The document in force is bound
by revision and file digest: another revision needs another signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from approvals.catalogue.base import (
    MOMENTARY,
    Action,
    ActionKind,
    Condition,
    Expectation,
    Target,
    Write,
)
from approvals.catalogue.cooling import inlet_expectation
from approvals.catalogue.procedures import Procedure, steps_as_dicts
from approvals.catalogue.restore import restoring
from approvals.catalogue.schemas import object_schema
from approvals.catalogue.situation import Situation
from approvals.errors import InvalidActionError

# Classes from the lowest to the highest.
RISKS = ("low", "medium", "high")


class RunProcedure(ActionKind):
    """Writes only what the text orders, on points that other kinds of the catalogue write too, and
    inside their limits. `orders` are those points: (kind of asset, quantity).
    """

    name = "run_procedure"
    title = "Run procedure"
    risk = "high"
    target_kind = "crac"
    summary = "Carry out a numbered procedure in force: its setpoints in order, with its holds."
    step_words = (("procedure",), ("run", "carry out", "follow", "start"))
    query = "carry out the procedure step by step"
    needs_procedures = True

    def __init__(self, points: Iterable[tuple[str, str]]) -> None:
        self.orders = frozenset(points)

    def acts_on(self, kind: str) -> bool:
        """Any kind of asset that some other kind of action moves."""
        return any(kind == of for of, _ in self.orders)

    def targets(self, situation: Situation) -> list[Target]:
        """The assets that a procedure moves which can be carried out."""
        tags = {tag for found in self._possible(situation) for tag in found.assets}
        return [Target(tag, situation.name(tag)) for tag in sorted(tags)]

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        mine = [found for found in self._possible(situation) if target in found.assets]
        if not mine:
            raise InvalidActionError(
                f"no procedure in force sets a point of {target} in a way that can be carried out"
            )
        return {
            **object_schema(
                {
                    "document": {
                        "type": "string",
                        "enum": [found.document for found in mine],
                        "description": "Procedure",
                        "x-names": {found.document: found.title for found in mine},
                    },
                    "revision": {
                        "type": "integer",
                        "description": "Revision in force",
                        "x-values": {found.document: found.revision for found in mine},
                        **({"default": mine[0].revision} if len(mine) == 1 else {}),
                    },
                }
            ),
            "allOf": [
                {
                    "if": {"properties": {"document": {"const": found.document}}},
                    "then": {"properties": {"revision": {"const": found.revision}}},
                }
                for found in mine
            ],
        }

    def candidates(self, situation: Situation) -> list[Action]:
        """None: a procedure as a whole is a person's choice."""
        return []

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        """What the prerequisites demand of points, in so far as they can be read."""
        found, conditions = self._chosen(action, situation), []
        for demand in found.prerequisites:
            measured = situation.values.get(demand.tag)
            value = demand.in_unit(measured.unit) if measured else demand.value
            if value is not None:
                why = f"prerequisite of {found.document.upper()}"
                conditions.append(Condition(demand.tag, demand.op, value, why))
        return conditions

    def steps(self, action: Action, situation: Situation) -> list[dict[str, Any]]:
        found = self._chosen(action, situation)
        units = {tag: measured.unit for tag, measured in situation.values.items()}
        units |= {tag: limits.unit for tag, limits in situation.limits.items()}
        steps = steps_as_dicts(found, units)
        for step in steps:
            step["writes"] = [_write(w["tag"], w["value"]).as_dict() for w in step["writes"]]
        return steps

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        return [
            _write(write["tag"], write["value"])
            for step in self.steps(action, situation)
            for write in step["writes"]
        ]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """The racks stay cool all the while; each step is confirmed on its own."""
        tags = [write.tag for write in self.writes(action, situation) if write.read_back]
        return inlet_expectation(situation, relief_w=0.0, rollback=restoring(tags, situation))

    def risk_of(self, action: Action, situation: Situation) -> str:
        """As the procedure says of itself, at least medium; high where it says nothing."""
        said = self._chosen(action, situation).risk
        return max(said, "medium", key=RISKS.index) if said in RISKS else self.risk

    def sentence(self, action: Action, name: str) -> str:
        document, revision = str(action.params["document"]), action.params["revision"]
        return f"Run {document.upper()} revision {revision} on {name}"[:200]

    def _chosen(self, action: Action, situation: Situation) -> Procedure:
        document, revision = action.params["document"], action.params["revision"]
        found = next((p for p in situation.procedures if p.document == document), None)
        if found is None or found.revision != revision:
            now = f"revision {found.revision} is" if found else "none of it is"
            raise InvalidActionError(
                f"{document} revision {revision} is not in force: {now}; propose it again"
            )
        if problem := self._problem(found, situation):
            raise InvalidActionError(f"{document} cannot be carried out: {problem}")
        return found

    def _possible(self, situation: Situation) -> list[Procedure]:
        return [p for p in situation.procedures if not self._problem(p, situation)]

    def _problem(self, procedure: Procedure, situation: Situation) -> str:
        """Why it cannot be carried out; "" where it can."""
        if not procedure.orders:
            return "it names no point to set"
        for order in procedure.orders:
            asset, _, quantity = order.tag.rpartition(".")
            if (situation.kind_of(asset), quantity) not in self.orders:
                return f"no kind of action writes {order.tag}"
            limits = situation.limits.get(order.tag)
            if limits is None:
                return f"{order.tag} is not writable"
            value = order.in_unit(limits.unit)
            if value is None:
                return f"it sets {order.tag} in {order.unit}, the point is in {limits.unit}"
            if not limits.low <= value <= limits.high:
                return (
                    f"it sets {order.tag} to {value:g}, outside {limits.low:g}…{limits.high:g} "
                    f"{limits.unit}"
                )
        return ""


def _write(tag: str, value: float) -> Write:
    return Write(tag, float(value), read_back=tag.rpartition(".")[2] not in MOMENTARY)
