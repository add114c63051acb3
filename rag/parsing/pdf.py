"""PDF by PDFium: text in reading order with pages and boxes, headings, tables, hidden text left out.

Cost: 20 to 60 ms a page. Scanned pages without a text layer
give no blocks. PDFium is not thread-safe: one file at a time in a process
(`rag.parsing.limited` gives each file its own).
"""

import re
from typing import Any

from rag.parsing.blocks import MAX_PAGES, Block, ParsedDocument, ParseError
from rag.parsing.scan import flag, hidden_flag
from rag.parsing.text import title_from_name

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_PASSWORD = 4
_GENERIC_AUTHORS = {"", "user", "administrator", "admin", "unknown", "author"}


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse a PDF. Title: the largest type on page 1, else the file's name.

    The title stored in the file's metadata is not used: real specifications carry the title of
    the template they were made from. Raises ParseError for encrypted, broken and overlong files.
    """
    import pypdfium2 as pdfium

    if b"%PDF-" not in data[:1024]:
        raise ParseError(f"{name}: is not a PDF (no %PDF- header); check the file's ending")
    try:
        document = pdfium.PdfDocument(data)
        count = len(document)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            raise ParseError(f"{name}: is encrypted; save a copy without a password") from error
        raise ParseError(f"{name}: broken PDF ({error}); save it again and retry") from error
    try:
        if count > MAX_PAGES:
            raise ParseError(
                f"{name}: {count} pages are over the limit of {MAX_PAGES}; split the document"
            )
        if count == 0:
            raise ParseError(f"{name}: broken PDF (it has no pages); save it again and retry")
        return _Reader(document, name).read()
    except pdfium.PdfiumError as error:
        raise ParseError(f"{name}: broken PDF ({error}); save it again and retry") from error
    finally:
        document.close()


class _Reader:
    """One pass over the pages, then one over the lines."""

    def __init__(self, document: Any, name: str) -> None:
        self.document, self.name = document, name
        self.flags: list[dict[str, Any]] = []
        self.heights: list[float] = []
        self.is_scan = False

    def read(self) -> ParsedDocument:
        """The parsed document."""
        from rag.parsing.pdf_blocks import merged, page_blocks
        from rag.parsing.pdf_headings import heading_levels
        from rag.parsing.pdf_lines import without_running_lines

        raw = self._pages()
        title = _title(raw[0]) if raw else ""
        pages = without_running_lines(raw, self.heights)
        levels = heading_levels(pages, self._outline())
        words = {
            word.casefold()
            for lines in pages
            for line in lines
            for word in re.findall(r"[\w-]+\w", line.text)
        }
        found = [block for lines in pages for block in page_blocks(lines, levels, words)]
        blocks = _without_title(merged(found, words), title)
        if self.is_scan:
            self.flags.append(flag("scan_text", "text of scanned pages was not compared with them"))
        return ParsedDocument(
            title=(title or title_from_name(self.name))[:300],
            blocks=blocks,
            meta=self._meta(),
            pages=len(raw),
            flags=self.flags,
        )

    def _pages(self) -> list[Any]:
        """Each page's lines in reading order, running lines still among them."""
        from rag.parsing.pdf_lines import page_lines
        from rag.parsing.pdf_rules import grids
        from rag.parsing.pdf_tables import continued, tables, with_captions
        from rag.parsing.pdf_words import Clock, page_words

        clock = Clock()
        pages: list[Any] = []
        for number in range(1, len(self.document) + 1):
            page = self.document[number - 1]
            try:
                width, height = page.get_size()
                self.heights.append(height)
                words = [word for word in page_words(page, clock) if _clean(word)]
                self._hidden(words, number)
                visible = [word for word in words if not word.hidden or word.hidden == "scan"]
                found, rest = tables(grids(page), visible, number) if visible else ([], [])
                lines = with_captions(page_lines(rest, number, width, found))
                pages.append(continued(pages[-1] if pages else [], lines))
            finally:
                page.close()
        return pages

    def _hidden(self, words: Any, number: int) -> None:
        """One flag for each way of hiding on a page."""
        ways: dict[str, list[str]] = {}
        for word in words:
            if word.hidden == "scan":
                self.is_scan = True
            elif word.hidden:
                ways.setdefault(word.hidden, []).append(word.text)
        for how, texts in ways.items():
            if found := hidden_flag(" ".join(texts), how, number):
                self.flags.append(found)

    def _outline(self) -> list[Any]:
        from rag.parsing.pdf_headings import OutlineEntry

        entries = []
        for bookmark in self.document.get_toc(max_depth=8):
            target = bookmark.get_dest()
            index = target.get_index() if target is not None else None
            page = index + 1 if index is not None and index >= 0 else 0
            entries.append(OutlineEntry(bookmark.level + 1, bookmark.get_title() or "", page))
            if len(entries) >= 5000:
                break
        return entries

    def _meta(self) -> dict[str, Any]:
        """The author, unless it is no name. Everything else in the metadata is a template's."""
        stored = self.document.get_metadata_dict()
        author = " ".join(_CONTROL.sub("", stored.get("Author") or "").split())
        meta: dict[str, Any] = {"pages": len(self.document)}
        if author.lower() not in _GENERIC_AUTHORS:
            meta["author"] = author[:200]
        return meta


def _clean(word: Any) -> bool:
    word.text = _CONTROL.sub("", word.text)
    return bool(word.text)


def _title(lines: list[Any]) -> str:
    """The words set in the largest type on the page; '' when none stand out or they are too long."""
    prose = [line for line in lines if not line.table and sum(map(str.isalpha, line.text)) >= 2]
    if not prose:
        return ""
    largest = max(line.size for line in prose)
    chosen = [line for line in prose if line.size >= largest - 0.3]
    title = re.sub(r"\s+", " ", " ".join(line.text for line in chosen)).strip()
    stands_out = any(line.size < largest - 0.3 for line in prose)
    return title if stands_out and 3 <= len(title) <= 150 else ""


def _without_title(blocks: list[Block], title: str) -> list[Block]:
    """The blocks without the headings on page 1 that only say the title."""
    said = title.casefold()
    kept = [
        block
        for block in blocks
        if not (block.kind == "heading" and block.page == 1 and block.text.casefold() in said)
    ]
    return kept if any(block.kind == "heading" for block in kept) else blocks
