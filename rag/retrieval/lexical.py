"""The word leg: exact BM25 over the passages in scope, from packed postings.

PostgreSQL keeps the postings (migration 0004); the scores of all of a query's postings are summed
here with numpy, which takes about a hundredth of the time of the same sum in SQL.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from rag.retrieval.allowed import Allowed
from rag.retrieval.expansion import Query
from rag.retrieval.rows import fetch

# BM25 after Robertson and Zaragoza (2009), the usual defaults.
K1, B = 1.2, 0.75
# A word in the title or section path counts as this many in the text; assumed.
CONTEXT_WEIGHT = 2.0

BLOCK = 4096  # as in migration 0004
ENTRY = np.dtype([("offset", ">u2"), ("words", ">u2"), ("titles", "u1"), ("texts", "u1")])

_POSTINGS = """
SELECT lexeme, block, data FROM rag_posting
WHERE lexeme = ANY(%(lexemes)s::text[]) AND block = ANY(%(blocks)s::integer[])
"""
_LEXEMES = """
SELECT word, tsvector_to_array(to_tsvector('english', word)) FROM unnest(%(words)s::text[]) AS word
"""
REMEMBERED_WORDS = 20_000


@dataclass(frozen=True, slots=True)
class MatchedTerm:
    """A lexeme or code of the query: what it weighs, in how many passages in scope it is found,
    and, on a hit, how often it is there (`tf`, title counted double) and what it added to the
    BM25."""

    term: str
    weight: float
    df: int
    idf: float
    tf: float = 0.0
    in_title: bool = False
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Lexical:
    """One passage's lexical score. `coverage` counts the question's own words only."""

    bm25: float = 0.0
    coverage: float = 0.0
    matched: tuple[MatchedTerm, ...] = ()


@dataclass(frozen=True)
class Words:
    """The postings of a query's terms in scope, scored. Arrays of one entry per posting."""

    terms: tuple[MatchedTerm, ...] = ()
    positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    term_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    tf: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    in_title: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    parts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    low: int = 0

    @property
    def postings(self) -> int:
        """How many postings were scored."""
        return len(self.positions)

    def best(self, limit: int) -> list[int]:
        """Ids of the passages with the highest scores, best first, ties by id."""
        scores = self.scores
        hit = np.flatnonzero(scores > 0)
        if len(hit) > limit:
            edge = np.partition(scores[hit], len(hit) - limit)[len(hit) - limit]
            hit = hit[scores[hit] >= edge]
        order = np.lexsort((hit, -scores[hit]))[:limit]
        return [int(position) + self.low for position in hit[order]]

    def of(self, ids: list[int]) -> dict[int, Lexical]:
        """The scores of given passages, those without a match left out."""
        wanted = np.zeros(len(self.scores), dtype=np.bool_)
        inside = [key - self.low for key in ids if 0 <= key - self.low < len(self.scores)]
        wanted[inside] = True
        found: dict[int, list[MatchedTerm]] = {}
        for n in np.flatnonzero(wanted[self.positions]).tolist():
            term = self.terms[self.term_of[n]]
            match = MatchedTerm(
                term.term,
                term.weight,
                term.df,
                term.idf,
                float(self.tf[n]),
                bool(self.in_title[n]),
                round(float(self.parts[n]), 4),
            )
            found.setdefault(int(self.positions[n]) + self.low, []).append(match)
        total = _own_weight(self.terms)
        return {
            key: Lexical(
                float(self.scores[key - self.low]),
                _own_weight(matched) / total if total else 0.0,
                tuple(sorted(matched, key=lambda part: -part.score)),
            )
            for key, matched in found.items()
        }


def _own_weight(terms: tuple[MatchedTerm, ...] | list[MatchedTerm]) -> float:
    """Weighted IDF of the question's own words; what expansion added weighs less than 1."""
    return sum(term.weight * term.idf for term in terms if term.weight >= 1)


def bm25(query: Query, allowed: Allowed) -> Words:
    """Score every passage in scope that contains a term of the query.

    N, document frequencies and the mean length are those of the passages in scope, so that what
    a reader may not see changes nothing that he sees. Equal to the sum by definition, not an
    estimate. At most two queries.
    """
    weights = weights_of(query)
    if not weights or not allowed.passages:
        return Words()
    lexemes = list(weights)
    rows = fetch(_POSTINGS, {"lexemes": lexemes, "blocks": allowed.blocks(BLOCK)})
    number = {lexeme: n for n, lexeme in enumerate(lexemes)}
    entries = np.frombuffer(b"".join(row[2] for row in rows), dtype=ENTRY)
    counts = np.array([len(row[2]) // ENTRY.itemsize for row in rows], dtype=np.int64)
    low = allowed.low
    starts = np.array([row[1] * BLOCK - low for row in rows], dtype=np.int64)
    positions = np.repeat(starts, counts) + entries["offset"]
    term_of = np.repeat(np.array([number[row[0]] for row in rows], dtype=np.int64), counts)
    is_in = allowed.is_in
    inside = (positions >= 0) & (positions < len(is_in))
    inside[inside] = is_in[positions[inside]]
    positions, term_of, entries = positions[inside], term_of[inside], entries[inside]
    df = np.bincount(term_of, minlength=len(lexemes))
    idf = np.log(1 + (allowed.passages - df + 0.5) / (df + 0.5))
    weight = np.array([weights[lexeme] for lexeme in lexemes])
    titles = entries["titles"]
    tf = CONTEXT_WEIGHT * titles + entries["texts"]
    length = K1 * (1 - B + B / allowed.mean_words * entries["words"].astype(np.float64))
    parts = (weight * idf)[term_of] * tf * (K1 + 1) / (tf + length)
    terms = tuple(
        MatchedTerm(lexeme, weights[lexeme], int(df[n]), float(idf[n]))
        for lexeme, n in number.items()
    )
    scores = np.bincount(positions, weights=parts, minlength=len(is_in)).astype(np.float64)
    return Words(terms, positions, term_of, tf, titles > 0, parts, scores, low)


def weights_of(query: Query) -> dict[str, float]:
    """Lexemes and codes of the query with their weights; the larger one where two are the same."""
    weights = dict.fromkeys(query.codes, query.code_weight)
    lexemes = _lexemes([term.word for term in query.terms])
    for term in query.terms:
        for lexeme in lexemes[term.word]:
            weights[lexeme] = max(weights.get(lexeme, 0.0), term.weight)
    return weights


_remembered: OrderedDict[str, tuple[str, ...]] = OrderedDict()
_lock = Lock()


def _lexemes(words: list[str]) -> dict[str, tuple[str, ...]]:
    """What PostgreSQL's English configuration makes of each word; remembered by this process."""
    with _lock:
        known = {word: _remembered[word] for word in words if word in _remembered}
    new = [word for word in dict.fromkeys(words) if word not in known]
    if new:
        made = {word: tuple(lexemes) for word, lexemes in fetch(_LEXEMES, {"words": new})}
        known |= made
        with _lock:
            _remembered.update(made)
            while len(_remembered) > REMEMBERED_WORDS:
                _remembered.popitem(last=False)
    return known
