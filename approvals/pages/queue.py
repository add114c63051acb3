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
from approvals.queue import queue_groups


@require_GET
@login_required
def queue(request: HttpRequest) -> HttpResponse:
    """The approval queue: what needs this person, what waits for others, what is under way, what
    ended lately. Rows only; a card is fetched when it is opened.
    """
    user = cast(AbstractUser, request.user)
    groups, is_cut = queue_groups(user=user)
    return render(
        request,
        "approvals/queue.html",
        {
            "nav": "approvals",
            "tab": "queue",
            "groups": groups,
            "is_cut": is_cut,
            "waiting": sum(len(group.cards) for group in groups[:2]),
            "investigations": selectors.investigations_recent(),
            "decider": user.has_perm("approvals.decide_proposal"),
            "hold": selectors.gate_hold_now(),
            "can_stop_all": user.has_perm("approvals.stop_all"),
            "can_ask": user.has_perm("approvals.add_proposal"),
        },
    )


@require_GET
@login_required
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """One card as a fragment: live updates replace the old one with it. `?open=1`: all of it."""
    proposal = get_object_or_404(selectors.proposals(), pk=pk)
    user = cast(AbstractUser, request.user)
    found = card_for(proposal=proposal, user=user, is_open=request.GET.get("open") == "1")
    return render(request, "approvals/_card.html", {"card": found})


@require_GET
@login_required
def gate(request: HttpRequest) -> HttpResponse:
    """The banner that says whether the gate is stopped, as a fragment."""
    user = cast(AbstractUser, request.user)
    return render(
        request,
        "approvals/_gate.html",
        {"hold": selectors.gate_hold_now(), "can_stop_all": user.has_perm("approvals.stop_all")},
    )


@require_GET
@login_required
def activity(request: HttpRequest) -> HttpResponse:
    """The agent's latest investigations as a fragment."""
    return render(
        request, "approvals/_activity.html", {"investigations": selectors.investigations_recent()}
    )
