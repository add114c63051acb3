"""Holds between the steps of a procedure: a person has to say that it may go on.

The worker never waits: it notes the hold and returns. A release, or the sweep once the hold's time
is over, calls it again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from approvals.canonical import iso_utc
from approvals.execution.frozen import frozen_resting
from approvals.execution.progress import Executed, Run, done_and_left
from approvals.execution.steps import Step
from approvals.models import Execution, GateHold, Outcome

# How long a procedure waits for a person before it ends safely (assumed).
HOLD_S = 1800.0
WANTED = {
    "operator": "somebody who confirms it",
    "second_person": "a second person, who neither signed nor confirmed anything of it",
}


def hold_row(execution: Execution, step: str) -> dict[str, Any] | None:
    """The hold of a step, if it was reached."""
    return next((hold for hold in execution.holds if hold["step"] == step), None)


def is_released(execution: Execution, step: Step) -> bool:
    row = hold_row(execution, step.n)
    return row is not None and row["released_at"] is not None


def resting(proposal_id: int) -> str:
    """Why there is nothing to do for an unfinished execution now ('' : there is). Reads one row, so
    that the sweep does not take on what waits for people."""
    execution = (
        Execution.objects.filter(proposal_id=proposal_id, finished_at=None)
        .select_related("proposal")
        .first()
    )
    if execution is None or execution.stop_requested_at is not None:
        return ""
    now = timezone.now()
    for hold in execution.holds:
        if hold["released_at"] is None and now < datetime.fromisoformat(hold["due_at"]):
            return f"step {hold['step']} waits for {WANTED[hold['kind']]}"
    if GateHold.objects.filter(lifted_at=None).exists():
        return "the gate is held: nothing more is sent until it is released"
    return frozen_resting(execution)


def hold_reached(run: Run, step: Step) -> Executed:
    """Note the hold the first time; end the execution when its time is over."""
    now = timezone.now()
    row = hold_row(run.execution, step.n)
    if row is not None:
        if now < datetime.fromisoformat(row["due_at"]):
            return Executed("", f"step {step.n} waits for {WANTED[step.hold]}")
        said = done_and_left(run.execution.writes)
        return run.finish(
            Outcome.FAILED,
            f"the hold before step {step.n} was not released within {HOLD_S / 60:.0f} minutes, so "
            f"it ended there.{said}",
        )
    row = {
        "step": step.n,
        "kind": step.hold,
        "title": step.title,
        "reached_at": iso_utc(now),
        "due_at": iso_utc(now + timedelta(seconds=HOLD_S)),
        "released_by": None,
        "released_at": None,
        "note": "",
    }
    run.note("hold.reached", row, holds=[*run.execution.holds, row])
    sentence = f"step {step.n} waits for {WANTED[step.hold]}: {step.title}"
    _tell(run, step, sentence)
    return Executed("", sentence)


def _tell(run: Run, step: Step, sentence: str) -> None:
    from approvals.notify import notify

    notify(
        event="execution.holding",
        proposal=run.proposal,
        text=sentence,
        key=f"holding:{run.execution.pk}:{step.n}",
    )
