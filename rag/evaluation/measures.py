"""Figures of a ranking by ir_measures, and how sure they are.

A question's qrels are the things it wants; its run is the list of passages found, where the first
passage that meets a wanted thing stands for it and every other passage is unjudged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rag.evaluation.resolving import Judged

RESAMPLES = 10_000
CONFIDENCE = 0.95
# Fixed, so that the same ranks give the same interval.
SEED = 20260301

NAMES = ("mrr", "hit_1", "hit_5", "ndcg", "recall")


@dataclass(frozen=True)
class Scores:
    """The measures of one question, or their means, 0…1; all cut at 10 but the hits.

    `mrr`: reciprocal rank of the first passage that answers; `hit_1`, `hit_5`: whether it is
    among the first 1 or 5; `ndcg`: with the gains of all wanted things; `recall`: share of the
    wanted things found.
    """

    mrr: float
    hit_1: float
    hit_5: float
    ndcg: float
    recall: float


ZERO = Scores(0.0, 0.0, 0.0, 0.0, 0.0)


def scores(judged: Sequence[Judged], found: Sequence[Sequence[int]]) -> list[Scores]:
    """The measures of each question from the ids of the passages found, best first."""
    import ir_measures
    from ir_measures import RR, Qrel, R, ScoredDoc, Success, nDCG

    measures = {
        RR @ 10: "mrr",
        Success @ 1: "hit_1",
        Success @ 5: "hit_5",
        nDCG @ 10: "ndcg",
        R @ 10: "recall",
    }
    qrels, run = [], []
    for number, (item, passage_ids) in enumerate(zip(judged, found, strict=True)):
        query = str(number)
        qrels += [
            Qrel(query, f"wanted-{index}", thing.gain) for index, thing in enumerate(item.wanted)
        ]
        for rank, (passage_id, index) in enumerate(
            zip(passage_ids, item.ranks(passage_ids), strict=True)
        ):
            name = f"passage-{passage_id}" if index is None else f"wanted-{index}"
            run.append(ScoredDoc(query, name, -float(rank)))
    values: list[dict[str, float]] = [{} for _ in judged]
    if qrels and run:
        for metric in ir_measures.iter_calc(list(measures), qrels, run):
            values[int(metric.query_id)][measures[metric.measure]] = float(metric.value)
    return [Scores(**{name: value.get(name, 0.0) for name in NAMES}) for value in values]


def means(items: Sequence[Scores]) -> Scores:
    """Each measure's mean; all 0 without questions."""
    if not items:
        return ZERO
    return Scores(*(float(np.mean([getattr(item, name) for item in items])) for name in NAMES))


def interval(values: Sequence[float], *, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean (Efron, 1979)."""
    if not values:
        return 0.0, 0.0
    data = np.asarray(values, dtype=float)
    rng = np.random.default_rng(SEED)
    drawn = np.empty(resamples)
    for start in range(0, resamples, 500):  # 500 × n at a time keeps the memory small
        stop = min(start + 500, resamples)
        drawn[start:stop] = data[rng.integers(0, len(data), (stop - start, len(data)))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided paired randomisation test of equal means (Smucker, Allan, Carterette, 2007).

    The sign of each question's difference is flipped at random; the share of draws whose mean is
    at least as far from 0 as the measured one. 1.0 where the two never differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} questions cannot be paired")
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    rng = np.random.default_rng(SEED)
    measured = abs(differences.sum()) - 1e-12
    reached = 0
    for start in range(0, RESAMPLES, 500):
        count = min(500, RESAMPLES - start)
        signs = rng.integers(0, 2, (count, len(differences))) * 2 - 1
        reached += int((np.abs((signs * differences).sum(axis=1)) >= measured).sum())
    return (reached + 1) / (RESAMPLES + 1)
