"""Hybrid retrieval over the passages in force: vectors and BM25, fused by z-normalised scores.

On three sets of manuals and runbooks, reciprocal rank fusion with all-MiniLM-L6-v2 lost to BM25
alone while the sum of z-normalised scores won (docs/adr/0005-hybrid-retrieval.md). Both scores are
therefore computed for every candidate of either leg before they are added.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, pstdev
from typing import Any, Literal

from django.db import connection, transaction
from django.utils import timezone

from rag.access import OPEN_ONLY, Reader, scope_sql
from rag.codes import codes, spell_out
from rag.intake.embedding import serving_model
from rag.llm import embed_queries
from rag.models import Passage

logger = logging.getLogger(__name__)

Leg = Literal["hybrid", "vector", "text"]

CANDIDATES = 50
MAX_K = 50
MAX_QUERY_CHARS = 1000

# BM25 after Robertson and Zaragoza (2009), the usual defaults.
K1, B = 1.2, 0.75
# A code such as CRAC-2 names what is asked about, so its match counts more; assumed.
CODE_WEIGHT = 1.5
# A word in the title or section path counts as this many in the text; assumed.
CONTEXT_WEIGHT = 2.0
# Below this many passages in force an exact scan is fast and needs no filter care.
EXACT_SCAN_LIMIT = 20_000

# Where the best hits stay under all three, the documents hold no answer. Set on the demo
# procedures and 14 questions that they cannot answer (docs/adr/0005-hybrid-retrieval.md).
CONFIDENT_SIMILARITY = 0.50
CONFIDENT_COVERAGE = 0.75
CONFIDENT_COVERAGE_ALONE = 0.5  # without vectors there is nothing else to go by; assumed
CONFIDENT_SUM, SUM_NEEDS_SIMILARITY = 0.70, 0.30


@dataclass(frozen=True)
class Hit:
    """One passage found, with the reasons. Ranks count from 1; None: not found by that leg.

    `similarity` is the cosine, -1…1; `bm25` the raw lexical score, 0 and up; `coverage` the share
    of the query's lexical weight (IDF) that the passage contains, 0…1; `score` their fusion.
    """

    passage_id: int
    document: str
    title: str
    kind: str
    section: str
    step: int | None
    page: int | None
    text: str
    score: float
    vector_rank: int | None
    text_rank: int | None
    url: str
    ordinal: int = 0
    revision: int = 0
    collection: str = ""
    similarity: float | None = None
    bm25: float = 0.0
    coverage: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first. `degraded` says in one sentence what was missing, or is empty."""

    hits: list[Hit]
    degraded: str = ""
    query_vector: list[float] | None = None

    @property
    def is_confident(self) -> bool:
        """Whether the best hits are close enough to the query to be shown as an answer."""
        best = self.hits[:3]
        if self.query_vector is None:
            return any(hit.coverage >= CONFIDENT_COVERAGE_ALONE for hit in best)
        return any(_is_close(hit.similarity or 0.0, hit.coverage) for hit in best)


def _is_close(similarity: float, coverage: float) -> bool:
    if similarity >= CONFIDENT_SIMILARITY or coverage >= CONFIDENT_COVERAGE:
        return True
    return similarity >= SUM_NEEDS_SIMILARITY and similarity + coverage >= CONFIDENT_SUM


@dataclass(frozen=True)
class _Lexical:
    bm25: float
    coverage: float


def search(
    *,
    query: str,
    k: int = 5,
    collection: str | None = None,
    kinds: Sequence[str] | None = None,
    leg: Leg = "hybrid",
    reader: Reader = OPEN_ONLY,
    at: datetime | None = None,
) -> SearchResult:
    """The `k` best passages of revisions in force at a time (now) that the reader may read.

    Without a reader only open collections are searched. `collection` is a slug, `kinds` are
    values of `Kind`; None means all. `leg` restricts the search to one side, for evaluation. When
    no server embeds the query, full text answers alone and `degraded` says so. Cost: three queries,
    and one call to `/v1/embeddings`.
    """
    query = " ".join(query.replace("\x00", " ").split())[:MAX_QUERY_CHARS]
    k = max(1, min(k, MAX_K))
    if not query:
        return SearchResult([])
    scope, parameters = _scope(collection, kinds, reader, at)
    vector, degraded = _query_vector(query) if leg != "text" else (None, "")
    with transaction.atomic():
        similar = _nearest(vector, scope, parameters) if vector else {}
        lexical = _bm25(query, scope, parameters, list(similar)) if leg != "vector" else {}
        if vector and leg == "hybrid":
            similar |= _similarities(vector, [key for key in lexical if key not in similar])
    scores = _fuse(similar, lexical, leg)
    best = sorted(scores, key=lambda key: (-scores[key], key))[:k]
    return SearchResult(_hits(best, scores, similar, lexical), degraded, vector)


