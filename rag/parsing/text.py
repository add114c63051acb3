"""Plain text: paragraphs are separated by blank lines; there are no headings."""

import re
from pathlib import PurePath

from rag.parsing.blocks import Block, ParsedDocument, ParseError

# Control characters that no text file contains; PostgreSQL refuses NUL in text values.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8 (with or without BOM) or UTF-16 with BOM; fall back to Windows-1252.

    Raises ParseError for binary data. Control characters are removed and line ends become `\\n`.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        decoded = data.decode("utf-16", errors="replace")
    else:
        sample = data[:65536]
        if b"\x00" in sample or sum(byte < 9 for byte in sample) > len(sample) // 100:
            raise ParseError(f"{name}: binary data, not text; check the file's ending")
        try:
            decoded = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            decoded = data.decode("cp1252", errors="replace")
    return _CONTROL.sub("", decoded.replace("\r\n", "\n").replace("\r", "\n"))


def title_from_name(name: str) -> str:
    """A readable title from a file name: `crac_failure-2.txt` → `crac failure 2`."""
    return re.sub(r"[-_\s]+", " ", PurePath(name).stem).strip() or name


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse plain text into paragraph blocks; the title is the file's name."""
    paragraphs = re.split(r"\n\s*\n", decode(data, name))
    blocks = [Block("paragraph", piece.strip("\n")) for piece in paragraphs if piece.strip()]
    return ParsedDocument(title=title_from_name(name), blocks=blocks)
