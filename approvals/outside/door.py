"""`/mcp`: the way of outside agents into the web process.

Stateless Streamable HTTP with JSON answers: any web process answers any request. The token is
checked before the protocol is even parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"
MAX_BODY_BYTES = 256 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class McpDoor:
    """ASGI: `/mcp` to the MCP server for agents with a token, everything else to `app`."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self.app = app
        self._managers: dict[int, StreamableHTTPSessionManager] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") != PATH:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")[2].strip()
        from approvals.outside.access import AGENT, agent_of

        access = await database_sync_to_async(agent_of)(token)
        if access is None:
            await _refuse(send)
            return
        manager = await self._manager()
        await manager.handle_request({**scope, AGENT: access}, receive, send)

    async def _manager(self) -> StreamableHTTPSessionManager:
        """The session manager of this event loop, running; started by the first request, because
        Django's server calls no ASGI lifespan."""
        loop = asyncio.get_running_loop()
        manager = self._managers.get(id(loop))
        if manager is None:
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

            from approvals.outside.mcp import server

            manager = StreamableHTTPSessionManager(
                server()._lowlevel_server,
                json_response=True,
                stateless=True,
                max_request_body_size=MAX_BODY_BYTES,
            )
            ready = asyncio.Event()
            task = loop.create_task(_keep(manager, ready))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(partial(self._forget, id(loop)))
            await ready.wait()
            self._managers[id(loop)] = manager
        return manager

    def _forget(self, loop_id: int, _: asyncio.Task[None]) -> None:
        self._managers.pop(loop_id, None)


async def _keep(manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        async with manager.run():
            ready.set()
            await asyncio.Event().wait()


async def _refuse(send: Send) -> None:
    body = json.dumps(
        {"code": "unauthorized", "detail": "Send Authorization: Bearer with an agent's token."}
    ).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
