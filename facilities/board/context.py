"""What several components of the board look at, read once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from facilities.board.graph import Edge, read_edges
from facilities.board.planner import Plan, capacity_plan, present
from facilities.board.rates import Flowing, flowing
from facilities.models import QualityTrend
from facilities.models.quality import Scope
from facilities.services.processes import Record, record


@dataclass(frozen=True, slots=True)
class Context:
    """One look at the installation."""

    now: datetime
    flow: Flowing
    edges: list[Edge]
    kinds: dict[str, str]
    plan: Plan
    quality: QualityTrend | None
    """The facility's scores of the newest hour within a day."""
    processes: Record
    """Lives of the product's processes in the last 30 days."""


def read_context(*, now: datetime | None = None) -> Context:
    """Read it: about a dozen queries, none per point."""
    now = now or datetime.now(UTC)
    edges, kinds = read_edges()
    quality = (
        QualityTrend.objects.filter(scope=Scope.FACILITY, hour__gte=now - timedelta(days=1))
        .order_by("-hour")
        .first()
    )
    return Context(
        now=now,
        flow=flowing(now=now),
        edges=edges,
        kinds=kinds,
        plan=capacity_plan(wanted=present(), now=now),
        quality=quality,
        processes=record(now=now),
    )
