"""Reads what a verdict is drawn from: the point's readings, its siblings', and what else happened.

At most six queries, whatever the size of the hall.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from approvals.effects.control import PRE_S
from approvals.effects.course import Course
from approvals.models import Effect, Execution
from facilities import selectors
from facilities.models import Asset, Point, Quality
from facilities.series import TooMany

CANDIDATES: Final = 40
"""Siblings that are looked at; the best of them by their course before the writes are used."""
LARGEST: Final = 2000
READ_BACK: Final = timedelta(seconds=60)
"""An early verdict waits this long for the written points to be read back."""


def wrote_at(effect: Effect) -> datetime:
    """When the first write left; without a record of it, when the effect was opened."""
    execution = getattr(effect.proposal, "execution", None)
    sent = [
        parse_datetime(write["sent_at"])
        for write in (execution.writes if execution else [])
        if write.get("sent_at")
    ]
    known = [moment for moment in sent if moment is not None]
    return min([*known, effect.started_at])


def courses(effect: Effect, *, since: datetime, until: datetime) -> tuple[Course, list[Course]]:
    """The point's good readings from ten minutes before the writes, and its siblings'."""
    end = max(until, since + timedelta(seconds=1))
    start = since - timedelta(seconds=PRE_S)
    tags = [effect.tag, *siblings_of(effect)]
    try:
        found = selectors.wall_series(
            tags=tags, start=start, end=end, max_points=LARGEST, level="raw"
        )
    except TooMany:
        found = selectors.wall_series(tags=tags[:1], start=start, end=end, max_points=LARGEST)
    by_tag = {series.tag: _course(series, since) for series in found}
    empty = Course(effect.tag, np.array([]), np.array([]))
    return by_tag.pop(effect.tag, empty), list(by_tag.values())


def _course(series: selectors.Series, since: datetime) -> Course:
    t = np.array(series.ts, dtype=np.float64) - since.timestamp()
    values = np.array([np.nan if v is None else v for v in series.values], dtype=np.float64)
    good = np.isfinite(values) & (np.array(series.flags, dtype=int) < Quality.FAIL)
    return Course(series.tag, t[good], values[good], int(((t > 0) & ~good).sum()))


def siblings_of(effect: Effect) -> list[str]:
    """Points of the same quantity on assets of the same kind in the same hall that the writes do
    not reach. Empty where the reach is not known: anything might be reached then.
    """
    reached = _reached(effect.proposal.blast_radius, effect.proposal.writes)
    point = (
        Point.objects.select_related("asset__hall", "asset__rack__hall")
        .filter(tag=effect.tag)
        .first()
    )
    if not effect.proposal.blast_radius or point is None:
        return []
    hall = point.asset.hall or (point.asset.rack.hall if point.asset.rack else None)
    if hall is None:
        return []
    return list(
        Point.objects.filter(
            Q(asset__hall=hall) | Q(asset__rack__hall=hall),
            asset__kind=point.asset.kind,
            quantity=point.quantity,
            unit=point.unit,
        )
        .exclude(pk=point.pk)
        .exclude(asset__tag__in=reached)
        .exclude(asset__parent__tag__in=reached)
        .exclude(asset__rack__tag__in=reached)
        .order_by("tag")
        .values_list("tag", flat=True)[:CANDIDATES]
    )


def _reached(radius: dict[str, Any], writes: list[dict[str, Any]]) -> set[str]:
    named = {tag for key in ("racks", "servers", "links", "jobs") for tag in radius.get(key, [])}
    return named | {write["tag"].rpartition(".")[0] for write in writes}


def others_written(effect: Effect, *, since: datetime, until: datetime) -> list[str]:
    """What other executions wrote in the same hall in that time, as sentences. Plant outside the
    halls counts for all of them.
    """
    near = (
        Execution.objects.exclude(proposal_id=effect.proposal_id)
        .filter(started_at__lte=until, writes__contains=[{"state": "applied"}])
        .filter(Q(finished_at__isnull=True) | Q(finished_at__gte=since))
        .select_related("proposal")
        .order_by("pk")[:20]
    )
    found = [execution.proposal for execution in near]
    if not found:
        return []
    places = {
        asset.tag: asset.hall_id or (asset.rack.hall_id if asset.rack else None)
        for asset in Asset.objects.select_related("rack").filter(
            tag__in={effect.proposal.target, *(other.target for other in found)}
        )
    }
    mine = places.get(effect.proposal.target)
    return [
        f"#{other.pk} ({other.title}) was carried out in the same time"
        for other in found
        if mine is None or places.get(other.target) in (None, mine)
    ]


def waits_for_confirmation(effect: Effect) -> bool:
    """Whether the written points are still being read back."""
    execution = getattr(effect.proposal, "execution", None)
    if execution is None or execution.finished_at is None:
        return False
    waited = timezone.now() - execution.finished_at
    return execution.confirmed_at is None and waited < READ_BACK


def mismatches(effect: Effect) -> list[str]:
    """Written points that telemetry shows with another value, as sentences."""
    execution = getattr(effect.proposal, "execution", None)
    return [
        write.get("confirm_detail") or f"{write['tag']} does not read {write['value']:g}"
        for write in (execution.writes if execution else [])
        if write.get("confirmed") is False
    ]
