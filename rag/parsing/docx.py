"""DOCX by python-docx: paragraphs and tables in body order, with Word's headings and numbering.

Footnotes and endnotes stand in brackets at their place of reference, those of a heading below it.
Headers, footers, comments, tracked deletions and hidden runs are left out; macros, fields and
links are never followed. DOCX has no pages: they exist only after layout.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from rag.parsing.blocks import Block, ParsedDocument, ParseError
from rag.parsing.docx_notes import notes_of
from rag.parsing.docx_runs import Reading, W, paragraph_text
from rag.parsing.docx_styles import Numbering, Styles
from rag.parsing.scan import flag, hidden_flag
from rag.parsing.tables import markdown_table
from rag.parsing.text import title_from_name

# Word's own files stay far below: a 500-page manual with pictures has some 60 MiB and 700 parts.
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_PARTS = 5000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_GENERIC_AUTHORS = {"python-docx", "microsoft office user", "user", "administrator", "admin", ""}


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse a DOCX. Title: the paragraph in the style Title, else a first Heading 1, else the
    document's title property, else the file's name.

    Raises ParseError for encrypted, broken, packed beyond reason and macro-carrying files.
    """
    _check_archive(data, name)
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import LxmlError

    try:
        document = docx.Document(io.BytesIO(data))
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, LxmlError) as error:
        raise ParseError(f"{name}: broken DOCX ({error}); save it again and retry") from error
    except ValueError as error:
        kind = "carries macros" if "macro" in str(error).lower() else "is not a Word document"
        raise ParseError(f"{name}: {kind}; save it as .docx") from error
    try:
        reader = _Body(document)
    except LxmlError as error:
        raise ParseError(f"{name}: broken DOCX ({error}); save it again and retry") from error
    blocks = list(reader.blocks(document.element.body))
    title, blocks = _title(blocks, reader.title, document.core_properties.title or "", name)
    flags = [found for text, how in reader.reading.hidden if (found := hidden_flag(text, how))]
    if reader.reading.deleted:
        flags.append(
            flag("tracked_changes", f"{reader.reading.deleted} tracked deletions were left out")
        )
    return ParsedDocument(title=title[:300], blocks=blocks, meta=_meta(document), flags=flags)


