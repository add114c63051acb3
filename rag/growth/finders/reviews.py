"""Documents in force that are past their review date, or will be soon."""

from datetime import datetime, timedelta

from rag.growth.finders.found import Findings, Found
from rag.models import Gap, Revision

SOON = timedelta(days=30)


def find(*, now: datetime) -> Findings:
    """One query."""
    due = (
        Revision.objects.in_force(now)
        .filter(review_due__lte=(now + SOON).date())
        .select_related("document")
        .order_by("review_due")
    )
    return Findings(
        Gap.Kind.REVIEW,
        [
            Found(
                key=f"{revision.document.slug}@{revision.review_due}"[:200],
                title=revision.document.title,
                seen_at=now,
                owner=revision.document.owner or revision.author,
                subject_id=revision.document_id,
                collection_id=revision.document.collection_id,
                detail={
                    "due": str(revision.review_due),
                    "overdue": revision.review_due < now.date(),
                    "revision": revision.number,
                },
            )
            for revision in due
            if revision.review_due is not None
        ],
    )
