"""How much the queue asked of people: arrivals by the hour and how long they waited."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from django.db.models import Q

from approvals.models import ProposalTransition
from approvals.states import ProposalState

S = ProposalState
_LEFT = (S.APPROVED, S.REJECTED, S.EXPIRED, S.SUPERSEDED)


def queue_load(*, since: datetime, until: datetime) -> dict[str, Any]:
    """{hours: [{at, arrived, open}], arrived, per_hour, median_wait_s, p90_wait_s, longest_open}.

    `open` is how many waited at the end of that hour. Waiting ends with whatever took the proposal
    off the queue. A drill counts like any other: it took
    attention, too. One query.
    """
    moves = list(
        ProposalTransition.objects.filter(
            proposal__created_at__lte=until, to_state__in=(S.PENDING, *_LEFT)
        )
        .filter(Q(proposal__state_changed_at__gte=since) | Q(proposal__state=S.PENDING))
        .order_by("id")
        .values_list("proposal_id", "to_state", "at")
    )
    spans = _spans(moves)
    start = since.replace(minute=0, second=0, microsecond=0)
    hours = []
    while start < until:
        end = start + timedelta(hours=1)
        moment = min(end, until)
        hours.append(
            {
                "at": start.isoformat(),
                "arrived": sum(max(start, since) <= came < end for came, _ in spans),
                "open": sum(
                    came < moment and (left is None or left >= moment) for came, left in spans
                ),
            }
        )
        start = end
    arrived = [span for span in spans if since <= span[0] <= until]
    waits = sorted((left - came).total_seconds() for came, left in arrived if left is not None)
    length = max((until - since).total_seconds() / 3600, 1e-6)
    return {
        "hours": hours,
        "arrived": len(arrived),
        "per_hour": round(len(arrived) / length, 2),
        "open": sum(left is None for _, left in spans),
        "median_wait_s": round(median(waits), 1) if waits else None,
        "p90_wait_s": round(quantiles(waits, n=10, method="inclusive")[-1], 1)
        if len(waits) > 1
        else (round(waits[0], 1) if waits else None),
    }


def _spans(moves: list[tuple[int, str, datetime]]) -> list[tuple[datetime, datetime | None]]:
    """When each proposal came into the queue and left it; None: it is there still."""
    spans: list[tuple[datetime, datetime | None]] = []
    open_since: dict[int, datetime] = {}
    for proposal_id, state, at in moves:
        if state == S.PENDING:
            open_since[proposal_id] = at
        elif proposal_id in open_since and state in _LEFT:
            spans.append((open_since.pop(proposal_id), at))
    spans.extend((came, None) for came in open_since.values())
    return sorted(spans, key=lambda span: span[0])
