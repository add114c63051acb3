"""Documents whose citing answers were judged wrong more than once."""

from collections import Counter
from datetime import datetime, timedelta

from rag.growth.finders.found import Findings, Found
from rag.models import Feedback, Gap, Revision

LOOK_BACK = timedelta(days=90)
# One thumb down may be a slip; two about the same document are worth a look (assumed).
LEAST = 2
MOST = 2_000


def find(*, now: datetime) -> Findings:
    """Bad judgements by cited document, since its revision in force was activated. Two queries."""
    judged: dict[str, list[Feedback]] = {}
    bad = (
        Feedback.objects.filter(is_good=False, updated_at__gt=now - LOOK_BACK)
        .select_related("message")
        .order_by("-updated_at")[:MOST]
    )
    for feedback in bad:
        for slug in {str(cited.get("document") or "") for cited in feedback.message.citations}:
            judged.setdefault(slug, []).append(feedback)
    revisions = (
        Revision.objects.in_force(now)
        .filter(document__slug__in=[slug for slug in judged if slug])
        .select_related("document")
        .order_by("document__slug")
    )
    found = []
    for revision in revisions:
        since = revision.activated_at or revision.created_at
        rows = [row for row in judged[revision.document.slug] if row.updated_at > since]
        if len(rows) < LEAST:
            continue
        reasons = Counter(row.get_reason_display() or "No reason given" for row in rows)
        found.append(
            Found(
                key=f"{revision.document.slug}@{revision.number}"[:200],
                title=revision.document.title,
                seen_at=rows[0].updated_at,
                owner=revision.document.owner or revision.author,
                subject_id=revision.document_id,
                collection_id=revision.document.collection_id,
                count=len(rows),
                detail={
                    "revision": revision.number,
                    "people": len({row.user_id for row in rows}),
                    "reasons": dict(reasons.most_common()),
                },
            )
        )
    return Findings(Gap.Kind.FEEDBACK, found)
