"""Everything about one proposal or investigation."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from approvals import selectors
from approvals.cards import card_for, precondition_rows
from approvals.execution import dry_run
from approvals.models import Investigation


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
