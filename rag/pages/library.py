"""The library: documents by filters, or the explained hits of a search. Signed-in users only."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.models import Kind
from rag.rendering import plain_text
from rag.retrieval.search import search
from rag.selectors import collections, documents

PAGE_SIZE = 50
SEARCH_HITS = 10


@require_GET
@login_required
def library(request: HttpRequest) -> HttpResponse:
    """Documents by collection and kind, or the explained hits of a search."""
    query = request.GET.get("q", "").strip()
    collection = request.GET.get("collection", "")
    kind = request.GET.get("kind", "")
    kind = kind if kind in Kind.values else ""
    context: dict[str, Any] = {
        "nav": "library",
        "query": query,
        "collection": collection,
        "kind": kind,
        "kinds": Kind.choices,
        "collections": collections(),
    }
    if query:
        result = search(
            query=query,
            k=SEARCH_HITS,
            collection=collection or None,
            kinds=[kind] if kind else None,
        )
        context["degraded"] = result.degraded
        context["hits"] = [(hit, plain_text(hit.text)) for hit in result.hits]
    else:
        found = documents(collection=collection, kind=kind)
        context["page"] = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "rag/library.html", context)
