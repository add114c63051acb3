"""The approval queue, its live fragments."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from approvals import selectors
from approvals.cards import card_for
from approvals.states import OPEN_STATES


@require_GET
@login_required
def queue(request: HttpRequest) -> HttpResponse:
    """The approval queue: what waits, what is under way, what was decided lately."""
    user = cast(AbstractUser, request.user)
    cards = [card_for(proposal=p, user=user) for p in selectors.proposals_queue()]
    return render(
        request,
        "approvals/queue.html",
        {
            "nav": "approvals",
            "open_cards": [c for c in cards if c.proposal.state in OPEN_STATES],
            "ended_cards": [c for c in cards if c.proposal.state not in OPEN_STATES],
            "investigations": selectors.investigations_recent(),
            "decider": user.has_perm("approvals.decide_proposal"),
        },
    )


@require_GET
@login_required
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """One card as a fragment: live updates replace the old one with it."""
    proposal = get_object_or_404(selectors.proposals(), pk=pk)
    user = cast(AbstractUser, request.user)
    return render(request, "approvals/_card.html", {"card": card_for(proposal=proposal, user=user)})


@require_GET
@login_required
def activity(request: HttpRequest) -> HttpResponse:
    """The agent's latest investigations as a fragment."""
    return render(
        request, "approvals/_activity.html", {"investigations": selectors.investigations_recent()}
    )
