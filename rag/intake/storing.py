"""A parsed file becomes rows: document, revision, passages, and the vectors it can take over."""

import datetime as dt
import hashlib
import re
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from rag.access import Reader, collections_of
from rag.codes import codes, spell_out
from rag.intake.passages import Cut, word_count
from rag.models import Collection, Document, Kind, Passage, Revision, StoredFile
from rag.parsing import ParsedDocument, ParseError

EFFECTIVE_KEYS = ("effective", "effective_from", "effective_date")
REVIEW_KEYS = ("review_due", "next_review", "review")


class Stored(NamedTuple):
    """A stored revision. `changed` counts passages that the former revision did not have (None
    without a former one); `taken_over` those whose vectors were copied."""

    revision: Revision
    changed: int | None
    taken_over: int


def revision_store(
    *,
    parsed: ParsedDocument,
    cuts: list[Cut],
    file: StoredFile,
    source_path: str,
    collection: Collection,
    kind: str,
    reader: Reader,
) -> Stored:
    """Store a new revision with its passages; call it within a transaction that holds the
    collection's row. Raises ParseError where the front matter makes no sense."""
    name = PurePosixPath(source_path).name
    meta = json_safe(parsed.meta)
    wanted_kind = _kind(meta, kind, name)
    document = _document(parsed, wanted_kind, file.sha256, source_path, collection, reader)
    former = document.revisions.order_by("-number").first()
    highest = document.revisions.aggregate(highest=Max("number"))["highest"] or 0
    declared = meta.get("revision")
    is_number = isinstance(declared, int) and 0 < declared < 2**31
    revision = Revision.objects.create(
        document=document,
        number=max(highest + 1, declared if is_number else 0),
        title=parsed.title[:300],
        kind=wanted_kind,
        effective_from=declared_date(meta, EFFECTIVE_KEYS, source_path) or timezone.now(),
        author=_short(meta.get("author") or meta.get("owner")),
        approver=_short(meta.get("approver")),
        review_due=_review_due(meta, source_path),
        sha256=file.sha256,
        markup=parsed.markup,
        meta=meta,
        file=file,
        pages=parsed.pages,
        flags=json_safe(parsed.flags),
    )
    passages = [_passage(revision, meta, piece) for piece in cuts]
    Passage.objects.bulk_create(passages, batch_size=500)
    changed = None
    if former is not None:
        known = set(former.passages.values_list("digest", flat=True))
        changed = sum(passage.digest not in known for passage in passages)
    return Stored(revision, changed, vectors_take_over(revision=revision))


def vectors_take_over(*, revision: Revision) -> int:
    """Copy the vectors of passages with the same embedded text, for every model in use.

    Returns how many passages got one of the serving model.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH taken AS (
              INSERT INTO rag_passagevector (passage_id, model_id, embedding)
              SELECT DISTINCT ON (new.id, v.model_id) new.id, v.model_id, v.embedding
                FROM rag_passage new
                JOIN rag_passage old ON old.digest = new.digest AND old.id <> new.id
                JOIN rag_passagevector v ON v.passage_id = old.id
                JOIN rag_embeddingmodel m ON m.id = v.model_id
                 AND m.state IN ('serving', 'building')
               WHERE new.revision_id = %s AND new.digest <> ''
               ORDER BY new.id, v.model_id, old.id DESC
              ON CONFLICT (passage_id, model_id) DO NOTHING
              RETURNING model_id
            )
            SELECT count(*) FROM taken JOIN rag_embeddingmodel m ON m.id = taken.model_id
             WHERE m.state = 'serving'
            """,
            [revision.pk],
        )
        return int(cursor.fetchone()[0])


