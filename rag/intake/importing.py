"""Files become documents: parse, compare, cut, store, and hand over to the embedding worker."""

import datetime as dt
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from rag.codes import codes, spell_out
from rag.intake.passages import Cut, cut, word_count
from rag.models import Collection, Document, Kind, Passage, Revision, RevisionState
from rag.parsing import ParsedDocument, ParseError, parse

logger = logging.getLogger(__name__)

# A document that needs more passages than this is refused: about 2,000 pages.
MAX_PASSAGES = 10_000


@dataclass(frozen=True)
class ImportOutcome:
    """What became of one file. `revision_id` is set where embedding was queued."""

    status: Literal["imported", "unchanged"]
    document: Document
    passages: int
    revision_id: int | None = None


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
    *, data: bytes, source_path: str, collection: Collection, kind: str
) -> ImportOutcome:
    """Import one file held in memory and queue its embedding.

    The same bytes again do nothing, except that an unfinished or failed embedding is queued
    again. Other bytes become a new revision; the former one keeps serving until the new one is
    embedded. Front matter `id`, `kind`, `effective`, `owner`/`author`, `approver`, `revision`
    are taken over. Raises ParseError with one sentence about this file.
    """
    name = PurePosixPath(source_path).name
    digest = hashlib.sha256(data).hexdigest()
    same = (
        Document.objects.filter(collection=collection, source_path=source_path, sha256=digest)
        .order_by("id")
        .first()
    )
    if same is not None and (revision := same.revisions.order_by("-number").first()):
        return _again(same, revision)
    parsed = parse(data=data, name=name)
    cuts = cut(parsed)
    if len(cuts) > MAX_PASSAGES:
        raise ParseError(
            f"{name}: {len(cuts)} passages are over the limit of {MAX_PASSAGES}; split the document"
        )
    with transaction.atomic():
        # Imports into one collection take turns, so that two of the same file cannot collide.
        Collection.objects.select_for_update().get(pk=collection.pk)
        document = _document(parsed, digest, source_path, collection, kind, name)
        newest = document.revisions.order_by("-number").first()
        if newest is not None and newest.sha256 == digest:
            return _again(document, newest)
        revision = _store(parsed, cuts, digest, document)
    return ImportOutcome("imported", document, len(cuts), revision.pk)


def _again(document: Document, revision: Revision) -> ImportOutcome:
    """The same file once more: only an unfinished embedding is taken up again."""
    count = revision.passages.count()
    if revision.state == RevisionState.READY:
        return ImportOutcome("unchanged", document, count)
    Revision.objects.filter(pk=revision.pk).update(state=RevisionState.IMPORTING, error="")
    _enqueue(revision.pk)
    return ImportOutcome("unchanged", document, count, revision.pk)


def _document(
    parsed: ParsedDocument,
    digest: str,
    source_path: str,
    collection: Collection,
    kind: str,
    name: str,
) -> Document:
    """Find the document by its front matter id, else by its path; create it when it is new."""
    declared = str(parsed.meta.get("id") or "").strip()
    kind = _kind(parsed, kind, name)
    wanted = slugify(declared)
    document = Document.objects.filter(collection=collection, source_path=source_path).first()
    if wanted:
        by_id = Document.objects.select_related("collection").filter(slug=wanted).first()
        if by_id is not None and by_id.collection_id != collection.pk:
            raise ParseError(
                f"{name}: id {declared} already belongs to '{by_id.source_path}' in collection "
                f"'{by_id.collection.slug}'; change the id or import into that collection"
            )
        document = by_id or document
    if document is None:
        slug = wanted or _free_slug(parsed.title, name)
        document = Document(collection=collection, slug=slug)
    elif by_path := (
        Document.objects.filter(collection=collection, source_path=source_path)
        .exclude(pk=document.pk)
        .first()
    ):
        raise ParseError(
            f"{name}: id {declared} belongs to '{document.source_path}', but this path is already "
            f"document '{by_path.slug}'; rename the file or its id"
        )
    document.title, document.kind = parsed.title, kind
    document.source_path, document.sha256 = source_path, digest
    document.save()
    return document


def _kind(parsed: ParsedDocument, kind: str, name: str) -> str:
    declared = str(parsed.meta.get("kind") or kind).lower()
    if declared not in Kind.values:
        raise ParseError(f"{name}: kind '{declared}' is not one of {', '.join(Kind.values)}")
    return declared


def _free_slug(title: str, name: str) -> str:
    base = slugify(title)[:100] or slugify(PurePosixPath(name).stem)[:100] or "document"
    taken = set(Document.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    slug, suffix = base, 2
    while slug in taken:
        slug, suffix = f"{base}-{suffix}", suffix + 1
    return slug


def _store(parsed: ParsedDocument, cuts: list[Cut], digest: str, document: Document) -> Revision:
    meta = _json_safe(parsed.meta)
    highest = document.revisions.aggregate(highest=Max("number"))["highest"] or 0
    declared = meta.get("revision")
    number = max(highest + 1, declared if isinstance(declared, int) and declared > 0 else 0)
    revision = Revision.objects.create(
        document=document,
        number=number,
        effective_from=_effective(meta, document),
        author=str(meta.get("author") or meta.get("owner") or "")[:200],
        approver=str(meta.get("approver") or "")[:200],
        sha256=digest,
        markup=parsed.markup,
        meta=meta,
    )
    Passage.objects.bulk_create(
        (
            Passage(
                revision=revision,
                ordinal=piece.ordinal,
                section_path=list(piece.section_path),
                step=piece.step,
                page=piece.page,
                anchor=piece.anchor,
                text=piece.text,
                words=max(1, word_count(piece.text)),
                **_indexed(document, meta, piece),
            )
            for piece in cuts
        ),
        batch_size=500,
    )
    _enqueue(revision.pk)
    return revision


def _indexed(document: Document, meta: dict[str, Any], piece: Cut) -> dict[str, Any]:
    """What is searched besides the text: title and section, with alert names in plain words."""
    declared = str(meta.get("id") or "")
    context = spell_out(" › ".join([document.title, *piece.section_path]))
    assets = meta.get("assets")
    names = [str(asset) for asset in assets] if isinstance(assets, list) else []
    found = codes("\n".join([declared, context, piece.text, *names]))
    context = f"{declared} {context}".strip()
    digest = hashlib.sha256(f"{context}\n{piece.text}".encode()).hexdigest()
    return {"context": context, "codes": found[:200], "digest": digest}


def _effective(meta: dict[str, Any], document: Document) -> dt.datetime:
    """The start of the declared day (UTC), or now where none is declared."""
    declared = meta.get("effective") or meta.get("effective_from")
    if declared is None:
        return timezone.now()
    try:
        day = dt.datetime.fromisoformat(str(declared))
    except ValueError as error:
        raise ParseError(
            f"{document.source_path}: effective date '{declared}' is not a date such as 2026-03-01"
        ) from error
    return day if day.tzinfo else day.replace(tzinfo=dt.UTC)


def _json_safe(value: Any) -> Any:
    """Front matter as JSON: dates become ISO strings, NUL is dropped, keys become strings."""
    if isinstance(value, dict):
        return {str(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_json_safe(item) for item in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value.isoformat() if isinstance(value, dt.date) else str(value)
    return re.sub(r"[\x00\ud800-\udfff]", "", text)


def _enqueue(revision_id: int) -> None:
    """Queue the embedding after the commit. A lost broker is no error: beat queues it later."""
    from rag.tasks import embed_revision

    transaction.on_commit(lambda: embed_revision.delay(revision_id), robust=True)
