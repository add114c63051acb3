"""POST /v1/completions."""

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
from kvserve.api.logprobs import completion_logprobs
from kvserve.api.protocol import MAX_PROMPTS, CompletionBody
from kvserve.api.service import Service
from kvserve.api.sse import event_stream
from kvserve.errors import RequestRefused

router = APIRouter()

DEFAULT_MAX_TOKENS = 16  # OpenAI's


@router.post("/v1/completions", response_model=None)
async def completions(body: CompletionBody, request: Request) -> Response | dict[str, Any]:
    """Continue one or several prompts, given as text or token ids."""
    service: Service = request.app.state.service
    engine = service.engine
    service.check_llm(body.model)
    if not 1 <= len(body.prompts) <= MAX_PROMPTS:
        raise RequestRefused(
            f"{len(body.prompts)} prompts: between 1 and {MAX_PROMPTS} are accepted", param="prompt"
        )
    tokenizer = service.tokenizer
    prompts = [
        await run_in_threadpool(tokenizer.encode, prompt) if isinstance(prompt, str) else prompt
        for prompt in body.prompts
    ]
    params = await sampling_params(
        body, engine=engine, max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS
    )
    generation = Generation(
        engine, prompts, params, n=body.n, priority=body.priority, origin=origin_of(request, body)
    )
    head = {
        "id": f"cmpl-{uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": engine.model_name,
    }
    if body.stream:
        return event_stream(_chunks(body, request, generation, head))
    async with cancelled_on_disconnect(request, generation):
        choices = [
            _choice(
                choice.number,
                choice.text,
                choice.finish.value,
                completion_logprobs(choice.logprobs, service.tokenizer, body),
            )
            for choice in await generation.choices()
        ]
    return {**head, "choices": choices, "usage": generation.usage()}


def _choice(index: int, text: str, finish: str | None, logprobs: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


async def _chunks(
    body: CompletionBody, request: Request, generation: Generation, head: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    tokenizer = generation.engine.runner.tokenizer
    async with cancelled_on_disconnect(request, generation):
        async for index, delta in generation:
            if delta.text or delta.logprobs or delta.finish is not None:
                finish = delta.finish.value if delta.finish else None
                logprobs = completion_logprobs(delta.logprobs, tokenizer, body)
                yield {**head, "choices": [_choice(index, delta.text, finish, logprobs)]}
        if body.stream_options and body.stream_options.include_usage:
            yield {**head, "choices": [], "usage": generation.usage()}
