"""The one place where rag reaches the language model and the query embedder."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from kvserve.client import LLMClient

ANSWER_TIMEOUT_S = 120.0
EMBED_TIMEOUT_S = 10.0


@functools.lru_cache(maxsize=8)
def _client(urls: tuple[str, ...], model: str, timeout_s: float) -> "LLMClient":
    """One client per configuration: it keeps connections and remembers the server that answers."""
    from kvserve.client import LLMClient

    return LLMClient(urls, model=model, timeout_s=timeout_s)


def llm_client() -> "LLMClient":
    """A client for the configured OpenAI-compatible chat servers, with failover in their order."""
    return _client(tuple(settings.LLM_URLS), settings.LLM_MODEL, ANSWER_TIMEOUT_S)


def embed_queries(texts: Sequence[str]) -> list[list[float]]:
    """Embed short texts through `/v1/embeddings`: unit vectors, shape (len(texts), 384).

    Raises `kvserve.client.LLMUnavailable` when no server answers.
    """
    client = _client(tuple(settings.EMBED_URLS), settings.EMBED_MODEL, EMBED_TIMEOUT_S)
    return [_unit(vector) for vector in client.embed(list(texts), model=settings.EMBED_MODEL)]


def _unit(vector: Sequence[float]) -> list[float]:
    """Scale to length 1: foreign servers do not all normalise."""
    length = sum(value * value for value in vector) ** 0.5
    return [float(value) / length for value in vector] if length else list(vector)
