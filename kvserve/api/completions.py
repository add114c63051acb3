"""POST /v1/completions."""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from kvserve.api.entry import enter
from kvserve.api.generation import (
    Generation,
    answer_head,
    cancelled_on_disconnect,
    origin_of,
    sampling_params,
)
from kvserve.api.logprobs import completion_logprobs
from kvserve.api.protocol import MAX_PROMPTS, CompletionBody
from kvserve.api.sse import EventStream
from kvserve.errors import RequestRefused
from kvserve.text.tokenizer import Tokenizer

router = APIRouter()

DEFAULT_MAX_TOKENS = 16  # OpenAI's


@router.post("/v1/completions", response_model=None)
async def completions(body: CompletionBody, request: Request) -> Response | dict[str, Any]:
    """Continue one or several prompts, given as text or token ids."""
    if not 1 <= len(body.prompts) <= MAX_PROMPTS:
        raise RequestRefused(
            f"{len(body.prompts)} prompts: between 1 and {MAX_PROMPTS} are accepted", param="prompt"
        )
    entered = await enter(request, body.model, priority=body.priority, places=len(body.prompts))
    engine = entered.engine
    tokenizer = engine.runner.tokenizer
    prompts = [
        await run_in_threadpool(tokenizer.encode, prompt) if isinstance(prompt, str) else prompt
        for prompt in body.prompts
    ]
    params = await sampling_params(
        body,
        engine=engine,
        max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS,
        grammar=await run_in_threadpool(body.answer_grammar),
    )
    generation = Generation(
        engine,
        prompts,
        params,
        n=body.n,
        priority=body.priority,
        origin=origin_of(request, body),
        adapter=entered.adapter,
    )
    echoes = [_echo(prompt, tokenizer) if body.echo else "" for prompt in body.prompts]
    head = {**answer_head("cmpl", entered), "object": "text_completion"}
    if body.stream:
        return EventStream(_chunks(body, request, generation, head, echoes))
    async with cancelled_on_disconnect(request, generation):
        choices = [
            _choice(
                choice.number,
                echoes[choice.number // body.n] + choice.text,
                choice.finish.value,
                completion_logprobs(choice.logprobs, tokenizer, body),
            )
            for choice in await generation.choices()
        ]
    return {**head, "choices": choices, "usage": generation.usage()}


def _choice(index: int, text: str, finish: str | None, logprobs: Any) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _echo(prompt: str | list[int], tokenizer: Tokenizer) -> str:
    """A prompt as the text that its answer is to begin with."""
    return prompt if isinstance(prompt, str) else tokenizer.decode(prompt)


async def _chunks(
    body: CompletionBody,
    request: Request,
    generation: Generation,
    head: dict[str, Any],
    echoes: list[str],
) -> AsyncGenerator[dict[str, Any]]:
    tokenizer = generation.engine.runner.tokenizer
    base = {**head, "usage": None} if body.wants_usage_chunk else head
    async with cancelled_on_disconnect(request, generation):
        if body.echo:
            for index in range(len(echoes) * body.n):
                yield {**base, "choices": [_choice(index, echoes[index // body.n], None, None)]}
        async for index, delta in generation:
            if delta.text or delta.logprobs or delta.finish is not None:
                finish = delta.finish.value if delta.finish else None
                logprobs = completion_logprobs(delta.logprobs, tokenizer, body)
                yield {**base, "choices": [_choice(index, delta.text, finish, logprobs)]}
        if body.wants_usage_chunk:
            yield {**base, "choices": [], "usage": generation.usage()}
