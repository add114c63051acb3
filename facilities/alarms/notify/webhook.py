"""One signed POST, as the Standard Webhooks specification has it (standardwebhooks.com).

``webhook-id`` is the idempotency key: the same at every attempt. ``webhook-signature`` is
``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body`` with the channel's secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Final, NamedTuple

import httpx
from django.conf import settings

from facilities.models import NotificationChannel

from .targets import Target, resolve

TIMEOUT_S: Final = 5.0
"""Assumed: a receiver that takes longer queues its work badly; the next attempt finds it."""

KEPT_OF_ANSWER: Final = 200


class Answer(NamedTuple):
    """What came back: 2xx is delivered, and what of a failure is worth another attempt."""

    ok: bool
    again: bool
    text: str


def secret_of(channel: NotificationChannel) -> str:
    """Return the channel's signing secret, ``whsec_…``; derived, never stored."""
    key = hmac.new(
        settings.SECRET_KEY.encode(), f"webhook:{channel.salt}".encode(), hashlib.sha256
    ).digest()
    return "whsec_" + base64.b64encode(key).decode()


def signature(secret: str, key: str, timestamp: int, body: bytes) -> str:
    """Return the header that proves who sent the body, and when."""
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{key}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()


def post(*, url: str, secret: str, key: str, timestamp: int, body: bytes) -> Answer:
    """Send once. Never raises for what the network does; raises ``Refused`` for the address."""
    try:
        target = resolve(url)
    except OSError as error:
        return Answer(False, True, f"the host is not found: {error}")
    headers = {
        "Host": _host(target),
        "Content-Type": "application/json",
        "User-Agent": f"Holdpoint/{settings.VERSION}",
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, key, timestamp, body),
    }
    extensions: dict[str, Any] = {"sni_hostname": target.host}
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "POST", _address(target), content=body, headers=headers, extensions=extensions
            ) as response,
        ):
            text = next(response.iter_bytes(KEPT_OF_ANSWER), b"")[:KEPT_OF_ANSWER]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(False, True, f"{type(error).__name__}: {error}")
    said = text.decode(errors="replace").replace("\0", "")
    status = response.status_code
    # 4xx is about the message, which the next attempt sends again; 408 and 429 are about time.
    again = status >= 500 or status in (408, 425, 429)
    return Answer(200 <= status < 300, again, f"{status} {said}".strip())


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = 443 if target.scheme == "https" else 80
    return host if target.port == default else f"{host}:{target.port}"


def _address(target: Target) -> str:
    host = f"[{target.address}]" if ":" in target.address else target.address
    return f"{target.scheme}://{host}:{target.port}{target.path}"
