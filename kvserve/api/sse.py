"""Server-sent events in OpenAI's framing."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from kvserve.api.errors import error_body
from kvserve.api.generation import EngineError

log = logging.getLogger("kvserve.api")

STALL_S = 60.0  # what a client may take to make room for the next event


class EventStream(StreamingResponse):
    """Stream JSON chunks, ended by [DONE]; a failure is an `error` event before it.

    A client that takes nothing for `STALL_S` is let go, so that it can't hold its request for ever.
    """

    def __init__(self, chunks: AsyncGenerator[dict[str, Any]]) -> None:
        self._events = _events(chunks)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(self._events, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def timed(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        try:
            await super().__call__(scope, receive, timed)
        except TimeoutError:
            log.warning("a client took nothing of its stream for %.0f s and is let go", STALL_S)
        finally:
            await self._events.aclose()  # else it would hold its sequences until collected


async def _events(chunks: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[str]:
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    except EngineError as error:
        yield f"data: {json.dumps(error_body(str(error), status=500, code=error.code))}\n\n"
    yield "data: [DONE]\n\n"
