"""From courses to a verdict. Pure.

The promise (`below 27 °C within the window`, read-backs too) and the cause (measured less control)
are judged apart:

* promise kept, and the interval excludes 0 on the promised side: verified;
* promise kept by a point that was good before (a fault caught early): verified when it stayed so
  until the window's end, unless it would have done better without;
* promise kept, but it would have come true without the writes: no effect; interval too wide to
  say: cannot tell;
* promise missed: no effect;
* data that cannot carry an answer (too few good readings, something else was written in the same
  hall, controls that contradict each other): cannot tell.

Before the window ends only a plain success is called: looks that are repeated every few seconds
would find one by chance, so an early verdict takes a 99.5 % interval, as O'Brien and Fleming (1979)
spend most of the error at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from approvals.effects.control import Control, from_past, from_siblings, from_twin
from approvals.effects.course import BIN_S, JUST_AFTER, Course, Span
from approvals.models import EffectVerdict as V

LEVEL: Final = 0.90
EARLY_LEVEL: Final = 0.995
LEAST_GOOD: Final = 0.5
"""Share of the readings since the writes that must be good (assumed)."""


class Measurement(NamedTuple):
    """Where an effect stands. `verdict` is "" while the window is open and nothing is decided."""

    verdict: str
    after: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Question:
    """What was promised, and what is known beside the courses. Times in seconds after the first
    write; ``unconfirmed`` are read-backs that do not hold, ``disturbed`` what else happened.
    """

    direction: str
    threshold: float
    unit: str
    window_s: float
    elapsed_s: float
    before: float | None
    unconfirmed: Sequence[str] = ()
    disturbed: Sequence[str] = ()
    wait_for_confirmation: bool = False

    @property
    def over(self) -> bool:
        return self.elapsed_s >= self.window_s

    @property
    def goal(self) -> str:
        return f"{self.direction} {self.threshold:g}"

    def good(self, value: float | None) -> bool:
        if value is None:
            return False
        return value < self.threshold if self.direction == "below" else value > self.threshold

    def toward(self, change: float) -> float:
        """The change, positive where it goes the promised way."""
        return -change if self.direction == "below" else change


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with all that it was drawn from. ``control`` is None without any."""

    verdict: str
    after: float | None
    detail: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    control: Control | None = None
    controls: tuple[Control, ...] = ()
    doubts: tuple[str, ...] = field(default=())


def judge(
    question: Question,
    own: Course,
    siblings: Sequence[Course] = (),
    prediction: Mapping[str, Any] | None = None,
    *,
    wrote_after_s: float = -1.0,
) -> Finding:
    """The verdict now; "" while the window is open and nothing is clear."""
    span = Span.of(end_s=min(question.elapsed_s, question.window_s), gap_s=own.gap_s)
    late = own.between(JUST_AFTER, question.elapsed_s)
    last = float(late[-1]) if late.size else None
    change = span.change(own)
    found = [
        from_siblings(own, siblings, span),
        from_twin(own, prediction or {}, wrote_after_s=wrote_after_s, span=span),
        from_past(own, span),
    ]
    controls = tuple(control for control in found if control is not None)
    # Measured beside computed, computed beside nothing: the best control that there is.
    chosen = controls[0] if controls and change is not None else None
    doubts = _doubts(question, own, change, controls)
    made = Finding("", last, "", control=chosen, controls=controls, doubts=doubts)
    if chosen is not None and change is not None:
        estimate = change - chosen.change
        low, high = chosen.interval(estimate, LEVEL)
        made = _with(made, estimate=estimate, low=low, high=high)
    recent = max(question.elapsed_s - max(BIN_S, 2.5 * own.gap_s), JUST_AFTER)
    settled = own.mean(recent, question.elapsed_s)
    kept = question.good(last) and question.good(settled) and not question.unconfirmed
    held = question.good(question.before)
    if not question.over:
        early = kept and not held and not doubts and not question.wait_for_confirmation
        if early and _brought_about(question, made, EARLY_LEVEL):
            return _kept(question, made, f"{own.tag} is now")
        text = f"{own.tag} at {_number(last)}, waiting for {question.goal}"
        return _with(made, detail="; ".join((text, *question.unconfirmed)))
    return _at_the_end(question, made, own, kept=kept, held=held)


