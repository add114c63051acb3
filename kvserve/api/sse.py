"""Server-sent events in OpenAI's framing."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from kvserve.api.errors import error_body
from kvserve.api.generation import EngineError


async def _events(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    try:
        async for chunk in chunks:
            yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    except EngineError as error:
        yield f"data: {json.dumps(error_body(str(error), status=500, code='engine_error'))}\n\n"
    yield "data: [DONE]\n\n"


def event_stream(chunks: AsyncIterator[dict[str, Any]]) -> StreamingResponse:
    """Stream JSON chunks, ended by [DONE]; a failure is an `error` event before it."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(chunks), media_type="text/event-stream", headers=headers)
