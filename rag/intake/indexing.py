"""Embedding of a revision's passages, and the moment when it replaces the former revision."""

import logging
from collections.abc import Callable, Sequence

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from rag.intake.embedding import (
    BATCH_SIZE,
    EmbedderMissing,
    embed_by,
    embed_texts,
    serving_model,
)
from rag.intake.storing import EFFECTIVE_KEYS
from rag.models import (
    Document,
    DocumentEvent,
    EmbeddingModel,
    ImportJob,
    Passage,
    PassageVector,
    Revision,
    RevisionState,
)

logger = logging.getLogger(__name__)

# Key of the advisory lock that keeps a switch of models and an activation apart ("rag1").
SWITCH_LOCK = 0x72616731


def revision_embed(
    *,
    revision_id: int,
    on_batch: Callable[[int], None] | None = None,
    proceed: Callable[[], bool] | None = None,
) -> int:
    """Embed the passages that have no vector yet, then put the revision in force.

    Resumable: each batch of 32 is committed on its own, and passages that another worker holds
    are passed over. Passages of similar length share a batch, so that little of it is padding.
    `on_batch` gets the number of passages of each finished batch; `proceed` is asked before each
    batch, and False stops without activation. Returns how many passages this call embedded. About
    38 passages/s on 2 cores. Raises EmbedderMissing; the revision is then marked as failed.
    """
    done = 0
    try:
        while True:
            model = serving_model()
            while True:
                if proceed is not None and not proceed():
                    return done
                count = _embed_batch(revision_id, model)
                if not count:
                    break
                done += count
                if on_batch:
                    on_batch(count)
            if revision_activate(revision_id=revision_id) or serving_model().pk == model.pk:
                return done
    except EmbedderMissing as error:
        Revision.objects.filter(pk=revision_id).update(state=RevisionState.FAILED, error=str(error))
        raise


def without_vector(model: EmbeddingModel) -> QuerySet[Passage]:
    """Passages that the model has not embedded yet."""
    return Passage.objects.filter(
        ~Exists(PassageVector.objects.filter(passage=OuterRef("pk"), model=model))
    )


def vectors_of(model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
    """The model's vectors of texts."""
    return embed_by(model, texts) if model.path or model.url else embed_texts(texts)


def vectors_write(*, passages: Sequence[Passage], model: EmbeddingModel) -> None:
    """Embed passages and store their vectors; call it in the transaction that locks them."""
    vectors = vectors_of(model, [passage.embedded_text for passage in passages])
    PassageVector.objects.bulk_create(
        [
            PassageVector(passage=passage, model=model, embedding=vector)
            for passage, vector in zip(passages, vectors, strict=True)
        ],
        ignore_conflicts=True,
    )


def _embed_batch(revision_id: int, model: EmbeddingModel) -> int:
    with transaction.atomic():
        batch = list(
            without_vector(model)
            .select_for_update(skip_locked=True, no_key=True)
            .filter(revision_id=revision_id)
            .only("id", "context", "text")
            .order_by("words", "ordinal")[:BATCH_SIZE]
        )
        if batch:
            vectors_write(passages=batch, model=model)
    return len(batch)


def revision_activate(*, revision_id: int) -> bool:
    """Make a fully embedded revision searchable and supersede the one before, in one commit.

    Returns False, and changes nothing, while a passage lacks its vector or when the revision is
    no longer importing. At any time exactly one revision of a document is in force:

    - the first takes effect on its declared date, or now;
    - a later one on its declared date if that is after its predecessor's, else now (a text that
      was changed without a new date was not in force before anybody had it);
    - the predecessor ends where the new one begins; a revision that is overtaken by a newer one
      ends where that begins.
    """
    with transaction.atomic():
        revision = Revision.objects.filter(pk=revision_id).first()
        if revision is None:
            return False
        # Before the lock on the document, in the order of `model_switch`.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [SWITCH_LOCK])
        document = Document.objects.select_for_update(no_key=True).get(pk=revision.document_id)
        revision.refresh_from_db()
        if revision.state != RevisionState.IMPORTING:
            return False
        if without_vector(serving_model()).filter(revision=revision).exists():
            return False
        revision_put(revision=revision, document=document)
        ImportJob.objects.filter(
            revision=revision, state__in=(ImportJob.State.EMBEDDING, ImportJob.State.QUEUED)
        ).update(
            state=ImportJob.State.DONE,
            finished_at=timezone.now(),
            document=document,
            passages_done=F("passages_total"),
        )
    logger.info("revision in force", extra={"document": document.slug})
    return True


def revision_put(*, revision: Revision, document: Document) -> None:
    """Give a ready revision its place among the others; the caller holds the document's row."""
    now = timezone.now()
    ready = Revision.objects.filter(document=document, state=RevisionState.READY)
    former = ready.filter(number__lt=revision.number).order_by("-number").first()
    is_declared = any(revision.meta.get(key) for key in EFFECTIVE_KEYS)
    starts = revision.effective_from
    if not is_declared or (former is not None and starts <= former.effective_from):
        starts = now
    newer = ready.filter(number__gt=revision.number).order_by("effective_from").first()
    Revision.objects.filter(pk=revision.pk).update(
        state=RevisionState.READY,
        error="",
        effective_from=starts,
        superseded_at=newer.effective_from if newer else None,
        activated_at=now,
    )
    ready.filter(number__lt=revision.number).filter(
        Q(superseded_at__isnull=True) | Q(superseded_at__gt=starts)
    ).update(superseded_at=starts)
    if newer is None:
        document.title = revision.title or document.title
        document.kind = revision.kind or document.kind
        document.save(update_fields=["title", "kind", "updated_at"])
    DocumentEvent.objects.create(
        document=document, action=DocumentEvent.Action.ACTIVATED, revision=revision.number
    )
