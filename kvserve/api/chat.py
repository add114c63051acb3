"""POST /v1/chat/completions."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from kvserve.api.generation import (
    Generation,
    cancelled_on_disconnect,
    origin_of,
    sampling_params,
)
from kvserve.api.logprobs import chat_logprobs
from kvserve.api.protocol import ChatBody
from kvserve.api.service import Service
from kvserve.api.sse import event_stream
from kvserve.errors import RequestRefused

router = APIRouter()


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(body: ChatBody, request: Request) -> Response | dict[str, Any]:
    """Answer a conversation; unset max_tokens means: to the end of the context."""
    service: Service = request.app.state.service
    engine = service.engine
    service.check_llm(body.model)
    template = service.chat_template
    prompt = await run_in_threadpool(
        template.encode, [message.plain() for message in body.messages]
    )
    room = engine.runner.max_model_len - len(prompt)
    if room < 1:
        raise RequestRefused(
            f"the conversation has {len(prompt)} tokens, which leaves none of this server's context"
            f" of {engine.runner.max_model_len} for an answer: shorten it",
            param="messages",
        )
    wanted = body.max_completion_tokens or body.max_tokens or room
    params = await sampling_params(body, engine=engine, max_tokens=wanted)
    generation = Generation(
        engine, [prompt], params, n=body.n, priority=body.priority, origin=origin_of(request, body)
    )
    head = {
        "id": f"chatcmpl-{uuid4().hex}",
        "created": int(time.time()),
        "model": engine.model_name,
    }
    if body.stream:
        return event_stream(_chunks(body, request, generation, head))
    async with cancelled_on_disconnect(request, generation):
        choices = [
            {
                "index": choice.number,
                "message": {"role": "assistant", "content": choice.text},
                "logprobs": chat_logprobs(choice.logprobs, engine.runner.tokenizer, body),
                "finish_reason": choice.finish.value,
            }
            for choice in await generation.choices()
        ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": generation.usage()}


async def _chunks(
    body: ChatBody, request: Request, generation: Generation, head: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    base = {**head, "object": "chat.completion.chunk"}

    tokenizer = generation.engine.runner.tokenizer

    def chunk(
        index: int, delta: dict[str, str], finish: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return {**base, "choices": [{**choice, **({"logprobs": logprobs} if logprobs else {})}]}

    async with cancelled_on_disconnect(request, generation):
        for index in range(body.n):
            yield chunk(index, {"role": "assistant", "content": ""})
        async for index, delta in generation:
            if delta.text or delta.logprobs:
                logprobs = chat_logprobs(delta.logprobs, tokenizer, body)
                yield chunk(index, {"content": delta.text}, logprobs=logprobs)
            if delta.finish is not None:
                yield chunk(index, {}, delta.finish.value)
        if body.stream_options and body.stream_options.include_usage:
            yield {**base, "choices": [], "usage": generation.usage()}
