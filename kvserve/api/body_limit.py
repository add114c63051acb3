"""Refuse bodies over a limit before they fill memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvserve.api.errors import error_response

MAX_BODY_BYTES = 4 << 20


class BodyLimit:
    """ASGI middleware: 413 by Content-Length, or as soon as the bytes received pass the limit."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if int(announced) > self.max_bytes:
            await self._refuse(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise _TooLarge
            return message

        try:
            await self.app(scope, counted, send)
        except _TooLarge:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the body is over {self.max_bytes} bytes"
        response = error_response(message, status=413, code="too_large")
        await response(scope, receive, send)


class _TooLarge(BaseException):
    """Passes through handlers of Exception on its way out of the app."""
