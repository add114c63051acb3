"""What speaks for a candidate beside its two scores, as numbers that mean the same everywhere.

All of it comes from the question, the candidate and the other candidates: no document, collection
or question is known here by name. Shares are of the question's IDF, so a rare word counts more.
"""

import functools
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.codes import spell_out
from rag.retrieval import intents
from rag.retrieval.asking import WEAK, weak_words
from rag.retrieval.candidates import Candidate, Details
from rag.retrieval.expansion import Query
from rag.retrieval.stems import STOP_WORDS, stem, stems

# About as many words as a step of a procedure has; a shorter passage has less room for an answer.
USUAL_WORDS = 80
FEWEST_WORDS = 5
MAX_GAP = 2  # words two query words may be apart, in either order, to count as a pair
DOCUMENT_DEPTH = 3

_WORD = re.compile(r"[a-z0-9]+")
_STEP = re.compile(r"\bstep\s*(\d{1,3})\b", re.IGNORECASE)
_ASKS_FIGURE = re.compile(
    r"\b(how (long|many|much|often|high|low|far|quickly|fast|soon|big|large|old|hot|cold)|limit"
    r"|threshold|rated|range|maximum|minimum|at what|percent|temperature|pressure|time)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\d")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weights:
    """What each kind of evidence adds to a candidate's score, per unit.

    The numbers are in `weights.json`, learned by `manage.py learn_ranking` on the tuning halves
    and the training questions (rag/evaluation/golden), and checked across documents:
    docs/adr/0005-hybrid-retrieval.md.
    """

    vectors: float
    """z-score of the cosine among the candidates."""
    words: float
    """z-score of BM25 among the candidates."""
    words_share: float
    """BM25 as a share of the best candidate's: unlike the z-score it keeps how far ahead one is."""
    coverage: float
    """Share of the question's IDF found in title, section path or text; a synonym counts less."""
    section: float
    """The same share in the heading right above the passage: what it is about."""
    step: float
    """1 for a numbered step."""
    step_to_do: float
    """1 for a numbered step when an action is asked for, not a fact."""
    part_asked: float
    """1 for the part (roles, abort criteria, impact…) that the question's wording points at, unless
    a quantity is asked for and it has none."""
    step_asked: float
    """1 for the step that the question names by number."""
    length: float
    """ln(words / 80), at most 0: stubs repeat the question's words and answer nothing."""
    pairs: float
    """Share of neighbouring query words (by IDF) that stand together in text or heading."""
    heading_pairs: float
    """The same share in the heading alone."""
    neighbour: float
    """The better z-sum of the passages right before and after; -1 where neither is found."""
    figure: float
    """1 when a quantity is asked for and the text has a figure."""
    document: float
    """Mean z-sum of the document's three best passages."""

    @classmethod
    def read(cls, path: Path) -> "Weights":
        """The weights of a file. Raises ValueError where a name is missing or unknown."""
        found = json.loads(path.read_text(encoding="utf-8"))["weights"]
        wanted = {field.name for field in fields(cls)}
        if set(found) != wanted:
            raise ValueError(
                f"{path.name} has weights for {sorted(found)}, the features are {sorted(wanted)}; "
                "run manage.py learn_ranking --write"
            )
        return cls(**{name: float(value) for name, value in found.items()})


WEIGHTS_FILE = Path(__file__).with_name("weights.json")
DEFAULT_WEIGHTS = Weights.read(WEIGHTS_FILE)
NAMES = tuple(found.name for found in fields(Weights))


def features(candidates: Sequence[Candidate], query: Query, idf: Mapping[str, float]) -> FloatArray:
    """One row per candidate, one column per field of `Weights`, in their order.

    `idf` is that of the query's lexemes among the passages searched; a word that is missing
    there counts as the rarest. About 3 ms for 150 new candidates, 1 ms for known ones.
    """
    asked = _Asked.of(query, idf)
    similarity = np.array([_similarity(found) for found in candidates], dtype=np.float64)
    vectors = z_scores(np.nan_to_num(similarity, nan=_lowest(similarity)))
    bm25 = np.array([found.bm25 for found in candidates], dtype=np.float64)
    words = z_scores(bm25)
    share = bm25 / max(float(bm25.max(initial=0.0)), 1e-12)
    base = vectors + words
    document, neighbour = _surroundings(candidates, base)
    rows = [
        (
            vectors[n],
            words[n],
            share[n],
            *_own(found, asked),
            neighbour[n],
            float(asked.wants_figure and bool(_FIGURE.search(found.details.text))),
            document[n],
        )
        for n, found in enumerate(candidates)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(candidates), len(NAMES))


def read(details: Iterable[Details]) -> None:
    """Take passages' texts apart ahead of `features`, while something else is waited for."""
    for found in details:
        _text_stems(found.text)
        _title_stems(_heading(found))
        _title_stems(_path(found))


def weights_array(weights: Weights) -> FloatArray:
    """The weights in the order of the columns."""
    return np.array(astuple(weights), dtype=np.float64)


