"""Files to blocks. One module per format; a new format is one more module and one line in PARSERS.

Every parser has the signature `parse(data: bytes, name: str) -> ParsedDocument` and raises
`ParseError` for a file that it cannot read. No parser touches the network or the disk.
"""

from collections.abc import Callable
from pathlib import PurePath

from rag.parsing import html, markdown, pdf, text
from rag.parsing.blocks import MAX_DOCUMENT_BYTES, Block, ParsedDocument, ParseError

Parser = Callable[[bytes, str], ParsedDocument]

PARSERS: dict[str, Parser] = {
    ".md": markdown.parse,
    ".markdown": markdown.parse,
    ".txt": text.parse,
    ".html": html.parse,
    ".htm": html.parse,
    ".pdf": pdf.parse,
}

__all__ = ["PARSERS", "Block", "ParseError", "ParsedDocument", "can_parse", "parse"]


def can_parse(name: str) -> bool:
    """Whether the file name's ending belongs to a known format."""
    return PurePath(name).suffix.lower() in PARSERS


def parse(*, data: bytes, name: str) -> ParsedDocument:
    """Parse one file held in memory.

    Raises ParseError when the format is unknown, the file is over 25 MiB, it cannot be read, or
    it contains no text at all.
    """
    parser = PARSERS.get(PurePath(name).suffix.lower())
    if parser is None:
        known = ", ".join(sorted(PARSERS))
        raise ParseError(f"{name}: unknown format; supported are {known}")
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ParseError(
            f"{name}: {len(data) / 2**20:.0f} MiB is over the limit of "
            f"{MAX_DOCUMENT_BYTES // 2**20} MiB; split the document"
        )
    document = parser(data, name)
    if not any(block.text.strip() for block in document.blocks):
        raise ParseError(f"{name}: no text found (empty file, or scanned pages without OCR)")
    return document
