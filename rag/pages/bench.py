"""The retrieval test bench: one question, three rankings beside each other, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from rag.access import Reader, collections_of
from rag.evaluation.golden import GoldenInvalid
from rag.evaluation.marking import snippet_html
from rag.evaluation.questions import golden_question_save, targets_of_lines, targets_of_passages
from rag.models import Kind
from rag.rendering import plain_text
from rag.retrieval.fusion import DEFAULT_METHOD, METHODS
from rag.retrieval.search import Hit, Leg, SearchResult, search

DEPTHS = (5, 10, 20)
COLUMNS: tuple[tuple[str, str, Leg], ...] = (
    ("hybrid", "Hybrid", "hybrid"),
    ("vector", "Meaning", "vector"),
    ("text", "Words", "text"),
)


@dataclass(frozen=True)
class Shown:
    """A hit in a column: its place there, its place in the hybrid list, its marked text."""

    rank: int
    hit: Hit
    hybrid_rank: int | None
    text: SafeString


@dataclass(frozen=True)
class Column:
    """One ranking with how it was made."""

    key: str
    title: str
    hits: list[Shown]
    result: SearchResult


@require_GET
@login_required
def bench(request: HttpRequest) -> HttpResponse:
    """Ask one question of hybrid, vectors and words, as this person reads the documents."""
    reader = Reader.of(request.user)
    wanted, problem = _wanted(request)
    columns: list[Column] = []
    if wanted["query"] and not problem:
        columns = _columns(wanted, reader)
    context: dict[str, Any] = {
        "nav": "bench",
        "wanted": wanted,
        "problem": problem,
        "columns": columns,
        "explanation": columns[0].result.explanation if columns else None,
        "result": columns[0].result if columns else None,
        "collections": collections_of(reader).order_by("name"),
        "kinds": Kind.choices,
        "methods": METHODS,
        "default_method": DEFAULT_METHOD,
        "depths": DEPTHS,
        "marked": set(request.GET.getlist("mark")),
    }
    return render(request, "rag/bench.html", context)


@require_POST
@login_required
@permission_required("rag.add_goldenquestion", raise_exception=True)
def bench_save(request: HttpRequest) -> HttpResponse:
    """Keep the question with the passages that were marked; back to the bench."""
    reader = Reader.of(request.user)
    query = request.POST.get("query", "")
    marked = [int(key) for key in request.POST.getlist("passage") if key.isdigit()][:50]
    parameters: list[tuple[str, str]] = [("q", query), *(("mark", str(key)) for key in marked)]
    back = f"{reverse('rag:bench')}?{urlencode(parameters)}"
    try:
        relevant = [
            *targets_of_passages(marked, reader),
            *targets_of_lines(request.POST.get("relevant", "")),
        ]
        question = golden_question_save(
            query=query,
            relevant=relevant,
            key_facts=request.POST.get("key_facts", "").splitlines(),
            is_answerable=request.POST.get("answerable") != "no",
            reader=reader,
            user=request.user,
        )
    except GoldenInvalid as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Saved as golden question {question.pk}.")
    return redirect(back)


def _wanted(request: HttpRequest) -> tuple[dict[str, Any], str]:
    """The question and filters of the query string, and what is wrong with them."""
    given = request.GET
    depth = given.get("k", "10")
    kind, method = given.get("kind", ""), given.get("fusion", "")
    wanted: dict[str, Any] = {
        "query": given.get("q", "").replace("\0", " ").strip()[:1000],
        "collection": given.get("collection", "").replace("\0", ""),
        "kind": kind if kind in Kind.values else "",
        "at": given.get("at", "").strip(),
        "moment": None,
        "fusion": method if method in METHODS else "",
        "rerank": given.get("rerank") == "1",
        "k": int(depth) if depth.isdigit() and int(depth) in DEPTHS else 10,
    }
    if wanted["at"]:
        moment = _moment(wanted["at"])
        if moment is None:
            return wanted, f"“{wanted['at'][:40]}” is no time; write 2026-03-01 14:00 (UTC)."
        wanted["moment"] = moment
    return wanted, ""


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _columns(wanted: dict[str, Any], reader: Reader) -> list[Column]:
    columns: list[Column] = []
    places: dict[int, int] = {}
    for key, title, leg in COLUMNS:
        result = search(
            query=wanted["query"],
            reader=reader,
            k=wanted["k"],
            collection=wanted["collection"] or None,
            kinds=[wanted["kind"]] if wanted["kind"] else None,
            at=wanted["moment"],
            leg=leg,
            fusion=wanted["fusion"] or None,
            rerank=wanted["rerank"] or None,
        )
        if not columns:
            places = {hit.passage_id: rank for rank, hit in enumerate(result.hits, start=1)}
        shown = [
            Shown(
                rank,
                hit,
                places.get(hit.passage_id),
                snippet_html(plain_text(hit.text), {part.term for part in hit.matched}),
            )
            for rank, hit in enumerate(result.hits, start=1)
        ]
        columns.append(Column(key, title, shown, result))
    return columns
