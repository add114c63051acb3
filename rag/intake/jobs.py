"""Import jobs: from a stored file to a searchable revision, one row per file.

A job is a row; whoever works on it claimed it by a conditional update that counts `attempts`, and
every later step checks that it still holds that claim. So a worker may be killed at any point: beat
queues its job again, and nothing is done twice.
"""

import logging
import time
import uuid
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from rag.access import Reader
from rag.intake.embedding import EmbedderMissing, serving_model
from rag.intake.importing import SYSTEM, ImportOutcome, import_known, import_parsed
from rag.intake.indexing import revision_embed, without_vector
from rag.models import (
    ACTIVE_STATES,
    Collection,
    Document,
    ImportJob,
    Revision,
    RevisionState,
    StoredFile,
)
from rag.parsing import ParseError
from rag.parsing.limited import parse_limited

logger = logging.getLogger(__name__)

State = ImportJob.State

MAX_ATTEMPTS = 3
# A batch of 32 takes a second, loading the model ten (a minute on a busy host); reading a file may
# take two minutes.
EMBEDDING_STALE_S = 120
PARSING_STALE_S = 180
# What-if runs share the worker's queue: a long import makes way for them this often.
SLICE_S = 20.0


class JobRefused(Exception):
    """A job cannot be cancelled or tried again; the message says why, in one sentence."""


def job_create(
    *,
    collection: Collection,
    kind: str,
    source_path: str,
    file: StoredFile | None,
    origin: str,
    user: Any = None,
    batch: uuid.UUID | None = None,
    error: str = "",
    wake: bool = True,
) -> ImportJob:
    """Queue one stored file, and wake a worker after the commit (`wake`).

    With `error` the job is recorded as failed at once: a file of an archive that cannot be read.
    """
    job = ImportJob.objects.create(
        batch=batch or uuid.uuid4(),
        origin=origin,
        created_by=user,
        collection=collection,
        kind=kind,
        source_path=source_path,
        file=file,
        state=State.FAILED if error else State.QUEUED,
        note=error,
        finished_at=timezone.now() if error else None,
    )
    if wake and not error:
        worker_wake()
    return job


def worker_wake() -> None:
    """Have a worker look for queued jobs after the commit; without a broker beat does it later."""
    from rag.tasks import work_imports

    transaction.on_commit(lambda: work_imports.delay(), robust=True)


