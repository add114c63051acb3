"""``Content-Encoding`` undone within a limit: no body grows beyond it in memory."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Final

import cramjam

from facilities.ingest.errors import IngestError, too_large

GZIP_WBITS: Final = 31
ZLIB_WBITS: Final = 15


def decompress(
    body: bytes, headers: Mapping[str, str], *, limit: int, allowed: Collection[str]
) -> bytes:
    """Undo the request's ``Content-Encoding``; never holds more than ``limit`` bytes of result.

    ``allowed`` names the encodings this format takes beside none. Raises ``IngestError``: 415 for
    another encoding, 400 for a broken body, 413 above the limit.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise too_large(limit)
        return body
    if encoding not in allowed:
        raise IngestError(
            415,
            "unsupported_encoding",
            f"Content-Encoding {encoding[:40]!r}: send {' or '.join([*allowed, 'none'])}",
        )
    if encoding == "gzip":
        return _inflate(body, limit, GZIP_WBITS, "gzip")
    if encoding == "deflate":
        return _inflate(body, limit, ZLIB_WBITS, "zlib")
    if encoding == "zstd":
        return _zstd(body, limit)
    return snappy_block(body, limit)


def _inflate(body: bytes, limit: int, wbits: int, name: str) -> bytes:
    parts: list[bytes] = []
    left = limit
    while body:
        stream = zlib.decompressobj(wbits=wbits)
        try:
            parts.append(stream.decompress(body, left + 1))
        except zlib.error as error:
            raise IngestError(400, "malformed", f"the body is not {name}: {error}") from error
        left -= len(parts[-1])
        if left < 0:
            raise too_large(limit)
        if not stream.eof:
            raise IngestError(400, "malformed", f"the {name} body ends too early; send it whole")
        body = stream.unused_data
    return b"".join(parts)


def snappy_block(body: bytes, limit: int) -> bytes:
    """Undo snappy's block format, which says its length up front.

    Raises ``IngestError`` 413 above the limit before anything is allocated, 400 if it is broken.
    """
    try:
        if cramjam.snappy.decompress_raw_len(body) > limit:
            raise too_large(limit)
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        if body[:10] == b"\xff\x06\x00\x00sNaPpY":
            why = "it is snappy's stream format; send the block format"
        else:
            why = str(error)[:200]
        raise IngestError(400, "malformed", f"the body is not snappy: {why}") from error


def _zstd(body: bytes, limit: int) -> bytes:
    size = min(limit, max(64 * 1024, 8 * len(body)))
    while True:
        room = bytearray(size + 1)
        try:
            written = cramjam.zstd.decompress_into(body, room)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise IngestError(
                    400, "malformed", f"the body is not zstd: {str(error)[:200]}"
                ) from error
        else:
            if written <= size:
                return bytes(memoryview(room)[:written])
        if size >= limit:
            raise too_large(limit)
        size = min(limit, size * 8)
