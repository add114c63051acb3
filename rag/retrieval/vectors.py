"""The vector leg: pgvector, exact while few passages are in scope, by HNSW index above that.

pgvector filters after the index scan. The scan therefore iterates in strict order until enough
passages in scope were met; where it still comes back short, the exact scan answers, and that is
counted. The filter is a bitmap of the allowed passages inside the query: no join and no estimate of
the planner decides how long it takes. What a search wants to know besides (the cosine of passages
found by words, what the nearest passages say) travels in the same round trip.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag.models import EmbeddingModel
from rag.retrieval.allowed import Allowed
from rag.retrieval.candidates import Details
from rag.retrieval.details import DETAILS, details_of_row
from rag.retrieval.rows import Rows, Sent, fetch, sent
from rag.retrieval.scope import JOINED, Scope

logger = logging.getLogger(__name__)

# Measured at 100,000 passages (docs/retrieval.md): up to this many in scope the exact scan takes
# at most about 10 ms, and is right.
EXACT_SCAN_LIMIT = 20_000
# A strict order drops what the index meets late: the rarer a match, the wider the search.
EF_SEARCH, EF_SEARCH_OF_SHARE, MAX_EF_SEARCH = 400, 160, 1000

_SETTINGS = """
SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', %(ef)s, true), set_config('enable_sort', 'off', true),
       set_config('enable_seqscan', 'off', true)
"""
_RESET = "SELECT set_config('enable_sort', 'on', true), set_config('enable_seqscan', 'on', true)"
# The limit is written out: a prepared plan must know that the outer join meets few rows.
_BY_INDEX = """
SELECT v.passage_id, 1 - (v.embedding <=> %(vector)s::vector) AS similarity
FROM rag_passagevector v
WHERE v.model_id = {model} AND v.passage_id BETWEEN %(low)s AND %(high)s
  AND get_bit(%(bits)s::bytea, (v.passage_id - %(low)s)::bigint) = 1
ORDER BY v.embedding::halfvec({wide}) <=> %(vector)s::halfvec({wide}) LIMIT {limit}
"""
_EXACT = """
SELECT near.passage_id, near.similarity
FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS run(first, last)
CROSS JOIN LATERAL (
  SELECT v.passage_id, 1 - (v.embedding <=> %(vector)s::vector) AS similarity
  FROM rag_passagevector v
  WHERE v.passage_id BETWEEN run.first AND run.last AND v.model_id = {model}
  OFFSET 0) AS near
