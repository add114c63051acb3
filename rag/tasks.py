"""Celery tasks of the queue `knowledge`."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from rag.models import ImportJob, Revision, RevisionState

STALE_AFTER_S = 120
# Celery's lists by priority in Redis: 0 is served first, 9 last.
LOWEST = 9

BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "rag-resume-imports": {"task": "rag.tasks.resume_imports", "schedule": 30.0},
    "rag-watch-folder": {"task": "rag.tasks.look_at_watch_folder", "schedule": 30.0},
    "rag-prune-imports": {"task": "rag.tasks.prune_imports", "schedule": 86_400.0},
    "rag-purge-conversations": {"task": "rag.tasks.purge_conversations", "schedule": 300.0},
    "rag-refresh-gaps": {"task": "rag.tasks.refresh_gaps", "schedule": 600.0},
}


@shared_task(name="rag.tasks.work_imports")
def work_imports() -> bool:
    """Work on queued imports for a while; queued again, behind other tasks, while some wait."""
    from rag.intake.jobs import jobs_work

    is_left = jobs_work()
    if is_left:
        work_imports.delay()
    return is_left


@shared_task(name="rag.tasks.embed_revision")
def embed_revision(revision_id: int) -> int:
    """Embed one revision and put it in force; safe to repeat."""
    from rag.intake.indexing import revision_embed

    return revision_embed(revision_id=revision_id)


@shared_task(name="rag.tasks.resume_imports")
def resume_imports() -> int:
    """Take up again what a lost worker or broker left: jobs, revisions without a job, and a new
    embedding model that is being filled. Returns how many were queued."""
    from rag.intake.jobs import jobs_resume
    from rag.intake.switching import fill_resume

    resumed = jobs_resume()
    before = timezone.now() - timedelta(seconds=STALE_AFTER_S)
    stale = list(
        Revision.objects.filter(state=RevisionState.IMPORTING, created_at__lt=before)
        .exclude(jobs__state__in=(ImportJob.State.QUEUED, ImportJob.State.EMBEDDING))
        .order_by("id")
        .values_list("id", flat=True)[:500]
    )
    for revision_id in stale:
        embed_revision.delay(revision_id)
    fill_resume()
    return resumed + len(stale)


@shared_task(name="rag.tasks.fill_model")
def fill_model() -> bool:
    """Embed for a while by the model that is being filled; queued again at lowest priority."""
    from rag.intake.switching import fill_work

    is_left = fill_work()
    if is_left:
        fill_model.apply_async(priority=LOWEST)
    return is_left


@shared_task(name="rag.tasks.look_at_watch_folder")
def look_at_watch_folder() -> int:
    """Take new and changed files of the watch folder. Returns how many were queued."""
    from rag.intake.watching import folder_look

    return folder_look(folder=settings.WATCH_DIR) if settings.WATCH_DIR else 0


@shared_task(name="rag.tasks.prune_imports")
def prune_imports() -> int:
    """Forget old import jobs and bytes that nothing needs."""
    from rag.intake.jobs import jobs_prune

    return sum(jobs_prune())


@shared_task(name="rag.tasks.refresh_gaps")
def refresh_gaps() -> dict[str, int]:
    """Look for gaps in the documents, and ask open questions again. Returns how many are open."""
    from rag.growth.gaps import gaps_refresh

    return gaps_refresh()


@shared_task(name="rag.tasks.evaluate_golden")
def evaluate_golden(run_id: int) -> None:
    """Carry out a queued run over the golden questions; a run is claimed once."""
    from rag.evaluation.records import golden_run_execute

    golden_run_execute(run_id=run_id)


@shared_task(name="rag.tasks.measure_language_model")
def measure_language_model() -> bool:
    """Measure whether the language model follows the answer rules; kept for a week."""
    from rag.answers.capability import measure

    return measure()


@shared_task(name="rag.tasks.purge_conversations")
def purge_conversations() -> int:
    """Delete conversations for good that were deleted more than ten minutes ago."""
    from rag.chat.sessions import sessions_purge

    return sessions_purge()
