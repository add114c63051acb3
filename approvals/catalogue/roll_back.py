"""Undo what an executed proposal wrote. Only the platform makes one (`services/rollback.py`)."""

from __future__ import annotations

from typing import Any, ClassVar

from approvals.catalogue.base import (
    NO_PARAMS,
    Action,
    ActionKind,
    Condition,
    Expectation,
    Write,
)
from approvals.catalogue.situation import Situation


class RollBack(ActionKind):
    """`params`: {of: id of the proposal, title: its title, writes: [{tag, value, from}]}.

    `value` is what the point held before the proposal, `from` what the proposal wrote. That it
    still holds that is a precondition: a setpoint that somebody has changed since is left alone.
    """

    name = "roll_back"
    title = "Roll back"
    # As high as that of what it undoes: `services.rollback` hands it over.
    risk = "medium"
    target_kind = ""
    summary = "Write back the values that an executed proposal had replaced."
    step_words = (("roll back", "rollback", "restore"),)
    query = "roll back a setpoint to its previous value"
    is_internal: ClassVar[bool] = True

    def acts_on(self, asset_kind: str) -> bool:
        """Whatever was written."""
        return True

    def targets(self, situation: Situation) -> list[Any]:
        """None to choose from: a rollback follows from a proposal."""
        return []

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return NO_PARAMS

    def candidates(self, situation: Situation) -> list[Action]:
        return []

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        return [
            Condition(
                write["tag"],
                "==",
                float(write["from"]),
                f"it still holds what #{_of(action)} wrote, so undoing it undoes that and no more",
            )
            for write in _rows(action)
            if write["tag"] in situation.values
        ]

    def writes(self, action: Action, situation: Situation | None = None) -> list[Write]:
        return [Write(write["tag"], float(write["value"])) for write in _rows(action)]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        """The first point is back on its old side of the middle between both values."""
        first, *_ = _rows(action)
        old, new = float(first["value"]), float(first["from"])
        limits = situation.limits.get(first["tag"])
        return Expectation(
            tag=first["tag"] if old != new else "",
            direction="below" if old < new else "above",
            threshold=(old + new) / 2,
            unit=limits.unit if limits else "",
            window_s=situation.window_s,
            sentence="; ".join(
                f"{write['tag']} is {float(write['value']):g} again (now {float(write['from']):g})"
                for write in _rows(action)
            ),
            relief_w=0.0,
            confirm=tuple(
                Condition(w["tag"], "==", float(w["value"]), "it reads its old value again")
                for w in _rows(action)
                if w["tag"] in situation.values
            ),
            rollback=tuple(Write(w["tag"], float(w["from"])) for w in _rows(action)),
        )

    def sentence(self, action: Action, name: str) -> str:
        return f"Roll back #{_of(action)}: {action.params.get('title', name)}"[:200]


def _rows(action: Action) -> list[dict[str, Any]]:
    rows: Any = action.params["writes"]
    return list(rows)


def _of(action: Action) -> int:
    number: Any = action.params["of"]
    return int(number)
