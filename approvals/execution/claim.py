"""The claim: everything that an approval has to stand up to, once more, in one transaction.

In order, with the proposal's row locked: still approved, before its deadline, gate not held, no
drill, payload and signatures good, policy, cool-down, leases, preconditions. What time or another
proposal will end leaves it approved, to be tried again; what only people can judge sends it back to
them in a new round.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.catalogue import KINDS
from approvals.catalogue.base import Checked
from approvals.catalogue.situation import Measured
from approvals.errors import ConflictError
from approvals.execution.leases import (
    BusyError,
    leased_assets,
    leases_renew,
    leases_take,
)
from approvals.execution.progress import EXECUTOR, Run
from approvals.execution.waiting import WaitError, waiting_note
from approvals.execution.world import World, world_now
from approvals.models import Decision, Execution, GateHold, Proposal, Verdict
from approvals.policy.document import policy_now
from approvals.policy.evaluate import denials, subject_of_proposal
from approvals.procedures import not_in_force
from approvals.services.signatures import requirement_now, signatures_hold
from approvals.services.transitions import proposal_move
from approvals.states import ProposalState

log = logging.getLogger(__name__)

# Denials without a time that end when other executions do: waited for, until the deadline.
ENDED_BY_OTHERS = ("open_at_once",)


class Claim(NamedTuple):
    """A worker's run, or None with why there is nothing to do for it."""

    run: Run | None
    detail: str


