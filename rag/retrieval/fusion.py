"""One score per candidate from both legs, by a method chosen by name.

`evidence` is the default, on evidence (docs/adr/0005-hybrid-retrieval.md): the z-scores of both
legs, and what else speaks for a passage (`rag.retrieval.features`), added with learned weights.
The others use the two legs alone and are kept to be compared and for odd corpora: `zsum` adds
z-scores, `minmax` adds scores scaled to 0…1, `rrf` adds reciprocal ranks.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from rag.retrieval import features as evidence
from rag.retrieval.candidates import Candidate, Scored
from rag.retrieval.expansion import Query

RRF_K = 60  # Cormack, Clarke and Buettcher (2009)
EXPLAINED = 50  # the best candidates carry the parts of their score; no search shows more

Parts = Mapping[str, NDArray[np.float64]]
"""What a score adds up from: one value per candidate, by name."""

Seen = Callable[[list[Candidate], Query, Mapping[str, float]], None]
_seen: ContextVar[Seen | None] = ContextVar("fusion_seen", default=None)


@contextmanager
def observing(seen: Seen) -> Iterator[None]:
    """Hand what every fusion of this context is asked to order to `seen`, for learning weights."""
    token = _seen.set(seen)
    try:
        yield
    finally:
        _seen.reset(token)


def fuse(
    candidates: list[Candidate],
    query: Query,
    method: str = "evidence",
    *,
    idf: Mapping[str, float] | None = None,
) -> list[Scored]:
    """Candidates by their fused score, best first; ties by passage id.

    `idf` is that of the query's lexemes; without it all words weigh the same. Without a query
    vector (every `similarity` None) the vectors' part is 0 for all. Raises ValueError for a
    method that is not in METHODS.
    """
    if method not in _METHODS:
        raise ValueError(f"fusion '{method}' is not one of {', '.join(METHODS)}")
    if not candidates:
        return []
    if seen := _seen.get():
        seen(candidates, query, idf or {})
    parts = _METHODS[method](candidates, query, idf or {})
    names = tuple(parts)
    columns = np.stack([parts[name] for name in names], axis=1)
    scores = columns.sum(axis=1).tolist()
    ids = [found.passage_id for found in candidates]
    order = sorted(range(len(ids)), key=lambda n: (-scores[n], ids[n]))
    explained = columns[order[:EXPLAINED]].round(4).tolist()
    reasons = [tuple(zip(names, row, strict=True)) for row in explained]
    reasons += [()] * (len(order) - len(reasons))
    return [Scored(ids[n], scores[n], why) for n, why in zip(order, reasons, strict=True)]


def z_scores(values: dict[int, float]) -> dict[int, float]:
    """Values shifted to mean 0 and scaled to deviation 1; all 0 where they do not differ."""
    scaled = evidence.z_scores(np.array(list(values.values()), dtype=np.float64))
    return dict(zip(values, scaled.tolist(), strict=True))


def _evidence(candidates: list[Candidate], query: Query, idf: Mapping[str, float]) -> Parts:
    weighted = evidence.features(candidates, query, idf) * evidence.weights_array(
        evidence.DEFAULT_WEIGHTS
    )
    return {name: weighted[:, n] for n, name in enumerate(evidence.NAMES)}


def _zsum(candidates: list[Candidate], _query: Query, _idf: Mapping[str, float]) -> Parts:
    vectors, words = _scores(candidates)
    return {"vectors": evidence.z_scores(vectors), "words": evidence.z_scores(words)}


def _minmax(candidates: list[Candidate], _query: Query, _idf: Mapping[str, float]) -> Parts:
    vectors, words = _scores(candidates)
    return {"vectors": _scaled(vectors), "words": _scaled(words)}


def _rrf(candidates: list[Candidate], _query: Query, _idf: Mapping[str, float]) -> Parts:
    def reciprocal(ranks: list[int | None]) -> NDArray[np.float64]:
        return np.array([1 / (RRF_K + rank) if rank else 0.0 for rank in ranks])

    return {
        "vectors": reciprocal([found.vector_rank for found in candidates]),
        "words": reciprocal([found.text_rank for found in candidates]),
    }


def _scores(candidates: list[Candidate]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines and BM25. A passage without a vector is taken as the farthest of all."""
    known = [found.similarity for found in candidates if found.similarity is not None]
    lowest = min(known, default=0.0)
    vectors = [lowest if found.similarity is None else found.similarity for found in candidates]
    return np.array(vectors), np.array([found.bm25 for found in candidates])


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = float(values.max() - values.min())
    return (values - values.min()) / reach if reach else np.zeros(len(values))


_METHODS: dict[str, Callable[[list[Candidate], Query, Mapping[str, float]], Parts]] = {
    "evidence": _evidence,
    "zsum": _zsum,
    "minmax": _minmax,
    "rrf": _rrf,
}
METHODS = tuple(_METHODS)
DEFAULT_METHOD = "evidence"
