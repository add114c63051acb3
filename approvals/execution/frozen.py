"""A change freeze that begins while an execution is under way.

What has begun is finished or waits, as the policy says (`on_freeze`). It waits between steps, or
between writes where there are no steps, never between a write and its confirmation. It goes on when
the freeze is over or lifted, and ends where it is when that takes longer than FREEZE_S.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from approvals.canonical import iso_utc
from approvals.execution.claim import is_emergency
from approvals.execution.progress import Entry, Run
from approvals.models import Execution
from approvals.policy.evaluate import freeze_overtakes
from approvals.policy.requirement import Denial

# As long as an interrupted execution may be gone on with (`run.RESUME_WITHIN_S`): later the plant
# is another one.
FREEZE_S = 300.0
CODE = "freeze"


class FrozenError(Exception):
    """It waits for the end of a freeze; says so."""


class FrozenOutError(Exception):
    """The freeze took longer than it may wait; `entry` is for the trail."""

    def __init__(self, sentence: str, entry: Entry) -> None:
        super().__init__(sentence)
        self.entry = entry


def frozen_resting(execution: Execution) -> str:
    """Why there is nothing to do for an execution that waits for a freeze; '' when there is."""
    if execution.waits.get("code") != CODE:
        return ""
    if timezone.now() >= datetime.fromisoformat(execution.waits["due_at"]):
        return ""
    return str(execution.waits["sentence"]) if _freeze(execution) else ""


def freeze_pass(run: Run, *, before: str) -> None:
    """Go past the place `before` (`step 3`), unless a freeze stands in the way.

    Raises FrozenError, the first time noted in the trail, or FrozenOutError when its time is over.
    """
    execution = run.execution
    waited = execution.waits.get("code") == CODE
    freeze = _freeze(execution)
    if freeze is None:
        if waited:
            run.note("execution.thawed", {"before": before}, waits={})
        return
    if not waited:
        _note(run, freeze, before)
        raise FrozenError(execution.waits["sentence"])
    if timezone.now() < datetime.fromisoformat(execution.waits["due_at"]):
        raise FrozenError(execution.waits["sentence"])
    raise FrozenOutError(
        f"{freeze.sentence}. It waited {FREEZE_S / 60:g} minutes before {before} and ended there",
        Entry("execution.frozen_out", dict(execution.waits)),
    )


def _freeze(execution: Execution) -> Denial | None:
    proposal = execution.proposal
    if is_emergency(proposal):
        return None
    return freeze_overtakes(proposal=proposal, at=timezone.now())


def _note(run: Run, freeze: Denial, before: str) -> None:
    now = timezone.now()
    due = now + timedelta(seconds=FREEZE_S)
    sentence = (
        f"{freeze.sentence}. It waits before {before} until {due:%H:%M:%S} UTC, then it ends there"
    )
    waits = {
        "code": CODE,
        "before": before,
        "sentence": sentence,
        "since": iso_utc(now),
        "due_at": iso_utc(due),
        "until": iso_utc(freeze.until) if freeze.until else "",
    }
    run.note("execution.frozen", waits, waits=waits)
    _tell(run, before, sentence)


def _tell(run: Run, before: str, sentence: str) -> None:
    from approvals.notify import notify

    notify(
        event="execution.holding",
        proposal=run.proposal,
        text=sentence,
        key=f"frozen:{run.execution.pk}:{before}:{run.execution.waits['since']}",
    )