class ReturnError(Exception):
    """The approval does not stand up; people have to decide again."""

    def __init__(self, sentence: str, checked: list[Checked] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.checked = checked or []


def claim(proposal_id: int) -> Claim:
    """Make the execution of an approved proposal, or take an unfinished one on."""
    unfinished = Execution.objects.filter(proposal_id=proposal_id).first()
    if unfinished is not None:
        return take_over(unfinished)
    proposal = Proposal.objects.filter(pk=proposal_id).first()
    if proposal is None or proposal.state != ProposalState.APPROVED or proposal.is_drill:
        return Claim(None, "nothing to execute: it is not approved, or has been executed")
    written = [w["tag"] for w in proposal.writes if w.get("body") is None]
    world = world_now(conditions=proposal.preconditions, tags=written)
    try:
        with transaction.atomic():
            return _claim(proposal_id, world)
    except WaitError as wait:
        waiting_note(proposal_id=proposal_id, wait=wait)
        return Claim(None, wait.sentence)
    except ReturnError as back:
        try:
            return _send_back(proposal_id, back)
        except ConflictError as elsewhere:  # stopped or revised in the meantime
            return Claim(None, elsewhere.detail)
    except IntegrityError as error:
        log.error("the database refused to execute proposal %s: %s", proposal_id, error)
        return Claim(None, f"the database refused to execute it: {error}")


def _claim(proposal_id: int, world: World) -> Claim:
    proposal = Proposal.objects.select_for_update(no_key=True).get(pk=proposal_id)
    now = timezone.now()
    if proposal.state != ProposalState.APPROVED or proposal.is_drill:
        return Claim(None, f"nothing to execute: it is {proposal.state}")
    if proposal.execute_before is not None and proposal.execute_before <= now:
        return _expire(proposal)
    if not world.is_fresh:
        raise WaitError("snapshot", "waits: the snapshot it read grew old, it reads a new one")
    if hold := GateHold.objects.filter(lifted_at=None).select_related("made_by").first():
        raise WaitError(
            "gate_held",
            f"waits: {hold.made_by.get_username()} stopped every execution "
            f"at {hold.made_at:%H:%M:%S} UTC ({hold.reason})",
        )
    if why := signatures_hold(proposal):
        raise ReturnError(f"the signatures no longer hold: {why}")
    if why := not_in_force(proposal.steps):
        raise ReturnError(why)
    _policy_allows(proposal, now)
    _has_cooled_down(proposal, now)
    try:
        leases_take(proposal=proposal, assets=leased_assets(proposal.writes))
    except BusyError as busy:
        raise WaitError(f"leased:{busy.holder}", busy.sentence) from busy
    checked = world.hold(proposal.preconditions)
    if failed := [c.detail for c in checked if not c.ok]:
        raise ReturnError("the plant changed since: " + "; ".join(failed), checked)
    execution = _make(proposal, checked, world.values, now)
    return Claim(Run(execution, leases_renew(proposal=proposal)), "claimed")


def _make(
    proposal: Proposal, checked: list[Checked], values: dict[str, Measured], now: datetime
) -> Execution:
    proposal_move(
        proposal_id=proposal.pk,
        source=ProposalState.APPROVED,
        target=ProposalState.EXECUTING,
        actor=EXECUTOR,
    )
    key = f"hp-{proposal.pk}-{proposal.digest[:16]}"
    before = {tag: measured.value for tag, measured in values.items()}
    return Execution.objects.create(
        proposal=proposal,
        idempotency_key=key,
        digest=proposal.computed_digest(),
        preconditions=[c.as_dict() for c in checked],
        writes=[
            {
                **write,
                "key": f"{key}:{index}",
                "state": "planned",
                "before": before.get(write["tag"]),
            }
            for index, write in enumerate(proposal.writes)
        ],
        fence=1,
        started_at=now,
        progressed_at=now,
    )


def take_over(execution: Execution) -> Claim:
    """Go on with an execution: the fence and the lease tokens count up, so that whoever had it
    before can neither note nor send any more."""
    with transaction.atomic():
        taken = Execution.objects.filter(
            pk=execution.pk, fence=execution.fence, finished_at=None
        ).update(fence=execution.fence + 1)
        if taken != 1:
            return Claim(None, "nothing to execute: it has been executed")
        row = Execution.objects.select_related("proposal").get(pk=execution.pk)
        fences = leases_renew(proposal=row.proposal)
    return Claim(Run(row, fences, is_resumed=True), "taken on")


def _expire(proposal: Proposal) -> Claim:
    deadline = proposal.execute_before
    proposal_move(
        proposal_id=proposal.pk,
        source=ProposalState.APPROVED,
        target=ProposalState.EXPIRED,
        actor=EXECUTOR,
        note=f"its approval was good until {deadline:%H:%M:%S} UTC; nothing was written",
    )
    return Claim(None, "its approval has ended; nothing was written")


def _send_back(proposal_id: int, back: ReturnError) -> Claim:
    """Back to the operators: the signatures are void."""
    sentence = f"back to the operators, nothing was written: {back.sentence}"
    with transaction.atomic():
        proposal_move(
            proposal_id=proposal_id,
            source=ProposalState.APPROVED,
            target=ProposalState.PENDING,
            actor=EXECUTOR,
            note=sentence,
        )
        audit_append(
            event="execution.returned",
            actor=EXECUTOR,
            obj=f"proposal:{proposal_id}",
            payload={"why": back.sentence, "preconditions": [c.as_dict() for c in back.checked]},
        )
    return Claim(None, sentence)


def _policy_allows(proposal: Proposal, now: datetime) -> None:
    refused = denials(
        subject=subject_of_proposal(proposal),
        at=now,
        step="execute",
        requirement=requirement_now(proposal, at=now),
    )
    if is_emergency(proposal):
        refused = [d for d in refused if not d.can_break_glass]
    for denial in refused:
        if denial.code not in ENDED_BY_OTHERS and not _ends_in_time(denial.until, proposal):
            raise ReturnError(denial.sentence)
    if refused:
        raise WaitError(refused[0].code, f"waits: {'; '.join(d.sentence for d in refused)}")


def is_emergency(proposal: Proposal) -> bool:
    """Whether somebody signed it alone, in an emergency."""
    return Decision.objects.filter(
        proposal=proposal,
        round=proposal.round,
        digest=proposal.digest,
        verdict=Verdict.APPROVE,
        is_break_glass=True,
    ).exists()


def _ends_in_time(until: datetime | None, proposal: Proposal) -> bool:
    if until is None:
        return False
    return proposal.execute_before is None or until < proposal.execute_before


def _has_cooled_down(proposal: Proposal, now: datetime) -> None:
    kind = KINDS.get(proposal.kind)
    if kind is None:
        return
    cool_s = float(policy_now().cool_down_s(kind.name, getattr(kind, "cool_down_s", 0.0)))
    if cool_s <= 0:
        return
    last = (
        Execution.objects.filter(
            proposal__kind=proposal.kind,
            proposal__target=proposal.target,
            finished_at__gt=now - timedelta(seconds=cool_s),
            writes__contains=[{"state": "applied"}],
        )
        .order_by("-finished_at")
        .first()
    )
    if last is None or last.finished_at is None:
        return
    until = last.finished_at + timedelta(seconds=cool_s)
    sentence = (
        f"{proposal.target} was changed by proposal {last.proposal_id} at "
        f"{last.finished_at:%H:%M:%S} UTC and rests until {until:%H:%M:%S} UTC "
        f"({proposal.kind} every {cool_s:g} s)"
    )
    if not _ends_in_time(until, proposal):
        raise ReturnError(f"{sentence}, which is after the approval ends")
    raise WaitError("cool_down", f"waits: {sentence}", until=iso_utc(until))
