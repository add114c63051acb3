"""The document viewer: what citations point to. Signed-in users only."""

from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from rag.models import Document, Passage, Revision
from rag.rendering import passage_html
from rag.selectors import revision_shown

PASSAGES_PER_PAGE = 400


@dataclass(frozen=True)
class PassageView:
    """A passage as the viewer shows it; `headings` are the ones that begin with it."""

    passage: Passage
    headings: list[tuple[int, str]]
    html: SafeString


@require_GET
@login_required
def document(request: HttpRequest, slug: str) -> HttpResponse:
    """A document, passage by passage, each with the anchor that citations point to."""
    found = get_object_or_404(Document.objects.select_related("collection"), slug=slug)
    number = request.GET.get("revision", "")
    revision = revision_shown(document=found, number=int(number) if number.isdigit() else None)
    if revision is None:
        raise Http404("This document has no such revision.")
    passages = list(revision.passages.order_by("ordinal").defer("tsv")[:PASSAGES_PER_PAGE])
    views = _passage_views(revision, passages)
    context = {
        "nav": "library",
        "document": found,
        "revision": revision,
        "revisions": found.revisions.order_by("-number"),
        "views": views,
        "outline": [
            (level, title, view.passage.anchor)
            for view in views
            for level, title in view.headings
            if level <= 3
        ],
        "facts": _facts(revision),
        "passage_count": revision.passages.count(),
    }
    return render(request, "rag/document.html", context)


def _passage_views(revision: Revision, passages: list[Passage]) -> list[PassageView]:
    views: list[PassageView] = []
    before: list[str] = []
    for passage in passages:
        path = list(passage.section_path)
        common = 0
        while common < min(len(path), len(before)) and path[common] == before[common]:
            common += 1
        headings = [(min(level + 2, 6), path[level]) for level in range(common, len(path))]
        html = passage_html(text=passage.text, markup=revision.markup)
        views.append(PassageView(passage, headings, html))
        before = path
    return views


def _facts(revision: Revision) -> list[tuple[str, str]]:
    """The front matter worth showing beside a procedure."""
    shown = []
    for key in ("id", "risk", "assets", "alarms", "supersedes", "pages"):
        value = revision.meta.get(key)
        if value:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            shown.append((key.capitalize(), text))
    return shown
