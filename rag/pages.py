"""HTML pages: chat, library, document viewer. Signed-in users only."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from rag.answering import MAX_QUESTION_CHARS
from rag.chat import session_get
from rag.models import Document, Kind, Passage, Revision
from rag.rendering import passage_html, plain_text
from rag.retrieval import search
from rag.selectors import chat_sessions, collections, documents, revision_shown

PAGE_SIZE = 50
SEARCH_HITS = 10
PASSAGES_PER_PAGE = 400

EXAMPLE_QUESTIONS = [
    "What do I do when a CRAC fails?",
    "What is the supply temperature of CRAC 1?",
    "How long does the UPS battery last at full load?",
    "How do I start the standby CRAC?",
    "How quickly does the generator start?",
    "When does an air filter have to be replaced?",
]


@require_GET
@login_required
def chat(request: HttpRequest) -> HttpResponse:
    """The chat with its history; `?session=` opens an earlier conversation."""
    session = None
    wanted = request.GET.get("session", "")
    if wanted:
        session = (
            session_get(user=request.user, session_id=int(wanted)) if wanted.isdigit() else None
        )
        if session is None:
            raise Http404("You have no such conversation.")
    history = [
        {
            "role": message.role,
            "text": message.text,
            "mode": message.mode,
            "citations": message.citations,
            "procedure": message.procedure,
            "degraded": message.degraded,
        }
        for message in (session.messages.order_by("id") if session else [])
    ]
    context = {
        "nav": "chat",
        "session": session,
        "sessions": chat_sessions(user=request.user),
        "chat_data": {"session": session.pk if session else None, "messages": history},
        "examples": EXAMPLE_QUESTIONS,
        "max_chars": MAX_QUESTION_CHARS,
    }
    return render(request, "rag/chat.html", context)


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
    passages = list(
        revision.passages.order_by("ordinal").defer("tsv", "embedding")[:PASSAGES_PER_PAGE]
    )
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
