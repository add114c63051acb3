"""Files whose last import failed."""

from datetime import datetime

from rag.growth.finders.found import Findings, Found
from rag.models import Gap, ImportJob


def find(*, now: datetime) -> Findings:
    """The newest job of each path, where it failed. One query."""
    newest = (
        ImportJob.objects.exclude(state=ImportJob.State.CANCELLED)
        .order_by("collection_id", "source_path", "-pk")
        .distinct("collection_id", "source_path")
        .values("pk")
    )
    failed = ImportJob.objects.filter(pk__in=newest, state=ImportJob.State.FAILED).select_related(
        "collection", "document"
    )
    return Findings(
        Gap.Kind.IMPORT,
        [
            Found(
                key=f"{job.collection.slug}/{job.source_path}"[:200],
                title=job.source_path[-300:],
                seen_at=job.finished_at or job.created_at,
                owner=job.document.owner if job.document else "",
                subject_id=job.document_id,
                collection_id=job.collection_id,
                count=max(1, job.attempts),
                detail={"error": job.note[:1000], "job": job.pk},
            )
            for job in failed.order_by("-pk")[:1_000]
        ],
    )