def z_scores(values: FloatArray) -> FloatArray:
    """Values shifted to mean 0 and scaled to deviation 1; all 0 where they do not differ."""
    if not len(values):
        return values
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros(len(values))


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question in stems: words with what may stand for them, their IDF, and pairs."""

    stands_for: dict[str, list[tuple[str, float]]]
    """What each word may be found as, with its weight, the heaviest first."""
    anything: frozenset[str]
    own: frozenset[str]
    idf: dict[str, float]
    total: float
    pairs: dict[tuple[str, str], float]
    pairs_total: float
    steps: frozenset[int]
    wants_figure: bool
    to_do: bool
    parts: frozenset[str]

    @classmethod
    def of(cls, query: Query, idf: Mapping[str, float]) -> "_Asked":
        words = _WORD.findall(query.spelled.lower())
        content = [stem(word) for word in words if word not in STOP_WORDS]
        stands_for: dict[str, dict[str, float]] = {own: {own: 1.0} for own in content}
        for term in query.terms:
            if term.source == "query" or term.group >= len(words):
                continue
            listed = stands_for.get(stem(words[term.group]))
            if listed is not None:
                for other in stems(term.word):
                    listed[other] = max(term.weight, listed.get(other, 0.0))
        rarest = max(idf.values(), default=1.0)
        weak = {stem(word) for word in weak_words(query.spelled)}
        own_idf = {own: idf.get(own, rarest) * (WEAK if own in weak else 1.0) for own in stands_for}
        pairs = {
            (first, second): min(own_idf[first], own_idf[second])
            for first, second in itertools.pairwise(content)
            if first != second
        }
        return cls(
            {
                own: sorted(others.items(), key=lambda item: -item[1])
                for own, others in stands_for.items()
            },
            frozenset().union(*stands_for.values()),
            frozenset(own_idf),
            own_idf,
            sum(own_idf.values()) or 1.0,
            pairs,
            sum(pairs.values()) or 1.0,
            frozenset(int(number) for number in _STEP.findall(query.text)),
            bool(_ASKS_FIGURE.search(query.text)),
            intents.asks_to_do(query.text),
            intents.parts_asked(query.text),
        )

    def share(self, *bags: frozenset[str]) -> float:
        """The share of the question's IDF that the bags of stems contain together."""
        here = set().union(*(self.anything & bag for bag in bags))
        if not here:
            return 0.0
        found = 0.0
        for own, others in self.stands_for.items():
            found += self.idf[own] * next((weight for other, weight in others if other in here), 0)
        return found / self.total

    def together(self, *texts: tuple[tuple[str, ...], frozenset[str]]) -> float:
        """The share of the question's neighbouring words that stand together in a text, given as
        its stems in order and as a set."""
        if not self.pairs:
            return 0.0
        adjacent: set[tuple[str, str]] = set()
        for text, bag in texts:
            if len(self.own & bag) < 2:
                continue
            placed = [(place, word) for place, word in enumerate(text) if word in self.own]
            for n, (place, word) in enumerate(placed):
                for after, other in placed[n + 1 : n + 1 + MAX_GAP]:
                    if after - place > MAX_GAP:
                        break
                    adjacent |= {(word, other), (other, word)}
        return sum(idf for pair, idf in self.pairs.items() if pair in adjacent) / self.pairs_total


@functools.lru_cache(maxsize=4096)
def _text_stems(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """A passage's stems in order and as a set; about 20 µs for a new passage."""
    found = tuple(stems(text))
    return found, frozenset(found)


@functools.lru_cache(maxsize=4096)
def _title_stems(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The same of a title or heading, with alert names also in words."""
    return _text_stems(spell_out(text))


@functools.lru_cache(maxsize=4096)
def _part_of(heading: str) -> frozenset[str]:
    return intents.part_of(heading)


def _own(found: Candidate, asked: _Asked) -> tuple[float, ...]:
    """The columns from `coverage` to `heading_pairs`."""
    details = found.details
    heading_text = _heading(details)
    text, heading = _text_stems(details.text), _title_stems(heading_text)
    in_path = _title_stems(_path(details))[1]
    may_answer = not asked.wants_figure or bool(_FIGURE.search(details.text))
    return (
        asked.share(text[1], in_path),
        asked.share(heading[1]),
        float(details.step is not None),
        float(details.step is not None and asked.to_do),
        float(bool(asked.parts & _part_of(heading_text)) and may_answer),
        float(details.step in asked.steps),
        min(0.0, math.log(max(details.words, FEWEST_WORDS) / USUAL_WORDS)),
        asked.together(text, heading),
        asked.together(heading) if heading[1] else 0.0,
    )


def _heading(details: Details) -> str:
    return details.section_path[-1] if details.section_path else ""


def _path(details: Details) -> str:
    return " ".join((details.title, *details.section_path))


def _surroundings(
    candidates: Sequence[Candidate], base: FloatArray
) -> tuple[list[float], list[float]]:
    """Per candidate: how good its document's best passages are, and the passages beside it."""
    of_document: dict[int, list[float]] = {}
    at: dict[tuple[int, int], float] = {}
    for found, value in zip(candidates, base.tolist(), strict=True):
        of_document.setdefault(found.details.document_id, []).append(value)
        at[found.details.revision_id, found.details.ordinal] = value
    means = {
        key: sum(sorted(values, reverse=True)[:DOCUMENT_DEPTH]) / min(len(values), DOCUMENT_DEPTH)
        for key, values in of_document.items()
    }
    neighbours = [
        max(
            -1.0,
            at.get((found.details.revision_id, found.details.ordinal - 1), -1.0),
            at.get((found.details.revision_id, found.details.ordinal + 1), -1.0),
        )
        for found in candidates
    ]
    return [means[found.details.document_id] for found in candidates], neighbours


def _similarity(found: Candidate) -> float:
    return float("nan") if found.similarity is None else found.similarity


def _lowest(similarity: FloatArray) -> float:
    known = similarity[~np.isnan(similarity)]
    return float(known.min()) if len(known) else 0.0
