"""Shift hand-over: what happened, what is open, and the note for whoever comes."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from approvals.api.handover import LONGEST_TEXT, handovers
from approvals.honesty.handover import handover_facts, handover_since

EARLIER = 10


@require_GET
@login_required
def handover(request: HttpRequest) -> HttpResponse:
    """The time since the last hand-over, with the form for the note; earlier notes below."""
    since, now = handover_since(), timezone.now()
    notes = list(handovers()[:EARLIER])
    user = cast(AbstractUser, request.user)
    return render(
        request,
        "approvals/handover.html",
        {
            "nav": "approvals",
            "since": since,
            "now": now,
            "facts": handover_facts(since=since, until=now),
            "notes": notes,
            "waiting": next((note for note in notes[:1] if note.taken_at is None), None),
            "may_write": user.has_perm("approvals.decide_proposal"),
            "longest": LONGEST_TEXT,
        },
    )


@require_GET
@login_required
def note(request: HttpRequest, pk: int) -> HttpResponse:
    """One hand-over, as it was written; made to be printed."""
    found = get_object_or_404(handovers(), pk=pk)
    user = cast(AbstractUser, request.user)
    may_take = (
        found.taken_at is None
        and found.written_by_id != user.pk
        and user.has_perm("approvals.decide_proposal")
    )
    return render(
        request,
        "approvals/handover_note.html",
        {"nav": "approvals", "note": found, "facts": found.facts, "may_take": may_take},
    )
