"""What people hand in: checked before anything is stored, then one job per file."""

import uuid
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from django.db import transaction
from django.utils.text import slugify

from rag.access import Reader, collections_of
from rag.intake.files import digest_of, file_store
from rag.intake.importing import collection_get_or_create, import_known
from rag.intake.jobs import job_create, worker_wake
from rag.intake.sources import iter_archive_of
from rag.models import Collection, Document, ImportJob
from rag.parsing import ParseError, can_parse
from rag.parsing.blocks import MAX_DOCUMENT_BYTES

MAX_ARCHIVE_UPLOAD_BYTES = 100 * 1024 * 1024
MAX_UNPACKED_UPLOAD_BYTES = 300 * 1024 * 1024

# How files of a format begin; formats that are text have none.
_SIGNATURES: dict[str, tuple[bytes, str]] = {
    ".pdf": (b"%PDF-", "PDF"),
    ".docx": (b"PK", "Word document"),
    ".zip": (b"PK", "ZIP archive"),
}


class UploadRefused(Exception):
    """Nothing was stored. `status` is HTTP's; the message says why and what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class Upload(NamedTuple):
    """What became of one upload: its jobs, or the document that has these bytes already."""

    batch: uuid.UUID
    jobs: list[ImportJob]
    unchanged: Document | None = None


def upload_take(
    *,
    stream: IO[bytes],
    name: str,
    size: int,
    collection: str,
    kind: str,
    user: Any,
    path: str = "",
    batch: uuid.UUID | None = None,
) -> Upload:
    """Check an uploaded file and queue it, in one commit; a ZIP gives one job per file inside.

    `path` is where the file lay in a dropped folder; it names the document within its collection.
    The same bytes under the same path again do nothing. Raises UploadRefused.
    """
    name = PurePosixPath(name.replace("\\", "/")).name or "file"
    is_archive = name.lower().endswith(".zip")
    source_path = _source_path(path, name)
    _check(name, size, stream, is_archive)
    shelf = collection_for_upload(slug=collection, user=user)
    batch = batch or uuid.uuid4()
    if is_archive:
        with transaction.atomic():
            shelf = shelf or collection_get_or_create(slug=collection)
            return Upload(batch, _from_archive(stream, name, shelf, kind, user, batch))
    data = stream.read(MAX_DOCUMENT_BYTES + 1)
    if shelf is not None:
        known = import_known(collection=shelf, source_path=source_path, sha256=digest_of(data))
        if known is not None and known.revision_id is None:
            return Upload(batch, [], known.document)
    with transaction.atomic():
        job = job_create(
            collection=shelf or collection_get_or_create(slug=collection),
            kind=kind,
            source_path=source_path,
            file=file_store(data=data, name=name),
            origin=ImportJob.Origin.UPLOAD,
            user=user,
            batch=batch,
        )
    return Upload(batch, [job])


def collection_for_upload(*, slug: str, user: Any) -> Collection | None:
    """The collection to upload into, None where it is made on first use.

    One that the user may not read is refused like one that does not exist for them.
    """
    clean = slugify(slug)
    if not clean:
        raise UploadRefused(400, "invalid", f"collection '{slug}' has no letter or digit")
    found = Collection.objects.filter(slug=clean).first()
    if found is None:
        return None
    if not collections_of(Reader.of(user)).filter(pk=found.pk).exists():
        raise UploadRefused(
            404, "not_found", f"You cannot upload into a collection '{clean}'; choose another name."
        )
    return found


def _source_path(path: str, name: str) -> str:
    """The relative path, cleaned: no root, no parents, no empty parts."""
    parts = [
        part
        for part in path.replace("\\", "/").replace("\x00", "").split("/")
        if part.strip() and part not in (".", "..")
    ]
    found = "/".join(parts) or name
    if len(found) > 500:
        raise UploadRefused(400, "invalid", f"{name}: its path is over 500 characters; shorten it")
    return found


def _check(name: str, size: int, stream: IO[bytes], is_archive: bool) -> None:
    limit = MAX_ARCHIVE_UPLOAD_BYTES if is_archive else MAX_DOCUMENT_BYTES
    if size > limit:
        raise UploadRefused(
            413,
            "too_large",
            f"{name}: {size / 2**20:.0f} MiB is over the limit of {limit // 2**20} MiB; split it",
        )
    if size == 0:
        raise UploadRefused(400, "empty", f"{name}: the file is empty")
    if not is_archive and not can_parse(name):
        raise UploadRefused(
            415,
            "unsupported",
            f"{name}: unknown format; PDF, Word (.docx), Markdown, HTML, plain text and ZIP "
            "archives of them can be imported",
        )
    signature, what = _SIGNATURES.get(PurePosixPath(name).suffix.lower(), (b"", ""))
    if signature:
        head = stream.read(1024)
        stream.seek(0)
        if signature not in head:
            raise UploadRefused(
                400,
                "unreadable",
                f"{name}: is not a {what} although it is named so; save it again or rename it",
            )


def _from_archive(
    stream: IO[bytes], name: str, shelf: Collection, kind: str, user: Any, batch: uuid.UUID
) -> list[ImportJob]:
    jobs = []
    try:
        for file in iter_archive_of(stream, name, max_bytes=MAX_UNPACKED_UPLOAD_BYTES):
            jobs.append(
                job_create(
                    collection=shelf,
                    kind=kind,
                    source_path=file.source_path,
                    file=None if file.error else file_store(data=file.data, name=file.source_path),
                    origin=ImportJob.Origin.UPLOAD,
                    user=user,
                    batch=batch,
                    error=file.error,
                    wake=False,
                )
            )
    except ParseError as error:
        raise UploadRefused(400, "unreadable", str(error)) from error
    if not jobs:
        raise UploadRefused(
            400, "empty", f"{name}: holds no file that can be imported (PDF, Word, Markdown, …)"
        )
    worker_wake()
    return jobs