def _query_vector(query: str) -> tuple[list[float] | None, str]:
    from kvserve.client import LLMRefused, LLMUnavailable

    try:
        return embed_queries([spell_out(query)])[0], ""
    except (LLMUnavailable, LLMRefused) as error:
        logger.warning("query embedding unavailable: %s", error)
        return None, "The embedding server does not answer; found by full text only."


def _scope(
    collection: str | None, kinds: Sequence[str] | None, reader: Reader, at: datetime | None
) -> tuple[str, dict[str, Any]]:
    """The passages that may be found, as a joined FROM clause with its parameters."""
    clauses = [
        "r.state = 'ready'",
        "r.effective_from <= %(now)s",
        "(r.superseded_at IS NULL OR r.superseded_at > %(now)s)",
        "(d.withdrawn_at IS NULL OR d.withdrawn_at > %(now)s)",
    ]
    parameters: dict[str, Any] = {"now": at or timezone.now()}
    allowed, more = scope_sql(reader)
    clauses.append(allowed)
    parameters |= more
    if collection:
        clauses.append("c.slug = %(collection)s")
        parameters["collection"] = collection
    if kinds:
        clauses.append("d.kind = ANY(%(kinds)s)")
        parameters["kinds"] = list(kinds)
    scope = (
        "FROM rag_passage p JOIN rag_revision r ON r.id = p.revision_id "
        "JOIN rag_document d ON d.id = r.document_id "
        "JOIN rag_collection c ON c.id = d.collection_id WHERE " + " AND ".join(clauses)
    )
    return scope, parameters


def _nearest(vector: list[float], scope: str, parameters: dict[str, Any]) -> dict[int, float]:
    """Cosine similarity of the nearest passages: exact while few, by HNSW above that.

    pgvector filters after the index scan, so the scan iterates in strict order; when it still
    comes back short, the exact scan answers.
    """
    parameters = parameters | {"vector": str(vector), "limit": CANDIDATES}
    exact = "(v.embedding <=> %(vector)s::vector) + 0"  # `+ 0` keeps the planner off the index
    joined = (
        scope.replace(
            "FROM rag_passage p",
            "FROM rag_passagevector v JOIN rag_passage p ON p.id = v.passage_id",
        )
        + " AND v.model_id = %(model)s"
    )
    parameters["model"] = serving_model().pk
    with connection.cursor() as cursor:
        limited = f"SELECT 1 {scope} LIMIT {EXACT_SCAN_LIMIT + 1}"
        cursor.execute(f"SELECT count(*) FROM ({limited}) AS few", parameters)  # noqa: S608
        count = cursor.fetchone()[0]
        order = (
            exact
            if count <= EXACT_SCAN_LIMIT
            else "v.embedding::vector(384) <=> %(vector)s::vector(384)"
        )
        if order != exact:
            cursor.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
            cursor.execute("SET LOCAL hnsw.ef_search = 100")
        for attempt in (order, exact):
            cursor.execute(
                f"SELECT p.id, 1 - (v.embedding <=> %(vector)s::vector) {joined} "
                f"ORDER BY {attempt} LIMIT %(limit)s",
                parameters,
            )
            rows = cursor.fetchall()
            if attempt == exact or len(rows) >= min(CANDIDATES, count):
                break
    return {int(key): float(value) for key, value in rows}


def _similarities(vector: list[float], passage_ids: list[int]) -> dict[int, float]:
    """Exact cosine similarity of given passages."""
    if not passage_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT passage_id, 1 - (embedding <=> %s::vector) FROM rag_passagevector "
            "WHERE passage_id = ANY(%s) AND model_id = %s",
            [str(vector), passage_ids, serving_model().pk],
        )
        return {int(key): float(value) for key, value in cursor.fetchall()}


