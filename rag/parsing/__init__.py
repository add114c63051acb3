"""Files to blocks. One module per format; a new format is one more module and one line in PARSERS.

Every parser has the signature `parse(data: bytes, name: str) -> ParsedDocument` and raises
`ParseError` for a file that it cannot read. No parser touches the network or the disk. Modules are
imported at first use: the web process loads none of them. Files of strangers go through
`rag.parsing.limited.parse_limited`, which does the same in a process with limits.
"""

from importlib import import_module
from pathlib import PurePath

from rag.parsing.blocks import MAX_DOCUMENT_BYTES, Block, Box, ParsedDocument, ParseError

PARSERS: dict[str, str] = {
    ".md": "rag.parsing.markdown",
    ".markdown": "rag.parsing.markdown",
    ".txt": "rag.parsing.text",
    ".html": "rag.parsing.html",
    ".htm": "rag.parsing.html",
    ".docx": "rag.parsing.docx",
    ".pdf": "rag.parsing.pdf",
}
# Formats that people try, with what to do instead.
_ADVICE = {
    ".doc": "save it as .docx",
    ".docm": "it may carry macros; save it as .docx",
    ".dotx": "save it as .docx",
    ".odt": "save it as .docx",
    ".rtf": "save it as .docx",
    ".pptx": "export it as .pdf",
    ".xlsx": "export it as .pdf or .html",
    ".zip": "import the archive, not the file",
}

__all__ = [
    "PARSERS",
    "Block",
    "Box",
    "ParseError",
    "ParsedDocument",
    "can_parse",
    "check_size",
    "parse",
]


def can_parse(name: str) -> bool:
    """Whether the file name's ending belongs to a known format."""
    return PurePath(name).suffix.lower() in PARSERS


def check_size(data: bytes, name: str) -> None:
    """Raises ParseError when the format is unknown or the file is over 25 MiB."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        advice = f"; {_ADVICE[suffix]}" if suffix in _ADVICE else ""
        raise ParseError(f"{name}: unknown format; supported are {known}{advice}")
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ParseError(
            f"{name}: {len(data) / 2**20:.0f} MiB is over the limit of "
            f"{MAX_DOCUMENT_BYTES // 2**20} MiB; split the document"
        )


def parse(*, data: bytes, name: str) -> ParsedDocument:
    """Parse one file held in memory, in this process and without limits of time and memory.

    Numbered steps are recognised (`rag.parsing.steps`), what hides or addresses a model is taken
    out or flagged (`rag.parsing.scan`). Raises ParseError when the format is unknown, the file is
    over 25 MiB, it cannot be read, or it contains no text at all.
    """
    from rag.parsing.scan import scan
    from rag.parsing.steps import with_steps

    check_size(data, name)
    parser = import_module(PARSERS[PurePath(name).suffix.lower()])
    document: ParsedDocument = scan(with_steps(parser.parse(data, name)))
    if not any(block.text.strip() for block in document.blocks):
        hidden = any(flag["code"] == "hidden_text" for flag in document.flags)
        cause = "all of its text is invisible" if hidden else "empty file, or scanned pages"
        advice = "" if hidden else " without OCR"
        raise ParseError(f"{name}: no text found ({cause}{advice})")
    return document
