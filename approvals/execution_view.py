"""What the page shows of an execution: steps with their writes and holds, and what a person may do.

Pure but for the one query of `waits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.execution.waiting import waiting_sentence
from approvals.models import Execution, Outcome, Proposal
from approvals.policy.requirement import Requirement
from approvals.states import ProposalState

HOLD_WORDS = {
    "operator": "somebody confirms it",
    "second_person": "a second person confirms it, who neither asked for it nor signed it",
}


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step; `mark` is done | now | bad | todo."""

    n: str
    title: str
    text: str
    mark: str
    hold: str
    hold_words: str
    hold_why: str
    held: dict[str, Any] | None
    writes: list[dict[str, Any]]
    confirm: list[dict[str, Any]]

    @property
    def waits(self) -> bool:
        """Whether it waits for a person now."""
        return self.held is not None and self.held["released_at"] is None and self.mark == "now"


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """Everything `_execution.html` draws."""

    steps: list[StepRow]
    writes: list[dict[str, Any]]
    waits: str
    can_be_stopped: bool
    is_stopping: bool
    is_unknown: bool
    proof: bool
    unread: list[dict[str, Any]]

    @property
    def done(self) -> int:
        return sum(step.mark == "done" for step in self.steps)


def execution_view(*, proposal: Proposal, execution: Execution | None) -> ExecutionView:
    """The view of one proposal, before, during and after its execution."""
    state = proposal.state
    writes = list(execution.writes) if execution is not None else []
    return ExecutionView(
        steps=_steps(proposal, execution, writes),
        writes=writes,
        waits=waiting_sentence(proposal=proposal),
        can_be_stopped=state in (ProposalState.APPROVED, ProposalState.EXECUTING),
        is_stopping=execution is not None
        and execution.stop_requested_at is not None
        and execution.finished_at is None,
        is_unknown=state == ProposalState.UNKNOWN,
        proof=Requirement.from_dict(proposal.requirement).reauthenticate,
        unread=[w for w in writes if w.get("confirmed") is False],
    )


def _steps(
    proposal: Proposal, execution: Execution | None, writes: list[dict[str, Any]]
) -> list[StepRow]:
    begun = {row["n"]: row for row in execution.steps} if execution is not None else {}
    holds = {row["step"]: row for row in execution.holds} if execution is not None else {}
    ended_badly = execution is not None and execution.outcome not in ("", Outcome.SUCCEEDED)
    rows: list[StepRow] = []
    first, reached = 0, False
    for number, step in enumerate(proposal.steps, start=1):
        n = str(step.get("n", number))
        planned = step.get("writes") or []
        mine = writes[first : first + len(planned)] if writes else list(planned)
        first += len(planned)
        mark = "todo"
        if begun.get(n, {}).get("state") == "done":
            mark = "done"
        elif execution is not None and not reached:
            mark, reached = ("bad" if ended_badly else "now"), True
        hold = step.get("hold") or ""
        rows.append(
            StepRow(
                n=n,
                title=step.get("title", ""),
                text=step.get("text", ""),
                mark=mark,
                hold=hold,
                hold_words=HOLD_WORDS.get(hold, ""),
                hold_why=step.get("hold_why", ""),
                held=holds.get(n),
                writes=mine,
                confirm=begun.get(n, {}).get("confirm") or list(step.get("confirm") or []),
            )
        )
    return rows
