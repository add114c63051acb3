"""Learn the weights of answers from golden questions, and say what to expect of them elsewhere.

Two small models: whether the documents answer (logistic regression, both classes weighing the same),
and which passage does (conditional logit). Both by Newton's method with an L2 penalty on standardised
signs; figures by eight-fold cross-validation in which all questions of a document share a fold.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.answers.answerable import Signs, probability, signs
from rag.answers.choice import leads
from rag.answers.compose import WINDOW_WORDS, is_asset, ranked
from rag.answers.evidence import gather
from rag.answers.extraction import Piece, window
from rag.answers.sufficiency import unknown_code
from rag.answers.weights import Answerable, Passages
from rag.evaluation.answers import has_facts
from rag.evaluation.resolving import Judged

Array = NDArray[np.float64]

FOLDS = 8
PENALTY = 3.0
STEPS = 40


@dataclass(frozen=True)
class Example:
    """One golden question as the models see it.

    `pairs` are retrieval's score and the best piece's score of each passage found, `right` whether that
    passage answers; `is_barred` where a rule declines whatever the models say.
    """

    query: str
    group: str
    is_answerable: bool
    is_barred: bool
    signs: Signs
    pairs: tuple[tuple[float, float], ...]
    right: tuple[bool, ...]


def example_of(judged: Judged, reader: Any) -> Example:
    """Retrieve for a question and note what the models learn from. Needs the embedding server."""
    asked = judged.golden
    evidence = gather(question=asked.query, reader=reader, with_live=False)
    best = leads(ranked(evidence.asked, evidence)) if asked.is_answerable else []
    wanted = {key for thing in judged.wanted for key in thing.passages}
    names = asked.relevant[0].names if asked.relevant else ()
    return Example(
        query=asked.query,
        group=str(names[0] if names else asked.query).split("#")[0],
        is_answerable=asked.is_answerable,
        is_barred=unknown_code(evidence, is_asset) is not None,
        signs=signs(evidence.asked, evidence.result),
        pairs=tuple((piece.hit.score, piece.score) for piece in best),
        right=tuple(_answers(piece, asked.key_facts, wanted) for piece in best),
    )


def _answers(piece: Piece, facts: Sequence[str], wanted: set[int]) -> bool:
    hit = piece.hit
    shown = hit.text if hit.step is not None else window(piece, max_words=WINDOW_WORDS)
    stated = bool(facts) and has_facts(f"{hit.section}\n{shown}", facts)
    return stated or hit.passage_id in wanted


def learn_answerable(examples: Sequence[Example]) -> Answerable:
    """Weights of the signs. Raises ValueError where one class is missing."""
    rows = np.array([astuple(example.signs) for example in examples], dtype=float)
    labels = np.array([float(example.is_answerable) for example in examples])
    yes, no = labels.sum(), len(labels) - labels.sum()
    if not yes or not no:
        raise ValueError("both answerable and unanswerable questions are needed to learn from")
    share = np.where(labels == 1, no / yes, 1.0)
    mean, spread = rows.mean(0), rows.std(0) + 1e-9
    scaled = np.c_[(rows - mean) / spread, np.ones(len(rows))]
    penalty = np.diag([PENALTY] * rows.shape[1] + [1e-6])
    found = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        sure = 1 / (1 + np.exp(-scaled @ found))
        slope = scaled.T @ (share * (sure - labels)) + penalty @ found
        bend = (scaled * (share * sure * (1 - sure))[:, None]).T @ scaled + penalty
        found = found - np.linalg.solve(bend, slope)
    own = found[:-1] / spread
    named = dict(zip((field.name for field in fields(Signs)), own, strict=True))
    rounded = {name: round(float(value), 3) for name, value in named.items()}
    return Answerable(intercept=round(float(found[-1] - own @ mean), 3), **rounded)


def learn_passages(examples: Sequence[Example]) -> Passages:
    """Weights of the two scores; questions of which all or no passage answers teach nothing."""
    known = [
        (np.array(example.pairs, dtype=float), np.array(example.right))
        for example in examples
        if any(example.right) and not all(example.right)
    ]
    if not known:
        raise ValueError("no question has both passages that answer and others")
    spread = np.concatenate([pairs for pairs, _right in known]).std(0) + 1e-9
    found = np.zeros(2)
    for _ in range(STEPS):
        slope, bend = PENALTY * found, PENALTY * np.eye(2)
        for pairs, right in known:
            rows = pairs / spread
            likely = _softmax(rows @ found)
            given = likely * right / (likely * right).sum()
            slope = slope + rows.T @ (likely - given)
            # Of the convex part alone, so that every step goes down.
            middle = rows.T @ likely
            bend = bend + (rows * likely[:, None]).T @ rows - np.outer(middle, middle)
        found = found - np.linalg.solve(bend, slope)
    return Passages(*(round(float(value), 3) for value in found / spread))


def _softmax(odds: Array) -> Array:
    shares = np.exp(odds - odds.max())
    return np.asarray(shares / shares.sum(), dtype=float)


def cross_validated(examples: Sequence[Example]) -> list[float]:
    """How sure it is of each example that the documents answer, by weights that were learned
    without its document; 0 where a rule declines."""
    folds = [_fold(example) for example in examples]
    learned = {
        fold: learn_answerable(
            [e for e, other in zip(examples, folds, strict=True) if other != fold]
        )
        for fold in sorted(set(folds))
    }
    return [
        0.0 if example.is_barred else probability(example.signs, learned[fold])
        for example, fold in zip(examples, folds, strict=True)
    ]


def _fold(example: Example) -> int:
    return int(hashlib.sha256(example.group.encode()).hexdigest(), 16) % FOLDS


def expected(examples: Sequence[Example], bars: Sequence[float]) -> list[dict[str, float]]:
    """What the first model keeps and declines at each bar, in cross-validation."""
    sure = cross_validated(examples)
    answerable = np.array([example.is_answerable for example in examples])
    values = np.array(sure)
    return [
        {
            "bar": bar,
            "kept": round(float((values[answerable] >= bar).mean()), 3),
            "declined": round(float((values[~answerable] < bar).mean()), 3),
        }
        for bar in bars
    ]


def as_json(answerable: Answerable, passages: Passages) -> dict[str, dict[str, float]]:
    """As `weights.json` has it."""
    return {"answerable": asdict(answerable), "passages": asdict(passages)}