def jobs_work(*, seconds: float = SLICE_S) -> bool:
    """Work on queued jobs, oldest first, for about that long. Whether some are left."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = job_claim()
        if job is None:
            return False
        job_run(job=job, deadline=deadline)
    return _claimable().exists()


def job_claim(*, job_id: int | None = None) -> ImportJob | None:
    """Claim the oldest queued job (or that one) for the caller; None when there is none.

    Jobs of the same file run in the order in which they were handed in.
    """
    with transaction.atomic():
        queued = _claimable().select_for_update(skip_locked=True, of=("self",), no_key=True)
        found = (queued.filter(pk=job_id) if job_id else queued).order_by("id").first()
        if found is None:
            return None
        now = timezone.now()
        ImportJob.objects.filter(pk=found.pk).update(
            state=State.PARSING,
            attempts=F("attempts") + 1,
            touched_at=now,
            started_at=found.started_at or now,
        )
    return ImportJob.objects.select_related("collection", "created_by").get(pk=found.pk)


def _claimable() -> QuerySet[ImportJob]:
    earlier = ImportJob.objects.filter(
        collection=OuterRef("collection"),
        source_path=OuterRef("source_path"),
        state__in=ACTIVE_STATES,
        pk__lt=OuterRef("pk"),
    )
    return ImportJob.objects.filter(~Exists(earlier), state=State.QUEUED)


def job_run(*, job: ImportJob, deadline: float | None = None) -> None:
    """Read, store, embed and activate a claimed job. `deadline` is of `time.monotonic()`: past
    it the job is queued again, with what was embedded so far. Never raises for a bad file.

    While the server of an embedding model does not answer, the job waits: beat queues it again
    after a minute, and no attempt is counted.
    """
    from kvserve.client import LLMUnavailable

    try:
        revision_id = job_read(job=job)
        if revision_id is not None:
            _embed(job, revision_id, deadline)
    except (ParseError, EmbedderMissing) as error:
        job_fail(job=job, note=str(error))
    except LLMUnavailable as error:
        _mine(job).update(attempts=F("attempts") - 1, note=f"Waiting: {error}")


def job_read(*, job: ImportJob) -> int | None:
    """Parse and store a claimed job's file; the id of the revision to embed, None when finished.

    What is stored and the job's new state are one commit. Raises ParseError.
    """
    outcome = import_known(
        collection=job.collection, source_path=job.source_path, sha256=job.file_id or ""
    )
    if outcome is None:
        if job.file is None:
            raise ParseError(f"{job.source_path}: its bytes were not kept; hand it in again")
        name = PurePosixPath(job.source_path).name
        parsed = parse_limited(bytes(job.file.data), name)
        with transaction.atomic():
            if not _mine(job).select_for_update(no_key=True).exists():
                return None
            outcome = import_parsed(
                parsed=parsed,
                file=job.file,
                source_path=job.source_path,
                collection=job.collection,
                kind=job.kind,
                user=job.created_by,
                reader=Reader.of(job.created_by) if job.created_by else SYSTEM,
            )
            return _stored(job, outcome)
    return _stored(job, outcome)


def _stored(job: ImportJob, outcome: ImportOutcome) -> int | None:
    """Record what reading came to; the revision that is left to be embedded."""
    if outcome.revision_id is None:
        _finish(job, State.UNCHANGED, "", outcome)
        return None
    left = without_vector(serving_model()).filter(revision_id=outcome.revision_id).count()
    held = _mine(job).update(
        state=State.EMBEDDING,
        document=outcome.document,
        revision_id=outcome.revision_id,
        passages_total=outcome.passages,
        passages_done=outcome.passages - left,
        touched_at=timezone.now(),
        note=_note(outcome) or F("note"),
    )
    return outcome.revision_id if held else None


def _note(outcome: ImportOutcome) -> str:
    if outcome.changed is None:
        return ""
    return f"{outcome.changed} of {outcome.passages} passages changed"


def _embed(job: ImportJob, revision_id: int, deadline: float | None) -> None:
    done = 0

    def proceed() -> bool:
        # At least one batch a turn, however long the model took to load.
        if done and deadline is not None and time.monotonic() > deadline:
            job_release(job=job)
            return False
        return _mine(job).update(touched_at=timezone.now()) == 1

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        _mine(job).update(passages_done=F("passages_done") + count, touched_at=timezone.now())

    revision_embed(revision_id=revision_id, on_batch=on_batch, proceed=proceed)
    # Somebody else activated it (or holds its last batch, and will).
    if Revision.objects.filter(pk=revision_id, state=RevisionState.READY).exists():
        _mine(job).update(state=State.DONE, finished_at=timezone.now())


def job_release(*, job: ImportJob) -> None:
    """Leave a claimed job to the next worker; no attempt is counted."""
    _mine(job).update(state=State.QUEUED, attempts=F("attempts") - 1)


def job_fail(*, job: ImportJob, note: str) -> None:
    """End a claimed job with the reason."""
    _finish(job, State.FAILED, note)
    logger.warning("import failed: %s", note, extra={"job": job.pk})


def _mine(job: ImportJob) -> QuerySet[ImportJob]:
    """The job's row, while this claim holds."""
    return ImportJob.objects.filter(
        pk=job.pk, attempts=job.attempts, state__in=(State.PARSING, State.EMBEDDING)
    )


def _finish(job: ImportJob, state: str, note: str, outcome: ImportOutcome | None = None) -> None:
    values: dict[str, Any] = {"state": state, "note": note, "finished_at": timezone.now()}
    if outcome is not None:
        values |= {
            "document": outcome.document,
            "passages_total": outcome.passages,
            "passages_done": outcome.passages,
        }
    _mine(job).update(**values)


