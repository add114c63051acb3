"""What the JSON webhooks (Redfish, Alertmanager) share: a bounded body and an answer by item."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    Headers,
    Query,
    by_item,
    json_response,
    media_type,
    plain_refusal,
    retryable,
    show,
)
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.times import BadTime, from_text
from facilities.ingest.wire import Response, Result, any_token

ENCODINGS: Final = ("gzip",)


def json_object(
    body: bytes, content_type: str, headers: Headers, *, limit: int, what: str
) -> dict[str, Any]:
    """The JSON object of a request. Raises ``IngestError`` 400, 413 or 415.

    A missing ``Content-Type`` passes: some BMCs send none.
    """
    kind = media_type(content_type)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise IngestError(
            415,
            "unsupported_media_type",
            f"Content-Type {show(content_type)}: send application/json",
        )
    text = decompress(body, headers, limit=limit, allowed=ENCODINGS)
    try:
        data = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IngestError(400, "malformed", f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(data, dict):
        raise IngestError(400, "malformed", f"the body is {show(data)}, not {what}")
    return data


def time_of(stamp: Any, default_us: int) -> int:
    """Microseconds of a time in text, the default where there is none. Raises ``BadTime``."""
    if stamp is None or stamp == "":
        return default_us
    if not isinstance(stamp, str):
        raise BadTime(f"{show(stamp)} is not a time such as 2026-03-01T12:00:00Z")
    return from_text(stamp)


def text_of(value: Any) -> str:
    """A label's value: text as it is, numbers and booleans as JSON writes them, else empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def token_or_query(headers: Headers, query: Query) -> str:
    """``any_token``, else ``X-Auth-Token``, else ``?token=`` for senders without headers."""
    return (
        any_token(headers, query)
        or headers.get("x-auth-token", "").strip()
        or query.get("token", "")
    )


def answer(result: Result, headers: Headers, query: Query) -> Response:
    """200 whatever was refused: these senders would repeat the good with the bad.

    What is not taken is listed, and in the quarantine.
    """
    return json_response(
        200,
        {
            "accepted": result.accepted,
            "rejected": [
                {"index": item.index, "code": item.code, "detail": item.detail}
                for item in by_item(result)
            ],
        },
    )


def refuse(error: IngestError, headers: Headers) -> Response:
    """This platform's error shape; 503 in place of 429, which webhooks take for final."""
    return plain_refusal(retryable(error, 408, 429), headers)
