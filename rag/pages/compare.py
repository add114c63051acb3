"""What changed between two revisions of a document. Signed-in readers only."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.models import Revision, RevisionState
from rag.pages.page_images import document_for
from rag.viewing.differences import revisions_compare

SHOWN = 60


@require_GET
@login_required
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Revision `?from=` beside `?to=`; without them the newest and the one before it."""
    document = document_for(request, slug)
    revisions = list(document.revisions.filter(state=RevisionState.READY).order_by("-number"))
    new = _chosen(revisions, request.GET.get("to", "")) or (revisions[0] if revisions else None)
    earlier = [item for item in revisions if new is not None and item.number < new.number]
    old = _chosen(revisions, request.GET.get("from", "")) or (earlier[0] if earlier else None)
    if new is None or old is None:
        raise Http404("This document has no two revisions to compare.")
    if old.number > new.number:
        old, new = new, old
    comparison = revisions_compare(old=old, new=new)
    context = {
        "nav": "library",
        "document": document,
        "old": old,
        "new": new,
        "revisions": revisions,
        "comparison": comparison,
        "page": Paginator(comparison.differences, SHOWN).get_page(request.GET.get("page")),
    }
    return render(request, "rag/document_compare.html", context)


def _chosen(revisions: list[Revision], number: str) -> Revision | None:
    return next((item for item in revisions if str(item.number) == number), None)
