"""Hybrid retrieval over the passages in force: vectors and BM25, fused (docs/retrieval.md)."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rag.access import OPEN_ONLY, Reader
from rag.llm import embed_queries, embedding_problem
from rag.models import EmbeddingModel
from rag.retrieval import features
from rag.retrieval import fusion as fusions
from rag.retrieval import rerank as rerankers
from rag.retrieval.allowed import allowed_of
from rag.retrieval.candidates import Candidate, Details, Scored
from rag.retrieval.confidence import confidence
from rag.retrieval.details import details_of
from rag.retrieval.expansion import Query, expand
from rag.retrieval.fusion import z_scores
from rag.retrieval.hits import Explanation, Hit, SearchResult, hits_of
from rag.retrieval.journal import searched
from rag.retrieval.lexical import Lexical, Words, bm25
from rag.retrieval.opening import opening
from rag.retrieval.scope import Scope
from rag.retrieval.vectors import Nearest, nearest_with_details

__all__ = ["Hit", "Leg", "SearchResult", "search", "z_scores"]

logger = logging.getLogger(__name__)

Leg = Literal["hybrid", "vector", "text"]

CANDIDATES = 50
MAX_K = 50
MAX_QUERY_CHARS = 1000

# The query is embedded by another process while this one looks up the words.
_embedders = ThreadPoolExecutor(max_workers=16, thread_name_prefix="embed-query")


def search(
    *,
    query: str,
    reader: Reader = OPEN_ONLY,
    k: int = 5,
    collection: str | None = None,
    kinds: Sequence[str] | None = None,
    at: datetime | None = None,
    leg: Leg = "hybrid",
    fusion: str | None = None,
    rerank: bool | None = None,
) -> SearchResult:
    """The `k` best passages of revisions in force at a time (now) that the reader may read.

    Without a reader only open collections are searched. `collection` is a slug, `kinds` are
    values of `Kind`; None means all. `leg` restricts the search to one side, for evaluation;
    `fusion` is one of `fusion.METHODS`; `rerank` None reranks where a model is configured. When
    no server embeds the query, full text answers alone and `degraded` says so. Cost: six round
    trips to the database, and one call to `/v1/embeddings`. Raises ValueError for an unknown fusion.
    """
    text = " ".join(query.replace("\x00", " ").split())[:MAX_QUERY_CHARS]
    k = max(1, min(k, MAX_K))
    if not text:
        return SearchResult([])
    found = _Search(text, Scope.of(reader=reader, collection=collection, kinds=kinds, at=at), leg)
    result = found.run(k=k, method=fusion or fusions.DEFAULT_METHOD, rerank=rerank)
    searched(text, reader, result)
    return result


class _Search:
    """One search on its way: each step adds what it found and how long it took."""

    def __init__(self, text: str, scope: Scope, leg: Leg) -> None:
        self.text, self.scope, self.leg = text, scope, leg
        self.timings: dict[str, float] = {}
        self._started = self._lapped = time.perf_counter()

    def run(self, *, k: int, method: str, rerank: bool | None) -> SearchResult:
        """Expand, look up words while the query is embedded, look up vectors, fuse, rerank."""
        model, shelves = opening(self.scope.reader)
        asked = expand(self.text, shelves=shelves)
        self._lap("expand")
        embedding = self._embed(asked, model)
        allowed = allowed_of(self.scope)
        self._lap("scope")
        words = bm25(asked, allowed) if self.leg != "vector" else Words()
        text_ids = words.best(CANDIDATES)
        self._lap("words")
        details = details_of(text_ids, self.scope)
        self._lap("details")
        embedded = embedding.result() if embedding else _Embedded(None, "", 0.0)
        vector, degraded = embedded.vector, embedded.degraded
        self._lap("embedding_wait")
        self.timings["embedding"] = embedded.took_ms
        lexical: dict[int, Lexical] = {}
        near = Nearest()
        if vector:
            near = nearest_with_details(
                vector,
                allowed,
                model=model,
                limit=CANDIDATES,
                scope=self.scope,
                known=text_ids,
                meanwhile=lambda: lexical.update(self._prepared(words, details)),
            )
            details |= near.details
        self._lap("vectors")
        lexical |= words.of([key for key in details if key not in lexical])
        candidates = self._candidates(details, lexical, text_ids, near)
        self._lap("candidates")
        idf = {term.term: term.idf for term in words.terms}
        scored = self._scored(candidates, asked, method, idf)
        self._lap("fusion")
        reranks = rerankers.is_configured() if rerank is None else rerank
        depth = max(k, rerankers.DEPTH) if reranks else k
        hits = self._hits(scored, candidates, lexical, depth)
        self._lap("hits")
        if reranks:
            reranked = rerankers.rerank(asked, hits)
            hits = reranked.hits[:k]
            degraded = " ".join(filter(None, (degraded, reranked.degraded)))
            self._lap("rerank")
        self.timings["total"] = _ms(self._started)
        return SearchResult(
            hits,
            degraded,
            vector,
            confidence(asked, hits, has_vector=vector is not None, idf=idf),
            Explanation(
                fusion=method if self.leg == "hybrid" else self.leg,
                path=near.path,
                candidates=len(candidates),
                by_vector=len(near.similarities),
                by_text=len(text_ids),
                passages=allowed.passages,
                mean_words=round(allowed.mean_words, 1),
                postings=words.postings,
                terms=words.terms,
                added=asked.added,
                reranked=any(hit.rerank_score is not None for hit in hits),
                embedding_model=model.name if vector else "",
                timings_ms=self.timings,
            ),
        )

    def _embed(self, asked: Query, model: EmbeddingModel) -> "Future[_Embedded] | None":
        return None if self.leg == "text" else _embedders.submit(_embedded, asked, model)

    def _lap(self, name: str) -> None:
        self.timings[name] = _ms(self._lapped)
        self._lapped = time.perf_counter()

    def _prepared(self, words: Words, details: dict[int, Details]) -> dict[int, Lexical]:
        """What can be done for the passages found by words while the vectors are looked up."""
        if self.leg == "hybrid":
            features.read(details.values())
        return words.of(list(details))

    def _candidates(
        self,
        details: dict[int, Details],
        lexical: dict[int, Lexical],
        text_ids: list[int],
        near: Nearest,
    ) -> list[Candidate]:
        """Every passage of either leg with both scores, in order of id."""
        vector_ranks = {key: rank for rank, key in enumerate(near.similarities, start=1)}
        text_ranks = {key: rank for rank, key in enumerate(text_ids, start=1)}
        similar = near.given | near.similarities
        nothing = Lexical()
        found = []
        for key, said in sorted(details.items()):
            score = lexical.get(key, nothing)
            found.append(
                Candidate(
                    passage_id=key,
                    similarity=similar.get(key),
                    bm25=score.bm25,
                    coverage=score.coverage,
                    vector_rank=vector_ranks.get(key),
                    text_rank=text_ranks.get(key),
                    matched=frozenset(part.term for part in score.matched),
                    in_title=frozenset(part.term for part in score.matched if part.in_title),
                    details=said,
                )
            )
        return found

    def _scored(
        self, candidates: list[Candidate], asked: Query, method: str, idf: dict[str, float]
    ) -> list[Scored]:
        if self.leg == "hybrid":
            return fusions.fuse(candidates, asked, method, idf=idf)
        of_leg = "similarity" if self.leg == "vector" else "bm25"
        scored = [Scored(found.passage_id, getattr(found, of_leg) or 0.0) for found in candidates]
        return sorted(scored, key=lambda item: (-item.score, item.passage_id))

    def _hits(
        self,
        scored: list[Scored],
        candidates: list[Candidate],
        lexical: dict[int, Lexical],
        k: int,
    ) -> list[Hit]:
        by_id = {candidate.passage_id: candidate for candidate in candidates}
        best = [(item, by_id[item.passage_id]) for item in scored[:k]]
        return hits_of(best, {key: score.matched for key, score in lexical.items()})


@dataclass(frozen=True)
class _Embedded:
    """The query's vector, or what stood in the way; `took_ms` in the other process and back."""

    vector: list[float] | None
    degraded: str
    took_ms: float


def _embedded(asked: Query, model: EmbeddingModel) -> _Embedded:
    from kvserve.client import LLMRefused, LLMUnavailable

    started = time.perf_counter()
    try:
        vector = embed_queries([asked.embed_text], model=model)[0]
    except (LLMUnavailable, LLMRefused) as error:
        logger.warning("query embedding unavailable: %s", error)
        return _Embedded(None, embedding_problem(error), _ms(started))
    return _Embedded(vector, "", _ms(started))


def _ms(since: float) -> float:
    return round((time.perf_counter() - since) * 1000, 2)
