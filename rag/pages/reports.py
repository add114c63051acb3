"""Outcome reports that wait for release, and what became of the others. Signed-in users only."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.access import Reader, collections_of
from rag.models import OutcomeReport
from rag.rendering import passage_html

PAGE_SIZE = 20


@require_GET
@login_required
def report_list(request: HttpRequest) -> HttpResponse:
    """Reports of one state, drafts first seen, with their whole text."""
    state = request.GET.get("state", OutcomeReport.State.DRAFT)
    if state not in OutcomeReport.State.values:
        state = OutcomeReport.State.DRAFT
    counts = dict(OutcomeReport.objects.order_by().values_list("state").annotate(count=Count("pk")))
    found = (
        OutcomeReport.objects.filter(state=state)
        .select_related("document", "decided_by")
        .order_by("-created_at", "-pk")
    )
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "nav": "reports",
        "state": state,
        "page": page,
        "rows": [(report, passage_html(text=_body(report), markup="markdown")) for report in page],
        "tabs": [
            (value, label, counts.get(value, 0)) for value, label in OutcomeReport.State.choices
        ],
        "may_release": request.user.has_perm("rag.release_report"),
        "readable": set(collections_of(Reader.of(request.user)).values_list("pk", flat=True)),
    }
    return render(request, "rag/reports.html", context)


def _body(report: OutcomeReport) -> str:
    """The text without its title, which the page shows by itself."""
    first, _, rest = report.body.partition("\n")
    return rest if first.startswith("# ") else report.body