def _check_archive(data: bytes, name: str) -> None:
    """Refuse what is no plain DOCX before anything is unpacked."""
    if data[:8] == _OLE:
        raise ParseError(
            f"{name}: is encrypted or in the old .doc format; save it as .docx without a password"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            size = sum(part.file_size for part in parts)
            if len(parts) > MAX_PARTS or size > MAX_UNPACKED_BYTES:
                raise ParseError(
                    f"{name}: unpacks to {size / 2**20:.0f} MiB in {len(parts)} parts, over the "
                    f"limit of {MAX_UNPACKED_BYTES // 2**20} MiB in {MAX_PARTS}; split the document"
                )
            if any(part.filename.lower().endswith("vbaproject.bin") for part in parts):
                raise ParseError(f"{name}: carries macros; save it as .docx without them")
            if "[Content_Types].xml" not in archive.namelist():
                raise ParseError(f"{name}: is a ZIP archive but not a Word document")
            for part in parts:
                if part.filename.lower().endswith((".xml", ".rels")):
                    with archive.open(part) as stream:
                        head = stream.read(4096).replace(b"\x00", b"").upper()
                    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                        raise ParseError(
                            f"{name}: {part.filename} declares XML entities, which no Word "
                            "document does; it is refused"
                        )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ParseError(
            f"{name}: is not a DOCX ({error}); check the file's ending or save it again"
        ) from error


class _Body:
    """Turns the body's elements into blocks, keeping the counters of its lists."""

    def __init__(self, document: Any) -> None:
        self.styles = Styles(document)
        self.numbering = Numbering(document)
        self.reading = Reading(self.styles.hidden, notes_of(document))
        self.title = ""

    def blocks(self, container: Any) -> Iterator[Block]:
        """Blocks of a container in order; content controls and insertions are looked through."""
        for node in container:
            tag = node.tag
            if tag == W + "p":
                yield from self._paragraph(node)
            elif tag == W + "tbl":
                yield from self._table(node)
            elif tag in (W + "sdt", W + "ins", W + "moveTo", W + "customXml", W + "sdtContent"):
                yield from self.blocks(node)
            elif tag in (W + "del", W + "moveFrom"):
                self.reading.deleted += 1

    def _paragraph(self, node: Any) -> Iterator[Block]:
        style = self.styles.of(node)
        is_heading = bool(style.level or style.is_title)
        text, boxes = paragraph_text(node, self.reading, notes_wait=is_heading)
        if text.strip():
            if style.is_contents:
                return
            label, depth = self.numbering.label(node, style)
            if style.is_title and not self.title:
                self.title = " ".join(text.split())
            elif style.level:
                words = " ".join(text.split())
                yield Block("heading", f"{label} {words}".strip(), min(style.level, 6))
            elif label:
                yield Block("item", "  " * depth + f"{label} {text.strip()}")
            else:
                yield Block("code" if style.is_code else "paragraph", text.strip("\n").rstrip())
        while self.reading.waiting:
            note = self.reading.waiting.pop(0)
            yield Block("paragraph", note[0].upper() + note[1:])
        for box in boxes:
            yield from self.blocks(box)

    def _table(self, node: Any) -> Iterator[Block]:
        rows = [row for row in node.iter(W + "tr") if _owner(row, W + "tbl") is node]
        if len(rows) == 1 and len(cells := rows[0].findall(W + "tc")) == 1:
            yield from self.blocks(cells[0])  # a frame around a warning, not a table
            return
        grid: list[list[str]] = []
        header_rows = 0
        for row in rows:
            if row.find(f"{W}trPr/{W}del") is not None:
                self.reading.deleted += 1
                continue
            is_header = row.find(f"{W}trPr/{W}tblHeader") is not None
            header_rows += is_header and header_rows == len(grid)
            grid.append(self._row(row, grid[-1] if grid else [], repeat=is_header or not grid))
        if text := markdown_table(grid, header_rows=header_rows or None):
            yield Block("table", text)

    def _row(self, row: Any, above: list[str], *, repeat: bool) -> list[str]:
        """The cells of a row; merged ones repeat the text from above, and in a header across."""
        line: list[str] = []
        for cell in row.iter(W + "tc"):
            if _owner(cell, W + "tr") is not row:
                continue
            span = cell.find(f"{W}tcPr/{W}gridSpan")
            merge = cell.find(f"{W}tcPr/{W}vMerge")
            across = int(span.get(W + "val", "1")) if span is not None else 1
            if merge is not None and merge.get(W + "val", "continue") == "continue":
                text = above[len(line)] if len(line) < len(above) else ""
            else:
                text = " ".join(block.text.strip() for block in self.blocks(cell))
            line += [text] + [text if repeat else ""] * (min(across, 60) - 1)
        return line


def _owner(node: Any, tag: str) -> Any:
    """The nearest parent with the tag."""
    parent = node.getparent()
    while parent is not None and parent.tag != tag:
        parent = parent.getparent()
    return parent


def _title(blocks: list[Block], styled: str, declared: str, name: str) -> tuple[str, list[Block]]:
    """The title, and the blocks without the heading that says it."""
    first = blocks[0] if blocks else None
    if styled:
        return styled, blocks
    if first and first.kind == "heading" and first.level == 1 and len(blocks) > 1:
        return first.text, blocks[1:]
    declared = " ".join(declared.split())
    # A template's title often stays in the properties: it counts when the text begins with it.
    opening = " ".join(block.text for block in blocks[:8]).casefold()
    if declared and declared.casefold() in opening:
        return declared, blocks
    return title_from_name(name), blocks


def _meta(document: Any) -> dict[str, Any]:
    """Author and version from the properties. Word's `revision` counts savings and is no
    revision of the document."""
    properties = document.core_properties
    meta: dict[str, Any] = {}
    author = (properties.author or "").strip()
    if author.lower() not in _GENERIC_AUTHORS:
        meta["author"] = author[:200]
    version = (properties.version or "").strip()
    if version:
        meta["version"] = version[:40]
        if version.isdecimal() and 0 < int(version[:6]) < 10_000:
            meta["revision"] = int(version)
    return meta
