"""Which passages an answer quotes: as many as it takes to be sure, at most three (pure functions).

Retrieval ranks passages, `rag.answers.extraction` ranks their sentences. Where the two agree, one
passage is quoted; where they do not, the next one is quoted as well.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

from rag.answers.extraction import Piece
from rag.answers.weights import Passages, weights

# Passages are quoted until one of them answers with this probability; chosen on the tune halves.
SURE = 0.9
MAX_QUOTED = 3


def probabilities(
    pairs: Sequence[tuple[float, float]], learned: Passages | None = None
) -> list[float]:
    """How likely each passage is to be the one that answers; sums to 1.

    A pair is retrieval's score of a passage and the score of its best piece.
    """
    model = learned or weights().passages
    odds = [model.score * score + model.piece * piece for score, piece in pairs]
    most = max(odds, default=0.0)
    shares = [math.exp(value - most) for value in odds]
    return [share / sum(shares) for share in shares]


def leads(pieces: Sequence[Piece]) -> list[Piece]:
    """The best piece of each passage; `pieces` are best first."""
    found: dict[int, Piece] = {}
    for piece in pieces:
        found.setdefault(piece.hit.passage_id, piece)
    return list(found.values())


def chosen(pieces: Sequence[Piece]) -> list[Piece]:
    """The best piece of every passage that is to be quoted, the likeliest passage first."""
    best = leads(pieces)
    likely = probabilities([(piece.hit.score, piece.score) for piece in best])
    ranked = sorted(zip(likely, best, strict=True), key=lambda pair: (-pair[0], pair[1].rank))
    sums = list(accumulate(share for share, _piece in ranked))
    needed = next((n for n, total in enumerate(sums, 1) if total >= SURE), len(sums))
    return [piece for _share, piece in ranked[: min(needed, MAX_QUOTED)]]