ORDER BY near.similarity DESC, near.passage_id LIMIT {limit}
"""
_WITH_DETAILS = """
WITH near AS MATERIALIZED ({near}) SELECT near.passage_id, near.similarity, {details}
FROM near LEFT JOIN (rag_passage p {joined}) ON p.id = near.passage_id
AND p.id <> ALL(%(known)s::bigint[]) AND {condition}
ORDER BY near.similarity DESC, near.passage_id
"""
_GIVEN = """
SELECT passage_id, 1 - (embedding <=> %(vector)s::vector) FROM rag_passagevector
WHERE passage_id = ANY(%(ids)s::bigint[]) AND model_id = %(model)s
"""


@dataclass(frozen=True)
class Nearest:
    """Cosine similarity by passage, the nearest ones; `path`: exact, index or fallback.

    `given` are the cosines of the passages that were known before, `details` what those say that
    were not.
    """

    similarities: dict[int, float] = field(default_factory=dict)
    path: str = "none"
    given: dict[int, float] = field(default_factory=dict)
    details: dict[int, Details] = field(default_factory=dict)


def nearest(
    vector: Sequence[float], allowed: Allowed, *, model: EmbeddingModel, limit: int
) -> Nearest:
    """The `limit` passages in scope with the highest cosine, best first. One round trip."""
    return _Wanted(vector, allowed, model, limit).find()


def nearest_exact(
    vector: Sequence[float], allowed: Allowed, *, model: EmbeddingModel, limit: int
) -> dict[int, float]:
    """Cosines of the same by a scan, however many are in scope: what recall is measured against."""
    return _Wanted(vector, allowed, model, limit).scan().similarities


def nearest_with_details(
    vector: Sequence[float],
    allowed: Allowed,
    *,
    model: EmbeddingModel,
    limit: int,
    scope: Scope,
    known: Sequence[int],
    meanwhile: Callable[[], object] = lambda: None,
) -> Nearest:
    """The same with the cosines of the `known` passages, and the details of the others as far as
    the scope's condition holds for them. `meanwhile` runs while the server searches; it must not
    ask the database. One round trip."""
    return _Wanted(vector, allowed, model, limit, scope, list(known)).find(meanwhile)


class _Wanted:
    """One look-up: its queries, and what is made of their rows."""

    def __init__(
        self,
        vector: Sequence[float],
        allowed: Allowed,
        model: EmbeddingModel,
        limit: int,
        scope: Scope | None = None,
        known: list[int] | None = None,
    ) -> None:
        self.vector, self.allowed, self.model, self.limit = str(list(vector)), allowed, model, limit
        self.scope, self.known = scope, known or []

    def find(self, meanwhile: Callable[[], object] = lambda: None) -> Nearest:
        """By index or scan; by scan where the index comes back short."""
        if not self.allowed.passages:
            return Nearest()
        if self.allowed.passages <= EXACT_SCAN_LIMIT:
            return self._asked(self._scan, "exact", meanwhile)
        found = self._asked(self._search_index, "index", meanwhile)
        if len(found.similarities) >= min(self.limit, self.allowed.passages):
            return found
        logger.warning(
            "vector index came back short; scanned exactly",
            extra={
                "found": len(found.similarities),
                "limit": self.limit,
                "passages": self.allowed.passages,
            },
        )
        return self.scan("fallback")

    def scan(self, path: str = "exact") -> Nearest:
        """By a scan of everything in scope."""
        return self._asked(self._scan, path)

    def _asked(
        self,
        look_up: Callable[[Sent], int],
        path: str,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Nearest:
        with sent() as together:
            place = look_up(together)
            if self.known:
                together.add(
                    _GIVEN, {"vector": self.vector, "ids": self.known, "model": self.model.pk}
                )
            meanwhile()
        near = together.rows[place]
        given = _cosines(together.rows[-1]) if self.known else {}
        details = {row[0]: details_of_row(row[2:]) for row in near if len(row) > 2 and row[2]}
        return Nearest(_cosines(near), path, given, details)

    def _search_index(self, together: Sent) -> int:
        """Which of the queries is the index's."""
        size, passages = len(self.allowed.is_in), self.allowed.passages
        wanted = max(EF_SEARCH, self.limit, EF_SEARCH_OF_SHARE * size // passages)
        together.add(_SETTINGS, {"ef": str(min(MAX_EF_SEARCH, wanted))})
        self._add(
            together,
            _BY_INDEX,
            bits=self.allowed.bits,
            low=self.allowed.low,
            high=self.allowed.low + size - 1,
        )
        together.add(_RESET, {})
        return 1

    def _scan(self, together: Sent) -> int:
        runs = {"firsts": self.allowed.firsts.tolist(), "lasts": self.allowed.lasts.tolist()}
        self._add(together, _EXACT, **runs)
        return 0

    def _add(self, together: Sent, query: str, **parameters: Any) -> None:
        near = query.format(
            model=int(self.model.pk), wide=int(self.model.dimensions), limit=int(self.limit)
        )
        parameters["vector"] = self.vector
        if self.scope is None:
            together.add(near, parameters)
            return
        condition, more = self.scope.condition()
        whole = _WITH_DETAILS.format(near=near, details=DETAILS, joined=JOINED, condition=condition)
        together.add(whole, parameters | more | {"known": self.known})


def similarities(
    vector: Sequence[float], passage_ids: list[int], *, model: EmbeddingModel
) -> dict[int, float]:
    """Exact cosine similarity of given passages. One query."""
    if not passage_ids:
        return {}
    rows = fetch(_GIVEN, {"vector": str(list(vector)), "ids": passage_ids, "model": model.pk})
    return _cosines(rows)


def _cosines(rows: Rows) -> dict[int, float]:
    return {int(row[0]): float(row[1]) for row in rows}
