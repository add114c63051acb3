"""The bytes of imported files, kept once per content."""

import hashlib
from pathlib import PurePosixPath

from rag.models import StoredFile

MEDIA_TYPES: dict[str, str] = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


def digest_of(data: bytes) -> str:
    """The SHA-256 that identifies a file's content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def media_type_of(name: str) -> str:
    """The media type by the name's ending; `application/octet-stream` where it is unknown."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


def file_store(*, data: bytes, name: str) -> StoredFile:
    """Keep a file's bytes; the same bytes are kept once."""
    digest = digest_of(data)
    found = StoredFile.objects.filter(pk=digest).defer("data").first()
    if found is not None:
        return found
    stored, _created = StoredFile.objects.get_or_create(
        sha256=digest,
        defaults={"media_type": media_type_of(name), "size": len(data), "data": data},
    )
    return stored