def _document(
    parsed: ParsedDocument,
    kind: str,
    digest: str,
    source_path: str,
    collection: Collection,
    reader: Reader,
) -> Document:
    """Find the document by its front matter id, else by its path; create it when it is new.

    An existing one keeps its title and kind until the new revision is activated.
    """
    name = PurePosixPath(source_path).name
    declared = str(parsed.meta.get("id") or "").strip()
    wanted = slugify(declared)[:120]
    by_path = Document.objects.filter(collection=collection, source_path=source_path).first()
    document = by_path
    if wanted:
        by_id = Document.objects.select_related("collection").filter(slug=wanted).first()
        if by_id is not None and by_id.collection_id != collection.pk:
            raise ParseError(f"{name}: id {declared} {_whose(by_id, reader)}")
        document = by_id or by_path
    if document is None:
        slug = wanted or _free_slug(parsed.title, name)
        owner = _short(parsed.meta.get("owner"))
        document = Document(
            collection=collection, slug=slug, title=parsed.title[:300], kind=kind, owner=owner
        )
    elif by_path is not None and by_path.pk != document.pk:
        raise ParseError(
            f"{name}: id {declared} belongs to '{document.source_path}', but this path is already "
            f"document '{by_path.slug}'; rename the file or its id"
        )
    document.source_path, document.sha256 = source_path, digest
    document.save()
    return document


def _whose(document: Document, reader: Reader) -> str:
    """Where an id is taken: in full for those who may read it, without a name for others."""
    if collections_of(reader).filter(pk=document.collection_id).exists():
        return (
            f"already belongs to '{document.source_path}' in collection "
            f"'{document.collection.slug}'; change the id or import into that collection"
        )
    return "is already in use; change the id"


def _kind(meta: dict[str, Any], kind: str, name: str) -> str:
    declared = str(meta.get("kind") or kind).lower()
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


def _passage(revision: Revision, meta: dict[str, Any], piece: Cut) -> Passage:
    """One row, with what is searched besides the text: title and section, with alert names in
    plain words, and the codes."""
    declared = str(meta.get("id") or "")
    context = spell_out(" › ".join([revision.title, *piece.section_path]))
    assets = meta.get("assets")
    names = [str(asset) for asset in assets] if isinstance(assets, list) else []
    found = codes("\n".join([declared, context, piece.text, *names]))
    context = f"{declared} {context}".strip()
    return Passage(
        revision=revision,
        ordinal=piece.ordinal,
        section_path=list(piece.section_path),
        step=piece.step,
        page=piece.page,
        anchor=piece.anchor,
        text=piece.text,
        words=max(1, word_count(piece.text)),
        context=context,
        codes=found[:200],
        digest=hashlib.sha256(f"{context}\n{piece.text}".encode()).hexdigest(),
        boxes=[list(box) for box in piece.boxes],
        flags=list(piece.flags),
    )


def declared_date(meta: dict[str, Any], keys: tuple[str, ...], where: str) -> dt.datetime | None:
    """The first date that the front matter declares under one of the keys, as the start of that
    day (UTC) unless it says a time. Raises ParseError for what is no date."""
    for key in keys:
        declared = meta.get(key)
        if declared in (None, ""):
            continue
        try:
            day = dt.datetime.fromisoformat(str(declared))
        except ValueError as error:
            raise ParseError(
                f"{where}: {keys[0].split('_')[0]} date '{declared}' is not a date such as "
                "2026-03-01"
            ) from error
        return day if day.tzinfo else day.replace(tzinfo=dt.UTC)
    return None


def _review_due(meta: dict[str, Any], where: str) -> dt.date | None:
    """The declared review date. Interval texts such as `annual` are no date and are left alone."""
    dated = {key: meta[key] for key in REVIEW_KEYS if re.match(r"\s*\d{4}-", str(meta.get(key)))}
    due = declared_date(dated, REVIEW_KEYS, where)
    return due.date() if due else None


def _short(value: Any) -> str:
    return str(value or "")[:200]


def json_safe(value: Any) -> Any:
    """Front matter as JSON: dates become ISO strings, NUL is dropped, keys become strings."""
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [json_safe(item) for item in value]
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    text = value.isoformat() if isinstance(value, dt.date) else str(value)
    return re.sub(r"[\x00\ud800-\udfff]", "", text)
