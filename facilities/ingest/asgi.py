"""The door for pushes: an ASGI application in front of Django.

A push never becomes a Django request: the token is looked up in memory, the body is read under
bounds, decoded, and handed to the committer; the answer leaves when the commit has returned.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import parse_qsl

from django.db import Error as DatabaseError
from django.db import connection

from facilities.ingest import messages, publish
from facilities.ingest.auth import RECHECK_S, Sender, check, senders
from facilities.ingest.committer import Committer, Done
from facilities.ingest.errors import IngestError, busy, database_away, too_large
from facilities.ingest.flow import tally
from facilities.ingest.formats import COMPANIONS, FORMATS, Format
from facilities.ingest.limits import RateLimits
from facilities.ingest.pipeline import Push
from facilities.ingest.wire import Response

logger = logging.getLogger(__name__)

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

INLINE_BYTES: Final = 256 * 1024
"""Larger bodies are decoded in a thread, so that they do not hold up the others (assumed)."""

BODIES_BYTES: Final = 128 * 1024 * 1024
"""Bytes of bodies in memory at once; beyond it requests are refused with 503 (assumed)."""

BODY_S: Final = 30.0
"""Longest time that a body may take to arrive; assumed."""

ANSWER_S: Final = 30.0
"""Longest time that a request waits for its commit; assumed."""

STRANGERS: Final = 500
"""Requests with an unknown token that may wait for the sources to be read again (assumed)."""

DRAINED_BYTES: Final = 64 * 1024
"""A refused body up to this size is read and dropped, so that the connection can live on."""


class PushApp:
    """Takes pushes; everything else goes to ``app``. ``limit``: bytes of one body.

    One per process. Safe with several event loops.
    """

    def __init__(self, app: App, *, limit: int) -> None:
        self.app, self.limit = app, limit
        self.formats: dict[str, Format] = {path: f for f in FORMATS for path in f.paths}
        self.committer = Committer()
        self.rates = RateLimits()
        self.bodies = 0
        """Bytes of the bodies that are in memory now."""
        self._strangers = 0
        self._helpers = ThreadPoolExecutor(1, thread_name_prefix="push")
        self._listeners: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Done] = (
            weakref.WeakKeyDictionary()
        )

    def close(self) -> None:
        """Commit what waits, then end the threads and their database connections."""
        self.committer.close()
        self._helpers.submit(lambda: connection.close())  # the thread's own
        self._helpers.shutdown()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            publish.start()
            path = scope["path"]
            found = self.formats.get(path) or self.formats.get(path.rstrip("/"))
            if found is not None and scope["method"] == "POST":
                await self._push(found, scope, receive, send)
                return
            companion = COMPANIONS.get((scope["method"], path))
            if companion is not None:
                await _send(send, companion)
                return
        await self.app(scope, receive, send)

    async def _push(
        self, wire: Format, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = dict(reversed(parse_qsl(scope["query_string"].decode("latin-1"), True)))
        body = _Body(self, receive, headers)
        sender: Sender | None = None
        try:
            try:
                body.check_declared()
                sender = await self._sender(wire.token(headers, query), scope.get("client"))
                raw = await body.read()
                push = await self._decoded(wire, sender, raw, headers, query)
                await self._stored(push)
            finally:
                body.release()
            assert push.result is not None  # noqa: S101 - neither result nor error is a bug
            response = wire.answer(push.result, headers, query)
        except IngestError as error:
            if sender is not None:
                tally.note_refused(sender.source_id, size=body.size)
            response = wire.refuse(error, headers)
        except _Gone:
            return
        except Exception:
            logger.exception("%s: a push failed", scope["path"])
            detail = "this server failed on the request, nothing of it is stored; see its log"
            response = wire.refuse(IngestError(500, "error", detail), headers)
        if not await body.drain():
            response.headers = {**response.headers, "Connection": "close"}
        await _send(send, response)

    async def _sender(self, token: str, client: tuple[str, int] | None) -> Sender:
        found = senders.find(token) if token else None
        if token and senders.needs_reading(found):
            found = await self._reread(token)
        elif token and found is None:
            # It may have been issued since the table was read: look once more, a moment later.
            if self._strangers >= STRANGERS:
                raise busy("too many requests with unknown tokens")
            self._strangers += 1
            try:
                await asyncio.sleep(RECHECK_S)
                found = senders.find(token)
                if senders.needs_reading(found):
                    found = await self._reread(token)
            finally:
                self._strangers -= 1
        return check(found, token=token, address=client[0] if client else None)

    async def _reread(self, token: str) -> Sender | None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._helpers, _read_senders, time.monotonic())
        except DatabaseError as error:
            logger.warning("a push is refused, the database is away: %s", error)
            raise database_away() from error
        return senders.find(token)

    async def _decoded(
        self,
        wire: Format,
        sender: Sender,
        body: bytes,
        headers: dict[str, str],
        query: dict[str, str],
    ) -> Push:
        received_us = time.time_ns() // 1_000
        arguments = (body, headers.get("content-type", ""), headers, query, received_us, self.limit)
        began = time.perf_counter()
        if len(body) <= INLINE_BYTES:
            samples = wire.decode(*arguments)
        else:
            loop = asyncio.get_running_loop()
            samples = await loop.run_in_executor(self._helpers, wire.decode, *arguments)
        push = Push(
            sender=sender,
            samples=samples,
            received_us=received_us,
            strict=wire.name == "native",
            format=wire.name,
            bytes=len(body),
            decode_s=time.perf_counter() - began,
        )
        self.rates.take(sender, push.size)
        shown = _beginning(body, headers.get("content-encoding", ""))
        messages.remember(sender.source_id, samples, format=wire.name, body=shown)
        return push

    async def _stored(self, push: Push) -> None:
        """Return when the push is durable. Raises its error otherwise."""
        loop = asyncio.get_running_loop()
        push.waiter = loop.create_future()
        self.committer.submit(push, self._listener(loop))
        try:
            async with asyncio.timeout(ANSWER_S):
                await push.waiter
        except TimeoutError:
            raise IngestError(
                503,
                "slow_database",
                f"the database did not commit within {ANSWER_S:.0f} s; send the request again, "
                "repeating stored readings is safe",
                retry_after_s=5,
            ) from None
        if push.error is not None:
            raise push.error

    def _listener(self, loop: asyncio.AbstractEventLoop) -> Done:
        found = self._listeners.get(loop)
        if found is None:

            def done(pushes: list[Push]) -> None:
                loop.call_soon_threadsafe(_resolve, pushes)

            found = self._listeners[loop] = done
        return found


def _read_senders(not_before: float) -> None:
    try:
        senders.read(not_before=not_before)
    except DatabaseError:
        connection.close()  # the thread's own; the next look finds out whether the database is back
        raise


def _resolve(pushes: list[Push]) -> None:
    for push in pushes:
        if push.waiter is not None and not push.waiter.done():
            push.waiter.set_result(None)


def _beginning(body: bytes, encoding: str) -> bytes:
    """What a page shows of a body: its beginning when it is text, plain or gzip."""
    if encoding.strip().lower() == "gzip":
        try:
            return zlib.decompressobj(wbits=31).decompress(body, messages.MAX_RAW)
        except zlib.error:
            return b""
    return b"" if encoding.strip() else body


class _Gone(Exception):
    """The client went away before its body had arrived."""


class _Body:
    """The body of one request, counted against the process's bound while it is in memory."""

    def __init__(self, door: PushApp, receive: Receive, headers: dict[str, str]) -> None:
        self.door, self.receive, self.headers = door, receive, headers
        self.size = 0
        self.complete = False
        declared = headers.get("content-length", "0")
        self.declared = int(declared[:20]) if declared.isdigit() else 0

    def check_declared(self) -> None:
        """Refuse by the declared length, before anything is read."""
        if self.declared > self.door.limit:
            raise too_large(self.door.limit)
        if self.door.bodies + self.declared > BODIES_BYTES:
            raise busy(f"{self.door.bodies:,} bytes of other requests are in work")

    async def read(self) -> bytes:
        """The whole body. Raises ``IngestError`` 413, 503 or 408, and ``_Gone``."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_S):
                while not self.complete:
                    part = await self._next()
                    if self.size > self.door.limit:
                        raise too_large(self.door.limit)
                    if self.door.bodies > BODIES_BYTES:
                        raise busy(f"{self.door.bodies:,} bytes of other requests are in work")
                    parts.append(part)
        except TimeoutError:
            raise IngestError(
                408, "too_slow", f"the body did not arrive within {BODY_S:.0f} s; send it again"
            ) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part: bytes = message.get("body", b"")
        self.complete = not message.get("more_body", False)
        self.size += len(part)
        self.door.bodies += len(part)
        return part

    def release(self) -> None:
        """Give the bytes back to the bound."""
        self.door.bodies -= self.size

    async def drain(self) -> bool:
        """Read and drop the rest of a small body; whether the connection can be kept."""
        if self.complete:
            return True
        if not 0 < self.declared <= DRAINED_BYTES:
            return False
        left = self.declared - self.size
        try:
            async with asyncio.timeout(1.0):
                while not self.complete and left >= 0:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        return False
                    left -= len(message.get("body", b""))
                    self.complete = not message.get("more_body", False)
        except TimeoutError:
            return False
        return self.complete


async def _send(send: Send, response: Response) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
    ]
    if response.body or response.status != 204:
        headers.append((b"content-type", response.content_type.encode("latin-1")))
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