def job_cancel(*, job_id: int) -> ImportJob:
    """Stop a job and take back what it stored. Raises JobRefused once it is finished.

    The former revision, if any, stays as it is.
    """
    with transaction.atomic():
        job = ImportJob.objects.select_related("revision__document").get(pk=job_id)
        document = None
        if job.revision is not None:
            pk = job.revision.document_id
            document = Document.objects.select_for_update(no_key=True).filter(pk=pk).first()
        stopped = ImportJob.objects.filter(pk=job_id, state__in=ACTIVE_STATES).update(
            state=State.CANCELLED, finished_at=timezone.now(), note="Cancelled"
        )
        if not stopped:
            job.refresh_from_db()
            raise JobRefused(
                f"{job.source_path}: is already {job.get_state_display().lower()}; "
                "withdraw the document if it should not be used"
            )
        if document is not None and job.revision_id is not None:
            _take_back(document, job.revision_id)
    job.refresh_from_db()
    return job


def _take_back(document: Document, revision_id: int) -> None:
    unused = document.revisions.filter(pk=revision_id).exclude(state=RevisionState.READY)
    if not unused.exists():
        return
    unused.delete()
    newest = document.revisions.order_by("-number").first()
    if newest is None:
        document.delete()
    else:
        Document.objects.filter(pk=document.pk).update(sha256=newest.sha256)


def job_retry(*, job_id: int) -> ImportJob:
    """Queue a failed or cancelled job again. Raises JobRefused."""
    with transaction.atomic():
        again = ImportJob.objects.filter(
            pk=job_id, state__in=(State.FAILED, State.CANCELLED), file__isnull=False
        ).update(
            state=State.QUEUED, attempts=0, note="", finished_at=None, touched_at=None,
            passages_done=0,
        )  # fmt: skip
        if not again:
            job = ImportJob.objects.get(pk=job_id)
            raise JobRefused(f"{job.source_path}: {_why_not(job)}")
        worker_wake()
    return ImportJob.objects.select_related("collection", "document").get(pk=job_id)


def _why_not(job: ImportJob) -> str:
    if job.state in (State.FAILED, State.CANCELLED):
        return "its bytes were not kept; hand the file in again"
    return f"is {job.get_state_display().lower()}; only failed and cancelled imports start again"


def jobs_resume() -> int:
    """Queue again what a lost worker held, and fail what lost three. Returns how many are queued.

    Wakes a worker when jobs wait and nobody works on any.
    """
    now = timezone.now()
    stale = ImportJob.objects.filter(
        Q(state=State.PARSING, touched_at__lt=now - timedelta(seconds=PARSING_STALE_S))
        | Q(state=State.EMBEDDING, touched_at__lt=now - timedelta(seconds=EMBEDDING_STALE_S))
    )
    stale.filter(attempts__gte=MAX_ATTEMPTS).update(
        state=State.FAILED,
        finished_at=now,
        note=f"The worker was lost {MAX_ATTEMPTS} times while it worked on this file, probably for "
        "lack of memory; split the file, or give the worker more memory and try again.",
    )
    queued = stale.filter(attempts__lt=MAX_ATTEMPTS).update(state=State.QUEUED)
    is_busy = ImportJob.objects.filter(
        state__in=(State.PARSING, State.EMBEDDING),
        touched_at__gte=now - timedelta(seconds=SLICE_S),
    ).exists()
    if not is_busy and ImportJob.objects.filter(state=State.QUEUED).exists():
        worker_wake()
    return queued


def jobs_prune(*, keep_jobs_days: int = 90, keep_files_days: int = 7) -> tuple[int, int]:
    """Forget old finished jobs, and bytes that no revision and no recent job needs.

    Returns how many jobs and files were removed.
    """
    now = timezone.now()
    finished = ImportJob.objects.exclude(state__in=ACTIVE_STATES)
    jobs, _ = finished.filter(finished_at__lt=now - timedelta(days=keep_jobs_days)).delete()
    recent = ImportJob.objects.filter(file=OuterRef("pk")).filter(
        Q(state__in=ACTIVE_STATES) | Q(finished_at__gte=now - timedelta(days=keep_files_days))
    )
    files, _ = (
        StoredFile.objects.filter(created_at__lt=now - timedelta(days=keep_files_days))
        .filter(~Exists(Revision.objects.filter(file=OuterRef("pk"))), ~Exists(recent))
        .delete()
    )
    return jobs, files
