"""What an action kind is: a name, limits, conditions, writes and an expectation.

Data in, data out, no I/O.

A new kind is one file beside this one: copy `set_fan_speed.py`, change each method, add it to
`KINDS` in `__init__.py`.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from approvals.catalogue.situation import Measured, Situation

# A reading older than this says nothing about now. Assumed: 30 pushes of the 2 s demo plant.
FRESH_S = 60.0

OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One precondition: `tag op value`, e.g. `crac-4.fault == 0`, and why it matters."""

    tag: str
    op: str
    value: float
    why: str

    def as_dict(self) -> dict[str, Any]:
        return {"tag": self.tag, "op": self.op, "value": self.value, "why": self.why}


class Checked(NamedTuple):
    """A condition held against the latest value. `actual` is None without a fresh reading."""

    tag: str
    expected: str
    actual: float | None
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        return dict(self._asdict())


@dataclass(frozen=True, slots=True)
class Write:
    """One setpoint to write: point tag and value in the point's own unit."""

    tag: str
    value: float

    def as_dict(self) -> dict[str, Any]:
        return {"tag": self.tag, "value": self.value}


@dataclass(frozen=True, slots=True)
class Action:
    """A concrete, validated action: kind, target asset, parameters; `grounds` are why it is offered
    now.
    """

    kind: str
    target: str
    params: Mapping[str, float] = field(default_factory=dict)
    grounds: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """What will be measured after the writes: `tag` goes `direction` (below|above) `threshold`
    within `window_s`.

    `confirm` are read-backs that must hold too; `rollback` undoes the writes; `relief_w` is the
    cooling (or load) the action is expected to free, in W.
    """

    tag: str
    direction: str
    threshold: float
    unit: str
    window_s: float
    sentence: str
    relief_w: float
    confirm: tuple[Condition, ...] = ()
    rollback: tuple[Write, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "tag": self.tag,
            "direction": self.direction,
            "threshold": self.threshold,
            "unit": self.unit,
            "window_s": self.window_s,
            "sentence": self.sentence,
            "relief_w": round(self.relief_w),
            "confirm": [c.as_dict() for c in self.confirm],
            "rollback": [w.as_dict() for w in self.rollback],
        }


class ActionKind(ABC):
    """The contract of an action kind.

    `candidates` enumerates concrete actions worth considering for a situation; `preconditions` must
    all hold when the action is proposed and again right before it is written; `writes` are the only
    setpoints it may touch; `effect` is what has to be measured afterwards.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    risk: ClassVar[str]
    target_kind: ClassVar[str]
    summary: ClassVar[str]
    # Words the heading of a procedure step must contain to instruct this action (each group: any
    # of).
    step_words: ClassVar[tuple[tuple[str, ...], ...]]
    # What to look up in the procedures when this kind is considered.
    query: ClassVar[str]

    @abstractmethod
    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        """JSON schema of the parameters for `target`; limits are the write limits of the point it
        writes.
        """

    @abstractmethod
    def candidates(self, situation: Situation) -> list[Action]:
        """Concrete actions worth considering now, inside the limits.

        Empty when this kind has nothing to offer.
        """

    @abstractmethod
    def preconditions(self, action: Action, situation: Situation) -> list[Condition]:
        """What must be true before the first write, without the action's own grounds."""

    @abstractmethod
    def writes(self, action: Action) -> list[Write]:
        """The setpoints to write, in order."""

    @abstractmethod
    def effect(self, action: Action, situation: Situation) -> Expectation:
        """What should be measured afterwards."""

    @abstractmethod
    def sentence(self, action: Action, name: str) -> str:
        """The action in plain words, e.g.

        `Start standby CRAC 4`; `name` is the target asset's name.
        """

    def conditions(self, action: Action, situation: Situation) -> list[Condition]:
        """Preconditions followed by the grounds, each tag and operator once."""
        seen: dict[tuple[str, str], Condition] = {}
        for condition in (*self.preconditions(action, situation), *action.grounds):
            seen.setdefault((condition.tag, condition.op), condition)
        return list(seen.values())

    def instructed_by(self, heading: str) -> bool:
        """Whether a step with this heading tells to do this: every word group has a hit.

        Only the heading counts: texts also mention what must not be done, or what comes later.
        """
        low = heading.lower()
        return all(any(word in low for word in group) for group in self.step_words)


def check_conditions(
    conditions: Iterable[Mapping[str, Any]], values: Mapping[str, Measured], *, now: datetime
) -> list[Checked]:
    """Hold conditions (as stored: tag, op, value, why) against latest values.

    Missing or stale data fails.
    """
    checked = []
    for condition in conditions:
        tag, op, wanted = condition["tag"], condition["op"], float(condition["value"])
        expected = f"{op} {wanted:g}"
        measured = values.get(tag)
        if measured is None:
            checked.append(
                Checked(
                    tag, expected, None, False, f"{tag}: expected {expected}, but it has no reading"
                )
            )
            continue
        age_s = (now - measured.ts).total_seconds()
        if age_s > FRESH_S:
            detail = (
                f"{tag}: expected {expected}, but its last reading is {age_s:.0f} s old "
                f"(limit {FRESH_S:.0f} s)"
            )
            checked.append(Checked(tag, expected, None, False, detail))
            continue
        ok = bool(OPERATORS[op](measured.value, wanted))
        verdict = "holds" if ok else "does not hold"
        detail = f"{tag}: expected {expected}, actual {measured.value:g}: {verdict}"
        checked.append(Checked(tag, expected, measured.value, ok, detail))
    return checked


def number_schema(*, name: str, tag: str, situation: Situation, description: str) -> dict[str, Any]:
    """Schema with one required number whose limits and unit are those of point `tag`."""
    limits = situation.limits[tag]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name],
        "properties": {
            name: {
                "type": "number",
                "minimum": limits.low,
                "maximum": limits.high,
                "description": description,
                "x-unit": limits.unit,
                "x-point": tag,
            }
        },
    }


NO_PARAMS: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
