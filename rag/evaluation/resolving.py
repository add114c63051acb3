"""Golden targets become passages of the revisions in force, so that hits are judged by their id.

Targets of one question that share a passage are one thing to find: finding it once counts once.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from rag.access import Reader, readable
from rag.evaluation.golden import Golden, Target
from rag.models import Passage, Revision

# Runs of this many words are compared where somebody else cut the passages.
SHINGLE = 5
# A passage meets a foreign passage when it shares this part of the shorter one; assumed.
SHARED = 0.5
MARKUP = re.compile(r"[`*_#>|\\]+")


@dataclass(frozen=True)
class Wanted:
    """One thing to find: any of `passages` (ids) will do. `gain` weighs nDCG."""

    label: str
    passages: frozenset[int]
    gain: int = 1


@dataclass(frozen=True)
class Judged:
    """A question with what it wants; `missing` names targets that are not in the library."""

    golden: Golden
    wanted: tuple[Wanted, ...]
    missing: tuple[str, ...] = ()

    def ranks(self, passage_ids: Sequence[int]) -> list[int | None]:
        """For each passage found, in order, the index of the wanted thing that it is the first
        to meet, or None."""
        met: set[int] = set()
        found: list[int | None] = []
        for passage_id in passage_ids:
            index = next(
                (
                    number
                    for number, thing in enumerate(self.wanted)
                    if number not in met and passage_id in thing.passages
                ),
                None,
            )
            if index is not None:
                met.add(index)
            found.append(index)
        return found

    def first(self, passage_ids: Sequence[int]) -> int | None:
        """Rank, from 1, of the first passage that answers, or None."""
        places = (
            place for place, index in enumerate(self.ranks(passage_ids), 1) if index is not None
        )
        return next(places, None)


@dataclass
class _Piece:
    id: int
    step: int | None
    page: int | None
    path: tuple[str, ...]
    text: str
    plain: str = ""


@dataclass
class Library:
    """What may be found: documents by every name that they go by, passages read on demand."""

    reader: Reader
    at: datetime | None = None
    _by_name: dict[str, set[int]] = field(default_factory=dict)
    _pieces: dict[int, list[_Piece]] = field(default_factory=dict)
    _all_read: bool = False

    def __post_init__(self) -> None:
        """Read the names of the documents in force. One query."""
        rows = self._in_force().values_list(
            "pk", "document__slug", "document__title", "document__source_path", "meta__id"
        )
        for pk, slug, title, path, declared in rows:
            for name in _names(slug, title, path, declared):
                self._by_name.setdefault(name, set()).add(pk)

    def _in_force(self):  # type: ignore[no-untyped-def]
        return Revision.objects.in_force(self.at).filter(
            readable(self.reader, "document__collection")
        )

    def revisions(self, name: str) -> set[int]:
        """Revisions in force of the documents that go by this name."""
        wanted = _name(name)
        found = self._by_name.get(wanted)
        if found is None and "/" in wanted:  # a longer path than the one imported
            tail = wanted
            while found is None and "/" in tail:
                tail = tail.split("/", 1)[1]
                found = self._by_name.get(tail)
        return set(found or ())

    def pieces(self, revisions: Iterable[int]) -> list[_Piece]:
        """The passages of the revisions; read once."""
        keys = set(revisions)
        if unread := keys - self._pieces.keys():
            self._read(unread)
        return [piece for key in sorted(keys) for piece in self._pieces[key]]

    def everything(self) -> list[_Piece]:
        """Every passage; only verbatim text without a document needs it."""
        return self.pieces({key for keys in self._by_name.values() for key in keys})

    def _read(self, revisions: set[int]) -> None:
        for key in revisions:
            self._pieces[key] = []
        rows = (
            Passage.objects.filter(revision__in=revisions)
            .order_by("revision", "ordinal")
            .values_list("revision", "pk", "step", "page", "section_path", "text")
        )
        for revision, pk, step, page, path, text in rows.iterator(chunk_size=2000):
            piece = _Piece(pk, step, page, tuple(path), text, plain(text))
            self._pieces[revision].append(piece)


def resolve(questions: Sequence[Golden], library: Library) -> list[Judged]:
    """Each question with the passages that answer it. Reads the documents named, once each."""
    return [_judged(golden, library) for golden in questions]


def plain(text: str) -> str:
    """Words in lower case without Markdown's marks, for comparing text across renderings."""
    return " ".join(MARKUP.sub(" ", text).casefold().split())


