"""The audit trail with filters."""

from __future__ import annotations

from datetime import time

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals import selectors
from approvals.models import AuditAnchor, AuditEntry
from approvals.search import moment_of

AUDIT_PAGE = 100
ANCHORS_SHOWN = 10
WALK_AT_ONCE = 5_000
"""Entries that are verified without being asked for: well under a second."""


@require_GET
@login_required
def audit(request: HttpRequest) -> HttpResponse:
    """The trail, newest first, with filters, the head of the chain and its anchors. The verify
    button calls the API; a short chain is verified when the page opens.
    """
    wanted = {
        name: request.GET.get(name, "").replace("\0", "").strip()[:200]
        for name in ("event", "actor", "object", "text")
    }
    since = moment_of(request.GET.get("since", ""), time.min)
    until = moment_of(request.GET.get("until", ""), time.max)
    entries = selectors.audit_search(
        event=wanted["event"],
        actor=wanted["actor"],
        obj=wanted["object"],
        text=wanted["text"],
        since=since,
        until=until,
    )
    head = AuditEntry.objects.order_by("-seq").first()
    return render(
        request,
        "approvals/audit.html",
        {
            "nav": "audit",
            "page": Paginator(entries, AUDIT_PAGE).get_page(request.GET.get("page")),
            "wanted": wanted,
            "since": since,
            "until": until,
            "filtered": any(wanted.values()) or bool(since or until),
            "head": head,
            "verify_at_once": head is not None and head.seq <= WALK_AT_ONCE,
            "anchors": AuditAnchor.objects.order_by("-day")[:ANCHORS_SHOWN],
        },
    )
