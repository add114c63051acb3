"""Cut a parsed document into passages of at most 200 words, along its structure.

The embedder truncates at 256 word pieces (about 200 English words, fewer of codes and paths), so a
longer passage would be embedded in part only: both limits hold, title and section path counted in.
A procedure is cut at its steps: one step with its warning and verification is one passage. Every
word of the document is in exactly one passage's text or in the section path of the passages below
it; a table's header is repeated in each of its parts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag.codes import spell_out
from rag.intake.passage_pieces import Room, block_pieces
from rag.intake.word_pieces import MAX_PIECES
from rag.parsing.blocks import Block, Box, ParsedDocument
from rag.parsing.scan import codes_in

MAX_WORDS = 200
# A step is not taken apart below this size, although the embedder does not see its last fifth: a
# person who follows it must see its warning. Full text search sees all of it.
MAX_STEP_WORDS = 320
MAX_STEP_PIECES = 320
# Fragments of fewer words join a neighbour of the same section.
TINY_WORDS = 25

_STEP = re.compile(r"^\s*step\s+(\d{1,3})\b", re.IGNORECASE)
_CALLOUT = re.compile(
    r"^\W*(?:warning|caution|danger|note|notice|important|verify|verification|hold point|expected"
    r"|check)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Cut:
    """One passage before it is stored. `ordinal` counts from 1 and orders neighbours; `boxes` are
    the places of its blocks on the pages, `flags` the codes of `rag.parsing.scan`."""

    ordinal: int
    section_path: tuple[str, ...]
    step: int | None
    page: int | None
    text: str
    boxes: tuple[Box, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """The fragment identifier of this passage in the document viewer."""
        return f"p-{self.ordinal}"


@dataclass(frozen=True)
class _Section:
    path: tuple[str, ...]
    step: int | None
    blocks: list[Block]


@dataclass(frozen=True)
class _Unit:
    """A block, or a part of one, that stays whole."""

    text: str
    block: Block

    @property
    def words(self) -> int:
        return word_count(self.text)

    @property
    def belongs_to_former(self) -> bool:
        """Whether it must not begin a passage: a warning or verification of what stands above."""
        return bool(_CALLOUT.match(self.text))

    @property
    def announces_next(self) -> bool:
        """Whether it must not end a passage: the lead of a list or table."""
        return self.text.rstrip().endswith(":") and self.words < 40


def cut(document: ParsedDocument, *, max_words: int = MAX_WORDS) -> list[Cut]:
    """Cut a document into passages in reading order.

    None is longer than `max_words` words, steps excepted (up to 320, whole), nor than what the
    embedder reads after the title and section path.
    """
    declared = str(document.meta.get("id") or "")
    cuts: list[Cut] = []
    for section in _sections(document.blocks):
        context = spell_out(" › ".join([document.title, *section.path]))
        room = Room.below(f"{declared} {context}", max_words)
        for units in _packed(section, room, max_words):
            blocks = list({id(unit.block): unit.block for unit in units}.values())
            text = _text(units)
            flagged = any(block.flags for block in blocks)
            whole = {c for block in blocks for c in block.flags if c == "keyword_stuffing"}
            cuts.append(
                Cut(
                    len(cuts) + 1,
                    section.path,
                    section.step,
                    units[0].block.page,
                    text,
                    tuple(dict.fromkeys(box for block in blocks for box in block.boxes)),
                    (*codes_in(text), *sorted(whole)) if flagged else (),
                )
            )
    return cuts


def word_count(text: str) -> int:
    """Words as the passage limit counts them: runs of non-blank characters."""
    return len(text.split())


def _sections(blocks: list[Block]) -> Iterator[_Section]:
    """Runs of blocks below one heading, or of one step.

    A heading with nothing below it and no deeper heading keeps its words as text of its own.
    """
    path: list[tuple[int, str]] = []
    body: list[Block] = []
    bare: Block | None = None
    step: int | None = None

    def section() -> _Section:
        titles = tuple(title for _, title in path)
        if step is not None:
            return _Section((*titles, f"Step {step}"), step, list(body))
        number = next((int(m.group(1)) for t in reversed(titles) if (m := _STEP.match(t))), None)
        return _Section(titles, number, list(body))

    for block in blocks:
        if block.kind == "heading":
            if body:
                yield section()
            elif bare is not None and block.level <= bare.level:
                body.append(bare)
                yield section()
            body.clear()
            step = None
            while path and path[-1][0] >= block.level:
                path.pop()
            path.append((block.level, block.text))
            bare = block
            continue
        if block.step is not None:
            if body:
                yield section()
                body.clear()
            step = block.step
        body.append(block)
        bare = None
    if bare is not None:
        body.append(bare)
    if body:
        yield section()


def _packed(section: _Section, room: Room, max_words: int) -> Iterator[list[_Unit]]:
    """The section's units in groups that fit, none tiny where a neighbour can take it."""
    if section.step is not None and max_words >= MAX_WORDS:
        whole = [_Unit(block.text, block) for block in section.blocks]
        limit = Room(MAX_STEP_WORDS, room.pieces + MAX_STEP_PIECES - MAX_PIECES)
        if limit.fits(_text(whole)):
            yield whole
            return
    yield from _without_tiny(list(_filled(section.blocks, room)), room)


