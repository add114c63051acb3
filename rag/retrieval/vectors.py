"""The vector leg: pgvector, exact while few passages are in scope, by HNSW index above that.

pgvector filters after the index scan. The scan therefore iterates in strict order until enough
passages in scope were met; where it still comes back short, the exact scan answers, and that is
counted. The filter is a bitmap of the allowed passages inside the query: no join and no estimate of
the planner decides how long it takes.
"""

import logging
from dataclasses import dataclass, field

from django.db import connection
from psycopg import sql

from rag.models import EmbeddingModel
from rag.retrieval.allowed import Allowed
from rag.retrieval.rows import fetch

logger = logging.getLogger(__name__)

# Measured at 100,000 passages (docs/retrieval.md): up to this many in scope the exact scan takes
# at most about 10 ms, and is right.
EXACT_SCAN_LIMIT = 20_000
# A strict order drops what the index meets late: the rarer a match, the wider the search.
EF_SEARCH, EF_SEARCH_OF_SHARE, MAX_EF_SEARCH = 600, 240, 1000
M, EF_CONSTRUCTION = 16, 64

_SETTINGS = """
SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', %(ef)s, true), set_config('enable_sort', 'off', true),
       set_config('enable_seqscan', 'off', true)
"""
_RESET = "SELECT set_config('enable_sort', 'on', true), set_config('enable_seqscan', 'on', true)"
_BY_INDEX = """
SELECT v.passage_id, 1 - (v.embedding <=> %(vector)s::vector) FROM rag_passagevector v
WHERE v.model_id = {model} AND v.passage_id BETWEEN %(low)s AND %(high)s
  AND get_bit(%(bits)s::bytea, (v.passage_id - %(low)s)::bigint) = 1
ORDER BY v.embedding::halfvec({wide}) <=> %(vector)s::halfvec({wide}) LIMIT %(limit)s
"""
_EXACT = """
SELECT near.passage_id, near.similarity
FROM unnest(%(firsts)s::bigint[], %(lasts)s::bigint[]) AS run(first, last)
CROSS JOIN LATERAL (
  SELECT v.passage_id, 1 - (v.embedding <=> %(vector)s::vector) AS similarity
  FROM rag_passagevector v
  WHERE v.passage_id BETWEEN run.first AND run.last AND v.model_id = %(model)s
  OFFSET 0) AS near
ORDER BY near.similarity DESC, near.passage_id LIMIT %(limit)s
"""
_GIVEN = """
SELECT passage_id, 1 - (embedding <=> %(vector)s::vector) FROM rag_passagevector
WHERE passage_id = ANY(%(ids)s::bigint[]) AND model_id = %(model)s
"""


@dataclass(frozen=True)
class Nearest:
    """Cosine similarity by passage, the nearest ones; `path`: exact, index or fallback."""

    similarities: dict[int, float] = field(default_factory=dict)
    path: str = "none"


def index_create(*, model: EmbeddingModel) -> None:
    """Build the model's HNSW index where it is missing. Minutes for a million vectors; searches go
    on, imports wait. Cosine of half precision: half the size at the same recall."""
    name = sql.Identifier(index_name(model))
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "CREATE INDEX IF NOT EXISTS {name} ON rag_passagevector USING hnsw "
                "((embedding::halfvec({wide})) halfvec_cosine_ops) "
                "WITH (m = {m}, ef_construction = {ef}) WHERE model_id = {model}"
            ).format(
                name=name,
                wide=sql.Literal(model.dimensions),
                m=sql.Literal(M),
                ef=sql.Literal(EF_CONSTRUCTION),
                model=sql.Literal(model.pk),
            )
        )


def index_drop(*, model: EmbeddingModel) -> None:
    """Drop the model's index, if there is one; its vectors can then only be scanned."""
    with connection.cursor() as cursor:
        name = sql.Identifier(index_name(model))
        cursor.execute(sql.SQL("DROP INDEX IF EXISTS {name}").format(name=name))


def index_name(model: EmbeddingModel) -> str:
    """The name of the model's index."""
    return f"rag_vector_hnsw_{model.pk}"


def nearest(vector: list[float], allowed: Allowed, *, model: EmbeddingModel, limit: int) -> Nearest:
    """The `limit` passages in scope with the highest cosine, best first. In a transaction."""
    if not allowed.passages:
        return Nearest()
    if allowed.passages <= EXACT_SCAN_LIMIT:
        return Nearest(_exact(vector, allowed, model, limit), "exact")
    found = _by_index(vector, allowed, model, limit)
    if len(found) >= min(limit, allowed.passages):
        return Nearest(found, "index")
    logger.warning(
        "vector index came back short; scanned exactly",
        extra={"found": len(found), "limit": limit, "passages": allowed.passages},
    )
    return Nearest(_exact(vector, allowed, model, limit), "fallback")


def _by_index(
    vector: list[float], allowed: Allowed, model: EmbeddingModel, limit: int
) -> dict[int, float]:
    wanted = max(EF_SEARCH, limit, EF_SEARCH_OF_SHARE * len(allowed.is_in) // allowed.passages)
    fetch(_SETTINGS, {"ef": str(min(MAX_EF_SEARCH, wanted))})
    query = _BY_INDEX.format(model=int(model.pk), wide=int(model.dimensions))
    rows = fetch(
        query,
        {
            "vector": str(vector),
            "bits": allowed.bits,
            "low": allowed.low,
            "high": allowed.low + len(allowed.is_in) - 1,
            "limit": limit,
        },
    )
    fetch(_RESET, {})
    return {int(key): float(value) for key, value in rows}


def _exact(
    vector: list[float], allowed: Allowed, model: EmbeddingModel, limit: int
) -> dict[int, float]:
    rows = fetch(
        _EXACT,
        {
            "vector": str(vector),
            "firsts": allowed.firsts.tolist(),
            "lasts": allowed.lasts.tolist(),
            "model": model.pk,
            "limit": limit,
        },
    )
    return {int(key): float(value) for key, value in rows}


def similarities(
    vector: list[float], passage_ids: list[int], *, model: EmbeddingModel
) -> dict[int, float]:
    """Exact cosine similarity of given passages. One query."""
    if not passage_ids:
        return {}
    rows = fetch(_GIVEN, {"vector": str(vector), "ids": passage_ids, "model": model.pk})
    return {int(key): float(value) for key, value in rows}
