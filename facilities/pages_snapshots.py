"""The page about consistent snapshots: how far every source is in, and who made everyone wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from facilities.models import Barrier
from facilities.rollups import job
from facilities.snapshots import watermarks
from facilities.snapshots.barrier import PROBE_EVERY_S, PROBE_TIMEOUT_S
from facilities.snapshots.history import waits
from facilities.snapshots.read import TIMEOUT_S

RECENT: Final = 15


@require_safe
@login_required
def snapshots(request: HttpRequest) -> HttpResponse:
    """Watermarks, what waiting cost in the last day, and the last readers that waited."""
    now = timezone.now()
    marks = [
        {
            **mark._asdict(),
            "behind_s": None if mark.upto is None else max((now - mark.upto).total_seconds(), 0.0),
        }
        for mark in watermarks(at=now)
    ]
    context = {
        "nav": "snapshots",
        "marks": marks,
        "waits": waits(since=now - timedelta(days=1)),
        "readers": Barrier.objects.filter(asked=Barrier.Asked.READER)[:RECENT],
        "store": job.status(now=now),
        "probe_every_s": PROBE_EVERY_S,
        "probe_timeout_s": PROBE_TIMEOUT_S,
        "timeout_s": TIMEOUT_S,
    }
    return render(request, "facilities/snapshots.html", context)