def _filled(blocks: list[Block], room: Room) -> Iterator[list[_Unit]]:
    """Units in order, a new group where the next does not fit or a page begins."""
    group: list[_Unit] = []
    for block in blocks:
        if group and block.page != group[-1].block.page and _words(group) >= TINY_WORDS:
            yield group
            group = []
        # After a few words a large block is cut smaller, so that they need not stand alone.
        is_tiny = bool(group) and _words(group) < TINY_WORDS
        space = room.less(_text(group)) if is_tiny and not room.fits(block.text) else room
        for piece in block_pieces(block, space):
            unit = _Unit(piece, block)
            if group and not room.fits(_text([*group, unit])):
                kept, moved = _parted(group, unit, room)
                yield kept
                group = moved
            group.append(unit)
    if group:
        yield group


def _parted(group: list[_Unit], unit: _Unit, room: Room) -> tuple[list[_Unit], list[_Unit]]:
    """What stays in a full group, and what goes on with the unit that did not fit."""
    at = len(group)
    while at > 1 and (
        group[at - 1].announces_next
        or (at == len(group) and unit.belongs_to_former)
        or (at < len(group) and group[at].belongs_to_former)
    ):
        at -= 1
    if at == len(group) or not room.fits(_text([*group[at:], unit])):
        return group, []
    return group[:at], group[at:]


def _without_tiny(groups: list[list[_Unit]], room: Room) -> list[list[_Unit]]:
    """Tiny groups joined to a neighbour of the section, or filled up from the one before."""
    index = 0
    while index < len(groups):
        if _words(groups[index]) >= TINY_WORDS or len(groups) == 1:
            index += 1
            continue
        before = groups[index - 1] if index else None
        after = groups[index + 1] if index + 1 < len(groups) else None
        if before is not None and room.fits(_text(before + groups[index])):
            groups[index - 1 : index + 1] = [before + groups[index]]
        elif after is not None and room.fits(_text(groups[index] + after)):
            groups[index : index + 2] = [groups[index] + after]
        elif (
            before is not None
            and len(before) > 1
            and _words(before[:-1]) >= TINY_WORDS
            and room.fits(_text([before[-1], *groups[index]]))
        ):
            groups[index - 1], groups[index] = before[:-1], [before[-1], *groups[index]]
            index += 1
        else:
            index += 1
    return groups


def _words(units: list[_Unit]) -> int:
    return sum(unit.words for unit in units)


def _text(units: list[_Unit]) -> str:
    text, last = "", None
    for unit in units:
        joint = "\n" if unit.block.kind == "item" and last == "item" else "\n\n"
        text = text + joint + unit.text if text else unit.text
        last = unit.block.kind
    return text
