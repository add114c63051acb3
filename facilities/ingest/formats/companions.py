"""The small addresses that agents ask before or beside writing. None of them needs a token."""

from __future__ import annotations

from typing import Final

from facilities.ingest.formats.base import json_response
from facilities.ingest.wire import Response

_PONG: Final = Response(204, headers={"X-Influxdb-Version": "holdpoint", "X-Influxdb-Build": "OSS"})

# 403 is the one answer after which Telegraf's v1 output stops asking before every flush.
_NO_QUERIES: Final = json_response(
    403,
    {
        "error": "this address takes writes only, and needs no database to be created; "
        "in Telegraf set skip_database_creation = true"
    },
)

COMPANIONS: Final[dict[tuple[str, str], Response]] = {
    ("GET", "/ping"): _PONG,
    ("HEAD", "/ping"): _PONG,
    ("GET", "/query"): _NO_QUERIES,
    ("POST", "/query"): _NO_QUERIES,
}
"""Answers by method and path, the same for everybody."""