_BM25 = """
WITH words AS (
  SELECT DISTINCT unnest(tsvector_to_array(to_tsvector('english', %(query)s))) AS lexeme
), terms AS (
  SELECT lexeme, 1.0::float8 AS weight FROM words WHERE lexeme <> ALL(%(codes)s::text[])
  UNION ALL SELECT unnest(%(codes)s::text[]), %(code_weight)s::float8
), corpus AS (
  SELECT count(*)::float8 AS n, greatest(avg(p.words), 1)::float8 AS mean_words {scope}
), found AS (
  SELECT p.id, p.words, p.tsv {scope} AND p.tsv @@ %(any)s::tsquery
), matched AS (
  SELECT f.id, f.words, t.lexeme, t.weight,
         coalesce((SELECT sum(CASE WHEN w = 'A' THEN %(context_weight)s::float8 ELSE 1 END)
                   FROM unnest(u.weights) AS w), 1)::float8 AS tf
  FROM found f CROSS JOIN LATERAL unnest(f.tsv) AS u JOIN terms t ON t.lexeme = u.lexeme
), idf AS (
  SELECT t.lexeme, t.weight,
         t.weight * ln(1 + (c.n - count(m.id) + 0.5) / (count(m.id) + 0.5)) AS idf
  FROM terms t CROSS JOIN corpus c LEFT JOIN matched m ON m.lexeme = t.lexeme
  GROUP BY t.lexeme, t.weight, c.n
), scored AS (
  SELECT m.id,
         sum(i.idf * m.tf * (%(k1)s + 1)
             / (m.tf + %(k1)s * (1 - %(b)s + %(b)s * m.words / c.mean_words))) AS bm25,
         sum(i.idf) / (SELECT sum(idf) FROM idf) AS coverage
  FROM matched m JOIN idf i ON i.lexeme = m.lexeme CROSS JOIN corpus c GROUP BY m.id
), ranked AS (
  SELECT *, row_number() OVER (ORDER BY bm25 DESC, id) AS place FROM scored
)
SELECT id, bm25, coverage FROM ranked WHERE place <= %(limit)s OR id = ANY(%(others)s)
"""


def _bm25(
    query: str, scope: str, parameters: dict[str, Any], others: list[int]
) -> dict[int, _Lexical]:
    """BM25 of the best lexical matches, and of the passages `others` where they match at all.

    Document frequencies are those of the passages in scope. Terms are the query's English
    lexemes and its codes; a code weighs more, a term in the title or section counts double.
    """
    spelled = spell_out(query)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(to_tsvector('english', %s))", [spelled])
        found_codes = codes(query)
        terms = sorted(set(cursor.fetchone()[0]) | set(found_codes))
        if not terms:
            return {}
        cursor.execute(
            _BM25.format(scope=scope),
            parameters
            | {
                "query": spelled,
                "codes": found_codes,
                "any": " | ".join(_quoted(term) for term in terms),
                "code_weight": CODE_WEIGHT,
                "context_weight": CONTEXT_WEIGHT,
                "k1": K1,
                "b": B,
                "limit": CANDIDATES,
                "others": others,
            },
        )
        return {int(key): _Lexical(float(a), float(b)) for key, a, b in cursor.fetchall()}


def _quoted(lexeme: str) -> str:
    """A lexeme as a tsquery literal."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def z_scores(values: dict[int, float]) -> dict[int, float]:
    """Values shifted to mean 0 and scaled to deviation 1; all 0 where they do not differ."""
    if not values:
        return {}
    mean, deviation = fmean(values.values()), pstdev(values.values())
    return {key: (value - mean) / deviation if deviation else 0.0 for key, value in values.items()}


def _fuse(similar: dict[int, float], lexical: dict[int, _Lexical], leg: Leg) -> dict[int, float]:
    """One score per candidate. A passage without a lexical match has BM25 0, as defined."""
    if leg == "vector":
        return dict(similar)
    if leg == "text" or not similar:
        return {key: found.bm25 for key, found in lexical.items()}
    keys = similar.keys() | lexical.keys()
    lowest = min(similar.values())
    by_vector = z_scores({key: similar.get(key, lowest) for key in keys})
    by_text = z_scores({key: lexical[key].bm25 if key in lexical else 0.0 for key in keys})
    return {key: by_vector[key] + by_text[key] for key in keys}


def _hits(
    best: list[int],
    scores: dict[int, float],
    similar: dict[int, float],
    lexical: dict[int, _Lexical],
) -> list[Hit]:
    vector_ranks = _ranks(similar)
    text_ranks = _ranks({key: found.bm25 for key, found in lexical.items()})
    passages = (
        Passage.objects.select_related("revision__document__collection").defer("tsv").in_bulk(best)
    )
    hits = []
    for key in best:
        if key not in passages:  # its document was deleted between the queries
            continue
        passage = passages[key]
        revision, document = passage.revision, passage.revision.document
        hits.append(
            Hit(
                passage_id=key,
                document=document.slug,
                title=document.title,
                kind=document.kind,
                section=passage.section,
                step=passage.step,
                page=passage.page,
                text=passage.text,
                score=round(scores[key], 4),
                vector_rank=vector_ranks.get(key),
                text_rank=text_ranks.get(key),
                url=passage.get_absolute_url(),
                ordinal=passage.ordinal,
                revision=revision.number,
                collection=document.collection.slug,
                similarity=round(similar[key], 4) if key in similar else None,
                bm25=round(lexical[key].bm25, 4) if key in lexical else 0.0,
                coverage=round(lexical[key].coverage, 4) if key in lexical else 0.0,
            )
        )
    return hits


def _ranks(values: dict[int, float]) -> dict[int, int]:
    ordered = sorted(values, key=lambda key: (-values[key], key))
    return {key: rank for rank, key in enumerate(ordered, start=1)}
