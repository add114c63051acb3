"""Read-only queries for the library's pages and API."""

from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from rag.models import ChatSession, Collection, Document, Passage, Revision


def documents(*, collection: str = "", kind: str = "", title: str = "") -> QuerySet[Document]:
    """Documents with their newest revision's number, state, error and embedding progress.

    Annotations: `newest_number`, `newest_state`, `newest_error`, `passage_count`,
    `embedded_count`. One query.
    """
    newest = Revision.objects.filter(document=OuterRef("pk")).order_by("-number")
    found = Document.objects.select_related("collection").annotate(
        newest_id=Subquery(newest.values("pk")[:1]),
        newest_number=Subquery(newest.values("number")[:1]),
        newest_state=Subquery(newest.values("state")[:1]),
        newest_error=Subquery(newest.values("error")[:1]),
    )
    of_newest = Passage.objects.filter(revision=OuterRef("newest_id")).order_by().values("revision")
    found = found.annotate(
        passage_count=_count(of_newest.annotate(count=Count("pk"))),
        embedded_count=_count(
            of_newest.annotate(count=Count("vectors", filter=Q(vectors__model__state="serving")))
        ),
    )
    if collection:
        found = found.filter(collection__slug=collection)
    if kind:
        found = found.filter(kind=kind)
    if title:
        found = found.filter(title__icontains=title)
    return found.order_by("title", "slug")


def _count(passages: QuerySet[Any]) -> Coalesce:
    return Coalesce(Subquery(passages.values("count"), output_field=IntegerField()), 0)


def collections() -> QuerySet[Collection]:
    """Collections with `document_count`."""
    return Collection.objects.annotate(document_count=Count("documents")).order_by("name")


def revision_shown(*, document: Document, number: int | None = None) -> Revision | None:
    """The revision of that number; without one, the one in force, else the newest."""
    revisions = document.revisions.order_by("-number")
    if number is not None:
        return revisions.filter(number=number).first()
    return revisions.in_force().first() or revisions.first()


def chat_sessions(*, user: Any, limit: int = 30) -> QuerySet[ChatSession]:
    """The user's own conversations, newest first."""
    return ChatSession.objects.filter(user=user, deleted_at__isnull=True).order_by("-updated_at")[
        :limit
    ]
