"""The one place where rag reaches the language model and the query embedder."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from kvserve.client import LLMClient
    from rag.models import EmbeddingModel

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


def embed_queries(
    texts: Sequence[str], *, model: "EmbeddingModel | None" = None
) -> list[list[float]]:
    """Embed short texts through `/v1/embeddings` by the serving model (or the given one).

    Returns unit vectors of shape (len(texts), model.dimensions). A search passes the model whose
    vectors it compares with, so that a switch between the two cannot mix models. Raises
    `kvserve.client.LLMUnavailable` when no server answers and `LLMRefused` when none serves that
    model; `embedding_problem` says it in one sentence.
    """
    from kvserve.client import LLMRefused
    from rag.intake.embedding import serving_model

    wanted = model or serving_model()
    # The bundled model may have another name at a foreign server.
    is_bundled = not wanted.path and not wanted.url
    name = settings.EMBED_MODEL if is_bundled else wanted.name
    urls = (wanted.url,) if wanted.url else tuple(settings.EMBED_URLS)
    vectors = _embed(urls, texts, name)
    if vectors and len(vectors[0]) != wanted.dimensions:
        raise LLMRefused(
            f"the server's '{name}' gives {len(vectors[0])} dimensions, but the passages have "
            f"{wanted.dimensions}"
        )
    return vectors


def embed_at(url: str, texts: Sequence[str], *, model: str) -> list[list[float]]:
    """Embed texts at one server; errors as `embed_queries`."""
    return _embed((url,), texts, model)


def embedding_problem(error: Exception) -> str:
    """What an answer says when the query could not be embedded."""
    from kvserve.client import LLMRefused

    if isinstance(error, LLMRefused):
        return (
            "The embedding server does not serve the model that the documents were embedded by; "
            "found by full text only (docs/embedding-models.md)."
        )
    return "The embedding server does not answer; found by full text only."


def _embed(urls: tuple[str, ...], texts: Sequence[str], name: str) -> list[list[float]]:
    client = _client(urls, name, EMBED_TIMEOUT_S)
    return [_unit(vector) for vector in client.embed(list(texts), model=name)]


def _unit(vector: Sequence[float]) -> list[float]:
    """Scale to length 1: foreign servers do not all normalise."""
    length = sum(value * value for value in vector) ** 0.5
    return [float(value) / length for value in vector] if length else list(vector)
