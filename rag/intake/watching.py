"""The watch folder: `<dir>/<collection>/[<kind>/]file…` becomes documents; nothing is written."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from rag.intake.files import digest_of, file_store
from rag.intake.importing import collection_get_or_create, import_known
from rag.intake.jobs import job_create
from rag.intake.sources import is_skipped, printable
from rag.models import ImportJob, Kind, WatchedFile
from rag.parsing.blocks import MAX_DOCUMENT_BYTES

MAX_FILES = 20_000
DEFAULT_KIND = Kind.MANUAL.value


@dataclass(frozen=True)
class _Seen:
    """A file as it lies there now; `problem` says why it cannot be taken."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


def folder_look(*, folder: Path) -> int:
    """Look once at the folder; the number of files that were queued.

    A file is taken when its size and time stood still since the look before. An unchanged one
    costs one stat; its bytes are hashed when size or time changed, and only other bytes become a
    job. A file that failed is not tried again until it changes. A deleted file's document stays.
    A symbolic link is refused where it leads outside; a folder that cannot be read changes
    nothing.
    """
    root = folder.resolve()
    if not root.is_dir():
        return 0
    known = {row.path: row for row in WatchedFile.objects.all()}
    now = timezone.now()
    present, taken, batch = set(), 0, uuid.uuid4()
    for seen in _files(root):
        present.add(seen.path)
        row = known.get(seen.path)
        if row is None or (row.size, row.mtime_ns) != (seen.size, seen.mtime_ns):
            WatchedFile.objects.update_or_create(
                path=seen.path,
                defaults={
                    "size": seen.size,
                    "mtime_ns": seen.mtime_ns,
                    "seen_at": now,
                    "is_taken": False,
                    "missing_since": None,
                    "problem": seen.problem,
                },
            )
            continue
        if row.missing_since is not None:
            WatchedFile.objects.filter(pk=row.pk).update(missing_since=None)
        if not row.is_taken and not seen.problem:
            taken += _take(root, row, batch)
    gone = [path for path, row in known.items() if path not in present and not row.missing_since]
    WatchedFile.objects.filter(path__in=gone).update(missing_since=now)
    return taken


def _files(root: Path) -> Iterator[_Seen]:
    """Importable files two levels or deeper, in the order of names."""
    count = 0
    for parent, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            relative = path.relative_to(root).as_posix()
            if is_skipped(relative):
                continue
            count += 1
            if count > MAX_FILES:
                return
            yield _seen(root, path, relative)


def _seen(root: Path, path: Path, relative: str) -> _Seen:
    if (shown := printable(relative)) != relative:
        return _Seen(shown[:500], problem="its name is not UTF-8; rename it")
    if len(relative) > 500:
        return _Seen(relative[:500], problem="its path is over 500 characters; shorten it")
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return _Seen(relative, problem="is a link that leads outside the watch folder")
        facts = path.stat()
    except OSError as error:
        return _Seen(relative, problem=f"cannot be read: {error.strerror or error}")
    problem = ""
    if "/" not in relative:
        problem = "lies in no collection's folder; move it to <collection>/"
    elif not slugify(relative.split("/")[0]):
        problem = "its folder's name has no letter or digit to name a collection by"
    elif facts.st_size > MAX_DOCUMENT_BYTES:
        problem = f"is over {MAX_DOCUMENT_BYTES // 2**20} MiB; split it"
    return _Seen(relative, facts.st_size, facts.st_mtime_ns, problem)


def _take(root: Path, row: WatchedFile, batch: uuid.UUID) -> int:
    """Queue one file that stood still; 1 when there is something to do."""
    try:
        with _open_inside(root, row.path) as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
            facts = os.fstat(stream.fileno())
    except OSError as error:
        WatchedFile.objects.filter(pk=row.pk).update(
            problem=f"cannot be read: {error.strerror or error}"[:500]
        )
        return 0
    if (facts.st_size, facts.st_mtime_ns) != (row.size, row.mtime_ns):
        return 0  # it is being written; the next look sees the new state
    shelf, *middle, _name = row.path.split("/")
    kind = middle[0].lower() if middle and middle[0].lower() in Kind.values else DEFAULT_KIND
    digest = digest_of(data)
    values = {"is_taken": True, "problem": "", "sha256": digest}
    with transaction.atomic():
        if digest == row.sha256:
            WatchedFile.objects.filter(pk=row.pk).update(**values)
            return 0
        collection = collection_get_or_create(slug=shelf)
        known = import_known(collection=collection, source_path=row.path, sha256=digest)
        job = None
        if known is None or known.revision_id is not None:
            job = job_create(
                collection=collection,
                kind=kind,
                source_path=row.path,
                file=file_store(data=data, name=row.path),
                origin=ImportJob.Origin.WATCH,
                batch=batch,
            )
        WatchedFile.objects.filter(pk=row.pk).update(**values, job=job)
    return int(job is not None)


def _open_inside(root: Path, relative: str):  # type: ignore[no-untyped-def]
    """Open a file for reading, and make sure that what was opened lies inside the folder."""
    stream = (root / relative).open("rb")
    try:
        real = Path(f"/proc/self/fd/{stream.fileno()}")
        opened = real.resolve() if real.exists() else (root / relative).resolve()
        if not opened.is_relative_to(root):
            raise OSError("it is a link that leads outside the watch folder")
    except BaseException:
        stream.close()
        raise
    return stream
