"""Plain text: paragraphs between blank lines, with the headings, lists and columns that people
make without markup.

A heading is a line underlined with `===` or `---`, or one that stands alone and is numbered
("4.2 Cooling loop") or in capitals. Aligned columns stay as they are, as code.
"""

import re
from pathlib import PurePath

from rag.parsing.blocks import Block, ParsedDocument, ParseError

# Control characters that no text file contains; PostgreSQL refuses NUL in text values.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_UNDERLINE = re.compile(r"^\s*([=\-~#*])\1{2,}\s*$")
_NUMBERED = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+(\S.{1,78})$")
_ITEM = re.compile(r"^\s*(?:[-*•▪●◦‣]|\d{1,3}[.)]|[a-z][.)])\s+\S")
_COLUMNS = re.compile(r"\S(?: {2,}|\t+)\S")
_MAX_LINE = 100


def decode(data: bytes, name: str) -> str:
    """Decode UTF-8 (with or without BOM) or UTF-16; fall back to Windows-1252.

    UTF-16 is recognised by its BOM, or by its zero bytes when every second one is zero. Raises
    ParseError for binary data. Control characters are removed and line ends become `\\n`.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        decoded = data.decode("utf-16", errors="replace")
    elif wide := _utf16(data):
        decoded = data.decode(wide, errors="replace")
    else:
        sample = data[:65536]
        if b"\x00" in sample or sum(byte < 9 for byte in sample) > len(sample) // 100:
            raise ParseError(f"{name}: binary data, not text; check the file's ending")
        try:
            decoded = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            decoded = data.decode("cp1252", errors="replace")
    decoded = _CONTROL.sub("", decoded.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", decoded)


def _utf16(data: bytes) -> str:
    """The byte order of UTF-16 text without BOM in mostly Latin letters; '' for anything else."""
    sample = data[: 4096 // 2 * 2]
    half = len(sample) // 2
    if half < 8:
        return ""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd >= 0.9 * half and even <= 0.01 * half:
        return "utf-16-le"
    return "utf-16-be" if even >= 0.9 * half and odd <= 0.01 * half else ""


def title_from_name(name: str) -> str:
    """A readable title from a file name: `crac_failure-2.txt` → `crac failure 2`."""
    return re.sub(r"[-_\s]+", " ", PurePath(name).stem).strip() or name


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse plain text. Title: an underlined heading on top, else the file's name."""
    blocks: list[Block] = []
    for chunk in re.split(r"\n\s*\n", decode(data, name)):
        lines = [line.rstrip() for line in chunk.strip("\n").split("\n")]
        if any(lines):
            blocks += _chunk(lines)
    title = ""
    if len(blocks) > 1 and blocks[0].kind == "heading" and blocks[0].level == 1:
        title = blocks.pop(0).text
    return ParsedDocument(title=(title or title_from_name(name))[:300], blocks=blocks)


def _chunk(lines: list[str]) -> list[Block]:
    """The blocks of one run of lines without a blank line."""
    if len(lines) > 1 and (mark := _UNDERLINE.match(lines[1])) and 0 < len(lines[0]) < _MAX_LINE:
        level = {"=": 1, "#": 1, "*": 1}.get(mark.group(1), 2)
        heading = Block("heading", lines[0].strip(), level)
        return [heading, *(_chunk(lines[2:]) if any(lines[2:]) else [])]
    if len(lines) == 1 and (level := _heading_level(lines[0].strip())):
        return [Block("heading", lines[0].strip(), level)]
    if _is_table(lines):
        return [Block("code", "\n".join(lines))]
    return _prose(lines)


def _heading_level(line: str) -> int:
    """The level of a line that stands alone, 0 when it is no heading."""
    words = line.split()
    if not 1 <= len(words) <= 12 or line[-1] in ".,;:!?":
        return 0
    if (found := _NUMBERED.match(line)) and found.group(2)[0].isupper():
        # "1. Open the valve" is an item; "1 Scope" and "1.2. Scope" are headings.
        is_item = "." not in found.group(1) and re.match(r"\d+\.", line)
        return 0 if is_item else min(found.group(1).count(".") + 2, 6)
    letters = [char for char in line if char.isalpha()]
    is_caps = len(letters) >= 4 and all(char.isupper() for char in letters)
    return 2 if is_caps and not re.search(r"[=/_\d]", line) else 0


def _is_table(lines: list[str]) -> bool:
    """At least three lines of which most have columns that begin at the same places."""
    if len(lines) < 3:
        return False
    starts = [{match.end() - 1 for match in _COLUMNS.finditer(line)} for line in lines]
    aligned = [found for found in starts if found]
    if len(aligned) < max(3, 0.8 * len(lines)):
        return False
    common = max(sum(place in found for found in aligned) for place in set().union(*aligned))
    return common >= 0.7 * len(aligned)


def _prose(lines: list[str]) -> list[Block]:
    """Items of their own, with their indented continuation; everything else one paragraph."""
    groups: list[list[str]] = []
    for line in lines:
        goes_on = bool(groups) and (
            line[:1].isspace() or line[:1].islower() or not _ITEM.match(groups[-1][0])
        )
        if goes_on and not _ITEM.match(line):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [
        Block("item" if _ITEM.match(group[0]) else "paragraph", "\n".join(group))
        for group in groups
    ]
