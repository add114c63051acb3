"""The field's synonyms (`synonyms.yaml`), looked up by stems."""

import functools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rag.retrieval.stems import stems

FILE = Path(__file__).with_name("synonyms.yaml")
DEFAULT_WEIGHT = 0.5
MAX_PHRASE = 4  # words

Phrase = tuple[str, ...]


class SynonymsInvalid(ValueError):
    """The file cannot be used; the message names the group."""


@dataclass(frozen=True)
class Synonym:
    """What a phrase may stand for, in words, and how much such a word weighs (below 1)."""

    phrase: str
    weight: float


@dataclass(frozen=True)
class Match:
    """A phrase of the query, words `start` up to `end`, and what it may stand for."""

    start: int
    end: int
    synonyms: tuple[Synonym, ...]


class Synonyms:
    """Groups of phrases by the stems of each."""

    def __init__(self, groups: Sequence[Any]) -> None:
        self._by_stems: dict[Phrase, dict[str, float]] = {}
        for number, group in enumerate(groups, start=1):
            self._add(group, number)

    def _add(self, group: Any, number: int) -> None:
        if not isinstance(group, dict) or not (
            {"same"} <= set(group) or {"from", "to"} <= set(group)
        ):
            raise SynonymsInvalid(f"synonyms group {number}: expected `same`, or `from` and `to`")
        weight = float(group.get("weight", DEFAULT_WEIGHT))
        if not 0 < weight < 1:
            raise SynonymsInvalid(
                f"synonyms group {number}: weight {weight} is not between 0 and 1"
            )
        same = group.get("same")
        sources = [str(phrase) for phrase in same or group["from"]]
        targets = [str(phrase) for phrase in same or group["to"]]
        for source in sources:
            key = tuple(stems(source))
            if not 0 < len(key) <= MAX_PHRASE:
                raise SynonymsInvalid(
                    f"synonyms group {number}: '{source}' has not 1 to {MAX_PHRASE} words"
                )
            known = self._by_stems.setdefault(key, {})
            for target in targets:
                if tuple(stems(target)) != key:
                    known[target] = max(weight, known.get(target, 0.0))

    def matches(self, words: Sequence[str], skip: Container[int] = ()) -> Iterator[Match]:
        """The phrases in a query's stems, longest first from the left, none overlapping.

        A word whose place is in `skip` counts within a longer phrase only.
        """
        at = 0
        while at < len(words):
            for length in range(min(MAX_PHRASE, len(words) - at), 0, -1):
                found = self._by_stems.get(tuple(words[at : at + length]))
                if found and not (length == 1 and at in skip):
                    listed = tuple(Synonym(phrase, weight) for phrase, weight in found.items())
                    yield Match(at, at + length, listed)
                    at += length
                    break
            else:
                at += 1


@functools.cache
def field_synonyms() -> Synonyms:
    """The product's own list, read once per process (about 30 ms)."""
    return Synonyms(yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"])