def _at_the_end(
    question: Question, made: Finding, own: Course, *, kept: bool, held: bool
) -> Finding:
    before = f"({_number(question.before)} before)"
    after_s = f"after {question.window_s:.0f} s: "
    if question.unconfirmed:
        text = f"{after_s}{'; '.join(question.unconfirmed)} {before}"
        return _with(made, verdict=V.NO_EFFECT, detail=text)
    if made.after is None:
        text = f"{after_s}{own.tag} sent no good reading since the write {before}"
        return _with(made, verdict=V.CANNOT_TELL, detail=text)
    if made.doubts:
        text = f"{after_s}{own.tag} is {_number(made.after)} {before}; {'; '.join(made.doubts)}"
        return _with(made, verdict=V.CANNOT_TELL, detail=text)
    if not kept:
        text = f"{after_s}{own.tag} is {_number(made.after)}, not {question.goal} {before}"
        return _with(made, verdict=V.NO_EFFECT, detail=_join(text, _cause(question, made)))
    if held:
        if _brought_about(question, made, LEVEL, against=True):
            text = f"{after_s}{own.tag} stayed {question.goal}, and would have without"
            return _with(made, verdict=V.NO_EFFECT, detail=_join(text, _cause(question, made)))
        return _kept(question, made, f"{own.tag} stayed")
    if _brought_about(question, made, LEVEL):
        return _kept(question, made, f"{own.tag} is now")
    by_itself = _by_itself(question, made)
    text = f"{after_s}{own.tag} is {_number(made.after)}, {question.goal} {before}"
    text += ", and would have got there without" if by_itself else ", but not surely because of it"
    verdict = V.NO_EFFECT if by_itself else V.CANNOT_TELL
    return _with(made, verdict=verdict, detail=_join(text, _cause(question, made)))


def _doubts(
    question: Question, own: Course, change: float | None, controls: Sequence[Control]
) -> tuple[str, ...]:
    """Why the data cannot carry an answer; empty: it can."""
    doubts = list(question.disturbed)
    good = own.between(JUST_AFTER, question.elapsed_s).size
    bad_share = own.bad / max(own.bad + own.t.size, 1)
    wanted = min(question.elapsed_s, question.window_s) / own.gap_s
    if bad_share > 1 - LEAST_GOOD or good < min(2, LEAST_GOOD * wanted):
        doubts.append(
            f"too few good readings of {own.tag}: {good} since the write, {own.bad} failed a "
            "quality test"
        )
    elif change is None:
        doubts.append(f"{own.tag} has no good reading right before the write, or none of late")
    elif not controls:
        doubts.append(f"{own.tag} has too short a history to tell what it would have done")
    elif contrary := _contrary(change, controls):
        doubts.append(contrary)
    return tuple(doubts)


def _contrary(change: float, controls: Sequence[Control]) -> str:
    """The siblings and the twin say opposite things, each surely."""
    known = {control.name: control for control in controls}
    if not {"siblings", "twin"} <= known.keys():
        return ""
    ranges = {
        name: known[name].interval(change - known[name].change, LEVEL)
        for name in ("siblings", "twin")
    }
    apart = ranges["siblings"][0] > ranges["twin"][1] or ranges["twin"][0] > ranges["siblings"][1]
    sides = {name: _side(*interval) for name, interval in ranges.items()}
    if not apart or sides["siblings"] == sides["twin"]:
        return ""
    said = ", ".join(f"{name} {low:+.2g} to {high:+.2g}" for name, (low, high) in ranges.items())
    return f"the controls contradict each other ({said})"


def _side(low: float, high: float) -> int:
    return (low > 0) - (high < 0)


def _brought_about(
    question: Question, made: Finding, level: float, *, against: bool = False
) -> bool:
    """Whether measured less control surely goes the promised way (``against``: the other way)."""
    if made.control is None or made.estimate is None:
        return False
    low, high = made.control.interval(made.estimate, level)
    toward = sorted((question.toward(low), question.toward(high)))
    return toward[1] < 0 if against else toward[0] > 0


def _by_itself(question: Question, made: Finding) -> bool:
    """Whether the writes surely brought less than half of the way to the threshold."""
    if made.low is None or made.high is None or question.before is None:
        return False
    needed = abs(question.before - question.threshold)
    return max(question.toward(made.low), question.toward(made.high)) < needed / 2


def _kept(question: Question, made: Finding, how: str) -> Finding:
    text = (
        f"{how} {question.goal}: {_number(question.before)} before, {_number(made.after)} after "
        f"{question.elapsed_s:.0f} s"
    )
    return _with(made, verdict=V.VERIFIED, detail=_join(text, _cause(question, made)))


def _cause(question: Question, made: Finding) -> str:
    """What the writes did, as a clause."""
    if made.control is None or made.estimate is None or made.low is None or made.high is None:
        return ""
    unit = {"Cel": "K", "1": ""}.get(question.unit, question.unit)
    return (
        f"the writes moved it by {made.estimate:+.3g} {unit}".rstrip()
        + f" (90 % interval {made.low:+.2g} to {made.high:+.2g}; control: {made.control.note})"
    )


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _number(value: float | None) -> str:
    return "no reading" if value is None else f"{value:g}"


def _with(finding: Finding, **changes: Any) -> Finding:
    return replace(finding, **changes)
