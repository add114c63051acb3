"""Celery tasks of the queue `knowledge`."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from rag.models import Revision, RevisionState

STALE_AFTER_S = 120

BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "rag-resume-imports": {"task": "rag.tasks.resume_imports", "schedule": 120.0},
}


@shared_task(name="rag.tasks.embed_revision")
def embed_revision(revision_id: int) -> int:
    """Embed one revision and put it in force; safe to repeat."""
    from rag.intake.indexing import revision_embed

    return revision_embed(revision_id=revision_id)


@shared_task(name="rag.tasks.resume_imports")
def resume_imports() -> int:
    """Queue the revisions again whose worker or broker was lost. Returns how many."""
    before = timezone.now() - timedelta(seconds=STALE_AFTER_S)
    stale = list(
        Revision.objects.filter(state=RevisionState.IMPORTING, created_at__lt=before)
        .order_by("id")
        .values_list("id", flat=True)[:500]
    )
    for revision_id in stale:
        embed_revision.delay(revision_id)
    return len(stale)