def _judged(golden: Golden, library: Library) -> Judged:
    wanted: list[Wanted] = []
    missing: list[str] = []
    for target in golden.relevant:
        ids = _passages(target, library)
        if ids:
            wanted.append(Wanted(str(target), frozenset(ids), target.gain))
        else:
            missing.append(str(target))
    return Judged(golden, tuple(_merged(wanted)), tuple(missing))


def _merged(wanted: list[Wanted]) -> list[Wanted]:
    """Things that share a passage become one, with the smaller set: a step within its document
    is the step."""
    merged: list[Wanted] = []
    for thing in sorted(wanted, key=lambda item: len(item.passages)):
        for number, other in enumerate(merged):
            if thing.passages & other.passages:
                merged[number] = Wanted(
                    other.label, other.passages | thing.passages, max(other.gain, thing.gain)
                )
                break
        else:
            merged.append(thing)
    return merged


def _passages(target: Target, library: Library) -> set[int]:
    if target.passage_id is not None:
        return {piece.id for piece in library.everything() if piece.id == target.passage_id}
    revisions: set[int] = set()
    for name in target.names:
        revisions |= library.revisions(name)
    if target.names and not revisions:
        # Not a document: perhaps the passage itself, or its text beside an unknown id.
        text = target.text or (target.names[0] if len(target.names[0].split()) >= 3 else "")
        return _holding(text, library.everything()) if text else set()
    pieces = library.pieces(revisions) if revisions else library.everything()
    if target.step is not None:
        pieces = [piece for piece in pieces if piece.step == target.step]
    if target.page is not None:
        pieces = [piece for piece in pieces if piece.page == target.page]
    if target.section:
        section = plain(target.section)
        pieces = [piece for piece in pieces if _is_below(section, piece.path)]
    if target.contains:
        return _holding(target.contains, pieces)
    if target.text:
        return _holding(target.text, pieces) or {piece.id for piece in pieces if target.names}
    return {piece.id for piece in pieces}


def _is_below(section: str, path: tuple[str, ...]) -> bool:
    names = [plain(name) for name in path]
    return section in names or section in " › ".join(names)


def _holding(words: str, pieces: Sequence[_Piece]) -> set[int]:
    """Passages that contain the words; where none does, those that share most of them."""
    wanted = plain(words)
    exact = {piece.id for piece in pieces if wanted in piece.plain}
    if exact or len(wanted.split()) < SHINGLE:
        return exact
    runs = _shingles(wanted)
    found = set()
    for piece in pieces:
        if len(piece.plain) < 20:
            continue
        own = _shingles(piece.plain)
        if own and len(runs & own) >= SHARED * min(len(runs), len(own)):
            found.add(piece.id)
    return found


def _shingles(text: str) -> set[int]:
    words = text.split()
    return {hash(tuple(words[at : at + SHINGLE])) for at in range(len(words) - SHINGLE + 1)}


def _names(slug: str, title: str, path: str, declared: object) -> set[str]:
    parts = PurePosixPath(path).parts
    tails = {"/".join(parts[-count:]) for count in range(1, len(parts) + 1)}
    stems = {tail.rsplit(".", 1)[0] for tail in tails if "." in tail.rsplit("/", 1)[-1]}
    given = {slug, title, *tails, *stems, str(declared or "")}
    return {_name(name) for name in given if name}


def _name(name: str) -> str:
    return " ".join(name.strip().removeprefix("./").strip("/").casefold().split())
