"""InfluxDB's write addresses, v2 and v1, as Telegraf and the InfluxDB clients use them.

The good lines of a body are stored whatever the others hold; 400 then lists the others. Agents
drop a batch at 400, so nothing is sent twice and nothing loops.
"""

from __future__ import annotations

from typing import Any, Final

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    MAX_LISTED,
    Format,
    Headers,
    Query,
    by_item,
    json_response,
    raw_text,
    retry_headers,
    retryable,
    summary,
)
from facilities.ingest.formats.line_protocol import decode
from facilities.ingest.wire import Response, Result, any_token


def _answer_v2(result: Result, headers: Headers, query: Query) -> Response:
    if not result.rejected:
        return Response(204)
    listed, message = _partial(result)
    return json_response(
        400,
        {
            "code": "invalid",
            "message": message,
            "line": listed[0]["line_number"],
            "data": listed,
        },
    )


def _answer_v1(result: Result, headers: Headers, query: Query) -> Response:
    if not result.rejected:
        return Response(204)
    listed, message = _partial(result)
    return json_response(
        400, {"error": message, "data": listed}, **{"X-Influxdb-Error": "partial write"}
    )


def _partial(result: Result) -> tuple[list[dict[str, Any]], str]:
    """The refused lines as InfluxDB 3 lists them, and one text that says the same."""
    rejected = by_item(result)
    message = (
        f"partial write: {result.accepted:,} of {result.received:,} values are stored, "
        f"{len(rejected):,} are not (kept in the quarantine):\n{summary(rejected, 'line', 20)}"
    )
    return [
        {
            "line_number": item.index + 1,
            "code": item.code,
            "error_message": item.detail,
            "original_line": raw_text(item.raw),
        }
        for item in rejected[:MAX_LISTED]
    ], message


V2_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    413: "request too large",
    415: "invalid",
    429: "too many requests",
    503: "unavailable",
}
"""InfluxDB's words for a status, from its v2 API's error codes."""


def _refuse_v2(error: IngestError, headers: Headers) -> Response:
    error = retryable(error, 408)
    code = V2_CODES.get(error.status, "internal error")
    return json_response(
        error.status, {"code": code, "message": error.detail}, **retry_headers(error)
    )


def _refuse_v1(error: IngestError, headers: Headers) -> Response:
    # Telegraf's v1 output drops a batch at every 4xx, 429 included, and keeps it at 5xx.
    error = retryable(error, 408, 429)
    reason = error.detail.encode("ascii", "replace").decode().replace("\n", " ")[:200]
    return json_response(
        error.status,
        {"error": error.detail},
        **{"X-Influxdb-Error": reason},
        **retry_headers(error),
    )


def _token(headers: Headers, query: Query) -> str:
    """``any_token``; clients of the v1 shape write ``Token user:token``."""
    token = any_token(headers, query)
    return token.rpartition(":")[2]


INFLUX_V2: Final = Format(
    name="influx",
    paths=("/api/v2/write",),
    token=_token,
    decode=decode,
    answer=_answer_v2,
    refuse=_refuse_v2,
)
INFLUX_V1: Final = Format(
    name="influx_v1",
    paths=("/write",),
    token=_token,
    decode=decode,
    answer=_answer_v1,
    refuse=_refuse_v1,
)
