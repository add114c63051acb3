"""Two-way confirmation: the plant said that it wrote; do the points say so too?

Ends in a sweep, at most CONFIRM_S after the writes, while the effect is being measured. A point
that shows another value counts against the effect: the execution is not silently a success.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals.audit import audit_append
from approvals.drivers.base import same
from approvals.execution.progress import EXECUTOR
from approvals.execution.world import measured_here
from approvals.live import push_proposal
from approvals.models import Execution, Outcome
from facilities.models import Point

log = logging.getLogger(__name__)

# How long a written point may take to show its value in telemetry (assumed: 30 pushes of the plant).
CONFIRM_S = 60.0


class Reading(NamedTuple):
    """The newest usable value of a point."""

    ts: datetime
    value: float


def readings(tags: Iterable[str]) -> dict[str, Reading]:
    """Newest values by tag, without those whose quality failed, in our time."""
    return {t: Reading(m.ts, m.value) for t, m in measured_here(tags=tags).items()}


def precisions(tags: Iterable[str]) -> dict[str, float]:
    """The smallest step of each point, where it is known."""
    found = Point.objects.filter(tag__in=list(tags), precision__isnull=False)
    return {tag: float(step) for tag, step in found.values_list("tag", "precision") if step}


def equal(measured: float, written: float, precision: float | None) -> bool:
    """Whether a reading is the written value, within the point's smallest step."""
    return same(measured, written) or abs(measured - written) <= (precision or 0.0)


def confirm_open() -> int:
    """Look once at every success that was not read back yet. Returns how many ended."""
    waiting = Execution.objects.filter(outcome=Outcome.SUCCEEDED, confirmed_at=None)
    return sum(_confirm(execution) for execution in waiting)


def _confirm(execution: Execution) -> bool:
    writes = [dict(write) for write in execution.writes]
    # Of several writes to one point only the last is still there to be seen.
    last = {write["tag"]: index for index, write in enumerate(writes)}
    asked = [i for i in last.values() if _can_be_read(writes[i])]
    tags = [writes[i]["tag"] for i in asked]
    values, steps = readings(tags), precisions(tags)
    now = timezone.now()
    over = now >= _since(execution, None) + timedelta(seconds=CONFIRM_S)
    open_ones = 0
    for index, write in enumerate(writes):
        if index not in asked:
            word = "no setpoint, or momentary" if last[write["tag"]] == index else "written again"
            write.update(confirmed=None, confirm_detail=f"not read back: {word}")
            continue
        verdict, detail = _verdict(write, values, steps, _since(execution, write))
        if verdict is not True and not over:
            open_ones += 1
        write.update(confirmed=verdict, confirm_detail=detail)
    if open_ones:
        return False
    for index in asked:
        if writes[index]["confirmed"] is False:
            _written_by_another(execution, writes[index])
    return _note(execution, writes, now)


def _can_be_read(write: dict[str, Any]) -> bool:
    return write.get("body") is None and write.get("read_back", True) is not False


def _since(execution: Execution, write: dict[str, Any] | None) -> datetime:
    answered = (write or {}).get("answered_at") or (write or {}).get("sent_at")
    if answered:
        return datetime.fromisoformat(answered)
    return execution.finished_at or execution.started_at


def _verdict(
    write: dict[str, Any], values: dict[str, Reading], steps: dict[str, float], since: datetime
) -> tuple[bool | None, str]:
    tag, value = write["tag"], float(write["value"])
    reading = values.get(tag)
    if reading is None or reading.ts <= since:
        return None, f"{tag} sent no reading within {CONFIRM_S:.0f} s of the write"
    shown = f"{tag} reads {reading.value:g} at {reading.ts:%H:%M:%S} UTC"
    if equal(reading.value, value, steps.get(tag)):
        return True, shown
    return False, f"{shown}, {value:g} was written"


def _written_by_another(execution: Execution, write: dict[str, Any]) -> None:
    """A later execution that wrote the same point explains another value."""
    later = (
        Execution.objects.filter(
            Q(started_at__gt=execution.started_at), writes__contains=[{"tag": write["tag"]}]
        )
        .exclude(pk=execution.pk)
        .first()
    )
    if later is not None:
        write.update(
            confirmed=None, confirm_detail=f"not read back: proposal {later.proposal_id} wrote it"
        )


def _note(execution: Execution, writes: list[dict[str, Any]], now: datetime) -> bool:
    wrong = [w["confirm_detail"] for w in writes if w["confirmed"] is False]
    with transaction.atomic():
        noted = Execution.objects.filter(pk=execution.pk, confirmed_at=None).update(
            writes=writes, confirmed_at=now
        )
        if noted != 1:
            return False
        audit_append(
            event="execution.not_confirmed" if wrong else "execution.confirmed",
            actor=EXECUTOR,
            obj=f"proposal:{execution.proposal_id}",
            payload={
                "points": [
                    {"tag": w["tag"], "confirmed": w["confirmed"], "detail": w["confirm_detail"]}
                    for w in writes
                ]
            },
        )
        push_proposal(proposal_id=execution.proposal_id, event="confirmed")
    return True
