"""Files become documents: parse, compare, cut, store, and hand over to the embedding worker."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from django.db import transaction
from django.utils.text import slugify

from rag.access import Reader
from rag.intake.files import digest_of, file_store
from rag.intake.passages import cut
from rag.intake.storing import revision_store
from rag.models import (
    Collection,
    Document,
    DocumentEvent,
    Revision,
    RevisionState,
    StoredFile,
)
from rag.parsing import ParsedDocument, ParseError, parse

# A document that needs more passages than this is refused: about 2,000 pages.
MAX_PASSAGES = 10_000

#: For services that act for nobody in particular (commands, the watch folder).
SYSTEM = Reader(sees_all=True)


@dataclass(frozen=True)
class ImportOutcome:
    """What became of one file. `revision_id` is set where something is left to be embedded.

    `changed` is the number of passages that the former revision did not have, None for the first
    revision.
    """

    status: Literal["imported", "unchanged"]
    document: Document
    passages: int
    revision_id: int | None = None
    changed: int | None = None


def collection_get_or_create(*, slug: str, name: str = "") -> Collection:
    """The collection of that slug, created on first use."""
    clean = slugify(slug)
    if not clean:
        raise ParseError(f"collection '{slug}': a name needs at least one letter or digit")
    found, _created = Collection.objects.get_or_create(
        slug=clean, defaults={"name": name or clean.replace("-", " ").capitalize()}
    )
    return found


def document_import(
    *, data: bytes, source_path: str, collection: Collection, kind: str, user: Any = None
) -> ImportOutcome:
    """Import one file held in memory, parsed in this process, and queue its embedding.

    For trusted texts (procedures of the repository, released reports); what people hand in goes
    through `rag.intake.jobs`, which parses under limits. The same bytes again do nothing, except
    that an unfinished or failed embedding is queued again. Other bytes become a new revision; the
    former one keeps serving until the new one is embedded. Front matter `id`, `kind`, `effective`,
    `owner`/`author`, `approver`, `revision`, `review` are taken over. Raises ParseError with one
    sentence about this file.
    """
    same = import_known(collection=collection, source_path=source_path, sha256=digest_of(data))
    if same is None:
        parsed = parse(data=data, name=PurePosixPath(source_path).name)
        with transaction.atomic():
            same = import_parsed(
                parsed=parsed,
                file=file_store(data=data, name=source_path),
                source_path=source_path,
                collection=collection,
                kind=kind,
                user=user,
            )
    if same.revision_id is not None:
        embedding_enqueue(same.revision_id)
    return same


def import_known(*, collection: Collection, source_path: str, sha256: str) -> ImportOutcome | None:
    """What became of these bytes when they were imported before; None when they are new.

    A revision whose embedding failed or was interrupted is set to importing again.
    """
    document = Document.objects.filter(
        collection=collection, source_path=source_path, sha256=sha256
    ).first()
    return None if document is None else _again(document)


def import_parsed(
    *,
    parsed: ParsedDocument,
    file: StoredFile,
    source_path: str,
    collection: Collection,
    kind: str,
    user: Any = None,
    reader: Reader = SYSTEM,
) -> ImportOutcome:
    """Cut and store a parsed file as a new revision; call it within a transaction.

    Imports into one collection take turns, so that two of the same file cannot collide. `reader`
    decides what an error may say about other documents. Raises ParseError.
    """
    name = PurePosixPath(source_path).name
    cuts = cut(parsed)
    if len(cuts) > MAX_PASSAGES:
        raise ParseError(
            f"{name}: {len(cuts)} passages are over the limit of {MAX_PASSAGES}; split the document"
        )
    Collection.objects.select_for_update(no_key=True).get(pk=collection.pk)
    known = import_known(collection=collection, source_path=source_path, sha256=file.sha256)
    if known is not None:
        return known
    stored = revision_store(
        parsed=parsed,
        cuts=cuts,
        file=file,
        source_path=source_path,
        collection=collection,
        kind=kind,
        reader=reader,
    )
    revision = stored.revision
    DocumentEvent.objects.create(
        document=revision.document,
        action=DocumentEvent.Action.IMPORTED,
        revision=revision.number,
        user=user,
        reason=source_path,
    )
    return ImportOutcome("imported", revision.document, len(cuts), revision.pk, stored.changed)


def _again(document: Document) -> ImportOutcome | None:
    """The same file once more: only an unfinished embedding is taken up again."""
    revision = document.revisions.filter(sha256=document.sha256).order_by("-number").first()
    if revision is None:
        return None
    count = revision.passages.count()
    if revision.state == RevisionState.READY:
        return ImportOutcome("unchanged", document, count)
    Revision.objects.filter(pk=revision.pk).exclude(state=RevisionState.READY).update(
        state=RevisionState.IMPORTING, error=""
    )
    return ImportOutcome("unchanged", document, count, revision.pk)


def embedding_enqueue(revision_id: int) -> None:
    """Queue the embedding after the commit. A lost broker is no error: beat queues it later."""
    from rag.tasks import embed_revision

    transaction.on_commit(lambda: embed_revision.delay(revision_id), robust=True)
