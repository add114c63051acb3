"""What a question is searched as: its words and codes with their weights, and the embedded text.

Lexemes are made by PostgreSQL later (`rag.retrieval.lexical`); here are plain words. Expansion
adds what the field, the facility and the documents call the same thing: synonyms
(`synonyms.yaml`), the equipment's names and tags, compounds, numbers, and one typing error. What
is added weighs less than what was typed, and never replaces it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rag.codes import codes, spell_out
from rag.retrieval import spelling
from rag.retrieval.asking import WEAK, weak_words
from rag.retrieval.equipment import Equipment, facility_equipment
from rag.retrieval.stems import STOP_WORDS, stem
from rag.retrieval.synonyms import field_synonyms

# A code such as CRAC-2 names what is asked about, so its match counts more; assumed.
CODE_WEIGHT = 1.5
# Weights below 1 of what is added; measured in docs/adr/0005-hybrid-retrieval.md.
TYPO_WEIGHT = 0.7
COMPOUND_WEIGHT = 0.6
NUMBER_WEIGHT = 0.4
EQUIPMENT_WEIGHT = 0.4
MAX_ADDED = 12  # words; the word leg's cost grows with them

_WORD = re.compile(r"[a-z0-9]+")
Vocabulary = Mapping[str, int]


@dataclass(frozen=True)
class Term:
    """A word (or a short text, read by the English text parser) with its weight; 1 is as typed.

    `source` is what put it in; `group` the place, among the spelled question's words, of the word
    that an added one stands for.
    """

    word: str
    weight: float = 1.0
    group: int = 0
    source: str = "query"


@dataclass(frozen=True)
class Query:
    """A question made ready. `codes` match whole and weigh `code_weight`; `added` says in one
    sentence each what expansion put in."""

    text: str
    spelled: str
    terms: tuple[Term, ...]
    codes: tuple[str, ...]
    embed_text: str
    added: tuple[str, ...] = ()
    code_weight: float = CODE_WEIGHT


def expand(query: str, *, shelves: Sequence[int] = ()) -> Query:
    """The question's own words and codes, alert names in CamelCase also in words, and what else
    the field, the facility and the documents of the collections `shelves` (ids) call them. About
    0.3 ms; 3 ms at worst."""
    from rag.retrieval.vocabulary import vocabulary

    return expanded(query, equipment=facility_equipment, vocabulary=lambda: vocabulary(shelves))


def expanded(
    query: str,
    *,
    equipment: Callable[[], Equipment] = Equipment,
    vocabulary: Callable[[], Vocabulary] = dict,
) -> Query:
    """`expand` with the facility's names and the passages' lexemes (with frequencies) as told."""
    spelled = spell_out(query)
    found_codes = codes(query)
    additions = _Additions(_WORD.findall(spelled.lower()), found_codes)
    additions.of_equipment(equipment(), found_codes)
    additions.of_spelling(vocabulary())
    additions.of_synonyms()
    own = _own_terms(spelled)
    terms, sentences = additions.best(MAX_ADDED)
    return Query(
        text=query,
        spelled=spelled,
        terms=own + terms,
        codes=tuple(found_codes),
        embed_text=spelled + additions.corrections,
        added=sentences,
    )


def _own_terms(spelled: str) -> tuple[Term, ...]:
    """The question's own words; those that only frame it weigh little."""
    weak = weak_words(spelled)
    return tuple(
        Term(word, WEAK if weak and set(_WORD.findall(word.lower())) & weak else 1.0)
        for word in spelled.split()
    )


class _Additions:
    """Words found for a query's words; a word that the query has itself is not added."""

    def __init__(self, words: list[str], found_codes: list[str]) -> None:
        self.words = words
        parts = {part.lstrip("0") for code in found_codes for part in code.split("-")}
        self.in_codes = {place for place, word in enumerate(words) if word.lstrip("0") in parts}
        self.stems = [stem(word) for word in words]
        self.corrections = ""
        self._found: dict[str, tuple[Term, str]] = {}
        self._taken = set(self.stems)

    def best(self, limit: int) -> tuple[tuple[Term, ...], tuple[str, ...]]:
        """The heaviest additions, and one sentence for each phrase that led to some."""
        kept = sorted(self._found.values(), key=lambda item: -item[0].weight)[:limit]
        why: dict[str, list[str]] = {}
        for term, reason in kept:
            why.setdefault(reason, []).append(term.word)
        sentences = tuple(f"{reason}: {', '.join(words)}" for reason, words in why.items())
        return tuple(term for term, _reason in kept), sentences

    def of_synonyms(self) -> None:
        """What the field calls the same."""
        common = {place for place, word in enumerate(self.words) if word in STOP_WORDS}
        for match in field_synonyms().matches(self.stems, common):
            phrase = " ".join(self.words[match.start : match.end])
            for synonym in match.synonyms:
                self._add(synonym.phrase, synonym.weight, match.start, "synonym", phrase)

    def of_equipment(self, equipment: Equipment, found_codes: list[str]) -> None:
        """`chwp-1` also as `chilled water pump`; `chilled water pump 1` also as `chwp-1`."""
        for code in found_codes:
            for name in equipment.names_of(code):
                self._add(name, EQUIPMENT_WEIGHT, 0, "facility", code)
        for start, end, tag in equipment.tags_in(self.stems):
            phrase = " ".join(self.words[start:end])
            self._add(tag, EQUIPMENT_WEIGHT, start, "facility", phrase)

    def of_spelling(self, vocabulary: Vocabulary) -> None:
        """Compounds, numbers and one typing error, as far as the documents know the result."""
        if not vocabulary:
            return
        for place, word in enumerate(self.words):
            following = self.words[place + 1] if place + 1 < len(self.words) else ""
            if following and (whole := spelling.joined(word, following, vocabulary)):
                self._add(whole, COMPOUND_WEIGHT, place, "compound", f"{word} {following}")
            if word in STOP_WORDS:
                continue
            if place not in self.in_codes and (number := spelling.other_number(word)):
                self._add(number, NUMBER_WEIGHT, place, "number", word)
            if len(word) < spelling.MIN_TYPO_LETTERS or self.stems[place] in vocabulary:
                continue
            if parts := spelling.parted(word, vocabulary):
                self._add(" ".join(parts), COMPOUND_WEIGHT, place, "compound", word)
            elif right := spelling.meant(word, vocabulary):
                self._add(right, TYPO_WEIGHT, place, "spelling", word)
                self.stems[place] = right
                self.corrections += f" {right}"

    def _add(self, phrase: str, weight: float, place: int, source: str, reason: str) -> None:
        """The words of a phrase; each of several weighs less, so that none outweighs a word."""
        words = [word for word in _WORD.findall(phrase.lower()) if word not in STOP_WORDS]
        share = weight / len(words) ** 0.5 if words else 0.0
        for word in words:
            key = stem(word)
            if key in self._taken:
                continue
            known = self._found.get(key)
            if known is None or known[0].weight < share:
                self._found[key] = (Term(word, share, place, source), f"{reason} → {source}")
