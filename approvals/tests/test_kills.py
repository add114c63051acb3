"""Workers that are killed (-9) at every step, against the plant's own log.

A worker is a process of its own (forked), killed from inside at a chosen statement or between the
plant's answer and its note; afterwards another one finds the work, as the sweep does. Nothing in
the product knows of it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from approvals import execution
from approvals.audit import audit_verify
from approvals.execution import run as runner
from approvals.models import AssetLease, AuditEntry, Execution, Outcome, Proposal
from approvals.services import proposal_move
from approvals.tasks import execute_orphans, execute_proposal
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import (
    DiesAtQuery,
    die,
    events,
    fans,
    in_child,
    keys,
    made,
    own_connection,
    signed,
)

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = -9
# More statements than one execution of two writes makes: the last numbers kill nobody.
STATEMENTS = 150


@pytest.fixture
def ready(operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any) -> Any:
    """A signed proposal with two writes; no pause between tries, no rest between changes."""
    from approvals.catalogue import KINDS

    monkeypatch.setattr(KINDS["set_fan_speed"], "cool_down_s", 0.0, raising=False)

    def make(*speeds: float) -> Proposal:
        return signed(made(fans(*(speeds or (71.0, 72.0)))), operator)

    return make


def _worker(proposal: Proposal, *, dies: Callable[[], Any] | None = None) -> Callable[[], None]:
    """What a worker process does with one message."""

    def work() -> None:
        if dies is None:
            execution.execute(proposal_id=proposal.pk)
            return
        with connection.execute_wrapper(dies()):
            execution.execute(proposal_id=proposal.pk)

    return work


def _finish(proposal: Proposal, plant: PlantProcess) -> None:
    """Let the sweep's workers go on until it ends; then everything must be right."""
    deadline = time.monotonic() + 20
    while proposal.state in ("approved", "executing") and time.monotonic() < deadline:
        # A killed worker's lock is gone as soon as the server notices.
        execution.execute(proposal_id=proposal.pk)
        proposal.refresh_from_db()
    assert proposal.state == "succeeded"
    done = Execution.objects.get(proposal=proposal)
    wanted = [write["key"] for write in done.writes]
    assert keys(plant.writes(), proposal) == wanted, "each key once, in order"
    assert done.outcome == Outcome.SUCCEEDED
    assert not AssetLease.objects.exclude(holder=None).exists()
    assert audit_verify().ok
    trail = events(proposal)
    assert trail.count("proposal.executing") == trail.count("proposal.succeeded") == 1
    assert trail.count("write.applied") == len(wanted)
    proposal_move(proposal_id=proposal.pk, source="succeeded", target="verified")


@pytest.mark.slow
def test_it_writes_once_wherever_its_worker_is_killed(ready: Any, plant: PlantProcess) -> None:
    """Every fifth statement, in turn before and after it, until a worker comes through alive."""
    killed = 0
    for n in range(1, STATEMENTS, 5):
        proposal = ready()
        status = in_child(_worker(proposal, dies=partial(DiesAtQuery, n, after=n % 2 == 0)))
        assert status in (0, KILLED)
        _finish(proposal, plant)
        if status == 0:
            break
        killed += 1
    else:
        raise AssertionError("one must come through, else not every statement was tried")
    assert killed > 8


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(deaths=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=4))
@pytest.mark.slow
def test_it_writes_once_when_worker_after_worker_is_killed(
    deaths: list[tuple[int, bool]], ready: Any, plant: PlantProcess
) -> None:
    proposal = ready()
    for n, after in deaths:
        in_child(_worker(proposal, dies=partial(DiesAtQuery, n, after=after)))
        applied = keys(plant.writes(), proposal)
        assert len(applied) == len(set(applied)) <= 2
    _finish(proposal, plant)


