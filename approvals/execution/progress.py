"""What a worker notes about an execution. Every note is a conditional UPDATE on its own fence:
a worker that another one has overtaken can note, and therefore send, nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists
from django.utils import timezone

from approvals.audit import audit_append
from approvals.effects import effect_open
from approvals.execution.leases import leases_release
from approvals.live import push_proposal
from approvals.models import Execution, GateHold, Outcome, Proposal
from approvals.services.transitions import proposal_move
from approvals.states import ProposalState

log = logging.getLogger(__name__)

EXECUTOR = "executor"

END_STATES: dict[str, str] = {
    Outcome.SUCCEEDED: ProposalState.SUCCEEDED,
    Outcome.UNKNOWN: ProposalState.UNKNOWN,
}


class Executed(NamedTuple):
    """What a call did.

    `outcome` is "" when another worker holds the proposal, when it waits, or when there is nothing
    to do; `again_s` asks to be called again.
    """

    outcome: str
    detail: str
    again_s: float | None = None


class Entry(NamedTuple):
    """An entry of the trail about the proposal."""

    event: str
    payload: Mapping[str, Any]
    actor: str = EXECUTOR


class OvertakenError(Exception):
    """Another worker has taken the execution on; this one may write and note nothing more."""


class StopError(Exception):
    """A person asked to stop."""


class GateHeldError(Exception):
    """Everything is held."""


@dataclass
class Run:
    """One worker's work on one execution; `fences` are the lease tokens by asset, `is_resumed`
    whether another worker, or this one before a pause, had begun it."""

    execution: Execution
    fences: Mapping[str, int] = field(default_factory=dict)
    is_resumed: bool = False

    @property
    def proposal(self) -> Proposal:
        return self.execution.proposal

    @property
    def obj(self) -> str:
        return f"proposal:{self.execution.proposal_id}"

    def note(
        self, event: str, payload: Mapping[str, Any], *, guard: bool = False, **columns: Any
    ) -> None:
        """Set columns and write the trail in one transaction, if this worker is still the newest.

        `guard`: only while nobody asked to stop and the gate is not held (right before a send).
        Raises OvertakenError, StopError or GateHeldError; then nothing was noted.
        """
        with transaction.atomic():
            rows = Execution.objects.filter(
                pk=self.execution.pk, fence=self.execution.fence, finished_at=None
            )
            if guard:
                held = GateHold.objects.filter(lifted_at=None)
                rows = rows.filter(~Exists(held), stop_requested_at=None)
            if rows.update(progressed_at=timezone.now(), **columns) != 1:
                self._why_not(guard=guard)
            audit_append(event=event, actor=EXECUTOR, obj=self.obj, payload=dict(payload))
            push_proposal(proposal_id=self.execution.proposal_id, event="executing")
        for name, value in columns.items():
            setattr(self.execution, name, value)

    def note_write(self, index: int, event: str, *, guard: bool = False, **facts: Any) -> None:
        """Record one write's progress before anything else happens."""
        writes = [dict(write) for write in self.execution.writes]
        writes[index].update(facts)
        self.note(event, writes[index], guard=guard, writes=writes)

    def stop_asked(self) -> bool:
        """Whether somebody asked to stop. Reads the row."""
        found = Execution.objects.filter(pk=self.execution.pk).values_list("stop_requested_at")
        return found.get()[0] is not None

    def halted(self) -> str:
        """Why a driver that waits shall not go on ('' : it shall). Reads two rows."""
        found = Execution.objects.filter(pk=self.execution.pk)
        fence, stop, ended = found.values_list("fence", "stop_requested_at", "finished_at").get()
        if fence != self.execution.fence or ended is not None:
            return "another worker has taken it on"
        if stop is not None:
            return "somebody asked to stop"
        return "the gate is held" if GateHold.objects.filter(lifted_at=None).exists() else ""

    def finish(self, outcome: Outcome, detail: str, *entries: Entry) -> Executed:
        """End it: execution, state, leases, effect and `entries` of the trail in one transaction.

        Writes, steps and preconditions are stored as they stand in `self.execution`.
        """
        execution, now = self.execution, timezone.now()
        with transaction.atomic():
            proposal = Proposal.objects.select_for_update(no_key=True).get(pk=execution.proposal_id)
            ended = Execution.objects.filter(
                pk=execution.pk, fence=execution.fence, finished_at=None
            ).update(
                finished_at=now,
                progressed_at=now,
                outcome=outcome,
                detail=detail,
                writes=execution.writes,
                steps=execution.steps,
                preconditions=execution.preconditions,
                waits={},
            )
            if ended != 1:
                raise OvertakenError
            settle(
                proposal,
                source=ProposalState.EXECUTING,
                outcome=outcome,
                detail=detail,
                entries=entries,
            )
        execution.finished_at, execution.outcome, execution.detail = now, outcome, detail
        return Executed(outcome, detail)

    def _why_not(self, *, guard: bool) -> None:
        execution = Execution.objects.get(pk=self.execution.pk)
        if execution.fence != self.execution.fence or execution.finished_at is not None:
            raise OvertakenError
        if guard and execution.stop_requested_at is not None:
            raise StopError
        raise GateHeldError


def settle(
    proposal: Proposal,
    *,
    source: str,
    outcome: str,
    detail: str,
    user: Any = None,
    entries: tuple[Entry, ...] = (),
) -> None:
    """Move the proposal to where its execution ended, and everything that follows from it, in the
    caller's transaction (row locks first, the trail last). An unknown outcome keeps its leases:
    nobody else writes there until it is settled.
    """
    if outcome != Outcome.UNKNOWN:
        leases_release(proposal=proposal)
    if outcome == Outcome.SUCCEEDED and proposal.rolls_back_id is not None:
        from approvals.services.rollback import rollback_settle

        rollback_settle(proposal=proposal)
    for entry in entries:
        audit_append(
            event=entry.event,
            actor=entry.actor,
            obj=f"proposal:{proposal.pk}",
            payload=dict(entry.payload),
        )
    target = END_STATES.get(outcome, ProposalState.FAILED)
    proposal_move(
        proposal_id=proposal.pk,
        source=source,
        target=target,
        user=user,
        actor="" if user else EXECUTOR,
        note=detail,
    )
    if outcome == Outcome.SUCCEEDED:
        proposal.refresh_from_db()
        effect_open(proposal=proposal)


def done_and_left(writes: list[dict[str, Any]]) -> str:
    """What was written and what was not, in words."""
    done = [w["tag"] for w in writes if w["state"] == "applied"]
    left = [w["tag"] for w in writes if w["state"] == "planned"]
    said = f" Already written: {', '.join(done)}." if done else " Nothing was written."
    return said + (f" Not written: {', '.join(left)}." if left else "")
