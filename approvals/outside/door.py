"""`/mcp`: the way of outside agents into the web process.

Stateless Streamable HTTP with JSON answers: any web process answers any request. The token is
checked before the protocol is even parsed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from channels.db import database_sync_to_async

PATH = "/mcp"
MAX_BODY_BYTES = 256 * 1024

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class McpDoor:
    """ASGI: `/mcp` to the MCP server for agents with a token, everything else to `app`."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") != PATH:
            await self.app(scope, receive, send)
            return
        from approvals.outside.access import AGENT, agent_of

        headers = dict(scope["headers"])
        token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")[2].strip()
        access = await database_sync_to_async(agent_of)(token)
        if access is None:
            await _refuse(send)
            return
        await _serve({**scope, AGENT: access}, receive, send)


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    """One request. Its session manager lives as long as it does, so that nothing is left running
    in the background for a server that calls no ASGI lifespan."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from approvals.outside.mcp import server

    manager = StreamableHTTPSessionManager(
        server()._lowlevel_server,
        json_response=True,
        stateless=True,
        max_request_body_size=MAX_BODY_BYTES,
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)


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
