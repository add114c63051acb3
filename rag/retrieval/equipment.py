"""What the facility calls its equipment: tags, names and kinds, for query expansion.

Tags and names of thousands of assets fold into a few dozen pairs without their numbers (`chwp` and
`chilled water pump`, `srv` and `server`), which are kept per process.
"""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rag.codes import normalise
from rag.retrieval.stems import stem

REFRESH_S = 30.0
MAX_NAME_WORDS = 4
_LETTERS = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True)
class Equipment:
    """`by_prefix`: first part of a tag → what it is called; `by_name`: stems of a name → that
    part of the tag; `codes`: all tags and names as normalised codes."""

    by_prefix: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_name: dict[tuple[str, ...], str] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, assets: Iterable[tuple[str, str, str]]) -> "Equipment":
        """From (tag, name, kind) of each asset."""
        pairs: dict[tuple[str, str], int] = {}
        known: set[str] = set()
        for tag, name, kind in assets:
            known |= {normalise(tag), normalise(name)}
            prefix = _first(tag)
            for called in (_plain(name), _plain(kind.replace("_", " "))):
                if prefix and called and called != prefix:
                    pairs[prefix, called] = pairs.get((prefix, called), 0) + 1
        by_prefix: dict[str, list[str]] = {}
        by_name: dict[tuple[str, ...], str] = {}
        for prefix, called in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
            words = called.split()
            if len(words) > MAX_NAME_WORDS or prefix in words:
                continue
            if len(listed := by_prefix.setdefault(prefix, [])) < 2:
                listed.append(called)
            by_name.setdefault(tuple(stem(word) for word in words), prefix)
        return cls(
            {prefix: tuple(names) for prefix, names in by_prefix.items()}, by_name, frozenset(known)
        )

    def names_of(self, code: str) -> tuple[str, ...]:
        """What the asset with this normalised code is called: `chwp-1` → `chilled water pump`."""
        return self.by_prefix.get(code.partition("-")[0], ())

    def tags_in(self, stems: Sequence[str]) -> Iterator[tuple[int, int, str]]:
        """Names in a query's stems: where they start and end, and the tag's first part."""
        for start in range(len(stems)):
            for end in range(min(start + MAX_NAME_WORDS, len(stems)), start, -1):
                if tag := self.by_name.get(tuple(stems[start:end])):
                    yield start, end, tag
                    break


def _first(tag: str) -> str:
    match = _LETTERS.match(tag.lower())
    return match.group() if match else ""


def _plain(name: str) -> str:
    """A name without its numbers and single letters: `Chilled water pump 1` → …`pump`."""
    return " ".join(_LETTERS.findall(name.lower()))


_lock = threading.Lock()
_kept: tuple[float, object, Equipment] | None = None


def facility_equipment() -> Equipment:
    """The facility's own, read again at most every 30 s (two queries while nothing changed)."""
    global _kept
    now = time.monotonic()
    with _lock:
        if _kept is not None and now < _kept[0]:
            return _kept[2]
    from facilities.inventory import inventory

    found = inventory()
    with _lock:
        if _kept is None or _kept[1] is not found:
            equipment = Equipment.of((a.tag, a.name, a.kind) for a in found.assets.values())
        else:
            equipment = _kept[2]
        _kept = (now + REFRESH_S, found, equipment)
        return equipment


def forget() -> None:
    """Read the facility again at the next question (tests)."""
    global _kept
    with _lock:
        _kept = None
