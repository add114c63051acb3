"""Cut a parsed document into passages of at most 200 words, along its structure.

The embedder truncates at 256 word pieces (about 200 English words), so a longer passage would be
embedded in part only. A procedure is cut at its steps: one step with its warning and verification
is one passage. Every word of the document is in exactly one passage's text or in the section path
of the passages below it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.parsing.blocks import Block, ParsedDocument

MAX_WORDS = 200

_STEP = re.compile(r"^\s*step\s+(\d{1,3})\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


@dataclass(frozen=True)
class Cut:
    """One passage before it is stored. `ordinal` counts from 1 and orders neighbours."""

    ordinal: int
    section_path: tuple[str, ...]
    step: int | None
    page: int | None
    text: str

    @property
    def anchor(self) -> str:
        """The fragment identifier of this passage in the document viewer."""
        return f"p-{self.ordinal}"


@dataclass(frozen=True)
class _Section:
    path: tuple[str, ...]
    step: int | None
    page: int | None
    blocks: list[Block]


def cut(document: ParsedDocument, *, max_words: int = MAX_WORDS) -> list[Cut]:
    """Cut a document into passages in reading order; none is longer than `max_words` words."""
    cuts: list[Cut] = []
    for section in _sections(document.blocks):
        for text in _pack(section.blocks, max_words):
            cuts.append(Cut(len(cuts) + 1, section.path, section.step, section.page, text))
    return cuts


def word_count(text: str) -> int:
    """Words as the passage limit counts them: runs of non-blank characters."""
    return len(text.split())


def _sections(blocks: list[Block]) -> Iterator[_Section]:
    """Runs of blocks below one heading and on one page.

    A heading with nothing below it and no deeper heading keeps its words as text of its own.
    """
    path: list[tuple[int, str]] = []
    body: list[Block] = []
    bare: Block | None = None

    def section() -> _Section:
        titles = tuple(title for _, title in path)
        step = next((int(m.group(1)) for t in reversed(titles) if (m := _STEP.match(t))), None)
        return _Section(titles, step, body[0].page, list(body))

    for block in blocks:
        if block.kind == "heading":
            if body:
                yield section()
            elif bare is not None and block.level <= bare.level:
                body.append(bare)
                yield section()
            body.clear()
            while path and path[-1][0] >= block.level:
                path.pop()
            path.append((block.level, block.text))
            bare = block
            continue
        if body and block.page != body[0].page:
            yield section()
            body.clear()
        body.append(block)
        bare = None
    if bare is not None:
        body.append(bare)
    if body:
        yield section()


def _pack(blocks: list[Block], max_words: int) -> Iterator[str]:
    """Join blocks until the limit; a block over the limit is taken apart first."""
    text, last = "", None
    for block in blocks:
        for piece in _pieces(block, max_words):
            joint = "\n" if block.kind == "item" and last == "item" else "\n\n"
            if text and word_count(text) + word_count(piece) > max_words:
                yield text
                text = piece
            else:
                text = text + joint + piece if text else piece
            last = block.kind
    if text:
        yield text


def _pieces(block: Block, max_words: int) -> Iterator[str]:
    """The block itself, or its parts: tables by rows, code by lines, prose by sentences."""
    if word_count(block.text) <= max_words:
        yield block.text
    elif block.kind == "table":
        yield from _table_pieces(block.text, max_words)
    elif block.kind == "code" and block.text.lstrip().startswith(("```", "~~~")):
        yield from _fence_pieces(block.text, max_words)
    else:
        separator = "\n" if "\n" in block.text else " "
        parts = block.text.split("\n") if separator == "\n" else _SENTENCE_END.split(block.text)
        yield from _join(parts, separator, max_words)


def _join(parts: list[str], separator: str, max_words: int) -> Iterator[str]:
    text, count = "", 0
    for part in parts:
        words = word_count(part)
        if words > max_words:
            if text.strip():
                yield text
            text, count = "", 0
            tokens = part.split()
            finer = _SENTENCE_END.split(part) if separator == "\n" else []
            if len(finer) > 1:
                yield from _join(finer, " ", max_words)
            else:
                for start in range(0, len(tokens), max_words):
                    yield " ".join(tokens[start : start + max_words])
        elif count + words > max_words:
            yield text
            text, count = part, words
        else:
            text = text + separator + part if text else part
            count += words
    if text.strip():
        yield text


def _table_pieces(text: str, max_words: int) -> Iterator[str]:
    """Rows in groups, each group under the table's header where the header leaves room."""
    lines = text.split("\n")
    is_markdown = len(lines) > 2 and set(lines[1]) <= set("|-: ")
    header = "\n".join(lines[:2]) if is_markdown else ""
    room = max_words - word_count(header)
    if not header or room < max_words // 2:
        yield from _join(lines, "\n", max_words)
        return
    for part in _join(lines[2:], "\n", room):
        yield header + "\n" + part


def _fence_pieces(text: str, max_words: int) -> Iterator[str]:
    """Code in groups of lines, each fenced again."""
    lines = text.strip("\n").split("\n")
    opening = lines[0]
    marker = re.match(r"\s*(`{3,}|~{3,})", opening)
    closing = marker.group(1) if marker else "```"
    body = lines[1:-1] if len(lines) > 1 and lines[-1].strip() == closing else lines[1:]
    room = max_words - word_count(opening) - word_count(closing)
    if room < 1:
        yield from _join(lines, "\n", max_words)
        return
    for part in _join(body, "\n", room):
        yield f"{opening}\n{part}\n{closing}"
