"""Ask the maintenance people for work: an order to them, none to the plant."""

from __future__ import annotations

from typing import Any

from approvals.catalogue.base import Action, ActionKind, Condition, Expectation, Target, Write
from approvals.catalogue.cooling import unmeasured
from approvals.catalogue.schemas import object_schema
from approvals.catalogue.situation import Situation

PRIORITIES = ("low", "medium", "high")
TITLE_CHARS, TEXT_CHARS = 120, 2000
# One line of text, and any text: what neither a mail's subject nor the database takes is refused.
LINE = r"^[^\x00-\x1f\x7f\ud800-\udfff]*(?![\s\S])"
TEXT = r"^[^\x00\ud800-\udfff]*(?![\s\S])"


class OpenWorkOrder(ActionKind):
    name = "open_work_order"
    title = "Open work order"
    risk = "low"
    target_kind = "other"
    summary = "Open a work order for a technician on an asset. Nothing is written to the plant."
    step_words = (
        ("ticket", "work order", "hand the", "hand tower", "repair", "replace", "clean ",
         "isolate the failed", "make the failed", "find the cause", "technician"),
    )  # fmt: skip
    step_not = ("next shift", "normal", "after the repair")
    query = "open a hardware ticket, hand over to the technician, repair or replace"

    def acts_on(self, kind: str) -> bool:
        """Whatever stands in the data list."""
        return True

    def targets(self, situation: Situation) -> list[Target]:
        """What is in the hall or outside of all halls."""
        return [
            Target(tag, place.name or tag)
            for tag, place in sorted(situation.assets.items())
            if place.hall in ("", situation.hall) and place.kind not in ("source", "job")
        ]

    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        return object_schema(
            {
                "title": {
                    "type": "string",
                    "minLength": 3,
                    "maxLength": TITLE_CHARS,
                    "pattern": LINE,
                    "description": "What is to be done",
                },
                "text": {
                    "type": "string",
                    "maxLength": TEXT_CHARS,
                    "pattern": TEXT,
                    "description": "What was seen, and what to take along",
                    "x-multiline": True,
                },
                "priority": {
                    "type": "string",
                    "enum": list(PRIORITIES),
                    "default": "medium",
                    "description": "Priority",
                },
                "due": {
                    "type": "string",
                    "pattern": r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?(?![\s\S])",
                    "description": "Due, as 2026-03-01 or 2026-03-01T14:00Z",
                },
            },
            optional=("due",),
        )

    def candidates(self, situation: Situation) -> list[Action]:
        """One for the asset that an alarm is about."""
        if not situation.subject:
            return []
        name, what = situation.name(situation.subject), situation.quantity
        point = f"{situation.subject}.{what}"
        reading = f", which reads {situation.value(point):g}" if situation.has(point) else ""
        return [
            Action(
                self.name,
                situation.subject,
                {
                    "title": f"Inspect {name}"[:TITLE_CHARS],
                    "text": f"An alarm is on for {point}{reading}."[:TEXT_CHARS],
                    "priority": "medium",
                },
            )
        ]

    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        """None: asking for help is always possible."""
        return []

    def writes(self, action: Action, situation: Situation) -> list[Write]:
        body = {"asset": action.target, **action.params}
        return [Write(f"{action.target}.work_order", 1.0, body=body)]

    def effect(self, action: Action, situation: Situation) -> Expectation:
        name = situation.name(action.target)
        said = f"A technician gets an order for {name}; no point tells what comes of it"
        return unmeasured(said, window_s=situation.window_s)

    def merit(self, action: Action, situation: Situation) -> float | None:
        """It removes no cause now: whatever does goes first."""
        return 0.2

    def sentence(self, action: Action, name: str) -> str:
        return f"Open work order for {name}: {action.params['title']}"[:200]
