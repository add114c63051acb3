"""Refuse requests without the server's key."""

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kvserve.api.errors import error_response

OPEN_PATHS = ("/health",)


class RequireKey:
    """ASGI middleware: 401 unless `Authorization: Bearer KEY` is sent; /health stays open."""

    def __init__(self, app: ASGIApp, *, key: str) -> None:
        self.app = app
        self.expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("authorization", "").encode()
        if hmac.compare_digest(sent, self.expected):
            await self.app(scope, receive, send)
            return
        message = "this server asks for its API key: send it as 'Authorization: Bearer …'"
        await error_response(message, status=401, code="invalid_api_key")(scope, receive, send)
