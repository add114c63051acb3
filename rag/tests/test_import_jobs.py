"""Import jobs: claimed once, resumed after a kill, cancelled, tried again; one bad file alone."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from rag.intake import indexing
from rag.intake.files import file_store
from rag.intake.importing import collection_get_or_create
from rag.intake.jobs import (
    EMBEDDING_STALE_S,
    MAX_ATTEMPTS,
    JobRefused,
    job_cancel,
    job_claim,
    job_create,
    job_read,
    job_retry,
    job_run,
    jobs_prune,
    jobs_resume,
    jobs_work,
)
from rag.models import (
    Document,
    DocumentEvent,
    ImportJob,
    Passage,
    PassageVector,
    Revision,
    RevisionState,
    StoredFile,
)
from rag.tests.corpus import CRAC, UPS

State = ImportJob.State


def queue(text: str | bytes, name: str = "x.md", **kwargs) -> ImportJob:
    data = text.encode() if isinstance(text, str) else text
    return job_create(
        collection=collection_get_or_create(slug="tests"),
        kind="manual",
        source_path=name,
        file=file_store(data=data, name=name),
        origin=ImportJob.Origin.UPLOAD,
        **kwargs,
    )


def lose_worker(job: ImportJob) -> None:
    """As if its worker had been killed a while ago."""
    ImportJob.objects.filter(pk=job.pk).update(touched_at=timezone.now() - dt.timedelta(hours=1))


def claim(**which: Any) -> ImportJob:
    """The job that a worker gets; there must be one."""
    job = job_claim(**which)
    assert job is not None
    return job


def test_it_brings_a_file_into_the_library(db, embed_once):
    job = queue(CRAC)

    assert not jobs_work(seconds=600), "nothing is left"

    job.refresh_from_db()
    revision = Revision.objects.in_force().get()
    assert (job.state, job.note, job.attempts) == (State.DONE, "", 1)
    assert job.revision == revision
    assert job.passages_done == job.passages_total == 4
    assert revision.file is not None
    assert bytes(revision.file.data) == CRAC.encode()
    assert revision.file.media_type == "text/markdown"
    assert list(DocumentEvent.objects.order_by("id").values_list("action", "revision")) == [
        ("imported", 3), ("activated", 3),
    ]  # fmt: skip


def test_it_fails_one_broken_file_alone(db, embed_once):
    bad, good = queue(b"%PDF-1.7 broken", "bad.pdf"), queue(UPS, "good.md")

    jobs_work(seconds=600)

    bad.refresh_from_db()
    good.refresh_from_db()
    assert bad.state == State.FAILED
    assert bad.note.startswith("bad.pdf: ")
    assert bad.document is None
    assert good.state == State.DONE
    assert Document.objects.count() == 1


def test_it_embeds_only_changed_passages(db, embed_once, monkeypatch):
    queue(CRAC)
    jobs_work(seconds=600)
    seen: list[str] = []
    working = indexing.embed_texts

    def watched(texts):
        seen.extend(texts)
        return working(texts)

    monkeypatch.setattr(indexing, "embed_texts", watched)
    job = queue(CRAC.replace("wait 30 s", "wait 45 s"))
    jobs_work(seconds=600)

    job.refresh_from_db()
    assert (job.state, job.note) == (State.DONE, "1 of 4 passages changed")
    assert len(seen) == 1
    assert "wait 45 s" in seen[0]
    old, new = Revision.objects.order_by("number")
    assert PassageVector.objects.filter(passage__revision=new).count() == 4
    assert old.superseded_at == new.effective_from


def test_it_finds_out_when_the_same_bytes_came_twice(db, embed_once):
    first, second = queue(UPS), queue(UPS)
    jobs_work(seconds=600)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.DONE, State.UNCHANGED)
    assert Revision.objects.count() == 1


def test_it_takes_jobs_of_the_same_file_in_their_order(db, embed_once):
    older, newer, other = queue(UPS), queue(UPS + "\nMore.\n"), queue(CRAC, "y.md")

    assert claim() == older
    assert claim() == other, "the newer one waits for the older"
    assert job_claim() is None
    assert job_claim(job_id=newer.pk) is None


def test_it_claims_a_job_once(db):
    job = queue(UPS)
    assert claim(job_id=job.pk) is not None
    assert job_claim(job_id=job.pk) is None


def test_it_takes_up_what_a_lost_worker_left(db, embed_once, monkeypatch):
    monkeypatch.setattr(indexing, "BATCH_SIZE", 1)
    job = queue(CRAC)
    claimed = claim()
    working = indexing.embed_texts

    def killed(texts):
        if PassageVector.objects.count() == 2:
            raise SystemExit  # what SIGTERM makes of the worker, in the middle of a batch
        return working(texts)

    monkeypatch.setattr(indexing, "embed_texts", killed)
    with pytest.raises(SystemExit):
        job_run(job=claimed)
    job.refresh_from_db()
    assert (job.state, job.passages_done) == (State.EMBEDDING, 2)
    assert jobs_resume() == 0, "a fresh heartbeat is left alone"

    lose_worker(job)
    monkeypatch.setattr(indexing, "embed_texts", working)
    assert jobs_resume() == 1
    jobs_work(seconds=600)

    job.refresh_from_db()
    assert (job.state, job.attempts, job.passages_done) == (State.DONE, 2, 4)
    assert (Revision.objects.count(), Passage.objects.count()) == (1, 4)


def test_it_gives_up_after_three_lost_workers(db):
    job = queue(UPS)
    for attempt in range(MAX_ATTEMPTS):
        assert claim().attempts == attempt + 1
        lose_worker(job)
        jobs_resume()

    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "The worker was lost 3 times" in job.note


def test_it_ignores_a_worker_that_was_given_up(db, embed_once):
    queue(UPS)
    zombie = claim()
    lose_worker(zombie)
    jobs_resume()
    jobs_work(seconds=600)
    done = ImportJob.objects.get()

    job_run(job=zombie)

    now = ImportJob.objects.get()
    assert (now.state, now.finished_at, now.attempts) == (State.DONE, done.finished_at, 2)
    assert Revision.objects.count() == 1


def test_it_makes_way_for_others_and_goes_on(db, embed_once, monkeypatch):
    monkeypatch.setattr(indexing, "BATCH_SIZE", 1)
    job = queue(UPS)
    job_run(job=claim(), deadline=time.monotonic() - 1)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.QUEUED, 0)
    assert (job.passages_done, job.passages_total) == (1, 3), "one batch a turn at least"

    jobs_work(seconds=600)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.DONE, 1)


def test_it_takes_back_a_cancelled_import(db, embed_once):
    queue(UPS)
    jobs_work(seconds=600)
    job = queue(UPS.replace("300 s", "240 s"))
    job_read(job=claim())
    assert Revision.objects.count() == 2

    assert job_cancel(job_id=job.pk).state == State.CANCELLED

    document = Document.objects.get()
    revision = Revision.objects.get()
    assert (revision.state, revision.superseded_at) == (RevisionState.READY, None)
    assert document.sha256 == revision.sha256
    with pytest.raises(JobRefused, match="is already cancelled"):
        job_cancel(job_id=job.pk)

    job_retry(job_id=job.pk)
    jobs_work(seconds=600)
    assert Revision.objects.in_force().get().number == 2


def test_it_leaves_nothing_of_a_cancelled_first_import(db):
    job = queue(UPS)
    claimed = claim()
    job_read(job=claimed)
    job_cancel(job_id=job.pk)

    job_run(job=claimed)  # its worker notices at its next step

    assert not Passage.objects.exists()
    assert not Document.objects.exists()
    assert ImportJob.objects.get().state == State.CANCELLED


def test_it_does_not_start_finished_jobs_again(db, embed_once):
    job = queue(UPS)
    with pytest.raises(JobRefused, match="is queued; only failed and cancelled"):
        job_retry(job_id=job.pk)
    ImportJob.objects.update(state=State.FAILED, file=None)
    with pytest.raises(JobRefused, match="its bytes were not kept"):
        job_retry(job_id=job.pk)


def test_it_forgets_old_jobs_and_bytes_that_nothing_needs(db, embed_once):
    queue(UPS)
    queue(b"%PDF-1.7 broken", "bad.pdf")
    jobs_work(seconds=600)
    queue(CRAC, "waiting.md")
    old = timezone.now() - dt.timedelta(days=100)
    ImportJob.objects.exclude(state=State.QUEUED).update(finished_at=old)
    StoredFile.objects.update(created_at=old)

    assert jobs_prune() == (2, 1), "both finished jobs, and the broken file's bytes"
    kept = {bytes(data) for data in StoredFile.objects.values_list("data", flat=True)}
    assert kept == {UPS.encode(), CRAC.encode()}


KILLED = """
import os, signal
import django
django.setup()
from rag.intake import indexing, jobs
working = indexing.embed_texts
indexing.BATCH_SIZE = 1
def embed(texts):
    if indexing.PassageVector.objects.count() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return working(texts)
indexing.embed_texts = embed
jobs.jobs_work(seconds=600)
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_survives_the_kill_of_a_real_worker(embed_once):
    """A process of its own is killed by SIGKILL between two batches."""
    job = queue(UPS, f"{uuid.uuid4()}.md")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "ops_platform.settings",
        "OPS_DATABASE_URL": _test_database_url(),
    }
    worker = subprocess.run([sys.executable, "-c", KILLED], env=environment, timeout=120)

    assert worker.returncode == -signal.SIGKILL
    job.refresh_from_db()
    assert (job.state, job.passages_done) == (State.EMBEDDING, 1)
    ImportJob.objects.update(
        touched_at=timezone.now() - dt.timedelta(seconds=EMBEDDING_STALE_S + 1)
    )
    assert jobs_resume() == 1
    jobs_work(seconds=600)

    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.DONE, 2)
    assert PassageVector.objects.count() == Passage.objects.count() == 3
    assert Revision.objects.in_force().count() == 1


def _test_database_url() -> str:
    facts = connection.settings_dict
    return (
        f"postgresql://{facts['USER']}:{facts['PASSWORD']}@{facts['HOST']}:{facts['PORT']}"
        f"/{facts['NAME']}"
    )
