"""A parsed document as JSON and back: what the reading child hands to its parent."""

import datetime as dt
import json
import math
from typing import Any

from rag.parsing.blocks import Block, ParsedDocument


def dump(document: ParsedDocument) -> bytes:
    """The document as UTF-8 JSON. Dates become ISO strings, everything unknown a string."""
    body = {
        "title": document.title,
        "markup": document.markup,
        "pages": document.pages,
        "meta": _plain(document.meta),
        "flags": document.flags,
        "blocks": [
            [b.kind, b.text, b.level, b.page, b.boxes, b.flags, b.step] for b in document.blocks
        ],
    }
    # Half of a surrogate pair has no UTF-8 form.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", errors="replace")


def load(raw: bytes) -> ParsedDocument:
    """The document from its JSON. Raises ValueError or KeyError for anything else."""
    body = json.loads(raw)
    return ParsedDocument(
        title=body["title"],
        markup=body["markup"],
        pages=body["pages"],
        meta=body["meta"],
        flags=body["flags"],
        blocks=[
            Block(
                kind,
                text,
                level,
                page,
                tuple((int(box[0]), *map(float, box[1:])) for box in boxes),  # type: ignore[misc]
                tuple(flags),
                step,
            )
            for kind, text, level, page, boxes, flags, step in body["blocks"]
        ],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    return value.isoformat() if isinstance(value, dt.date) else str(value)
