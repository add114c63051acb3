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

from approvals.catalogue.schemas import NO_PARAMS, number_schema
from approvals.catalogue.situation import Measured, Situation

__all__ = [
    "FRESH_S",
    "MOMENTARY",
    "NO_PARAMS",
    "OPERATORS",
    "Action",
    "ActionKind",
    "Checked",
    "Condition",
    "Expectation",
    "Target",
    "Write",
    "check_conditions",
    "number_schema",
]

# Points that fall back by themselves after a command: they are not read back, nor restored.
MOMENTARY = frozenset({"reset_cmd"})
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
    """One setpoint to write: point tag and value in the point's own unit.

    `body` makes it an order that is no setpoint (a work order): `tag` is then `<asset>.<what>` and
    `value` 1. `read_back` is False where the point does not keep what is written (a reset).
    """

    tag: str
    value: float
    body: Mapping[str, Any] | None = None
    read_back: bool = True

    @property
    def asset(self) -> str:
        return self.tag.rpartition(".")[0]

    def as_dict(self) -> dict[str, Any]:
        """As stored and signed; what is not set is no key, so that older digests stay."""
        made: dict[str, Any] = {"tag": self.tag, "value": self.value}
        if self.body is not None:
            made["body"] = dict(self.body)
        if not self.read_back:
            made["read_back"] = False
        return made


class Target(NamedTuple):
    """An asset that a kind can act on."""

    tag: str
    name: str


@dataclass(frozen=True, slots=True)
class Action:
    """A concrete, validated action: kind, target asset, parameters (JSON); `grounds` are why it is
    offered now.
    """

    kind: str
    target: str
    params: Mapping[str, Any] = field(default_factory=dict)
    grounds: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation:
    """What will be measured after the writes: `tag` goes `direction` (below|above) `threshold`
    within `window_s`.

    An empty `tag` says that nothing is measurable. `confirm` are read-backs that must hold too;
    `rollback` undoes the writes; `relief_w` is the cooling (or load) the action is expected to
    free, in W.
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
    # Its main kind of asset, and all of them where it acts on several.
    target_kind: ClassVar[str]
    target_kinds: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    # The points it writes, as (kind of asset, quantity).
    points: ClassVar[tuple[tuple[str, str], ...]] = ()
    # How long the same target is left alone afterwards, s.
    cool_down_s: ClassVar[float] = 0.0
    # Made by the platform only: nobody may ask for it by name.
    is_internal: ClassVar[bool] = False
    # Whether its situation must carry the procedures in force.
    needs_procedures: ClassVar[bool] = False
    # Words the heading of a procedure step must contain to instruct this action (each group: any
    # of).
    step_words: ClassVar[tuple[tuple[str, ...], ...]]
    # Words that a heading must not contain: it speaks of the same things, but orders another.
    step_not: ClassVar[tuple[str, ...]] = ()
    # What to look up in the procedures when this kind is considered.
    query: ClassVar[str]

    @abstractmethod
    def schema(self, target: str, situation: Situation) -> dict[str, Any]:
        """JSON schema of the parameters for `target`; limits are the write limits of the point it
        writes. Raises KeyError with the tag of a point that `target` cannot be written by.
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
    def writes(self, action: Action, situation: Situation) -> list[Write]:
        """The setpoints to write, in order."""

    @abstractmethod
    def effect(self, action: Action, situation: Situation) -> Expectation:
        """What should be measured afterwards."""

    @abstractmethod
    def sentence(self, action: Action, name: str) -> str:
        """The action in plain words, e.g.

        `Start standby CRAC 4`; `name` is the target asset's name.
        """

    def acts_on(self, kind: str) -> bool:
        """Whether it can act on assets of this kind."""
        return kind in (self.target_kinds or (self.target_kind,))

    def targets(self, situation: Situation) -> list[Target]:
        """The assets of the situation that it can act on, by tag."""
        found = []
        for tag in sorted(situation.assets):
            place = situation.assets[tag]
            if not self.acts_on(place.kind) or place.hall not in ("", situation.hall):
                continue
            if not self.points or any(
                f"{tag}.{quantity}" in situation.limits
                for kind, quantity in self.points
                if kind == place.kind
            ):
                found.append(Target(tag, place.name or tag))
        return found

    def risk_of(self, action: Action, situation: Situation) -> str:
        """The risk class of one action of this kind."""
        return self.risk

    def steps(self, action: Action, situation: Situation) -> list[dict[str, Any]]:
        """Numbered steps with holds, [{n, title, text, writes, confirm, wait_s, hold, hold_why,
        cite}]; empty: the writes in order. Their writes, one after the other, are `writes`.
        """
        return []

    def merit(self, action: Action, situation: Situation) -> float | None:
        """How well it fits what is wrong, 0…1, where freed cooling is no measure of it (None)."""
        return None

    def conditions(self, action: Action, situation: Situation) -> list[Condition]:
        """Preconditions followed by the grounds, each tag and operator once."""
        seen: dict[tuple[str, str], Condition] = {}
        for condition in (*self.preconditions(action, situation), *action.grounds):
            seen.setdefault((condition.tag, condition.op), condition)
        return list(seen.values())

    def instructed_by(self, heading: str, action: Action | None = None) -> bool:
        """Whether a step with this heading tells to do this: every word group has a hit, and none
        of the words against it. `action` where the words depend on what is asked for.

        Only the heading counts: texts also mention what must not be done, or what comes later.
        """
        low = heading.lower()
        return all(any(word in low for word in group) for group in self.step_words) and not any(
            word in low for word in self.step_not
        )


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
