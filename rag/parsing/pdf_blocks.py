"""Lines of a PDF to blocks: headings, paragraphs, items and tables, with their boxes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag.parsing.blocks import Block, BlockKind, Box
from rag.parsing.pdf_headings import NUMBERED, is_contents_heading
from rag.parsing.pdf_lines import Line

_BULLET = re.compile(r"^([•▪●◦‣■□✓➢\uf0b7\uf0a7]|[–*-](?=\s)|o(?=\s+[A-Z]))\s*")
_NUMBER = re.compile(
    r"^(?:(?:\d{1,3}[.)]|[a-z][.)]|\((?:\d{1,2}|[a-z])\))\s+\S|step\s+\d{1,3}\b)", re.IGNORECASE
)
_CALLOUT = re.compile(
    r"^(?:warning|caution|danger|note|notice|important|verify|verification|hold point)\b\s*[:!–—-]",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?:;][)\"”’]?$")


def page_blocks(lines: Sequence[Line], levels: dict[int, int], words: set[str]) -> list[Block]:
    """The blocks of one page. `words` are all words of the document, to undo hyphenation."""
    blocks: list[Block] = []
    run: list[Line] = []
    right = _right_edges(lines)

    def flush() -> None:
        if run:
            blocks.append(_paragraph(run, words))
            run.clear()

    previous: Line | None = None
    for line in lines:
        level = levels.get(id(line))
        if line.table:
            flush()
            blocks.append(Block("table", line.text, page=line.page, boxes=(_box([line]),)))
        elif level:
            flush()
            last = blocks[-1] if blocks else None
            if (
                last
                and last.kind == "heading"
                and previous is not None
                and _goes_on(previous, line, levels)
            ):
                joined = joined_text(last.text, line.text, words)
                box = _union(last.boxes[0], _box([line]))
                blocks[-1] = replace(last, text=joined, boxes=(box,))
            else:
                text = " ".join(line.text.split())
                blocks.append(Block("heading", text, level, line.page, (_box([line]),)))
        else:
            if run and _begins_anew(run, line, right.get(line.column, line.right)):
                flush()
            run.append(line)
        previous = line
    flush()
    return blocks


def merged(blocks: Iterable[Block], words: set[str]) -> list[Block]:
    """Paragraphs that a page's end broke within a sentence as one block with both boxes, and
    headings of contents lists (whose lines are gone) left out."""
    kept: list[Block] = []
    for block in blocks:
        last = kept[-1] if kept else None
        if last is not None and _is_broken(last, block):
            text = joined_text(last.text, block.text, words)
            kept[-1] = replace(last, text=text, boxes=last.boxes + block.boxes)
            continue
        if not is_contents_heading(block.text):
            kept.append(block)
    return kept


def joined_text(text: str, more: str, words: set[str]) -> str:
    """Two lines as one text. A hyphen at the line's end goes when the document knows the joined
    word, or does not know the hyphenated one; it stays before capitals and digits."""
    if text.endswith("-") and len(text) > 2 and text[-2].isalpha() and more[:1].islower():
        head = re.search(r"[\w-]+-$", text)
        tail = re.match(r"\w+", more)
        if head and tail:
            whole = (head.group()[:-1] + tail.group()).casefold()
            dashed = (head.group() + tail.group()).casefold()
            keep = dashed in words and whole not in words
            return text + more if keep else text[:-1] + more
    if text.endswith(("-", "/")) and len(text) > 2 and not text[-2].isspace():
        return text + more
    return f"{text} {more}"


def _right_edges(lines: Sequence[Line]) -> dict[int, float]:
    """How far full lines of each column reach."""
    edges: dict[int, list[float]] = {}
    for line in lines:
        if not line.table:
            edges.setdefault(line.column, []).append(line.right)
    return {column: sorted(found)[int(0.9 * (len(found) - 1))] for column, found in edges.items()}


def _begins_anew(run: Sequence[Line], line: Line, right: float) -> bool:
    """Whether a line begins a new paragraph or item."""
    last = run[-1]
    text = line.text
    if line.column != last.column or _BULLET.match(text) or _CALLOUT.match(text):
        return True
    if _NUMBER.match(text) and (
        _SENTENCE_END.search(last.text) or line.left <= run[0].left + 2 or last.right < 0.8 * right
    ):
        return True
    gap = line.top - last.bottom
    pitch = max(line.size, last.size, 4.0)
    if gap > 0.75 * pitch or line.top < last.top - pitch:
        return True
    is_item = bool(_BULLET.match(run[0].text) or _NUMBER.match(run[0].text))
    if is_item and line.left < run[0].left - 2:
        return True
    if abs(line.size - last.size) > 0.2 * pitch and not is_item:
        return True
    is_short = last.right < right - 6 * pitch
    return is_short and bool(_SENTENCE_END.search(last.text)) and text[:1].isupper()


def _goes_on(last: Line, line: Line, levels: dict[int, int]) -> bool:
    """Whether a heading line continues the heading line above it."""
    return (
        levels.get(id(last)) is not None
        and abs(last.size - line.size) < 0.6
        and last.bold == line.bold
        and -0.5 * line.size <= line.top - last.bottom < 0.8 * line.size
        and not NUMBERED.match(line.text)
        and last.column == line.column
    )


def _paragraph(run: Sequence[Line], words: set[str]) -> Block:
    text = run[0].text
    for line in run[1:]:
        text = joined_text(text, line.text, words)
    text = " ".join(text.split())
    kind: BlockKind = "paragraph"
    if match := _BULLET.match(text):
        text, kind = "- " + text[match.end() :], "item"
    elif _NUMBER.match(text):
        kind = "item"
    return Block(kind, text, page=run[0].page, boxes=(_box(run),))


def _is_broken(last: Block, block: Block) -> bool:
    """Whether the first block ends mid-sentence at a page's end and the second continues it."""
    if last.kind not in ("paragraph", "item") or block.kind != "paragraph":
        return False
    if last.page is None or block.page is None or not last.boxes:
        return False
    next_page = block.page == last.boxes[-1][0] + 1
    return next_page and not _SENTENCE_END.search(last.text) and block.text[:1].islower()


def _box(lines: Sequence[Line]) -> Box:
    return (
        lines[0].page,
        round(min(line.left for line in lines), 1),
        round(min(line.top for line in lines), 1),
        round(max(line.right for line in lines), 1),
        round(max(line.bottom for line in lines), 1),
    )


def _union(a: Box, b: Box) -> Box:
    return (a[0], min(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3]), max(a[4], b[4]))
