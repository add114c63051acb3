"""Blocks that are too long for a passage in parts: tables by rows under their header, code by
lines within its fence, prose by sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from rag.intake.word_pieces import MAX_PIECES, piece_count
from rag.parsing.blocks import Block

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")
_RULE = re.compile(r"^\|?[\s:|-]*-[\s:|-]*$")


@dataclass(frozen=True)
class Room:
    """What fits into a passage: words, word pieces of the embedder, and characters.

    A single word of more characters than the database indexes is cut; nothing else is.
    """

    MAX_CHARS: ClassVar[int] = 6000
    MAX_WORD_CHARS: ClassVar[int] = 1000
    # Below this the section path takes more of the embedder than the text; the path is cut then.
    MIN_PIECES: ClassVar[int] = 100

    words: int
    pieces: int

    @classmethod
    def below(cls, context: str, words: int) -> "Room":
        """What is left of the embedder's reach after the title and section path."""
        return cls(words, max(MAX_PIECES - piece_count(context), cls.MIN_PIECES))

    def fits(self, text: str) -> bool:
        """Whether the text is one passage."""
        return (
            len(text) <= self.MAX_CHARS
            and len(text.split()) <= self.words
            and piece_count(text) <= self.pieces
        )

    def less(self, text: str) -> "Room":
        """What is left beside a text; at least one word."""
        words = self.words - len(text.split())
        return Room(max(1, words), max(1, self.pieces - piece_count(text)))


def block_pieces(block: Block, room: Room) -> Iterator[str]:
    """The block's text itself, or its parts in order; each fits unless it is one word."""
    if room.fits(block.text):
        yield block.text
    elif block.kind == "table":
        yield from _table(block.text, room)
    elif block.kind == "code" and block.text.lstrip().startswith(("```", "~~~")):
        yield from _fence(block.text, room)
    else:
        separator = "\n" if "\n" in block.text else " "
        parts = block.text.split("\n") if separator == "\n" else _SENTENCE_END.split(block.text)
        yield from _joined(parts, separator, room)


def _joined(parts: list[str], separator: str, room: Room) -> Iterator[str]:
    """Parts put together as far as they fit; a part that does not is taken apart further."""
    text = ""
    words = pieces = 0
    for part in parts:
        if not room.fits(part):
            if text.strip():
                yield text
            text, words, pieces = "", 0, 0
            finer = _SENTENCE_END.split(part) if separator == "\n" else []
            yield from _joined(finer, " ", room) if len(finer) > 1 else _by_words(part, room)
            continue
        more_words, more_pieces = len(part.split()), piece_count(part)
        is_full = (
            words + more_words > room.words
            or pieces + more_pieces > room.pieces
            or len(text) + len(part) > room.MAX_CHARS
        )
        if is_full and text.strip():
            yield text
            text, words, pieces = part, more_words, more_pieces
        else:
            text = text + separator + part if text else part
            words, pieces = words + more_words, pieces + more_pieces
    if text.strip():
        yield text


def _by_words(text: str, room: Room) -> Iterator[str]:
    """A sentence without end, by words; a word without end, by characters."""
    run: list[str] = []
    pieces = 0
    for token in text.split():
        for start in range(0, len(token), room.MAX_WORD_CHARS):
            word = token[start : start + room.MAX_WORD_CHARS]
            more = piece_count(word)
            if run and (len(run) >= room.words or pieces + more > room.pieces):
                yield " ".join(run)
                run, pieces = [], 0
            run.append(word)
            pieces += more
    if run:
        yield " ".join(run)


def _table(text: str, room: Room) -> Iterator[str]:
    """Rows in groups, each group under caption and header where they leave room."""
    lines = text.split("\n")
    rule = next((i for i, line in enumerate(lines[:4]) if i and _RULE.match(line)), None)
    head = "\n".join(lines[: rule + 1]) if rule is not None else ""
    left = room.less(head)
    if not head or left.words < room.words // 2 or left.pieces < room.pieces // 2:
        yield from _joined(lines, "\n", room)
        return
    for part in _joined(lines[(rule or 0) + 1 :], "\n", left):
        yield head + "\n" + part


def _fence(text: str, room: Room) -> Iterator[str]:
    """Code in groups of lines, each fenced again."""
    lines = text.strip("\n").split("\n")
    opening = lines[0]
    marker = re.match(r"\s*(`{3,}|~{3,})", opening)
    closing = marker.group(1) if marker else "```"
    body = lines[1:-1] if len(lines) > 1 and lines[-1].strip() == closing else lines[1:]
    left = room.less(f"{opening} {closing}")
    if room.words < 4 or left.pieces < room.pieces // 2:
        yield from _joined(lines, "\n", room)
        return
    for part in _joined(body, "\n", left):
        yield f"{opening}\n{part}\n{closing}"
