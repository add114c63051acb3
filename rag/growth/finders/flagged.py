"""Revisions in force whose import noticed something that a person should look at."""

from datetime import datetime

from rag.growth.finders.found import Findings, Found
from rag.models import Gap, Revision


def find(*, now: datetime) -> Findings:
    """Dismissed once somebody has looked at the revision; the next one is looked at again."""
    flagged = (
        Revision.objects.in_force(now)
        .exclude(flags=[])
        .select_related("document")
        .order_by("document__title")
    )
    return Findings(
        Gap.Kind.FLAGGED,
        [
            Found(
                key=f"{revision.document.slug}@{revision.number}"[:200],
                title=revision.document.title,
                seen_at=revision.activated_at or revision.created_at,
                owner=revision.document.owner or revision.approver,
                subject_id=revision.document_id,
                collection_id=revision.document.collection_id,
                count=len(revision.flags),
                detail={"revision": revision.number, "flags": revision.flags[:20]},
            )
            for revision in flagged
        ],
    )
