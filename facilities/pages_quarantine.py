"""HTML page of the quarantine: filters, reasons, replay and discard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from facilities.models import QuarantinedItem, QuarantineDrops, QuarantineState, Source
from facilities.services.quarantine import (
    MAX_AGE,
    MAX_PER_SOURCE,
    quarantine_discard,
    quarantine_found,
    quarantine_replay,
)

PAGE_SIZE = 100
SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


def _filters(data: QueryDict) -> dict[str, str]:
    """Known filters of a query string; what is no filter is left out."""
    found = {
        name: data.get(name, "").replace("\0", "").strip()
        for name in ("source", "code", "state", "search", "span")
    }
    found["state"] = found["state"] if found["state"] in (*QuarantineState.values, "all") else ""
    found["span"] = found["span"] if found["span"] in SPANS else ""
    return found


def _items(filters: dict[str, str]) -> QuerySet[QuarantinedItem]:
    state = filters["state"] or QuarantineState.WAITING
    span = SPANS.get(filters["span"])
    return quarantine_found(
        source=filters["source"],
        code=filters["code"],
        state="" if state == "all" else state,
        search=filters["search"],
        since=timezone.now() - span if span else None,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("facilities.manage_sources", raise_exception=True)
def quarantine(request: HttpRequest) -> HttpResponse:
    """Rejected items, newest first; replay or discard some or all that the filters find."""
    if request.method == "POST":
        return _act(request)
    filters = _filters(request.GET)
    items = _items(filters)
    query = request.GET.copy()
    query.pop("page", None)
    reasons = (
        QuarantinedItem.objects.filter(state=QuarantineState.WAITING)
        .values("code")
        .annotate(n=Count("pk"))
        .order_by("-n")
    )
    context: dict[str, Any] = {
        "nav": "quarantine",
        "page": Paginator(items, PAGE_SIZE).get_page(request.GET.get("page")),
        "filters": filters,
        "filtered": any(filters.values()),
        "query": query.urlencode(),
        "reasons": list(reasons),
        "sources": Source.objects.order_by("name").values_list("name", flat=True),
        "states": [*QuarantineState.choices, ("all", "All")],
        "dropped": QuarantineDrops.objects.aggregate(n=Sum("count"))["n"] or 0,
        "most": MAX_PER_SOURCE,
        "age_days": MAX_AGE.days,
    }
    return render(request, "facilities/quarantine.html", context)


def _act(request: HttpRequest) -> HttpResponse:
    back = QueryDict(request.POST.get("query", ""))
    items = _items(_filters(back))
    if not request.POST.get("all"):
        ids = [int(pk) for pk in request.POST.getlist("id") if pk.isascii() and pk.isdigit()]
        if not ids:
            messages.warning(request, "Choose items first, or act on all that the filters find.")
            return redirect(f"{request.path}?{back.urlencode()}")
        items = items.filter(pk__in=[pk for pk in ids if pk < 2**63])
    if request.POST.get("action") == "discard":
        messages.success(request, f"{quarantine_discard(items=items)} items discarded.")
    else:
        done = quarantine_replay(items=items)
        why = ", ".join(f"{count} {code}" for code, count in sorted(done.reasons.items()))
        messages.success(
            request,
            f"{done.tried} tried: {done.stored} stored, {done.repeated} stored before, "
            f"{done.waiting} still waiting{f' ({why})' if why else ''}.",
        )
    return redirect(f"{request.path}?{back.urlencode()}")
