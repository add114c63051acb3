"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from kvserve.api.chat_answer import ChatAnswer
from kvserve.api.chat_protocol import ChatBody
from kvserve.api.entry import enter
from kvserve.api.generation import (
    Generation,
    answer_head,
    cancelled_on_disconnect,
    origin_of,
    sampling_params,
)
from kvserve.api.logprobs import chat_logprobs
from kvserve.api.service import Service
from kvserve.api.sse import EventStream
from kvserve.errors import RequestRefused
from kvserve.text.grammar import GrammarText
from kvserve.text.tool_calls import CallFormat

router = APIRouter()


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(body: ChatBody, request: Request) -> Response | dict[str, Any]:
    """Answer a conversation; unset max_tokens means: to the end of the context."""
    entered = await enter(request, body.model, priority=body.priority)
    engine = entered.engine
    service: Service = request.app.state.service
    template = service.chat_template
    form = template.call_format if body.tool_use else None
    grammar = await run_in_threadpool(_grammar, body, form)
    prompt = await run_in_threadpool(
        template.encode,
        [message.plain() for message in body.messages],
        tools=body.offered_tools,
        variables=body.chat_template_kwargs,
    )
    room = engine.runner.max_model_len - len(prompt)
    if room < 1:
        raise RequestRefused(
            f"the conversation has {len(prompt)} tokens, which leaves none of this server's context"
            f" of {engine.runner.max_model_len} for an answer: shorten it",
            param="messages",
        )
    wanted = body.max_completion_tokens or body.max_tokens or room
    params = await sampling_params(body, engine=engine, max_tokens=wanted, grammar=grammar)
    generation = Generation(
        engine,
        [prompt],
        params,
        n=body.n,
        priority=body.priority,
        origin=origin_of(request, body),
        adapter=entered.adapter,
    )
    head = answer_head("chatcmpl", entered)
    if body.stream:
        return EventStream(_chunks(body, request, generation, head, form))
    choices = []
    async with cancelled_on_disconnect(request, generation):
        for choice in await generation.choices():
            answer = ChatAnswer(form)
            list(answer.deltas(choice.text, final=True))
            choices.append(
                {
                    "index": choice.number,
                    "message": answer.message(),
                    "logprobs": chat_logprobs(choice.logprobs, engine.runner.tokenizer, body),
                    "finish_reason": answer.finish_reason(choice.finish),
                }
            )
    return {**head, "object": "chat.completion", "choices": choices, "usage": generation.usage()}


def _grammar(body: ChatBody, form: CallFormat | None) -> GrammarText | None:
    """What the answer must look like, calls of functions included.

    Raises:
        RequestRefused: a schema is wrong, or tools are joined with a form other than JSON.
    """
    answer = body.answer_grammar()
    if body.tool_use is None or form is None:
        return answer
    schema = body.answer_schema()
    if answer is not None and schema is None and not body.tool_use.required:
        raise RequestRefused(
            f"{answer.param}: with tools an answer is free text, JSON of a schema, or a call",
            param=answer.param,
        )
    return body.tool_use.grammar(form, answer=schema)


async def _chunks(
    body: ChatBody,
    request: Request,
    generation: Generation,
    head: dict[str, Any],
    form: CallFormat | None,
) -> AsyncGenerator[dict[str, Any]]:
    base = {**head, "object": "chat.completion.chunk"}
    if body.wants_usage_chunk:
        base["usage"] = None
    answers = [ChatAnswer(form) for _ in range(body.n)]

    def chunk(
        index: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return {**base, "choices": [choice]}

    async with cancelled_on_disconnect(request, generation):
        for index in range(body.n):
            yield chunk(index, {"role": "assistant", "content": ""})
        async for index, delta in generation:
            logprobs = chat_logprobs(delta.logprobs, generation.engine.runner.tokenizer, body)
            parts = list(answers[index].deltas(delta.text, final=delta.finish is not None))
            if delta.logprobs and not parts:
                parts = [{"content": ""}]
            for part in parts:
                yield chunk(index, part, logprobs=logprobs)
                logprobs = None
            if delta.finish is not None:
                yield chunk(index, {}, answers[index].finish_reason(delta.finish))
        if body.wants_usage_chunk:
            yield {**base, "choices": [], "usage": generation.usage()}
