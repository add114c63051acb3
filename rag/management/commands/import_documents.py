"""`import_documents PATH… --collection C --kind K [--wait]`: files, folders and ZIPs."""

import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Count, Q, Sum

from rag.intake.files import digest_of, file_store
from rag.intake.importing import ImportOutcome, collection_get_or_create, import_known
from rag.intake.jobs import (
    job_claim,
    job_create,
    job_fail,
    job_read,
    job_release,
    job_run,
    worker_wake,
)
from rag.intake.sources import SourceFile, iter_files
from rag.intake.workers import worker_answers
from rag.models import ACTIVE_STATES, ImportJob, Kind
from rag.parsing import ParseError

POLL_S = 0.5
NO_WORKER = (
    "No worker answers on the queue `knowledge`: the documents are stored and become searchable "
    "when one runs (`make run`, or `celery -A ops_platform worker`), or with --wait."
)


class Command(BaseCommand):
    """Import documents as jobs; they are read here, and embedded by the worker."""

    help = "Import PDF, Word, Markdown, HTML and text files, folders of them and ZIP archives."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Paths, collection, kind."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument("--collection", required=True, help="slug, made on first use")
        parser.add_argument(
            "--kind",
            default=Kind.MANUAL.value,
            choices=Kind.values,
            help="for files without a kind in their front matter (default manual)",
        )
        parser.add_argument(
            "--wait",
            action="store_true",
            help="wait until all is embedded; without a worker it is done here",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import each file on its own; one bad file stops no other."""
        missing = [str(path) for path in options["paths"] if not path.exists()]
        if missing:
            raise CommandError(f"no such file or folder: {', '.join(missing)}")
        try:
            self.collection = collection_get_or_create(slug=options["collection"])
        except ParseError as error:
            raise CommandError(str(error)) from error
        self.kind, self.batch = options["kind"], uuid.uuid4()
        self.failures: list[str] = []
        counts = {"imported": 0, "unchanged": 0, "failed": 0}
        for path in options["paths"]:
            for file in self._files(path):
                status = self._import(file)
                counts[status] += 1
        counts["failed"] = len(self.failures)
        summary = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.stdout.write(f"{summary} in collection '{self.collection.slug}'")
        for failure in self.failures:
            self.stderr.write(f"  failed: {failure}")
        self._embed(wait=options["wait"])
        if self.failures and not counts["imported"] and not counts["unchanged"]:
            raise CommandError("nothing was imported; the reasons are above")

    def _files(self, path: Path) -> Iterator[SourceFile]:
        try:
            yield from iter_files(path)
        except ParseError as error:
            self.failures.append(str(error))

    def _import(self, file: SourceFile) -> str:
        """Store and read one file; its passages are left to be embedded."""
        try:
            if file.error:
                self._job(file)
                raise ParseError(file.error)
            known = import_known(
                collection=self.collection,
                source_path=file.source_path,
                sha256=digest_of(file.data),
            )
            if known is not None and known.revision_id is None:
                return self._said(known.status, file, known)
            job = job_claim(job_id=self._job(file).pk)
            if job is None:
                return self._said("unchanged", file, None)  # an earlier import still works on it
            try:
                job_read(job=job)
            except ParseError as error:
                job_fail(job=job, note=str(error))
                raise
            job_release(job=job)
            job.refresh_from_db()
        except ParseError as error:
            self.failures.append(str(error))
            self.stdout.write(f"failed     {file.source_path}")
            return "failed"
        status = "imported" if known is None else "unchanged"
        if job.document is None:
            return self._said(status, file, None)
        return self._said(status, file, ImportOutcome("imported", job.document, job.passages_total))

    def _said(self, status: str, file: SourceFile, outcome: ImportOutcome | None) -> str:
        facts = f" · {outcome.document.title} ({outcome.passages} passages)" if outcome else ""
        self.stdout.write(f"{status:<10} {file.source_path}{facts}")
        return status

    def _job(self, file: SourceFile) -> ImportJob:
        with transaction.atomic():
            return job_create(
                collection=self.collection,
                kind=self.kind,
                source_path=file.source_path,
                file=None if file.error else file_store(data=file.data, name=file.source_path),
                origin=ImportJob.Origin.COMMAND,
                batch=self.batch,
                error=file.error,
                wake=False,
            )

    def _embed(self, *, wait: bool) -> None:
        jobs = ImportJob.objects.filter(batch=self.batch, state__in=ACTIVE_STATES)
        waiting = list(jobs.values_list("pk", flat=True))
        if not waiting:
            return
        alive = worker_answers()
        if alive:
            worker_wake()
        if not wait:
            self.stdout.write(
                f"{len(waiting)} documents are being embedded by the worker" if alive else NO_WORKER
            )
            return
        if not alive:
            self.stdout.write("No worker answers on the queue `knowledge`: embedding here")
        self._wait(waiting, alive=alive)

    def _wait(self, job_ids: list[int], *, alive: bool) -> None:
        """Show progress until every job is finished; without a worker, do the work."""
        jobs = ImportJob.objects.filter(pk__in=job_ids)
        shown = -1
        while True:
            counts = jobs.aggregate(
                pending=Count("pk", filter=Q(state__in=ACTIVE_STATES)),
                done=Sum("passages_done"),
                total=Sum("passages_total"),
            )
            pending, done, total = counts["pending"], counts["done"], counts["total"]
            if done != shown:
                shown = done
                self.stdout.write(f"embedded {done}/{total} passages, {pending} documents to go")
            if not pending:
                break
            if alive:
                time.sleep(POLL_S)
                continue
            job = next(filter(None, (job_claim(job_id=key) for key in job_ids)), None)
            if job is None:
                raise CommandError("another process holds these imports; see /knowledge/imports/")
            job_run(job=job)
        for job in jobs.filter(state=ImportJob.State.FAILED):
            self.stderr.write(f"  failed: {job.source_path}: {job.note}")
        self.stdout.write("embedding finished")