@pytest.mark.parametrize("when", ["before_send", "after_send"])
def test_it_sends_with_the_same_key_after_a_death_around_the_send(
    ready: Any, plant: PlantProcess, when: str
) -> None:
    proposal = ready()
    real = runner.send

    def deadly(order: Any, *, obj: str, **_: Any) -> Any:
        if when == "after_send":
            real(order, obj=obj)
        die()

    def work() -> None:
        runner.send = deadly  # in the child only
        execution.execute(proposal_id=proposal.pk)

    assert in_child(work) == KILLED
    done = Execution.objects.get(proposal=proposal)
    assert done.writes[0]["state"] == "sending"
    assert len(keys(plant.writes(), proposal)) == (when == "after_send")
    _finish(proposal, plant)
    done.refresh_from_db()
    assert done.writes[0]["duplicate"] is (when == "after_send")
    assert done.fence == 2


def test_it_writes_nothing_without_an_approval_wherever_a_worker_is_killed(
    set_values: SetValues, plant: PlantProcess, operator: Any
) -> None:
    proposal = made(fans(73.0))
    before = plant.writes()
    for n in (1, 2, 3, 5, 8):
        in_child(_worker(proposal, dies=partial(DiesAtQuery, n)))
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    assert plant.writes() == before
    assert not Execution.objects.exists()


def _collect(statuses: list[int], proposal: Proposal, dies: Callable[[], Any] | None) -> None:
    statuses.append(in_child(_worker(proposal, dies=dies)))


def test_it_writes_once_when_processes_get_the_same_message(
    ready: Any, plant: PlantProcess
) -> None:
    """Duplicate delivery to three workers at once, two of which die on the way."""
    proposal = ready()
    deaths: list[Callable[[], Any] | None] = [
        lambda: DiesAtQuery(25), None, lambda: DiesAtQuery(12, after=True)
    ]  # fmt: skip
    statuses: list[int] = []
    threads = [threading.Thread(target=partial(_collect, statuses, proposal, d)) for d in deaths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(statuses) <= {0, KILLED}
    _finish(proposal, plant)


def test_it_finds_by_the_sweep_what_a_lost_message_left_behind(
    ready: Any, plant: PlantProcess, monkeypatch: Any
) -> None:
    """The broker was restarted and lost every message: approved, and killed after the claim."""
    approved, begun = ready(), None
    queued: list[int] = []
    monkeypatch.setattr("approvals.tasks.execute_proposal.delay", queued.append)
    monkeypatch.setattr("approvals.tasks.ORPHANED_AFTER_S", 0)
    execute_orphans()
    assert queued == [approved.pk]
    _finish(approved, plant)
    begun = ready()
    assert in_child(_worker(begun, dies=DiesAtFirstSend)) == KILLED
    begun.refresh_from_db()
    queued.clear()
    execute_orphans()
    assert queued == [begun.pk]
    for proposal_id in queued * 3:
        execute_proposal(proposal_id)
    _finish(begun, plant)


class DiesAtFirstSend:
    """Kills after the claim has committed, before the first write is noted."""

    def __call__(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if "write.sent" in str(params):
            die()
        return execute(sql, params, many, context)


def test_it_lets_a_frozen_worker_that_wakes_up_write_nothing(
    ready: Any, plant: PlantProcess
) -> None:
    """SIGSTOP, its connection cut by the server, another worker does it all, SIGCONT."""
    proposal = ready(74.0, 75.0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own_connection()
            real = runner.order_of

            def tells_and_sleeps(write: Any, fences: Any) -> Any:
                os.write(writer, str(_backend_pid()).encode())
                os.kill(os.getpid(), signal.SIGSTOP)
                # Awake again: what it built before is what it would send now.
                return real({**write, "value": 40.0, "key": "zombie:0"}, fences)

            runner.order_of = tells_and_sleeps
            runner.execute(proposal_id=proposal.pk)
            os._exit(0)
        except BaseException:
            os._exit(70)
    backend = int(os.read(reader, 32))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [backend])
    deadline = time.monotonic() + 20
    while execution.execute(proposal_id=proposal.pk).outcome != Outcome.SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = plant.writes()
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    assert plant.writes() == before, "the plant refused its stale fence"
    assert "zombie:0" not in [w["key"] for w in before]
    assert AuditEntry.objects.filter(event="proposal.succeeded").count() == 1


def _backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
