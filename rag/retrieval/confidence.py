"""How sure it is that the documents answer a question, from the best hits.

A logistic model of four things, none of which knows a document: how similar the best of three hits
is, how much of the question's IDF they contain together, how strong the best BM25 is against the
most that the question could get, and whether the question names something by number (`XID 93`,
`crac-7`) that none of them mentions and the facility does not have. Learned on the tuning halves of
the golden sets, answerable against unanswerable, each weighing the same
(docs/adr/0005-hybrid-retrieval.md).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.codes import mentions, spell_out
from rag.retrieval.equipment import facility_equipment
from rag.retrieval.lexical import K1
from rag.retrieval.stems import STOP_WORDS, stem, stems

if TYPE_CHECKING:
    from rag.retrieval.expansion import Query
    from rag.retrieval.hits import Hit

CONFIDENT = 0.5
BEST = 3

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Model:
    """Log odds: `intercept`, plus each weight times its feature (0…1 each)."""

    intercept: float
    similarity: float
    coverage: float
    strength: float
    unknown_code: float


WITH_VECTORS = Model(-6.43, similarity=7.52, coverage=3.59, strength=2.80, unknown_code=-3.61)
WORDS_ALONE = Model(-3.67, similarity=0.0, coverage=3.22, strength=5.65, unknown_code=-3.03)


def confidence(
    query: "Query",
    hits: Sequence["Hit"],
    *,
    has_vector: bool,
    idf: Mapping[str, float] | None = None,
) -> float:
    """How sure it is that the best of `hits` (best first) answer the question, 0…1.

    `idf` is that of the query's lexemes. 0 without hits. About 0.3 ms.
    """
    best = hits[:BEST]
    if not best:
        return 0.0
    model = WITH_VECTORS if has_vector else WORDS_ALONE
    weights = _idf_of(query, idf or {})
    texts = [f"{hit.title} {hit.section} {hit.text}" for hit in best]
    odds = (
        model.intercept
        + model.similarity * max(0.0, *(hit.similarity or 0.0 for hit in best))
        + model.coverage * _coverage(query, weights, texts)
        + model.strength * _strength(best, weights)
        + model.unknown_code * bool(unknown_codes(query.codes, texts))
    )
    return round(1 / (1 + math.exp(-odds)), 4)


def unknown_codes(codes: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The numbered codes that no text mentions and that are no equipment of the facility."""
    numbered = [code for code in codes if any(char.isdigit() for char in code)]
    missing = [code for code in numbered if not any(mentions(code, text) for text in texts)]
    if not missing:
        return []
    known = facility_equipment().codes
    return [code for code in missing if code not in known]


def _idf_of(query: "Query", idf: Mapping[str, float]) -> dict[str, float]:
    """IDF of the question's own content words by stem; a word unknown there is the rarest."""
    rarest = max(idf.values(), default=1.0)
    words = _WORD.findall(query.spelled.lower())
    own = (stem(word) for word in words if word not in STOP_WORDS)
    return {word: idf.get(word, rarest) for word in own}


def _coverage(query: "Query", weights: Mapping[str, float], texts: Sequence[str]) -> float:
    """The share of the question's IDF that the texts contain together, synonyms included."""
    here = {word for text in texts for word in stems(spell_out(text))}
    words = _WORD.findall(query.spelled.lower())
    for term in query.terms:
        if term.source == "query" or term.group >= len(words):
            continue
        if here.issuperset(stems(term.word)):
            here.add(stem(words[term.group]))
    total = sum(weights.values())
    return sum(value for word, value in weights.items() if word in here) / total if total else 0.0


def _strength(hits: Sequence["Hit"], weights: Mapping[str, float]) -> float:
    """The best BM25 as a share of what endless repetition of every word would give, at most 1."""
    most = sum(weights.values()) * (K1 + 1)
    return min(1.0, max(hit.bm25 for hit in hits) / most) if most else 0.0
