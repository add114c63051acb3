"""The native format: ``{"readings": [{"point", "ts", "value"}]}`` or one object per line."""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from facilities.ingest.errors import IngestError, too_large

MAX_READINGS: Final = 50_000
"""Readings in one request; assumed, keeps one transaction below about a second."""

JSON_TYPES: Final = frozenset({"application/json"})
NDJSON_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson"})


class Malformed:
    """Stands in the list of items for one that could not be parsed."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Undo ``Content-Encoding``; never holds more than ``limit`` bytes of result.

    Raises ``IngestError``: 415 for an encoding other than gzip, 400 for broken gzip, 413 above
    the limit.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise IngestError(
            415, "unsupported_encoding", f"Content-Encoding {encoding[:40]!r}: send gzip or none"
        )
    parts: list[bytes] = []
    left = limit
    while body:
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(body, left + 1))
        except zlib.error as error:
            raise IngestError(400, "malformed", f"the body is not gzip: {error}") from error
        left -= len(parts[-1])
        if left < 0:
            raise too_large(limit)
        if not stream.eof:
            raise IngestError(400, "malformed", "the gzip body ends too early; send it whole")
        body = stream.unused_data
    return b"".join(parts)


def parse(body: bytes, content_type: str) -> list[Any]:
    """Return the items of a body, unchecked; ``Malformed`` where a line is not JSON.

    Raises ``IngestError``: 415 for another content type, 400 for a body that is not the format,
    413 for more than ``MAX_READINGS`` items.
    """
    if content_type in JSON_TYPES:
        items = _parse_json(body)
    elif content_type in NDJSON_TYPES:
        items = _parse_ndjson(body)
    else:
        raise IngestError(
            415,
            "unsupported_media_type",
            f"Content-Type {content_type[:60]!r}: send application/json or application/x-ndjson",
        )
    if len(items) > MAX_READINGS:
        raise IngestError(
            413,
            "too_large",
            f"{len(items):,} readings in one request; send at most {MAX_READINGS:,}",
        )
    return items


def _parse_json(body: bytes) -> list[Any]:
    try:
        data = _loads(body)
    except (ValueError, RecursionError) as error:
        raise IngestError(400, "malformed", f"the body is not JSON: {_why(error)}") from error
    readings = data.get("readings") if isinstance(data, dict) else None
    if not isinstance(readings, list):
        raise IngestError(
            400, "malformed", 'the body must be {"readings": [{"point", "ts", "value"}, …]}'
        )
    return readings


def _parse_ndjson(body: bytes) -> list[Any]:
    lines = body.split(b"\n", MAX_READINGS * 2)
    if len(lines) > MAX_READINGS * 2:
        raise IngestError(413, "too_large", f"too many lines; send at most {MAX_READINGS:,}")
    items: list[Any] = []
    for line in lines:
        line = line.strip()
        if not line:
            continue
        try:
            items.append(_loads(line))
        except (ValueError, RecursionError) as error:
            items.append(Malformed(f"the line is not JSON: {_why(error)}"))
    return items


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        # A whole number of more than 4,300 digits stops the parser; as infinity it is refused
        # with its index instead of taking the whole batch with it.
        return json.loads(body, parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float("inf")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)[:200]
