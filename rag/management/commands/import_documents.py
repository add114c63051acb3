"""`import_documents PATH… --collection C --kind K [--wait]`: files, folders and ZIPs."""

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rag.intake.embedding import serving_model
from rag.intake.importing import collection_get_or_create, document_import
from rag.intake.indexing import without_vector
from rag.intake.sources import SourceFile, iter_files
from rag.models import Collection, Kind, Passage, Revision, RevisionState
from rag.parsing import ParseError

POLL_S = 1.0


class Command(BaseCommand):
    """Import documents; embedding runs in the worker."""

    help = "Import Markdown, HTML, PDF and text files, folders of them and ZIP archives."

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
        parser.add_argument("--wait", action="store_true", help="wait until all is embedded")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import each file on its own; one bad file stops no other."""
        missing = [str(path) for path in options["paths"] if not path.exists()]
        if missing:
            raise CommandError(f"no such file or folder: {', '.join(missing)}")
        try:
            collection = collection_get_or_create(slug=options["collection"])
        except ParseError as error:
            raise CommandError(str(error)) from error
        counts = {"imported": 0, "unchanged": 0, "failed": 0}
        failures: list[str] = []
        queued: list[int] = []
        for path in options["paths"]:
            for file in self._files(path, failures):
                status, revision_id = self._import(file, collection, options["kind"], failures)
                counts[status] += 1
                if revision_id is not None:
                    queued.append(revision_id)
        counts["failed"] = len(failures)
        summary = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.stdout.write(f"{summary} in collection '{collection.slug}'")
        for failure in failures:
            self.stderr.write(f"  failed: {failure}")
        if queued:
            self._report_embedding(queued, wait=options["wait"])
        if failures and not counts["imported"] and not counts["unchanged"]:
            raise CommandError("nothing was imported; the reasons are above")

    def _files(self, path: Path, failures: list[str]) -> Iterator[SourceFile]:
        try:
            yield from iter_files(path)
        except ParseError as error:
            failures.append(str(error))

    def _import(
        self, file: SourceFile, collection: Collection, kind: str, failures: list[str]
    ) -> tuple[str, int | None]:
        try:
            if file.error:
                raise ParseError(file.error)
            outcome = document_import(
                data=file.data, source_path=file.source_path, collection=collection, kind=kind
            )
        except ParseError as error:
            failures.append(str(error))
            self.stdout.write(f"failed     {file.source_path}")
            return "failed", None
        self.stdout.write(
            f"{outcome.status:<10} {file.source_path} · {outcome.document.title} "
            f"({outcome.passages} passages)"
        )
        return outcome.status, outcome.revision_id

    def _report_embedding(self, revision_ids: list[int], *, wait: bool) -> None:
        alive = _worker_answers()
        if not alive:
            message = (
                "No worker answers on the queue `knowledge`: the documents are stored and become "
                "searchable when one runs (`make run`, or `celery -A ops_platform worker`)."
            )
            if wait:
                raise CommandError(message)
            self.stdout.write(message)
        elif wait:
            self._wait(revision_ids)
        else:
            self.stdout.write(f"{len(revision_ids)} documents are being embedded by the worker")

    def _wait(self, revision_ids: list[int]) -> None:
        total = Passage.objects.filter(revision_id__in=revision_ids).count()
        shown, model = -1, serving_model()
        while True:
            pending = Revision.objects.filter(
                pk__in=revision_ids, state=RevisionState.IMPORTING
            ).count()
            left = without_vector(model).filter(revision_id__in=revision_ids).count()
            if total - left != shown:
                shown = total - left
                self.stdout.write(f"embedded {shown}/{total} passages, {pending} documents to go")
            if not pending:
                break
            time.sleep(POLL_S)
        failed = Revision.objects.filter(pk__in=revision_ids, state=RevisionState.FAILED)
        for revision in failed.select_related("document"):
            self.stderr.write(f"  failed: {revision.document.source_path}: {revision.error}")
        self.stdout.write("embedding finished")


def _worker_answers() -> bool:
    """Whether a Celery worker listens on the queue `knowledge`."""
    from celery import current_app

    try:
        queues = current_app.control.inspect(timeout=2.0).active_queues() or {}
    except OSError:
        return False
    return any(queue["name"] == "knowledge" for listed in queues.values() for queue in listed)
