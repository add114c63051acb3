"""PDF by pypdf: the text layer page by page, numbered headings, running headers removed.

Cost: roughly 20…60 ms a page on one core. Scanned pages have no text layer and give no blocks.
"""

import io
import re
from collections import Counter
from pathlib import PurePath
from typing import Any

from rag.parsing.blocks import MAX_PAGES, Block, ParsedDocument, ParseError
from rag.parsing.text import title_from_name

_HEADING = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,3})\s+([A-Z][^.]{2,70})$")
_CONTENTS_LINE = re.compile(r"\.{5,}\s*\d+\s*$")
_BULLET = re.compile(r"^[•▪●◦‣–-]\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_EDGE_LINES = 3


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse a PDF. Title: the largest type on page 1, else the file's name.

    The title stored in the file's metadata is not used: real specifications carry the title of
    the template they were made from. Raises ParseError for encrypted, broken and overlong files.
    """
    from pypdf import PdfReader
    from pypdf.errors import PdfReadError

    if not data.lstrip()[:5].startswith(b"%PDF-"):
        raise ParseError(f"{name}: is not a PDF (no %PDF- header); check the file's ending")
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ParseError(f"{name}: is encrypted; save a copy without a password")
        if len(reader.pages) > MAX_PAGES:
            raise ParseError(
                f"{name}: {len(reader.pages)} pages are over the limit of {MAX_PAGES}; "
                "split the document"
            )
        pages = [_CONTROL.sub("", page.extract_text() or "") for page in reader.pages]
        title = _title(reader.pages[0]) if reader.pages else ""
    except ParseError:
        raise
    except (PdfReadError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ParseError(f"{name}: broken PDF ({error}); save it again and retry") from error
    except (RecursionError, MemoryError, OSError, NotImplementedError) as error:
        raise ParseError(f"{name}: PDF cannot be read ({type(error).__name__})") from error
    blocks: list[Block] = []
    for number, lines in enumerate(_without_running_lines(pages), start=1):
        blocks.extend(_page_blocks(lines, number))
    meta: dict[str, Any] = {"pages": len(pages)}
    return ParsedDocument(
        title=title or title_from_name(PurePath(name).name), blocks=blocks, meta=meta
    )


def _title(page: Any) -> str:
    """The words set in the largest type on the page; '' when they are too long for a title."""
    pieces: list[tuple[float, float, str]] = []

    def visit(text: str, _cm: Any, tm: list[float], _font: Any, size: float) -> None:
        if text.strip():
            pieces.append((round(abs(size * (tm[3] or 1)), 1), round(tm[5]), text))

    page.extract_text(visitor_text=visit)
    if not pieces:
        return ""
    largest = max(size for size, _, _ in pieces)
    words, last_y = "", None
    for size, y, text in pieces:
        if size == largest:
            words += (" " if last_y is not None and y != last_y else "") + text
            last_y = y
    title = re.sub(r"\s+", " ", _CONTROL.sub("", words)).strip()
    return title if 3 <= len(title) <= 150 else ""


def _without_running_lines(pages: list[str]) -> list[list[str]]:
    """Drop lines at page edges that repeat (digits aside) on a third of the pages, at least 4."""
    split = [[line.rstrip() for line in page.splitlines() if line.strip()] for page in pages]

    def key(line: str) -> str:
        return re.sub(r"\d+", "#", line.strip())

    counts: Counter[str] = Counter()
    for lines in split:
        edge = lines[:_EDGE_LINES] + lines[_EDGE_LINES:][-_EDGE_LINES:]
        counts.update({key(line) for line in edge})
    floor = max(4, len(pages) // 3)
    running = {line for line, count in counts.items() if count >= floor}
    kept: list[list[str]] = []
    for lines in split:
        last = len(lines) - _EDGE_LINES
        kept.append(
            [
                line
                for index, line in enumerate(lines)
                if not ((index < _EDGE_LINES or index >= last) and key(line) in running)
                and not _CONTENTS_LINE.search(line)
            ]
        )
    return kept


def _page_blocks(lines: list[str], page: int) -> list[Block]:
    blocks: list[Block] = []
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            blocks.append(Block("paragraph", " ".join(paragraph), page=page))
            paragraph.clear()

    for raw in lines:
        line = re.sub(r"\s+", " ", raw).strip()
        found = _HEADING.match(line)
        if found:
            flush()
            level = found.group(1).count(".") + 1
            blocks.append(Block("heading", line, level=level, page=page))
        elif _BULLET.match(line):
            flush()
            paragraph.append(line)
        else:
            if paragraph and paragraph[-1].endswith(".") and len(paragraph[-1]) < 60:
                flush()
            paragraph.append(line)
    flush()
    return blocks
