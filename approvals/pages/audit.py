"""The audit trail with filters."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals import selectors

AUDIT_PAGE = 100


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
