"""Ask a question again on behalf of the system, to see whether the documents answer it now."""

import logging
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import async_to_sync

from rag.access import OPEN_ONLY, Reader, readable
from rag.models import Document, Kind, Revision
from rag.retrieval.search import SearchResult, search

logger = logging.getLogger(__name__)

PROCEDURES = [Kind.EOP.value, Kind.SOP.value, Kind.MOP.value]
NEAREST = 3
#: Share of an alarm's name (by weight of its words) that one passage of a procedure contains. On
#: the demo procedures the alarms that none names in its front matter lie at 0.16 to 0.37 where
#: nothing is written about them, and from 0.6 on where something is.
COVERED = 0.6


@dataclass(frozen=True)
class Asked:
    """`document_id` is the document that answers, None where none does; `nearest` the titles that
    came closest; `problem` why the question could not be asked, or ''."""

    document_id: int | None = None
    title: str = ""
    nearest: list[dict[str, str]] = field(default_factory=list)
    problem: str = ""


def ask_again(*, question: str, closing: Document | None) -> Asked:
    """Ask as everybody may, or, where a document was named, as the readers of its collection.

    Retrieval has to be confident; then the whole pipeline answers (a draft of the model, every
    sentence checked), and its answer must not be "not in the documents". In a closed collection
    confidence and the named document among the hits decide.
    """
    reader = _reader_of(closing)
    result = search(query=question, reader=reader, k=5)
    nearest = _nearest(result)
    if not result.is_confident:
        return Asked(nearest=nearest)
    slugs = [hit.document for hit in result.hits]
    if closing is not None and reader != OPEN_ONLY:
        slugs = [closing.slug] if closing.slug in slugs else []
    else:
        answer = _answer(question)
        if answer is None:
            return Asked(nearest=nearest, problem="the answering pipeline failed; see the log")
        slugs = _cited(answer)
    found = Document.objects.filter(slug__in=slugs[:1]).first()
    if found is None:
        return Asked(nearest=nearest)
    return Asked(found.pk, found.title, nearest)


def procedure_for(*, alarm: str, question: str, closing: Document | None = None) -> Asked:
    """The procedure that covers an alarm: one in force whose front matter names it (`alarms:`),
    else one whose passage contains most of what the alarm is called.

    Only procedures that everybody may read count: everybody on shift gets the alarm. Where a
    document was named, it has to be that one.
    """
    wanted = " ".join(alarm.casefold().split())
    for slug, pk, title, named in (
        Revision.objects.in_force()
        .filter(readable(OPEN_ONLY, "document__collection"), document__kind__in=PROCEDURES)
        .exclude(meta__alarms=None)
        .order_by("document__slug")
        .values_list("document__slug", "document", "document__title", "meta__alarms")
    ):
        names = named if isinstance(named, list) else [named]
        if any(" ".join(str(name).casefold().split()) == wanted for name in names) and (
            closing is None or closing.slug == slug
        ):
            return Asked(pk, title)
    result = search(query=question, k=5, kinds=PROCEDURES)
    nearest = _nearest(result)
    covering = [
        hit.document
        for hit in result.hits
        if hit.coverage >= COVERED and (closing is None or closing.slug == hit.document)
    ]
    if not result.is_confident or not covering:
        return Asked(nearest=nearest)
    found = Document.objects.filter(slug=covering[0]).first()
    return Asked(found.pk, found.title, nearest) if found else Asked(nearest=nearest)


def _reader_of(document: Document | None) -> Reader:
    if document is None:
        return OPEN_ONLY
    return Reader(frozenset(document.collection.groups.values_list("pk", flat=True)))


def _nearest(result: SearchResult) -> list[dict[str, str]]:
    """Titles for everybody to see: only what everybody may read."""
    found: dict[str, dict[str, str]] = {}
    for hit in result.hits:
        found.setdefault(hit.document, {"title": hit.title, "url": hit.url})
    open_slugs = set(
        Document.objects.filter(readable(OPEN_ONLY, "collection"), slug__in=found).values_list(
            "slug", flat=True
        )
    )
    return [entry for slug, entry in found.items() if slug in open_slugs][:NEAREST]


def _answer(question: str) -> dict[str, Any] | None:
    from rag.answers.answering import answer_events

    async def last() -> dict[str, Any] | None:
        found = None
        async for event in answer_events(question=question, user=None):
            found = event
        return found

    try:
        event = async_to_sync(last)()
    except Exception:
        logger.exception("asking %r again failed", question[:80])
        return None
    return event if event and event["type"] == "answer" else None


def _cited(answer: dict[str, Any]) -> list[str]:
    if answer["mode"] not in ("answer", "quote"):
        return []
    return [str(cited["document"]) for cited in answer["citations"] if cited.get("document")]
