"""Filling a database with a made-up library, by COPY."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection, models
from numpy.typing import NDArray

from benchmarks.retrieving.corpus import Manual, manuals, vectors_of
from rag.codes import codes, spell_out
from rag.models import Collection, Document, EmbeddingModel, Passage, Revision, RevisionState

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"


def filled(passages: int, base: NDArray[np.float32], *, model: EmbeddingModel) -> int:
    """Fill a database with `passages` passages in force; returns how many superseded ones besides.

    Every tenth document has a former revision, superseded yesterday, that says the same in the
    same words: what lies near a question is then found twice, once not in force.
    """
    now = datetime.now(UTC)
    shelves: dict[str, Collection] = {}
    stale = 0
    for n, manual in enumerate(manuals(passages)):
        slug = manual.collection
        if slug not in shelves:
            shelves[slug] = Collection.objects.create(slug=slug, name=slug)
        digest = hashlib.sha256(manual.slug.encode()).hexdigest()
        document = Document.objects.create(
            collection=shelves[slug],
            slug=manual.slug,
            title=manual.title,
            kind=manual.kind,
            source_path=manual.slug,
            sha256=digest,
        )
        change = now - timedelta(days=1)
        spans: list[tuple[datetime, datetime | None]] = [(now - timedelta(days=30), None)]
        if n % 10 == 0:
            spans = [(now - timedelta(days=30), change), (change, None)]
            stale += len(manual.passages)
        vectors = vectors_of([row[2] for row in manual.passages], base, seed=n)
        rows = list(_passages(manual))
        for number, (since, until) in enumerate(spans, start=1):
            revision = Revision.objects.create(
                document=document,
                number=number,
                effective_from=since,
                superseded_at=until,
                sha256=digest,
                state=RevisionState.READY,
            )
            _copy(Passage, [{"revision": revision.pk, **row} for row in rows])
            ids = revision.passages.order_by("ordinal").values_list("pk", flat=True)
            copy_vectors(list(ids), vectors, model=model)
    return stale


def _passages(manual: Manual) -> Iterator[dict[str, Any]]:
    for ordinal, (path, text, _sentences) in enumerate(manual.passages, start=1):
        context = spell_out(" › ".join(path))
        whole = f"{context}\n{text}"
        yield {
            "ordinal": ordinal,
            "section_path": path,
            "anchor": f"p-{ordinal}",
            "text": text,
            "context": context,
            "codes": codes(whole)[:200],
            "words": len(text.split()),
            "digest": hashlib.sha256(whole.encode()).hexdigest(),
        }


def _copy(model: type[models.Model], rows: list[dict[str, Any]]) -> None:
    """Write rows by COPY; what a row does not name gets the field's default."""
    fields = [
        field for field in model._meta.concrete_fields if not (field.generated or field.primary_key)
    ]
    names = ", ".join(f'"{field.column}"' for field in fields)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {model._meta.db_table} ({names}) FROM STDIN") as copy,
    ):
        for row in rows:
            values = (row[f.name] if f.name in row else f.get_default() for f in fields)
            copy.write_row(
                [
                    json.dumps(value) if isinstance(field, models.JSONField) else value
                    for field, value in zip(fields, values, strict=True)
                ]
            )


def copy_vectors(ids: list[int], vectors: NDArray[np.float32], *, model: EmbeddingModel) -> None:
    """Write vectors, shape (len(ids), dimensions), in PostgreSQL's binary COPY format."""
    wide = vectors.shape[1]
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("passage_length", ">i4"),
            ("passage", ">i8"),
            ("model_length", ">i4"),
            ("model", ">i8"),
            ("vector_length", ">i4"),
            ("wide", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f4", (wide,)),
        ]
    )
    rows = np.zeros(len(ids), dtype=row)
    rows["fields"], rows["passage_length"], rows["model_length"] = 3, 8, 8
    rows["passage"], rows["model"], rows["wide"] = ids, model.pk, wide
    rows["vector_length"], rows["vector"] = 4 + 4 * wide, vectors
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY rag_passagevector (passage_id, model_id, embedding) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.write(COPY_HEADER + rows.tobytes() + COPY_END)
