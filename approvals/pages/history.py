"""Every proposal there ever was: search, and a file of what was found."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals.models import Proposal
from approvals.search import (
    EXPORT_ROWS,
    as_csv,
    proposals_search,
    row_of,
    select,
    wanted_of,
)
from approvals.states import ProposalState, Risk

PAGE = 50


@require_GET
@login_required
def history(request: HttpRequest) -> HttpResponse:
    """Search with filters, 50 a page."""
    wanted = wanted_of(request.GET)
    found = select(proposals_search(wanted))
    return render(
        request,
        "approvals/history.html",
        {
            "nav": "approvals",
            "tab": "history",
            "wanted": wanted,
            "given": request.GET,
            "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
            "states": [("open", "Open"), ("ended", "Ended"), *ProposalState.choices],
            "risks": Risk.choices,
            "kinds": Proposal.objects.order_by("kind").values_list("kind", flat=True).distinct(),
            "people": ["agent", *_people()],
            "export_rows": EXPORT_ROWS,
        },
    )


def _people() -> list[str]:
    """Who asked for or decided on anything."""
    people = get_user_model().objects
    asked = Proposal.objects.exclude(requested_by=None).values("requested_by")
    decided = Proposal.objects.exclude(decisions=None).values("decisions__user")
    found = people.filter(pk__in=asked) | people.filter(pk__in=decided)
    return list(found.order_by("username").values_list("username", flat=True))


@require_GET
@login_required
def export(request: HttpRequest) -> HttpResponse:
    """What the same query finds, newest first, as CSV or (`?format=json`) JSON; at most 5,000."""
    found = select(proposals_search(wanted_of(request.GET)))[:EXPORT_ROWS]
    if request.GET.get("format") == "json":
        answer: HttpResponse = JsonResponse({"proposals": [row_of(one) for one in found]})
        name = "proposals.json"
    else:
        answer = HttpResponse(as_csv(found), content_type="text/csv; charset=utf-8")
        name = "proposals.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
