"""A proposal's steps as the executor walks them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from approvals.models import Proposal

# How long a step's conditions may take to become true when it does not say (assumed).
WAIT_S = 60.0
HOLD_KINDS = ("", "operator", "second_person")


class StepsError(Exception):
    """The steps and the writes of a proposal do not agree, or a step cannot be understood."""


class Step(NamedTuple):
    """One numbered step: a hold before its writes ('' for none), the indexes of its writes in the
    execution, and what must be measured within `wait_s` before the next step."""

    n: str
    title: str
    hold: str
    indexes: range
    confirm: list[dict[str, Any]]
    wait_s: float


def steps_of(proposal: Proposal) -> list[Step]:
    """The steps in order; a proposal without any is one step with all its writes.

    Raises StepsError where they do not write exactly what the proposal's `writes` say.
    """
    if not proposal.steps:
        return [Step("", "", "", range(len(proposal.writes)), [], 0.0)]
    steps: list[Step] = []
    first = 0
    for number, raw in enumerate(proposal.steps, start=1):
        writes = list(raw.get("writes") or [])
        indexes = range(first, first + len(writes))
        _agree(proposal.writes, writes, indexes, raw)
        hold = raw.get("hold") or ""
        if hold not in HOLD_KINDS:
            raise StepsError(f"step {raw.get('n', number)}: there is no hold of kind {hold!r}")
        steps.append(
            Step(
                str(raw.get("n", number)),
                str(raw.get("title", "")),
                hold,
                indexes,
                list(raw.get("confirm") or []),
                float(raw.get("wait_s") or WAIT_S),
            )
        )
        first = indexes.stop
    if first != len(proposal.writes):
        raise StepsError(
            f"the steps write {first} setpoint(s), the proposal says {len(proposal.writes)}"
        )
    if len({step.n for step in steps}) != len(steps):
        raise StepsError("two steps have the same number")
    return steps


def _agree(
    signed: Sequence[Mapping[str, Any]],
    writes: Sequence[Mapping[str, Any]],
    indexes: range,
    raw: Mapping[str, Any],
) -> None:
    expected = [signed[i] for i in indexes if i < len(signed)]
    if [_order(w) for w in writes] != [_order(w) for w in expected]:
        said = ", ".join(f"{w.get('tag')} = {w.get('value')}" for w in writes)
        raise StepsError(f"step {raw.get('n')} writes {said}, which the proposal's writes do not")


def _order(write: Mapping[str, Any]) -> tuple[Any, ...]:
    return write.get("tag"), write.get("value"), write.get("body")
