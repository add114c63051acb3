"""Courses of points in the database, and proposals that were written, for tests of effects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from approvals.canonical import iso_utc
from approvals.effects import effect_open
from approvals.models import Effect, Execution, Proposal
from approvals.services import proposal_approve, proposal_move
from facilities.models import LatestReading, Point, Reading
from facilities.partitions import ensure_partitions

EVERY_S = 5.0


def course_write(
    courses: dict[str, Callable[[float], float]],
    *,
    wrote: datetime,
    until: datetime | None = None,
    since_s: float = -600.0,
    quality: int = 1,
) -> None:
    """Readings of points as functions of the seconds after the write, up to `until` (now), and
    their latest value.
    """
    until = until or timezone.now()
    start = wrote + timedelta(seconds=since_s)
    ensure_partitions([start.date(), until.date()])
    points = Point.objects.in_bulk(list(courses), field_name="tag")
    count = int((until - start).total_seconds() // EVERY_S) + 1
    rows = []
    for tag, value_at in courses.items():
        for n in range(count):
            ts = start + timedelta(seconds=n * EVERY_S)
            value = value_at((ts - wrote).total_seconds())
            rows.append(
                Reading(point=points[tag], ts=ts, value=value, quality=quality, received_at=ts)
            )
        last = rows[-1]
        LatestReading.objects.update_or_create(
            point=points[tag],
            defaults={
                "ts": max(last.ts, until),
                "value": last.value,
                "quality": quality,
                "received_at": until,
            },
        )
    Reading.objects.bulk_create(rows)


def written(
    proposal: Proposal,
    signer: Any,
    *,
    wrote: datetime | None = None,
    previous: dict[str, float] | None = None,
    succeed: bool = True,
    states: tuple[str, ...] = (),
    mismatch: str = "",
    read_back: bool = True,
    opens: bool = True,
) -> Proposal:
    """Sign the proposal and record it as carried out at `wrote`, without a plant."""
    wrote = wrote or timezone.now()
    proposal_approve(proposal_id=proposal.pk, user=signer, digest=proposal.digest, reason="go")
    proposal_move(proposal_id=proposal.pk, source="approved", target="executing", actor="executor")
    writes = []
    for index, write in enumerate(proposal.writes):
        state = states[index] if states else "applied"
        sent = (
            {"sent_at": iso_utc(wrote), "answered_at": iso_utc(wrote)} if state != "planned" else {}
        )
        earlier = (previous or {}).get(write["tag"])
        differs = {"confirmed": False, "confirm_detail": mismatch} if mismatch else {}
        writes.append(
            {**write, "key": f"k:{index}", "state": state, "previous": earlier, **sent, **differs}
        )
    Execution.objects.create(
        proposal=proposal,
        idempotency_key=f"hp-{proposal.pk}",
        digest=proposal.digest,
        started_at=wrote,
        finished_at=wrote,
        outcome="succeeded" if succeed else "failed",
        detail="1 write(s) confirmed by the plant" if succeed else "crac-4 does not answer.",
        writes=writes,
        confirmed_at=wrote if read_back else None,
    )
    end = "succeeded" if succeed else "failed"
    proposal_move(proposal_id=proposal.pk, source="executing", target=end, actor="executor")
    found = Proposal.objects.get(pk=proposal.pk)
    if succeed and opens:
        effect = effect_open(proposal=found)
        Effect.objects.filter(pk=effect.pk).update(started_at=wrote)
    return found
