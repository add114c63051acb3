"""An optional cross-encoder that puts the best hits in order, behind `/v1/rerank`.

The web process loads no model: a server scores (kvserve with `--reranker`, vLLM, TEI's OpenAI
route, llama-server, Jina, Cohere). It may be slow or down: then the order stays as it was, the result
says so, and it is not asked again for half a minute.
"""

import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from kvserve.client import LLMClient
    from rag.retrieval.expansion import Query
    from rag.retrieval.hits import Hit

logger = logging.getLogger(__name__)

DEPTH = 20  # hits that are scored; a small cross-encoder reads about that many in a second
BUDGET_S = 2.0
REST_S = 30.0


@dataclass(frozen=True)
class Reranked:
    """Hits in their new order; `degraded` says in one sentence why it is the old one, or ''."""

    hits: list["Hit"]
    degraded: str = ""


def is_configured() -> bool:
    """Whether a reranker's address is known (OPS_RERANK_URL, or OPS_RERANK_MODEL)."""
    return bool(settings.RERANK_URLS)


def rerank(query: "Query", hits: Sequence["Hit"]) -> Reranked:
    """The first DEPTH hits by the cross-encoder's score, each with it; the rest follow as before.

    Takes at most about BUDGET_S. Never raises.
    """
    from kvserve.client import LLMRefused, LLMUnavailable

    if not hits:
        return Reranked([])
    if not is_configured():
        return Reranked(list(hits), "No reranker is configured (OPS_RERANK_URL).")
    urls = tuple(settings.RERANK_URLS)
    if time.monotonic() < _resting.get(urls, 0.0):
        return Reranked(list(hits), "The reranker failed a moment ago; order without it.")
    best, rest = list(hits[:DEPTH]), list(hits[DEPTH:])
    texts = [f"{hit.title} › {hit.section}\n{hit.text}" for hit in best]
    try:
        scores = _client(urls).rerank(query.text, texts, model=settings.RERANK_MODEL)
    except (LLMUnavailable, LLMRefused) as error:
        _resting[urls] = time.monotonic() + REST_S
        logger.warning("reranker: %s", error)
        return Reranked(list(hits), "The reranker does not answer; order without it.")
    scored = [replace(hit, rerank_score=score) for hit, score in zip(best, scores, strict=True)]
    scored.sort(key=lambda hit: -(hit.rerank_score or 0.0))
    return Reranked(scored + rest)


_resting: dict[tuple[str, ...], float] = {}


@functools.lru_cache(maxsize=4)
def _client(urls: tuple[str, ...]) -> "LLMClient":
    from kvserve.client import LLMClient

    return LLMClient(urls, model="", timeout_s=BUDGET_S)
