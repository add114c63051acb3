"""Where files come from: single files, folders and ZIP archives, one iterator for all."""

import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.parsing import ParseError, can_parse
from rag.parsing.blocks import MAX_DOCUMENT_BYTES

MAX_ARCHIVE_FILES = 5_000
MAX_ARCHIVE_BYTES = 500 * 1024 * 1024
_SKIPPED_STEMS = {"readme", "license", "licence", "changelog", "contributing", "code_of_conduct"}


@dataclass(frozen=True)
class SourceFile:
    """One file to import: its path as recorded, and its bytes, or why it cannot be read."""

    source_path: str
    data: bytes = b""
    error: str = ""


def is_skipped(path: str) -> bool:
    """Whether a file found in a folder or archive is left out: unknown formats, hidden files,
    and the README and licence texts that accompany a collection."""
    parts = PurePosixPath(path).parts
    if any(part.startswith((".", "__MACOSX")) for part in parts):
        return True
    return PurePosixPath(path).stem.lower() in _SKIPPED_STEMS or not can_parse(path)


def iter_files(path: Path) -> Iterator[SourceFile]:
    """Every importable file below a path, in the order of names.

    A folder's files are recorded under the folder's own name (`runbooks/a/b.md`), so that the
    same folder imported from elsewhere is recognised. Symbolic links are not followed.
    """
    if path.is_dir():
        root = path.resolve()
        for child in sorted(root.rglob("*")):
            relative = child.relative_to(root).as_posix()
            if child.is_file() and not child.is_symlink() and not is_skipped(relative):
                yield _read(child, f"{root.name}/{relative}")
    elif path.suffix.lower() == ".zip":
        yield from iter_archive(path)
    else:
        yield _read(path, path.name)


def _read(path: Path, source_path: str) -> SourceFile:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            limit = MAX_DOCUMENT_BYTES // 2**20
            return SourceFile(source_path, error=f"{source_path}: is over {limit} MiB; split it")
        return SourceFile(source_path, path.read_bytes())
    except OSError as error:
        return SourceFile(source_path, error=f"{source_path}: {error.strerror or error}")


def iter_archive(path: Path) -> Iterator[SourceFile]:
    """The files of a ZIP, read into memory one by one; nothing is written to disk.

    Raises ParseError for a broken archive and for one that unpacks to more than the limits.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir()
                and not stat.S_ISLNK(entry.external_attr >> 16)
                and not is_skipped(entry.filename)
            ]
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ARCHIVE_FILES or total > MAX_ARCHIVE_BYTES:
                raise ParseError(
                    f"{path.name}: unpacks to {len(entries)} files and {total / 2**20:.0f} MiB, "
                    f"over the limit of {MAX_ARCHIVE_FILES} files and "
                    f"{MAX_ARCHIVE_BYTES // 2**20} MiB; split the archive"
                )
            for entry in sorted(entries, key=lambda item: item.filename):
                yield _read_entry(archive, entry, path.stem)
    except zipfile.BadZipFile as error:
        raise ParseError(f"{path.name}: broken ZIP ({error}); pack it again") from error
    except OSError as error:
        raise ParseError(f"{path.name}: {error.strerror or error}") from error


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, stem: str) -> SourceFile:
    source_path = f"{stem}/{entry.filename}"[:500]
    if entry.flag_bits & 0x1:
        return SourceFile(source_path, error=f"{source_path}: is encrypted; pack without password")
    try:
        with archive.open(entry) as stream:
            # The declared size may lie, so no more than the limit is ever unpacked.
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        return SourceFile(source_path, error=f"{source_path}: cannot be unpacked ({error})")
    if len(data) > MAX_DOCUMENT_BYTES:
        limit = MAX_DOCUMENT_BYTES // 2**20
        return SourceFile(source_path, error=f"{source_path}: is over {limit} MiB; split it")
    return SourceFile(source_path, data)
