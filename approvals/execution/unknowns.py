"""An unknown outcome is settled by looking: the other side's own log or register, then telemetry.

Nothing is sent again: by the time an answer is missed for good, the plant may be another one. Where
nothing can tell, a person settles it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from approvals.execution.confirm import Reading, equal, precisions, readings
from approvals.execution.orders import look, order_of
from approvals.execution.progress import EXECUTOR, Entry, done_and_left, settle
from approvals.execution.run import held
from approvals.models import Execution, Outcome, Proposal
from approvals.states import ProposalState

log = logging.getLogger(__name__)

# A request that was on its way has arrived or died by now: what is still not there was not applied
# (assumed: several times the longest answer time of a driver).
SETTLE_S = 30.0
# People are told when it is not settled after this long (assumed).
TELL_S = 60.0


def reconcile_open() -> int:
    """Look once at every unknown outcome. Returns how many were settled."""
    waiting = Proposal.objects.filter(state=ProposalState.UNKNOWN).values_list("pk", flat=True)
    return sum(bool(reconcile(proposal_id=proposal_id)) for proposal_id in list(waiting))


def reconcile(*, proposal_id: int) -> str:
    """Look once what became of an unknown write; '' while nothing tells, else the outcome."""
    with held(proposal_id) as mine:
        if not mine:
            return ""
        execution = _unknown(proposal_id)
        if execution is None:
            return ""
        write = next(w for w in execution.writes if w["state"] == "unknown")
        applied, why = _look(write, obj=f"proposal:{proposal_id}")
        if applied is None:
            _remind(execution, why)
            return ""
        return unknown_settle(proposal_id=proposal_id, applied=applied, why=why)


def unknown_settle(*, proposal_id: int, applied: bool, why: str, user: Any = None) -> str:
    """Say what became of the unknown write: by the executor that looked, or by a person.

    unknown → succeeded where it was the last one, else → failed, with what was and was not written.
    Returns the outcome; '' when it was settled already.
    """
    with transaction.atomic():
        proposal = Proposal.objects.select_for_update(no_key=True).get(pk=proposal_id)
        execution = _unknown(proposal_id)
        if execution is None or proposal.state != ProposalState.UNKNOWN:
            return ""
        index = next(i for i, w in enumerate(execution.writes) if w["state"] == "unknown")
        writes = [dict(write) for write in execution.writes]
        write = writes[index]
        write["state"] = "applied" if applied else "failed"
        write.update(settled=why, maybe_applied=False)
        if applied and write.get("previous") is None:
            write["previous"] = write.get("before")
        complete = all(w["state"] == "applied" for w in writes)
        outcome = Outcome.SUCCEEDED if complete else Outcome.FAILED
        said = "was carried out" if applied else "was not carried out"
        detail = f"{write['tag']} {said}: {why}." + ("" if complete else done_and_left(writes))
        now = timezone.now()
        Execution.objects.filter(pk=execution.pk, outcome=Outcome.UNKNOWN).update(
            outcome=outcome, detail=detail, writes=writes, finished_at=now, progressed_at=now
        )
        entry = Entry(
            "execution.settled",
            {"write": write["key"], "tag": write["tag"], "applied": applied, "why": why},
            user.get_username() if user else EXECUTOR,
        )
        settle(
            proposal,
            source=ProposalState.UNKNOWN,
            outcome=outcome,
            detail=detail,
            user=user,
            entries=(entry,),
        )
    return outcome


def _unknown(proposal_id: int) -> Execution | None:
    return (
        Execution.objects.filter(proposal_id=proposal_id, outcome=Outcome.UNKNOWN)
        .select_related("proposal")
        .first()
    )


def _look(write: dict[str, Any], *, obj: str) -> tuple[bool | None, str]:
    """What the other side says, else what telemetry shows; None: neither tells (yet)."""
    sent_at = datetime.fromisoformat(write["sent_at"])
    settled = timezone.now() >= sent_at + timedelta(seconds=SETTLE_S)
    seen = look(order_of(write, {}), obj=obj)
    if seen.applied or (seen.applied is False and settled):
        return seen.applied, seen.detail
    if write.get("body") is not None:
        return None, seen.detail
    reading = readings([write["tag"]]).get(write["tag"])
    return _by_telemetry(write, reading, seen.detail, sent_at)


def _by_telemetry(
    write: dict[str, Any], reading: Reading | None, said: str, sent_at: datetime
) -> tuple[bool | None, str]:
    tag, value = write["tag"], float(write["value"])
    if reading is None or reading.ts <= sent_at:
        return None, f"{said}; {tag} has sent no reading since"
    shows = f"{said}; telemetry reads {tag} = {reading.value:g} at {reading.ts:%H:%M:%S} UTC"
    precision = precisions([tag]).get(tag)
    if equal(reading.value, value, precision):
        before = write.get("before")
        if before is not None and equal(before, value, precision):
            return None, f"{shows}, which it did before the write too"
        return True, shows
    if reading.ts >= sent_at + timedelta(seconds=SETTLE_S):
        return False, shows
    return None, shows


def _remind(execution: Execution, why: str) -> None:
    """Tell people, once, that it cannot be settled without them."""
    since = execution.finished_at
    if since is None or timezone.now() < since + timedelta(seconds=TELL_S):
        return
    from approvals.notify import notify

    with transaction.atomic():
        notify(
            event="execution.unknown",
            proposal=execution.proposal,
            text=f"Still unknown: {why}. Look at the plant and settle it by hand.",
            key=f"unknown:{execution.pk}:reminder",
        )
