"""The library's list: documents by filters, in an order, with counts."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from django.db.models import Count, DateField, F, JSONField, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from rag.access import Reader, readable
from rag.models import Document, Kind, Revision, RevisionState
from rag.selectors import documents

State = Literal["in_force", "importing", "failed", "later", "withdrawn"]
STATES: dict[State, str] = {
    "in_force": "In force",
    "importing": "Importing",
    "failed": "Failed",
    "later": "Not in force yet",
    "withdrawn": "Withdrawn",
}
REVIEWS = {"overdue": "Review overdue", "soon": "Review within 30 days", "none": "No review date"}
SORTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "title": ("Title", ("title", "slug")),
    "kind": ("Kind", ("kind", "title", "slug")),
    "changed": ("Last changed", (F("updated_at").desc(), "slug")),
    "review": ("Review date", (F("review_due").asc(nulls_last=True), "title", "slug")),
    "passages": ("Most passages", (F("passage_count").desc(), "title", "slug")),
    "owner": ("Owner", ("owner", "title", "slug")),
}
SOON = timedelta(days=30)


@dataclass(frozen=True)
class Filters:
    """What is asked for; empty values mean all."""

    collection: str = ""
    kind: str = ""
    state: str = ""
    owner: str = ""
    review: str = ""
    flagged: bool = False
    text: str = ""
    sort: str = "title"

    @classmethod
    def of(cls, given: Any) -> "Filters":
        """From a query string; what is unknown is left out."""

        def known(name: str, values: Any) -> str:
            value = given.get(name, "")
            return value if value in values else ""

        def words(name: str) -> str:
            return " ".join(given.get(name, "").replace("\0", " ").split())[:200]

        return cls(
            collection=words("collection"),
            kind=known("kind", Kind.values),
            state=known("state", STATES),
            owner=words("owner"),
            review=known("review", REVIEWS),
            flagged=given.get("flagged", "") in ("1", "on", "true"),
            text=words("text"),
            sort=known("sort", SORTS) or "title",
        )

    @property
    def is_narrow(self) -> bool:
        """Whether something is left out."""
        return any(
            (self.collection, self.kind, self.state, self.owner, self.review, self.flagged)
        ) or bool(self.text)


def shelf(*, reader: Reader, filters: Filters) -> QuerySet[Document]:
    """The documents, in order; `rag.selectors.documents` with what is in force beside it.

    Further annotations: `force_number`, `review_due`, `flags` of the revision in force, and
    `pending_flags` of the newest one. One query.
    """
    found = _annotated(reader)
    condition = Q()
    if filters.collection:
        condition &= Q(collection__slug=filters.collection)
    if filters.kind:
        condition &= Q(kind=filters.kind)
    if filters.state:
        condition &= _in_state(filters.state)
    if filters.owner:
        condition &= Q(owner="" if filters.owner == "unassigned" else filters.owner)
    if filters.review:
        condition &= _in_review(filters.review, timezone.now().date())
    if filters.flagged:
        condition &= _FLAGGED
    for word in filters.text.split()[:8]:
        condition &= (
            Q(title__icontains=word)
            | Q(slug__icontains=word)
            | Q(source_path__icontains=word)
            | Q(owner__icontains=word)
        )
    return found.filter(condition).order_by(*SORTS[filters.sort][1])


def shelf_counts(*, reader: Reader) -> dict[str, int]:
    """How many documents are in each state, flagged, and past or near their review date.

    Keys: those of STATES and REVIEWS, `flagged`, `all`. One query.
    """
    today = timezone.now().date()
    conditions: dict[str, Q] = {state: _in_state(state) for state in STATES}
    conditions |= {review: _in_review(review, today) for review in REVIEWS}
    conditions["flagged"] = _FLAGGED
    return dict(
        _annotated(reader)
        .order_by()
        .aggregate(
            all=Count("pk"),
            **{name: Count("pk", filter=condition) for name, condition in conditions.items()},
        )
    )


def owners(*, reader: Reader) -> list[str]:
    """Every owner of a document that the reader may read."""
    return list(
        Document.objects.filter(readable(reader, "collection"))
        .exclude(owner="")
        .order_by("owner")
        .values_list("owner", flat=True)
        .distinct()
    )


_FLAGGED = (Q(flags__isnull=False) & ~Q(flags=[])) | (
    Q(pending_flags__isnull=False) & ~Q(pending_flags=[])
)


def _annotated(reader: Reader) -> QuerySet[Document]:
    now = timezone.now()
    # Without the document's own withdrawal: a withdrawn one still shows what it would say.
    serving = Revision.objects.filter(
        Q(superseded_at__isnull=True) | Q(superseded_at__gt=now),
        document=OuterRef("pk"),
        state=RevisionState.READY,
        effective_from__lte=now,
    ).order_by("-number")
    newest = Revision.objects.filter(document=OuterRef("pk")).order_by("-number")
    return (
        documents()
        .filter(readable(reader, "collection"))
        .annotate(
            force_number=Subquery(serving.values("number")[:1]),
            review_due=Subquery(serving.values("review_due")[:1], output_field=DateField()),
            flags=Subquery(serving.values("flags")[:1], output_field=JSONField()),
            pending_flags=Subquery(newest.values("flags")[:1], output_field=JSONField()),
        )
    )


def _in_state(state: str) -> Q:
    out = Q(withdrawn_at__isnull=False, withdrawn_at__lte=timezone.now())
    if state == "withdrawn":
        return out
    if state in ("importing", "failed"):
        return ~out & Q(newest_state=state)
    if state == "in_force":
        return ~out & Q(force_number__isnull=False)
    return ~out & Q(force_number__isnull=True, newest_state=RevisionState.READY)


def _in_review(review: str, today: date) -> Q:
    if review == "overdue":
        return Q(review_due__lt=today)
    if review == "soon":
        return Q(review_due__gte=today, review_due__lte=today + SOON)
    return Q(review_due__isnull=True)
