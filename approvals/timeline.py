"""Decisions and executions for the timeline of the hall map."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from approvals.models import Decision, Execution
from approvals.models.proposal import Verdict
from facilities.hallmap.events import MapEvent, register_events

LISTED: Final = 200


def events(start: datetime, end: datetime) -> Iterator[MapEvent]:
    """What was signed, refused and written from ``start`` to ``end``. Two queries."""
    decisions = (
        Decision.objects.filter(at__gte=start, at__lte=end)
        .order_by("-at")
        .values_list(
            "at", "verdict", "user__username", "proposal_id", "proposal__title", "proposal__target"
        )
    )
    for at, verdict, user, pk, title, target in decisions[:LISTED]:
        said = Verdict(verdict).label.lower()
        tone = "ok" if verdict == Verdict.APPROVE else "high"
        yield MapEvent(at, said, target, f"{title}: {said} by {user}", f"/approvals/{pk}/", tone)
    executions = (
        Execution.objects.filter(started_at__gte=start, started_at__lte=end)
        .order_by("-started_at")
        .values_list("started_at", "outcome", "proposal_id", "proposal__title", "proposal__target")
    )
    for at, outcome, pk, title, target in executions[:LISTED]:
        done = outcome or "running"
        tone = "high" if done in ("failed", "refused") else "accent"
        yield MapEvent(at, "execution", target, f"{title}: {done}", f"/approvals/{pk}/", tone)


def register() -> None:
    """Have the hall map show them."""
    register_events("approvals", events)
