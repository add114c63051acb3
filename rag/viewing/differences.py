"""What changed between two revisions: passages by digest, words inside changed passages."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

from rag.models import Passage, Revision

Mark = Literal["same", "added", "removed", "changed"]
#: Two passages at the same place that share less than this were not one that changed (assumed).
ALIKE = 0.35


@dataclass(frozen=True)
class Piece:
    """A run of words; `mark` is same, added or removed."""

    mark: Mark
    text: str


@dataclass(frozen=True)
class Difference:
    """One place: a passage that was added, removed or changed, with its words."""

    mark: Mark
    section: str
    old: Passage | None
    new: Passage | None
    pieces: list[Piece] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """All differences in reading order; `same` counts the passages that are equal."""

    differences: list[Difference]
    same: int

    def count(self, mark: Mark) -> int:
        """How many passages were added, removed or changed."""
        return sum(1 for found in self.differences if found.mark == mark)

    @property
    def added(self) -> int:
        """Passages that the newer revision has in addition."""
        return self.count("added")

    @property
    def removed(self) -> int:
        """Passages that the newer revision has no more."""
        return self.count("removed")

    @property
    def changed(self) -> int:
        """Passages with other words."""
        return self.count("changed")


def revisions_compare(*, old: Revision, new: Revision) -> Comparison:
    """Compare two revisions of one document. Two queries.

    Passages are equal when what is searched of them is (their digest: title, section and text).
    """
    before, after = (
        list(revision.passages.order_by("ordinal").defer("tsv")) for revision in (old, new)
    )
    return passages_compare(before, after)


def passages_compare(before: Sequence[Passage], after: Sequence[Passage]) -> Comparison:
    """Compare two lists of passages in reading order."""
    matcher = SequenceMatcher(
        None, [_identity(p) for p in before], [_identity(p) for p in after], autojunk=False
    )
    same, differences = 0, []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            same += i2 - i1
        else:
            differences += list(_paired(before[i1:i2], after[j1:j2]))
    return Comparison(differences, same)


def _identity(passage: Passage) -> str:
    return passage.digest or f"{passage.context}\n{passage.text}"


def _paired(old: Sequence[Passage], new: Sequence[Passage]) -> Iterator[Difference]:
    """Pair what stands at one place: the most alike passage of the same section, in order."""
    waiting = list(old)
    for passage in new:
        place = _best(passage, waiting)
        if place is None:
            yield Difference("added", passage.section, None, passage, _whole("added", passage))
            continue
        for gone in waiting[:place]:
            yield Difference("removed", gone.section, gone, None, _whole("removed", gone))
        partner = waiting[place]
        waiting = waiting[place + 1 :]
        pieces = list(words_compare(partner.text, passage.text))
        yield Difference("changed", passage.section, partner, passage, pieces)
    for gone in waiting:
        yield Difference("removed", gone.section, gone, None, _whole("removed", gone))


def _best(passage: Passage, waiting: Sequence[Passage]) -> int | None:
    found, best = None, ALIKE
    for place, candidate in enumerate(waiting[:20]):
        matcher = SequenceMatcher(
            None, _words(candidate.text), _words(passage.text), autojunk=False
        )
        alike = matcher.ratio() + 0.2 * (candidate.section_path == passage.section_path)
        if alike > best:
            found, best = place, alike
    return found


def _whole(mark: Mark, passage: Passage) -> list[Piece]:
    return [Piece(mark, passage.text)]


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|[^\W_]+|.", text, re.DOTALL)


def words_compare(old: str, new: str) -> Iterator[Piece]:
    """The new text with what was removed beside it, word by word.

    The pieces that are not removed make up `new`, those that are not added make up `old`.
    """
    before, after = _words(old), _words(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            yield Piece("same", "".join(after[j1:j2]))
            continue
        if i2 > i1:
            yield Piece("removed", "".join(before[i1:i2]))
        if j2 > j1:
            yield Piece("added", "".join(after[j1:j2]))
