"""The native format: ``{"readings": [{"point", "ts", "value"}]}`` or one object per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    MAX_SAMPLES,
    Format,
    Headers,
    Query,
    checked,
    json_response,
    media_type,
    plain_refusal,
    raw_text,
    show,
)
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.times import EPOCH_MOST, MS_FROM, BadTime, from_number, from_text
from facilities.ingest.samples import Rejected, Samples, Times
from facilities.ingest.wire import Response, Result, any_token

JSON_TYPES: Final = frozenset({"application/json"})
NDJSON_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson"})
ENCODINGS: Final = ("gzip", "zstd")


class _Item(msgspec.Struct, gc=False):
    point: str
    ts: str | int | float
    value: float


class _Body(msgspec.Struct, gc=False):
    readings: list[_Item]


_body = msgspec.json.Decoder(_Body)
_line = msgspec.json.Decoder(_Item)


class Malformed:
    """Stands in the list of items for one that could not be parsed."""

    __slots__ = ("raw", "reason")

    def __init__(self, reason: str, raw: bytes) -> None:
        self.reason, self.raw = reason, raw


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read a batch. 0.4 µs a reading when every item is as documented, 2 µs when one is not.

    Raises ``IngestError``: 415 for another content type, 400 for a body that is not the format,
    413 for too much of it.
    """
    kind = media_type(content_type)
    if kind not in JSON_TYPES and kind not in NDJSON_TYPES:
        raise IngestError(
            415,
            "unsupported_media_type",
            f"Content-Type {content_type[:60]!r}: send application/json or application/x-ndjson",
        )
    text = decompress(body, headers, limit=limit, allowed=ENCODINGS)
    try:
        items = _body.decode(text).readings if kind in JSON_TYPES else _line.decode_lines(text)
        samples = _columns(items)
    except (msgspec.MsgspecError, BadTime, RecursionError, UnicodeDecodeError):
        # Something in it is not as documented: read item by item to say what, and take the rest.
        samples = _one_by_one(_parse_json(text) if kind in JSON_TYPES else _parse_ndjson(text))
    checked(samples)
    return samples


def _columns(items: Sequence[_Item]) -> Samples:
    if len(items) > MAX_SAMPLES:
        raise _too_many(len(items))
    tags = [item.point for item in items]
    ids = {tag: at for at, tag in enumerate(dict.fromkeys(tags))}
    return Samples(
        names=list(ids),
        series=np.fromiter(map(ids.__getitem__, tags), np.int32, len(tags)),
        ts_us=_times([item.ts for item in items]),
        value=np.array([item.value for item in items], np.float64),
        index=np.arange(len(tags), dtype=np.int32),
    )


def _times(stamps: list[str | int | float]) -> Times:
    kinds = set(map(type, stamps))
    if kinds == {str}:
        known = {stamp: from_text(stamp) for stamp in set(stamps)}  # type: ignore[arg-type]
        return np.fromiter(map(known.__getitem__, stamps), np.int64, len(stamps))
    if str in kinds:
        return np.array(
            [from_text(s) if isinstance(s, str) else from_number(s) for s in stamps], np.int64
        )
    try:
        epoch = np.array(stamps, np.float64)
    except OverflowError as error:
        raise BadTime("a time beyond all measure") from error
    size = np.abs(epoch)
    if not (size < EPOCH_MOST).all():
        raise BadTime("a time beyond all measure")
    return np.rint(epoch * np.where(size >= MS_FROM, 1e3, 1e6)).astype(np.int64)


def _one_by_one(items: list[Any]) -> Samples:
    if len(items) > MAX_SAMPLES:
        raise _too_many(len(items))
    ids: dict[str, int] = {}
    rows: list[tuple[int, int, float, int]] = []
    rejected: list[Rejected] = []
    text: dict[int, str] = {}
    for index, item in enumerate(items):
        try:
            tag, ts_us, value = _read(item)
        except _Refused as refused:
            raw = item.raw if isinstance(item, Malformed) else _dumped(item)
            rejected.append(Rejected(index, refused.code, refused.detail, raw_text(raw)))
            continue
        if isinstance(value, str):
            text[len(rows)] = raw_text(value)
            value = float("nan")
        rows.append((ids.setdefault(tag, len(ids)), ts_us, value, index))
    return Samples(
        names=list(ids),
        series=np.array([row[0] for row in rows], np.int32),
        ts_us=np.array([row[1] for row in rows], np.int64),
        value=np.array([row[2] for row in rows], np.float64),
        index=np.array([row[3] for row in rows], np.int32),
        rejected=rejected,
        text=text,
    )


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


def _read(item: Any) -> tuple[str, int, float | str]:
    try:
        tag, stamp, value = item["point"], item["ts"], item["value"]
    except (KeyError, TypeError, IndexError):
        raise _Refused("malformed", _missing(item)) from None
    if not isinstance(tag, str):
        raise _Refused("malformed", f"point must be a tag in text, not {show(tag)}")
    kind = type(value)
    if kind is int:
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")
    elif kind is not float and kind is not str:
        raise _Refused("bad_value", f"point {show(tag)}: {show(value)} is not a number")
    try:
        ts_us = from_text(stamp) if isinstance(stamp, str) else from_number(stamp)
    except BadTime as error:
        raise _Refused("bad_timestamp", f"point {show(tag)}: {error}") from None
    return tag, ts_us, value


def _missing(item: Any) -> str:
    if isinstance(item, Malformed):
        return item.reason
    if not isinstance(item, dict):
        return f"{show(item)} is not an object with point, ts and value"
    missing = [key for key in ("point", "ts", "value") if key not in item]
    return f"{' and '.join(missing)} missing; a reading has point, ts and value"


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
    lines = body.split(b"\n", MAX_SAMPLES * 2)
    if len(lines) > MAX_SAMPLES * 2:
        raise _too_many(len(lines))
    items: list[Any] = []
    for line in lines:
        line = line.strip()
        if not line:
            continue
        try:
            items.append(_loads(line))
        except (ValueError, RecursionError) as error:
            items.append(Malformed(f"the line is not JSON: {_why(error)}", line))
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


def _dumped(item: Any) -> str:
    try:
        return json.dumps(item, ensure_ascii=False)
    except (ValueError, RecursionError):
        return show(item)


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)[:200]


def _too_many(count: int) -> IngestError:
    return IngestError(
        413,
        "too_large",
        f"{count:,} readings in one request; send at most {MAX_SAMPLES:,}",
    )


def _answer(result: Result, headers: Headers, query: Query) -> Response:
    return json_response(
        200,
        {
            "accepted": result.accepted,
            "rejected": [
                {"index": item.index, "code": item.code, "detail": item.detail}
                for item in result.rejected
            ],
        },
    )


NATIVE = Format(
    name="native",
    paths=("/api/v1/readings",),
    token=any_token,
    decode=decode,
    answer=_answer,
    refuse=plain_refusal,
)
