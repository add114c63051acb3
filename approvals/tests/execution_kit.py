"""Signed proposals with any writes and steps, and workers that are killed: for the executor's tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection, connections
from django.utils import timezone

from approvals.models import AuditEntry, Proposal
from approvals.services import proposal_approve, proposal_move

FAN = "crac-{}.fan_speed_sp_pct"


def made(
    writes: Sequence[dict[str, Any]],
    *,
    steps: Sequence[dict[str, Any]] = (),
    preconditions: Sequence[dict[str, Any]] = (),
    kind: str = "set_fan_speed",
    target: str = "crac-1",
    risk: str = "low",
    requirement: dict[str, Any] | None = None,
    requested_by: Any = None,
    **more: Any,
) -> Proposal:
    """A pending proposal with these writes, without the catalogue's word."""
    now = timezone.now()
    proposal = Proposal(
        kind=kind,
        target=target,
        title=f"{kind} on {target}",
        writes=list(writes),
        steps=list(steps),
        rationale="A test asks for it.",
        expected_effect={
            "tag": f"{target}.fan_speed_pct", "unit": "%", "direction": "above", "threshold": 1.0,
            "window_s": 60.0, "sentence": "It turns.", "confirm": [], "rollback": [],
        },
        preconditions=list(preconditions),
        risk=risk,
        requirement=requirement or {"signatures": 1},
        requested_by=requested_by,
        created_at=now,
        state_changed_at=now,
        expires_at=now + timedelta(minutes=30),
        **more,
    )  # fmt: skip
    proposal.digest = proposal.computed_digest()
    proposal.save(force_insert=True)
    for source, target_state in (("draft", "simulated"), ("simulated", "pending")):
        proposal_move(proposal_id=proposal.pk, source=source, target=target_state)
    return proposal


def signed(proposal: Proposal, *people: Any) -> Proposal:
    """The proposal with these people's signatures, fresh from the database."""
    for person in people:
        proposal_approve(
            proposal_id=proposal.pk, user=person, digest=proposal.digest, reason="It is needed."
        )
    proposal.refresh_from_db()
    assert proposal.state == "approved", proposal.state
    return proposal


def fans(*speeds: float, first: int = 1) -> list[dict[str, Any]]:
    """Writes of the fan speeds of crac-1, crac-2, …"""
    return [{"tag": FAN.format(first + i), "value": speed} for i, speed in enumerate(speeds)]


def events(proposal: Proposal) -> list[str]:
    """The trail of one proposal, oldest first."""
    found = AuditEntry.objects.filter(object=f"proposal:{proposal.pk}").order_by("seq")
    return list(found.values_list("event", flat=True))


def last_note(proposal: Proposal) -> str:
    """What the newest transition says."""
    newest = proposal.transitions.last()
    assert newest is not None
    return newest.note


def keys(writes: Sequence[dict[str, Any]], proposal: Proposal) -> list[str]:
    """The keys of one proposal in the plant's log, each as often as it was applied."""
    return [w["key"] for w in writes if w["key"].startswith(f"hp-{proposal.pk}-")]


def in_child(work: Callable[[], None], *, wait_s: float = 30.0) -> int:
    """Run `work` in a process of its own, as a worker would; its exit status (-9: killed).

    The child has its own connection to the same database: the test must be transactional.
    """
    child = os.fork()
    if child == 0:
        try:
            own_connection()
            work()
            connection.close()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(70)
    deadline = time.monotonic() + wait_s
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"the worker did not end within {wait_s:g} s")
        time.sleep(0.005)


def own_connection() -> None:
    """In a forked child: the parent's sockets stay the parent's."""
    mine = connections[connection.alias]
    mine.connection = None
    mine._connection_pools = {}  # type: ignore[attr-defined]


def die() -> None:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)


class DiesAtQuery:
    """A database wrapper that kills the process before, or right after, its n-th statement."""

    def __init__(self, n: int, *, after: bool = False) -> None:
        self.left, self.after = n, after

    def __call__(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            die()
        result = execute(sql, params, many, context)
        if self.left == 0:
            die()
        return result
