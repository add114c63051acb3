"""Pages of the gate.

Every signed-in person may look; the buttons are only for those who may press them.
"""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from approvals import selectors
from approvals.cards import card_for, precondition_rows
from approvals.execution import dry_run
from approvals.models import Investigation
from approvals.states import OPEN_STATES

AUDIT_PAGE = 100


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


@require_GET
@login_required
def proposal(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one proposal: evidence, reasoning, signature, writes, effect, trail."""
    found = get_object_or_404(selectors.proposals(), pk=pk)
    user = cast(AbstractUser, request.user)
    return render(
        request,
        "approvals/proposal.html",
        {
            "nav": "approvals",
            "card": card_for(proposal=found, user=user),
            "payload": found.payload(),
            "preconditions": precondition_rows(found),
            "investigations": selectors.investigations_of(proposal_id=pk),
            "entries": selectors.audit_of(obj=f"proposal:{pk}"),
            "planned": dry_run(writes=found.writes),
            "digest_holds": found.computed_digest() == found.digest,
            "decider": user.has_perm("approvals.decide_proposal"),
        },
    )


@require_GET
@login_required
def investigation(request: HttpRequest, pk: int) -> HttpResponse:
    """What the agent did about one alarm, also when it proposed nothing."""
    found = get_object_or_404(
        Investigation.objects.select_related("alarm__point__asset", "alarm__rule", "proposal"),
        pk=pk,
    )
    return render(
        request, "approvals/investigation.html", {"nav": "approvals", "investigation": found}
    )


@require_GET
@login_required
def audit(request: HttpRequest) -> HttpResponse:
    """The audit trail with filters; the verify button calls the API."""
    wanted = {name: request.GET.get(name, "").strip() for name in ("event", "actor", "object")}
    entries = selectors.audit_search(
        event=wanted["event"], actor=wanted["actor"], obj=wanted["object"]
    )
    return render(
        request,
        "approvals/audit.html",
        {
            "nav": "audit",
            "page": Paginator(entries, AUDIT_PAGE).get_page(request.GET.get("page")),
            "wanted": wanted,
            "filtered": any(wanted.values()),
        },
    )
