"""Which lines of a PDF are headings: from its outline, else from type size, weight and numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from rag.parsing.pdf_lines import Line

NUMBERED = re.compile(
    r"^(?:(?:chapter|section|appendix|annex|kapitel)\s+)?(\d{1,2}(?:\.\d{1,2}){0,4}|[A-H](?:\.\d{1,2}){1,3})"
    r"[.:]?\s+(?=\W?(?-i:[A-ZÄÖÜ0-9]))(.{2,110})$",
    re.IGNORECASE,
)
_UNSTYLED = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,3})\s+([A-Z][^.]{2,70})$")
_BULLET = re.compile(r"^[•▪●◦‣■□–*-]\s*")
_CALLOUT = re.compile(
    r"^(?:warning|caution|danger|note|notice|important|attention|verify|verification|check|hold"
    r"|tip|example|result|expected|figure|fig\.|table|source)\b",
    re.IGNORECASE,
)
_CONTENTS = re.compile(
    r"^(?:table of contents|contents|list of (?:figures|tables)|inhalt\w*)$", re.IGNORECASE
)
_MAX_CHARS = 130
_MAX_WORDS = 16


class OutlineEntry(NamedTuple):
    """One bookmark: its level from 1, its words, and the page from 1 (0 where it has none)."""

    level: int
    title: str
    page: int


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """The type size of most characters, in points."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            if not line.table:
                sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def heading_levels(
    pages: Sequence[Sequence[Line]], outline: Sequence[OutlineEntry]
) -> dict[int, int]:
    """id(line) → level of every heading line. The outline decides where at least half of its
    entries are found on their pages."""
    found = _by_outline(pages, outline)
    return found if found else _by_layout(pages)


def is_contents_heading(text: str) -> bool:
    """Whether a heading only announces a list of contents (whose lines are left out)."""
    return bool(_CONTENTS.match(text.strip()))


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _by_outline(pages: Sequence[Sequence[Line]], outline: Sequence[OutlineEntry]) -> dict[int, int]:
    levels: dict[int, int] = {}
    matched = 0
    placed = [entry for entry in outline if entry.page and _letters(entry.title)]
    if len(placed) < 2:
        return {}
    for entry in placed:
        wanted = _letters(entry.title)
        if entry.page > len(pages):
            continue
        if lines := _matching(pages[entry.page - 1], wanted, levels):
            matched += 1
            levels.update({id(line): min(entry.level, 6) for line in lines})
    return levels if matched >= 0.5 * len(placed) else {}


def _matching(lines: Sequence[Line], wanted: str, taken: dict[int, int]) -> list[Line]:
    """The lines that together say the bookmark's words; a number before them may be missing in
    the bookmark."""
    for start, line in enumerate(lines):
        if line.table or id(line) in taken:
            continue
        text = ""
        for end in range(start, min(start + 4, len(lines))):
            text += _letters(lines[end].text)
            bare = re.sub(r"^\d+", "", text)
            if text == wanted or bare == re.sub(r"^\d+", "", wanted):
                return list(lines[start : end + 1])
            if not (
                wanted.startswith(text) or (bare and re.sub(r"^\d+", "", wanted).startswith(bare))
            ):
                break
    return []


def _by_layout(pages: Sequence[Sequence[Line]]) -> dict[int, int]:
    body = body_size(pages)
    lines = [line for page in pages for line in page if not line.table]
    letters = sum(len(line.text) for line in lines) or 1
    body_is_bold = sum(len(line.text) for line in lines if line.bold) > 0.5 * letters
    styled = [line for line in lines if _is_styled(line, body, body_is_bold)]
    below = _below_callouts(lines)
    styled = [line for line in styled if id(line) not in below]
    # A page of large type is a poster or a slide: then nothing stands out.
    if sum(len(line.text) for line in styled) > 0.4 * letters:
        styled = [line for line in styled if line.size >= 1.12 * body]
    chosen = {id(line): line for line in styled}
    has_numbers = any(NUMBERED.match(line.text) for line in styled)
    if not has_numbers:
        chosen |= {id(line): line for line in _unstyled(lines)}
    return _levels([line for line in lines if id(line) in chosen])


def _below_callouts(lines: Sequence[Line]) -> set[int]:
    """Lines that go on from a caption or a callout in the same type."""
    found: set[int] = set()
    for last, line in pairwise(lines):
        goes_on = id(last) in found or _CALLOUT.match(last.text)
        near = 0 <= line.top - last.top < 2.2 * line.size and last.page == line.page
        if goes_on and near and last.bold == line.bold and abs(last.size - line.size) < 0.3:
            found.add(id(line))
    return found


def _is_styled(line: Line, body: float, body_is_bold: bool) -> bool:
    text = line.text.strip()
    if len(text) > _MAX_CHARS or len(text.split()) > _MAX_WORDS or _BULLET.match(text):
        return False
    if sum(char.isalpha() for char in text) < 2 or _CALLOUT.match(text) or "://" in text:
        return False
    numbered = NUMBERED.match(text)
    larger = line.size >= 1.12 * body
    if not (larger or (line.bold and not body_is_bold and line.size >= 0.95 * body)):
        return False
    if text[-1] in ".;," and not (numbered and larger):
        return False
    # A bold label before its value ("Model: X") and a numbered bold sentence are no headings.
    return larger or not re.search(r":\s+\S", text)


def _unstyled(lines: Sequence[Line]) -> list[Line]:
    """Numbered lines in the body's type; single numbers only while they count up from 1."""
    found: list[Line] = []
    expected = 1
    for line in lines:
        match = _UNSTYLED.match(line.text.strip())
        if match is None:
            continue
        number = match.group(1)
        if "." in number:
            found.append(line)
            expected = int(number.split(".")[0]) + 1
        elif int(number) == expected:
            found.append(line)
            expected += 1
    return found


def _levels(headings: Sequence[Line]) -> dict[int, int]:
    """Numbers give the level; without one it is the rank of size and weight."""

    def look(line: Line) -> tuple[float, bool]:
        return (round(line.size * 2) / 2, line.bold)

    by_look: dict[tuple[float, bool], Counter[int]] = {}
    for line in headings:
        if match := NUMBERED.match(line.text.strip()):
            level = match.group(1).count(".") + 1
            by_look.setdefault(look(line), Counter())[level] += 1
    ranks = sorted({look(line) for line in headings}, reverse=True)
    levels: dict[int, int] = {}
    for line in headings:
        match = NUMBERED.match(line.text.strip())
        if match:
            level = match.group(1).count(".") + 1
        elif look(line) in by_look:
            level = by_look[look(line)].most_common(1)[0][0]
        else:
            # One below the deepest numbered look that is larger, or its rank among the sizes.
            above = [max(found) for key, found in by_look.items() if key > look(line)]
            level = max(above) + 1 if above else ranks.index(look(line)) + 1
        levels[id(line)] = max(1, min(level, 6))
    return levels
