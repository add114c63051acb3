"""Calls a format as the ASGI door does, without the door."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import FORMATS, Format
from facilities.ingest.samples import Rejected, Samples
from facilities.ingest.wire import Response, Result

NOW_US = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z
LIMIT = 4 * 1024 * 1024
BY_NAME: dict[str, Format] = {wire.name: wire for wire in FORMATS}
MESSAGES = Path(__file__).parent.parent / "messages"


def decoded(
    name: str,
    body: bytes,
    content_type: str = "",
    *,
    query: dict[str, str] | None = None,
    limit: int = LIMIT,
    **headers: Any,
) -> Samples:
    """The samples of a body; header names with ``_`` for ``-``."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    sent["content-type"] = content_type
    return BY_NAME[name].decode(body, content_type, sent, query or {}, NOW_US, limit)


def refused(name: str, body: bytes, content_type: str = "", **more: Any) -> IngestError:
    """The error of a body that is refused as a whole."""
    try:
        samples = decoded(name, body, content_type, **more)
    except IngestError as error:
        return error
    raise AssertionError(f"not refused: {samples}")


def listed(samples: Samples) -> list[tuple[str, int, float | str]]:
    """(series, ts_us, value or text) in the order of the request."""
    return [
        (
            samples.names[samples.series[at]],
            int(samples.ts_us[at]),
            samples.text.get(at, float(samples.value[at])),
        )
        for at in range(len(samples))
    ]


def answered(
    name: str,
    samples: Samples,
    *more: Rejected,
    query: dict[str, str] | None = None,
    **headers: str,
) -> Response:
    """The answer when everything decoded is stored but for ``more``."""
    rejected = sorted([*samples.rejected, *more], key=lambda item: item.index)
    received = len(samples) + len(samples.rejected)
    lost = len({item.index for item in rejected})
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    result = Result(received, received - lost, rejected, samples)
    return BY_NAME[name].answer(result, sent, query or {})


def refusal(name: str, error: IngestError, **headers: str) -> Response:
    """The answer to a whole request that is refused."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return BY_NAME[name].refuse(error, sent)


def parsed(response: Response) -> Any:
    """The JSON of an answer."""
    assert response.content_type == "application/json"
    return json.loads(response.body)


def zipped(text: str | bytes) -> bytes:
    """A body as agents gzip it."""
    return gzip.compress(text.encode() if isinstance(text, str) else text)
