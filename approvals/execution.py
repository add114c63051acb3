"""Carries out an approved proposal: exactly once, whatever dies in between.

The only importer of `drivers`.

1. claim: approved → executing together with the Execution row (the database checks the signature on
   that insert);
2. hold the preconditions against fresh values; any that fails ends it with nothing written;
3. for each write: note `sending`, send with key `<execution key>:<index>`, note the answer;
4. finish: executing → succeeded | failed, open the Effect.

Each numbered step commits before the next begins. A repeat of the task finds what is done and goes
on; a write that was under way is sent again with its old key, which the plant applies only once. A
PostgreSQL advisory lock held by the worker's connection keeps two workers off one proposal and
vanishes with a killed worker.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.catalogue import check_conditions
from approvals.drivers import driver_for
from approvals.drivers.base import DriverError, Order, WriteResult
from approvals.errors import ConflictError
from approvals.live import push_proposal
from approvals.models import Effect, Execution, Outcome, Proposal
from approvals.services.transitions import proposal_move
from approvals.situations import latest_measured
from approvals.states import ProposalState

log = logging.getLogger(__name__)

# First key of the advisory lock; the second is the proposal's id.
EXECUTION_LOCK = 0x4558
EXECUTOR = "executor"


class PlannedWrite(NamedTuple):
    """One write as its driver would carry it out; `problem` says why it could not."""

    tag: str
    value: float
    driver: str
    binding: str
    is_dry_run: bool
    plan: list[str]
    problem: str


class Executed(NamedTuple):
    """What a call did.

    `outcome` is "" when another worker holds the proposal or there is nothing to do.
    """

    outcome: str
    detail: str


def execute(*, proposal_id: int) -> Executed:
    """Execute or resume one approved proposal. Safe to call often and at the same time."""
    with _held(proposal_id) as mine:
        if not mine:
            return Executed("", "another worker is executing it")
        execution = _claim(proposal_id)
        if execution is None:
            return Executed("", "nothing to execute: it is not approved, or has been executed")
        untouched = all(write["state"] == "planned" for write in execution.writes)
        if untouched and not (_preconditions_hold(execution) and _drivers_can(execution)):
            return Executed(Outcome.REFUSED, execution.detail)
        for index in range(len(execution.writes)):
            if not _write(execution, index):
                return Executed(Outcome.FAILED, execution.detail)
        _finish(
            execution, Outcome.SUCCEEDED, f"{len(execution.writes)} write(s) confirmed by the plant"
        )
        return Executed(Outcome.SUCCEEDED, execution.detail)


@contextmanager
def _held(proposal_id: int) -> Iterator[bool]:
    key = proposal_id % 2**31
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [EXECUTION_LOCK, key])
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [EXECUTION_LOCK, key])


def _claim(proposal_id: int) -> Execution | None:
    """The unfinished execution of this proposal: a new one if it is approved, else the one to
    resume, else None.
    """
    unfinished = (
        Execution.objects.filter(proposal_id=proposal_id).select_related("proposal").first()
    )
    if unfinished is not None:
        return None if unfinished.finished_at else unfinished
    try:
        with transaction.atomic():
            proposal_move(
                proposal_id=proposal_id,
                source=ProposalState.APPROVED,
                target=ProposalState.EXECUTING,
                actor=EXECUTOR,
            )
            proposal = Proposal.objects.get(pk=proposal_id)
            key = f"hp-{proposal.pk}-{proposal.digest[:16]}"
            return Execution.objects.create(
                proposal=proposal,
                idempotency_key=key,
                digest=proposal.computed_digest(),
                writes=[
                    {**write, "key": f"{key}:{index}", "state": "planned"}
                    for index, write in enumerate(proposal.writes)
                ],
                started_at=timezone.now(),
            )
    except ConflictError as error:
        log.info("proposal %s is not executed: %s", proposal_id, error.detail)
    except IntegrityError as error:
        log.error("the database refused to execute proposal %s: %s", proposal_id, error)
    return None


def _preconditions_hold(execution: Execution) -> bool:
    conditions = execution.proposal.preconditions
    values = latest_measured(tags=[c["tag"] for c in conditions])
    checked = check_conditions(conditions, values, now=timezone.now())
    execution.preconditions = [c.as_dict() for c in checked]
    failed = [c.detail for c in checked if not c.ok]
    if failed:
        _finish(
            execution,
            Outcome.REFUSED,
            "nothing was written, the plant changed since: " + "; ".join(failed),
        )
        return False
    execution.save(update_fields=["preconditions"])
    return True


def _drivers_can(execution: Execution) -> bool:
    """Whether every write has a driver that can carry it out: all are looked at before the first
    is sent, so that none is left half done for a setting that is missing."""
    planned = dry_run(writes=execution.writes)
    if problem := next((write.problem for write in planned if write.problem), ""):
        _finish(execution, Outcome.REFUSED, f"nothing was written: {problem}")
        return False
    if dry := [write for write in planned if write.is_dry_run]:
        said = "; ".join(line for write in dry for line in write.plan)
        _finish(
            execution,
            Outcome.REFUSED,
            f"dry run, nothing was written: binding {dry[0].binding} would send {said}",
        )
        return False
    return True


def dry_run(*, writes: Iterable[Mapping[str, Any]]) -> list[PlannedWrite]:
    """What the drivers would send for these writes (`tag`, `value`, `key`?). Nothing is sent."""
    planned = []
    for write in writes:
        order = Order(write["tag"], float(write["value"]), write.get("key", "<key>"))
        bound = driver_for(order.tag)
        plan, problem = [], ""
        try:
            plan = bound.driver.plan(order)
        except DriverError as error:
            problem = error.detail
        planned.append(
            PlannedWrite(
                *order[:2], bound.driver.name, bound.binding, bound.is_dry_run, plan, problem
            )
        )
    return planned


def send(order: Order) -> WriteResult:
    """The one place from which a setpoint leaves for the plant."""
    bound = driver_for(order.tag)
    if bound.is_dry_run:
        raise DriverError(
            f"binding {bound.binding} of {order.tag} is a dry run; nothing was written",
            maybe_applied=False,
        )
    return bound.driver.write(order)


def _write(execution: Execution, index: int) -> bool:
    write = execution.writes[index]
    if write["state"] == "applied":
        return True
    order = Order(write["tag"], float(write["value"]), write["key"])
    _note(execution, index, "write.sent", state="sending", sent_at=iso_utc(timezone.now()))
    try:
        result = send(order)
    except DriverError as error:
        _note(
            execution,
            index,
            "write.failed",
            state="failed",
            error=error.detail,
            maybe_applied=error.maybe_applied,
        )
        done = [w["tag"] for w in execution.writes if w["state"] == "applied"]
        before = f" Already written: {', '.join(done)}." if done else ""
        _finish(execution, Outcome.FAILED, error.detail + "." + before)
        return False
    _note(
        execution,
        index,
        "write.applied",
        state="applied",
        answered_at=iso_utc(timezone.now()),
        previous=result.previous,
        duplicate=result.duplicate,
        attempts=result.attempts,
        response=result.response,
        read_back=result.read_back,
    )
    return True


def _note(execution: Execution, index: int, event: str, **facts: Any) -> None:
    """Record one write's progress in the row and in the trail before anything else happens."""
    execution.writes[index] = {**execution.writes[index], **facts}
    with transaction.atomic():
        execution.save(update_fields=["writes"])
        audit_append(
            event=event,
            actor=EXECUTOR,
            obj=f"proposal:{execution.proposal_id}",
            payload=execution.writes[index],
        )
        push_proposal(proposal_id=execution.proposal_id, event="executing")


def _finish(execution: Execution, outcome: Outcome, detail: str) -> None:
    now = timezone.now()
    execution.finished_at, execution.outcome, execution.detail = now, outcome, detail
    succeeded = outcome == Outcome.SUCCEEDED
    with transaction.atomic():
        execution.save(update_fields=["finished_at", "outcome", "detail", "preconditions"])
        proposal_move(
            proposal_id=execution.proposal_id,
            source=ProposalState.EXECUTING,
            target=ProposalState.SUCCEEDED if succeeded else ProposalState.FAILED,
            actor=EXECUTOR,
            note=detail,
        )
        if succeeded:
            _open_effect(execution.proposal)


def _open_effect(proposal: Proposal) -> None:
    expected = proposal.expected_effect
    before = latest_measured(tags=[expected["tag"]]).get(expected["tag"])
    Effect.objects.create(
        proposal=proposal,
        tag=expected["tag"],
        unit=expected["unit"],
        direction=expected["direction"],
        threshold=expected["threshold"],
        window_s=expected["window_s"],
        started_at=timezone.now(),
        before=before.value if before else None,
    )
