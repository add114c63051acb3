"""One worker's walk through an execution: steps in order, each write once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from approvals.canonical import iso_utc
from approvals.execution.claim import claim
from approvals.execution.frozen import FrozenError, FrozenOutError, freeze_pass
from approvals.execution.holds import hold_reached, is_released, resting
from approvals.execution.orders import DriverError, can_repeat, dry_run, order_of, send
from approvals.execution.progress import (
    Entry,
    Executed,
    GateHeldError,
    OvertakenError,
    Run,
    StopError,
    done_and_left,
)
from approvals.execution.steps import Step, StepsError, steps_of
from approvals.execution.world import held_since, world_now
from approvals.models import Execution, Outcome

log = logging.getLogger(__name__)

# First key of the advisory lock; the second is the proposal's id.
EXECUTION_LOCK = 0x4558
# What was begun is gone on with only this long after its last progress (assumed): later the plant
# is another one, and nothing more is sent.
RESUME_WITHIN_S = 300.0
# How soon a step's conditions are looked at again, s.
CONFIRM_EVERY_S = 2.0


def execute(*, proposal_id: int) -> Executed:
    """Execute or go on with one approved proposal. Safe to call often and at the same time.

    Never blocks for people or for slow conditions: it returns, and whoever releases a hold, or the
    sweep, calls it again.
    """
    with held(proposal_id) as mine:
        if not mine:
            return Executed("", "another worker is executing it")
        if waits := resting(proposal_id):
            return Executed("", waits)
        claimed = claim(proposal_id)
        if claimed.run is None:
            return Executed("", claimed.detail)
        try:
            return _carry_out(claimed.run)
        except OvertakenError:
            log.warning("proposal %s was taken on by another worker meanwhile", proposal_id)
            return Executed("", "another worker has taken it on")


@contextmanager
def held(proposal_id: int) -> Iterator[bool]:
    """The advisory lock of one execution; False when another connection has it."""
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


def _carry_out(run: Run) -> Executed:
    try:
        steps = steps_of(run.proposal)
    except StepsError as error:
        return run.finish(Outcome.REFUSED, f"nothing was written: {error}")
    if run.stop_asked():
        return _stopped(run)
    if (ended := _may_begin(run)) is not None:
        return ended
    for step in steps:
        if (ended := _step(run, step)) is not None:
            return ended
    return run.finish(
        Outcome.SUCCEEDED, f"{len(run.execution.writes)} write(s) confirmed by the plant"
    )


def _may_begin(run: Run) -> Executed | None:
    """What has to be right before the first send, or before going on after a break."""
    execution = run.execution
    untouched = all(write["state"] == "planned" for write in execution.writes)
    if run.is_resumed and (why := _too_late(run, untouched=untouched)):
        return _broken_off(run, why)
    if not untouched:
        return None
    if run.is_resumed:
        world = world_now(conditions=run.proposal.preconditions)
        checked = world.hold(run.proposal.preconditions)
        execution.preconditions = [c.as_dict() for c in checked]
        if failed := [c.detail for c in checked if not c.ok]:
            return run.finish(
                Outcome.REFUSED,
                "nothing was written, the plant changed since: " + "; ".join(failed),
            )
    return _drivers_can(run)


def _too_late(run: Run, *, untouched: bool) -> str:
    execution, now = run.execution, timezone.now()
    deadline = run.proposal.execute_before
    if untouched and not execution.holds and deadline is not None and deadline <= now:
        return f"its approval was good until {deadline:%H:%M:%S} UTC"
    since = execution.progressed_at or execution.started_at
    silent_s = (now - since).total_seconds()
    if silent_s > RESUME_WITHIN_S and not (execution.waits or _was_on_hold(execution)):
        return (
            f"nothing moved for {silent_s:.0f} s (limit {RESUME_WITHIN_S:.0f} s), so the plant is "
            "no longer the one that was signed for"
        )
    return ""


def _was_on_hold(execution: Execution) -> bool:
    """Whether it waited for a person: such waiting has a deadline of its own."""
    return any(hold["released_at"] is None for hold in execution.holds)


def _drivers_can(run: Run) -> Executed | None:
    """Whether every write has a driver that can carry it out: all are looked at before the first
    is sent, so that none is left half done for a setting that is missing."""
    planned = dry_run(writes=run.execution.writes)
    if problem := next((write.problem for write in planned if write.problem), ""):
        return run.finish(Outcome.REFUSED, f"nothing was written: {problem}")
    if dry := [write for write in planned if write.is_dry_run]:
        said = "; ".join(line for write in dry for line in write.plan)
        return run.finish(
            Outcome.REFUSED,
            f"dry run, nothing was written: binding {dry[0].binding} would send {said}",
        )
    return None


def _step(run: Run, step: Step) -> Executed | None:
    """Hold, write, wait for the conditions. None: the next step may come."""
    state = next((row for row in run.execution.steps if row["n"] == step.n), None)
    if state is not None and state["state"] == "done":
        return None
    if run.stop_asked():
        return _stopped(run)
    if step.hold and not is_released(run.execution, step):
        return hold_reached(run, step)
    if step.n and state is None:
        first = min(step.indexes.start, len(run.execution.writes) - 1)
        if (ended := _frozen(run, first, f"step {step.n}")) is not None:
            return ended
    for index in step.indexes:
        if not step.n and (ended := _frozen(run, index)) is not None:
            return ended
        if (ended := _write(run, index)) is not None:
            return ended
    return _confirmed(run, step)


def _frozen(run: Run, index: int, before: str = "") -> Executed | None:
    """Whether a freeze makes it wait before a write, or a step, that was not begun."""
    if run.execution.writes and run.execution.writes[index]["state"] != "planned":
        return None
    try:
        freeze_pass(run, before=before or f"write {index + 1}")
    except FrozenError as waits:
        return Executed("", str(waits))
    except FrozenOutError as over:
        return _broken_off(run, str(over), over.entry)
    return None


def _write(run: Run, index: int) -> Executed | None:
    write = run.execution.writes[index]
    if write["state"] == "applied":
        return None
    was_under_way = write["state"] == "sending"
    if was_under_way and not can_repeat(order_of(write, run.fences)):
        said = "the worker died while it was under way, and sending it again could do it twice"
        return _failed(run, index, DriverError(said, maybe_applied=True), unknown=True)
    try:
        run.note_write(
            index, "write.sent", guard=True, state="sending", sent_at=iso_utc(timezone.now())
        )
    except StopError:
        return _stopped(run)
    except GateHeldError:
        return Executed("", "the gate is held: nothing more is sent until it is released")
    try:
        order = order_of(run.execution.writes[index], run.fences)
        result = send(order, obj=run.obj, asked_to_stop=run.halted)
    except DriverError as error:
        # What an earlier worker sent may have arrived, whatever this attempt met.
        unknown = error.maybe_applied or (was_under_way and error.reads is None)
        if not unknown and error.reads is None and run.halted():
            return _not_sent(run, index, error)
        return _failed(run, index, error, unknown=unknown)
    previous = result.previous if result.previous is not None else write.get("before")
    run.note_write(
        index,
        "write.applied",
        state="applied",
        answered_at=iso_utc(timezone.now()),
        previous=previous,
        duplicate=result.duplicate,
        attempts=result.attempts,
        response=result.response,
        device_reads=result.read_back,
        error="",
    )
    return None


def _not_sent(run: Run, index: int, error: DriverError) -> Executed:
    """The driver waited, somebody stopped it, and surely nothing was taken."""
    run.note_write(index, "write.not_sent", state="planned", sent_at=None, error=error.detail)
    if run.stop_asked():
        return _stopped(run)
    return Executed("", "the gate is held: nothing more is sent until it is released")


def _failed(run: Run, index: int, error: DriverError, *, unknown: bool) -> Executed:
    facts = {}
    if error.reads is not None:
        facts = {"changed": True, "device_reads": error.reads, "previous": error.previous}
    entry = _not_written(run, index, error.detail, unknown=unknown, **facts)
    said = done_and_left(run.execution.writes)
    if unknown:
        return run.finish(
            Outcome.UNKNOWN,
            f"{error.detail}. It is settled by reading the point back.{said}",
            entry,
        )
    return run.finish(Outcome.FAILED, f"{error.detail}.{said}", entry)


def _not_written(run: Run, index: int, error: str, *, unknown: bool, **facts: Any) -> Entry:
    """Mark a write; it is stored with the end of the execution, in one transaction."""
    writes = [dict(write) for write in run.execution.writes]
    writes[index].update(
        state="unknown" if unknown else "failed", error=error, maybe_applied=unknown, **facts
    )
    run.execution.writes = writes
    return Entry("write.unknown" if unknown else "write.failed", writes[index])


def _stopped(run: Run) -> Executed:
    """End before the next write. A write that a killed worker had under way is not sent again; what
    became of it is found out by looking."""
    row = Execution.objects.select_related("stop_requested_by").get(pk=run.execution.pk)
    who = row.stop_requested_by.get_username() if row.stop_requested_by else "somebody"
    return _broken_off(run, f"{who} stopped it ({row.stop_reason})", outcome=Outcome.STOPPED)


def _broken_off(run: Run, why: str, *entries: Entry, outcome: Outcome = Outcome.FAILED) -> Executed:
    writes = run.execution.writes
    under_way = next((i for i, w in enumerate(writes) if w["state"] == "sending"), None)
    if under_way is not None:
        died = "the worker died while it was under way, and it was not sent again"
        entries = (*entries, _not_written(run, under_way, died, unknown=True))
        outcome = Outcome.UNKNOWN
    said = done_and_left(run.execution.writes)
    if outcome == Outcome.FAILED and not any(w["state"] == "applied" for w in writes):
        outcome = Outcome.REFUSED
    return run.finish(outcome, f"{why}.{said}", *entries)


def _confirmed(run: Run, step: Step) -> Executed | None:
    """Whether a step's conditions have become true; asks to be called again while they may."""
    if not step.n:
        return None
    now = timezone.now()
    row = next((r for r in run.execution.steps if r["n"] == step.n), None)
    if row is None:
        row = {"n": step.n, "state": "confirming", "since": iso_utc(now),
               "due_at": iso_utc(now + timedelta(seconds=step.wait_s)), "confirm": []}  # fmt: skip
        if step.confirm:
            run.note("step.confirming", row, steps=[*run.execution.steps, row])
    checked = held_since(step.confirm, since=datetime.fromisoformat(row["since"]))
    done = {**row, "confirm": [c.as_dict() for c in checked]}
    failed = [c.detail for c in checked if not c.ok]
    others = [r for r in run.execution.steps if r["n"] != step.n]
    if not failed:
        done.update(state="done", done_at=iso_utc(now))
        run.note("step.done", done, steps=[*others, done])
        return None
    if now < datetime.fromisoformat(row["due_at"]):
        return Executed("", f"step {step.n} waits for {'; '.join(failed)}", CONFIRM_EVERY_S)
    done["state"] = "failed"
    run.execution.steps = [*others, done]
    why = f"step {step.n}: after {step.wait_s:.0f} s still {'; '.join(failed)}"
    return _broken_off(run, why, Entry("step.failed", done))
