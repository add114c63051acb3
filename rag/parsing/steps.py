"""Numbered steps of procedures that are not written with a heading for each step.

"Step 3: Open the valve" as a line of its own becomes a heading; a longer paragraph that begins so,
and the items "1.", "2)" … of a list below a heading such as *Procedure*, become steps. What follows
up to the next step (warnings, cautions, verification, figures) belongs to the step.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from rag.parsing.blocks import Block, ParsedDocument

_STEP = re.compile(r"^\W{0,3}step\s+(\d{1,3})\b\s*[.:)\u2013\u2014-]?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"^\s*(?:\*\*)?(\d{1,3})[.)](?:\*\*)?\s+\S")
_PROCEDURE = re.compile(
    r"\b(?:procedures?|steps|instructions|sequence|actions|back-?out|method of procedure"
    r"|vorgehen|schritte|ablauf|anleitung)\b",
    re.IGNORECASE,
)
_MAX_HEADING_WORDS = 14


def with_steps(document: ParsedDocument) -> ParsedDocument:
    """The document with its steps marked; everything else unchanged."""
    return replace(document, blocks=list(_marked(_titled(document.blocks))))


def _titled(blocks: list[Block]) -> Iterator[Block]:
    """Lines "Step N …" as headings one level below the heading above them."""
    level = 0
    for block in blocks:
        if block.kind == "heading":
            if not _STEP.match(block.text):
                level = block.level
            yield block
            continue
        match = _STEP.match(block.text)
        if match is None or block.kind not in ("paragraph", "item"):
            yield block
            continue
        text = block.text.strip().strip("*_").strip()
        if "\n" not in text and len(text.split()) <= _MAX_HEADING_WORDS and text[-1] not in ".;,":
            yield replace(block, kind="heading", text=text, level=min(level + 1, 6))
        else:
            yield replace(block, step=int(match.group(1)))


def _marked(blocks: Iterator[Block]) -> Iterator[Block]:
    """Items of the numbered lists below a procedure's heading as steps."""
    section: list[Block] = []
    is_procedure = False
    for block in blocks:
        if block.kind == "heading":
            yield from _numbered(section) if is_procedure else section
            section = []
            is_procedure = bool(_PROCEDURE.search(block.text)) and not _STEP.match(block.text)
        section.append(block)
    yield from _numbered(section) if is_procedure else section


def _numbered(section: list[Block]) -> Iterator[Block]:
    """A section's blocks with `step` set, if its numbers run 1, 2, 3 … at least to 2."""
    found = [
        (index, int(match.group(1)))
        for index, block in enumerate(section)
        if block.kind in ("item", "paragraph") and (match := _NUMBER.match(block.text))
    ]
    numbers = [number for _, number in found]
    runs = len(numbers) >= 2 and numbers[0] == 1 and all(b == a + 1 for a, b in pairwise(numbers))
    if not runs or any(block.step is not None for block in section):
        yield from section
        return
    steps = dict(found)
    for index, block in enumerate(section):
        yield replace(block, step=steps[index]) if index in steps else block
