"""The library: documents by filters, or the explained hits of a search. Signed-in users only."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from rag.access import Reader, readable
from rag.models import Kind
from rag.rendering import plain_text
from rag.retrieval.search import search
from rag.selectors import collections
from rag.viewing.shelf import REVIEWS, SOON, SORTS, STATES, Filters, owners, shelf, shelf_counts

PAGE_SIZE = 50
SEARCH_HITS = 10
#: What the upload takes; the import says clearly what is wrong with anything else.
ACCEPTED = ".pdf,.docx,.md,.markdown,.html,.htm,.txt,.zip"


@require_GET
@login_required
def library(request: HttpRequest) -> HttpResponse:
    """Documents by the filters of the query string; with `?q=` passages instead."""
    reader = Reader.of(request.user)
    query = " ".join(request.GET.get("q", "").replace("\0", " ").split())[:1000]
    filters = Filters.of(request.GET)
    context: dict[str, Any] = {
        "nav": "library",
        "query": query,
        "filters": filters,
        "kinds": Kind.choices,
        "collections": collections().filter(readable(reader)),
        "accepted": ACCEPTED,
    }
    if query:
        result = search(
            query=query,
            k=SEARCH_HITS,
            reader=reader,
            collection=filters.collection or None,
            kinds=[filters.kind] if filters.kind else None,
        )
        context["degraded"] = result.degraded
        context["hits"] = [(hit, plain_text(hit.text)) for hit in result.hits]
        return render(request, "rag/library_hits.html", context)
    counts = shelf_counts(reader=reader)
    today = timezone.now().date()
    context |= {
        "page": Paginator(shelf(reader=reader, filters=filters), PAGE_SIZE).get_page(
            request.GET.get("page")
        ),
        "counts": counts,
        "states": [(value, label, counts[value]) for value, label in STATES.items()],
        "reviews": [(value, label, counts[value]) for value, label in REVIEWS.items()],
        "sorts": [(value, label) for value, (label, _) in SORTS.items()],
        "owners": owners(reader=reader),
        "today": today,
        "soon": today + SOON,
        "may_change": request.user.has_perm("rag.change_document"),
    }
    return render(request, "rag/library.html", context)
