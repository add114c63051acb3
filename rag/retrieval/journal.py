"""What was searched: one log line and the metrics of each search (OWASP LLM08)."""

import hashlib
import logging

from django.conf import settings
from prometheus_client import Counter, Histogram

from rag.access import Reader
from rag.retrieval.hits import SearchResult

logger = logging.getLogger("rag.retrieval.journal")

SEARCH_SECONDS = Histogram(
    "rag_search_seconds",
    "Time of a search of the knowledge base, query embedding included, by path of the vectors.",
    ["path"],
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
INDEX_SHORT = Counter(
    "rag_vector_index_short_total",
    "Searches whose vector index came back with too few passages, so that all were scanned.",
)
DEGRADED = Counter(
    "rag_search_degraded_total", "Searches that had to do without vectors or reranking."
)


def searched(text: str, reader: Reader, result: SearchResult) -> None:
    """Count a search and log who searched, with which groups, what was asked and what was found.

    OPS_SEARCH_LOG decides whether the question itself is written (`text`), only its SHA-256
    (`hash`, by which equal questions are recognised), or no line at all (`off`).
    """
    explained = result.explanation
    took_ms = explained.timings_ms["total"]
    SEARCH_SECONDS.labels(path=explained.path).observe(took_ms / 1000)
    if explained.path == "fallback":
        INDEX_SHORT.inc()
    if result.degraded:
        DEGRADED.inc()
    wanted = settings.SEARCH_LOG
    if wanted == "off":
        return
    asked = text if wanted == "text" else hashlib.sha256(text.encode()).hexdigest()
    logger.info(
        "searched",
        extra={
            "query" if wanted == "text" else "query_sha256": asked,
            "user": getattr(reader, "who", ""),
            "groups": reader.key,
            "passages": [hit.passage_id for hit in result.hits],
            "confidence": round(result.confidence, 3),
            "took_ms": took_ms,
            "path": explained.path,
        },
    )
