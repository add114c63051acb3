"""What passes between the HTTP door (``asgi.py``) and a wire format (``formats/``)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from facilities.ingest.samples import Rejected, Samples


@dataclass(slots=True)
class Result:
    """What became of a request when its good readings are durable.

    ``received`` counts the samples that the decoder saw (its own rejections included),
    ``accepted`` those that are stored, repeats of stored ones included. ``rejected`` is in the
    order of the request.
    """

    received: int
    accepted: int
    rejected: list[Rejected]
    samples: Samples | None = None


@dataclass(slots=True)
class Response:
    """An HTTP answer: status, body and headers."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def bearer_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The source token of ``Authorization: Token …`` or ``Bearer …``; empty when there is none.

    ``headers`` have lower-case names.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("token", "bearer") else ""


def any_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """``bearer_token``, else the password of basic authentication, else InfluxDB v1's ``p``."""
    token = bearer_token(headers, query)
    if token:
        return token
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return ""
        return password
    return query.get("p", "")
