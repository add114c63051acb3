"""The document viewer: what citations point to. Signed-in readers only."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from rag.models import Document, Kind, Revision
from rag.pages.page_images import document_for, revision_for
from rag.viewing.page_images import SCALES
from rag.viewing.reading import can_show_pages, facts_of, reading_of

REVIEW_SOON = timedelta(days=30)
EVENTS = 20


@require_GET
@login_required
def document(request: HttpRequest, slug: str) -> HttpResponse:
    """A document, passage by passage, each with the anchor that citations point to.

    `?revision=` is a number; `?passage=` an id, which opens that passage's own revision; `?at=`
    an ordinal; `?view=text` shows a PDF as text; `?page=` and `?part=` leaf through it.
    """
    found = document_for(request, slug)
    revision, cited = _asked_for(request, found)
    has_pages = can_show_pages(revision)
    reading = reading_of(
        revision=revision,
        cited=cited,
        page=_number(request, "page"),
        part=_number(request, "part"),
        as_pages=has_pages and request.GET.get("view") != "text",
    )
    revisions = list(found.revisions.order_by("-number"))
    ready = [item.number for item in revisions if item.state == "ready"]
    today = timezone.now().date()
    context = {
        "nav": "library",
        "document": found,
        "revision": revision,
        "revisions": [(item, _before(item.number, ready)) for item in revisions],
        "in_force": next((item for item in revisions if item.is_in_force), None),
        "reading": reading,
        "has_pages": has_pages,
        "scales": SCALES,
        "facts": facts_of(found, revision),
        "events": found.events.select_related("user")[:EVENTS],
        "flagged": [view.passage for view in reading.views if view.passage.flags],
        "is_report": found.kind == Kind.REPORT,
        "report": getattr(found, "outcome_report", None) if found.kind == Kind.REPORT else None,
        "review": _review(revision, today),
        "may_change": request.user.has_perm("rag.change_document"),
    }
    return render(request, "rag/document.html", context)


def _asked_for(request: HttpRequest, found: Document) -> tuple[Revision, int | None]:
    """The revision to show, and the ordinal of the passage that is cited."""
    passage = _number(request, "passage")
    if passage is not None:
        revision = found.revisions.filter(passages=passage).first()
        if revision is None:
            raise Http404("This document has no such passage.")
        revision.document = found
        return revision, revision.passages.values_list("ordinal", flat=True).get(pk=passage)
    revision = revision_for(request, found)
    revision.document = found
    return revision, _number(request, "at")


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None


def _before(number: int, ready: list[int]) -> int | None:
    """The revision before, where both can be compared."""
    earlier = [other for other in ready if other < number]
    return max(earlier) if earlier and number in ready else None


def _review(revision: Revision, today: Any) -> str:
    """overdue, soon or nothing."""
    due = revision.review_due
    if due is None or not revision.is_in_force:
        return ""
    return "overdue" if due < today else "soon" if due <= today + REVIEW_SOON else ""
