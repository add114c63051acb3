"""Where files come from: single files, folders and ZIP archives, one iterator for all."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rag.parsing import ParseError, can_parse
from rag.parsing.blocks import MAX_DOCUMENT_BYTES

MAX_ARCHIVE_FILES = 5_000
MAX_ARCHIVE_BYTES = 500 * 1024 * 1024
MAX_ARCHIVE_CONTENTS = 8 * 1024 * 1024  # bytes of the table of contents
_END_RECORD_REACH = 65_535 + 22  # the end record with the longest comment
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


def printable(path: str) -> str:
    """A path as text that can be stored: names that are not UTF-8 get question marks."""
    return path.encode("utf-8", "replace").decode()


def _read(path: Path, source_path: str) -> SourceFile:
    shown = printable(source_path)
    if shown != source_path:
        return SourceFile(shown[:500], error=f"{shown}: its name is not UTF-8; rename it")
    if len(source_path) > 500:
        return SourceFile(
            shown[:500], error=f"{shown[:80]}…: its path is over 500 characters; shorten it"
        )
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            return SourceFile(source_path, error=_too_large(source_path))
        return SourceFile(source_path, path.read_bytes())
    except OSError as error:
        return SourceFile(source_path, error=f"{source_path}: {error.strerror or error}")


def _too_large(source_path: str) -> str:
    return f"{source_path}: is over {MAX_DOCUMENT_BYTES // 2**20} MiB; split it"


def iter_archive(path: Path) -> Iterator[SourceFile]:
    """The files of a ZIP on disk; see `iter_archive_of`."""
    try:
        with path.open("rb") as stream:
            yield from iter_archive_of(stream, path.name)
    except OSError as error:
        raise ParseError(f"{path.name}: {error.strerror or error}") from error


def iter_archive_of(
    stream: IO[bytes], name: str, *, max_bytes: int = MAX_ARCHIVE_BYTES
) -> Iterator[SourceFile]:
    """The files of a ZIP, read into memory one by one; nothing is written to disk.

    Raises ParseError for a broken archive and for one that unpacks to more than the limits; what
    is really unpacked is counted, because declared sizes may lie.
    """
    _check_directory(stream, name)
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir()
                and not stat.S_ISLNK(entry.external_attr >> 16)
                and not is_skipped(entry.filename)
            ]
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ARCHIVE_FILES or total > max_bytes:
                raise ParseError(
                    f"{name}: unpacks to {len(entries)} files and {total / 2**20:.0f} MiB, "
                    f"over the limit of {MAX_ARCHIVE_FILES} files and "
                    f"{max_bytes // 2**20} MiB; split the archive"
                )
            read = 0
            for entry in sorted(entries, key=lambda item: item.filename):
                file = _read_entry(archive, entry, PurePosixPath(name).stem)
                read += len(file.data)
                if read > max_bytes:
                    raise ParseError(
                        f"{name}: unpacks to more than {max_bytes // 2**20} MiB; split the archive"
                    )
                yield file
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise ParseError(f"{name}: broken ZIP ({error}); pack it again") from error


def _check_directory(stream: IO[bytes], name: str) -> None:
    """Refuse an archive whose table of contents alone would fill the memory, before reading it."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(max(0, size - _END_RECORD_REACH))
    tail = stream.read(_END_RECORD_REACH)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise ParseError(f"{name}: broken ZIP (its end is missing); pack it again")
    entries, contents = struct.unpack("<HI", tail[at + 10 : at + 16])
    if contents > MAX_ARCHIVE_CONTENTS or entries == 0xFFFF:
        raise ParseError(
            f"{name}: has more than {MAX_ARCHIVE_FILES} files or names of absurd length; "
            "split the archive"
        )
    stream.seek(0)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, stem: str) -> SourceFile:
    source_path = printable(f"{stem}/{entry.filename}")[:500].replace("\x00", "")
    if entry.flag_bits & 0x1:
        return SourceFile(source_path, error=f"{source_path}: is encrypted; pack without password")
    try:
        with archive.open(entry) as stream:
            # The declared size may lie, so no more than the limit is ever unpacked.
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (
        zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error,
        lzma.LZMAError, ValueError,
    ) as error:  # fmt: skip
        return SourceFile(source_path, error=f"{source_path}: cannot be unpacked ({error})")
    if len(data) > MAX_DOCUMENT_BYTES:
        return SourceFile(source_path, error=_too_large(source_path))
    return SourceFile(source_path, data)
