"""Learn what each kind of evidence weighs in the ranking, from questions with known answers.

A conditional logit over each question's candidates (the list-wise loss of Cao et al., 2007, with one
or more right passages): the log of the share of exp(score) that falls on right passages, with an L2
penalty on the weights in units of their feature's deviation. No kind of evidence but `FREE` may
count against a passage. Which penalty is right is asked of documents that were left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rag.access import Reader
from rag.evaluation.golden import Golden
from rag.evaluation.resolving import Judged
from rag.evaluation.running import CannotEvaluate, questions_judge
from rag.models import Passage
from rag.retrieval.candidates import Candidate
from rag.retrieval.expansion import Query
from rag.retrieval.features import NAMES, Weights, features
from rag.retrieval.fusion import observing
from rag.retrieval.search import search

PENALTIES = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
FREE = frozenset({"step", "length"})  # may be below 0
AS_GOOD = 0.003  # MRR; less than any of these sets can tell apart
FOLDS = 8
DEPTH = 10
SEED = 20260301

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """One question's candidates: a row of features each (n, len(NAMES)), whether each is right, its
    id for ties, and the document that answers, by which folds are made."""

    columns: Array
    right: NDArray[np.bool_]
    ids: NDArray[np.int64]
    document: int
    name: str

    def reciprocal(self, weights: Array) -> float:
        """Reciprocal rank of the first right candidate, 0 below the tenth."""
        order = np.lexsort((self.ids, -(self.columns @ weights)))[:DEPTH]
        places = np.flatnonzero(self.right[order])
        return 1.0 / (int(places[0]) + 1) if len(places) else 0.0


@dataclass(frozen=True)
class Learned:
    """The weights by the strictest penalty that is as good as any on documents left out, and
    MRR@10 there by penalty and set; a set counts the same however many questions it has."""

    weights: Weights
    penalty: float
    left_out: dict[float, dict[str, float]]


def tables_of(
    sets: Sequence[tuple[str, Sequence[Golden]]], *, reader: Reader, skip_missing: bool = False
) -> list[Table]:
    """What fusion sees for every answerable question of the named sets. One search per question.

    Raises CannotEvaluate where a document is missing, or a search had no vector.
    """
    tables = []
    for name, questions in sets:
        judged, _skipped = questions_judge(questions, reader=reader, skip_missing=skip_missing)
        documents = _documents(judged)
        for item in judged:
            table = _table(name, item, documents, reader)
            if table is not None:
                tables.append(table)
    return tables


def weights_learn(
    tables: Sequence[Table], *, penalties: Sequence[float] = PENALTIES, folds: int = FOLDS
) -> Learned:
    """Weights from the tables. Seconds for 500 questions. Raises ValueError without any table in
    which some candidates are right and some are not."""
    usable = [table for table in tables if table.right.any() and not table.right.all()]
    if not usable:
        raise ValueError("no question has both a right and a wrong candidate: nothing to learn")
    deviation = np.concatenate([table.columns for table in usable]).std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    fold_of = _folds(usable, folds)
    left_out = {}
    for penalty in penalties:
        values: dict[str, list[float]] = {}
        for fold in range(folds):
            seen = [table for table in usable if fold_of[table.document] != fold]
            if not seen or len(seen) == len(usable):
                continue
            weights = _fit(seen, penalty, deviation)
            for table in usable:
                if fold_of[table.document] == fold:
                    values.setdefault(table.name, []).append(table.reciprocal(weights))
        left_out[penalty] = {name: float(np.mean(found)) for name, found in values.items()}
    best = _strictest(left_out)
    found = _fit(usable, best, deviation)
    named = {name: round(float(value), 3) for name, value in zip(NAMES, found, strict=True)}
    return Learned(Weights(**named), best, left_out)


def _strictest(left_out: dict[float, dict[str, float]]) -> float:
    """The largest penalty that is as good as the best: what is not needed stays small."""
    means = {key: float(np.mean(list(found.values()) or [0.0])) for key, found in left_out.items()}
    return max(key for key, mean in means.items() if mean >= max(means.values()) - AS_GOOD)


def _table(name: str, item: Judged, documents: dict[int, int], reader: Reader) -> Table | None:
    kept: list[tuple[list[int], Array]] = []

    def seen(candidates: list[Candidate], query: Query, idf: Mapping[str, float]) -> None:
        ids = [found.passage_id for found in candidates]
        kept.append((ids, features(candidates, query, idf)))

    with observing(seen):
        shelf = item.golden.collection or None
        result = search(query=item.golden.query, reader=reader, collection=shelf)
    if result.degraded:
        raise CannotEvaluate(f"{result.degraded} The weights would mislead; start kvserve.")
    if not kept:
        return None
    ids, columns = kept[-1]
    wanted = frozenset[int]().union(*(thing.passages for thing in item.wanted))
    right = np.array([key in wanted for key in ids], dtype=np.bool_)
    return Table(columns, right, np.array(ids, np.int64), documents[min(wanted)], name)


def _documents(judged: Sequence[Judged]) -> dict[int, int]:
    """The document of each wanted passage. One query."""
    keys = {key for item in judged for thing in item.wanted for key in thing.passages}
    rows = Passage.objects.filter(pk__in=keys).values_list("pk", "revision__document_id")
    return dict(rows)


def _folds(tables: Sequence[Table], folds: int) -> dict[int, int]:
    documents = np.array(sorted({table.document for table in tables}))
    np.random.default_rng(SEED).shuffle(documents)
    return {int(document): place % folds for place, document in enumerate(documents)}


def _fit(tables: Sequence[Table], penalty: float, deviation: Array) -> Array:
    columns = np.concatenate([table.columns for table in tables]) / deviation
    right = np.concatenate([table.right for table in tables]).astype(np.float64)
    sizes = np.array([len(table.right) for table in tables])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))

    def loss(weights: Array) -> tuple[float, Array]:
        scores = columns @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, starts), sizes)
        odds = np.exp(scores)
        every = np.add.reduceat(odds, starts)
        good = np.add.reduceat(odds * right, starts) + 1e-12
        value = float((np.log(every) - np.log(good)).sum()) + penalty * float(weights @ weights) / 2
        slope = odds / np.repeat(every, sizes) - odds * right / np.repeat(good, sizes)
        return value, columns.T @ slope + penalty * weights

    bounds = [(None if name in FREE else 0.0, None) for name in NAMES]
    start = np.zeros(columns.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x / deviation, dtype=np.float64)
