"""Tokens, health and metrics."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from kvserve.api.chat_protocol import TokenizeBody
from kvserve.api.entry import enter
from kvserve.api.protocol import DetokenizeBody
from kvserve.api.service import Service
from kvserve.errors import RequestRefused

router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.post("/tokenize")
async def tokenize(body: TokenizeBody, request: Request) -> dict[str, Any]:
    """Token ids of a prompt, or of messages under the chat template."""
    await enter(request, body.model)
    service = _service(request)
    tokenizer = service.tokenizer
    if body.messages is not None:
        messages = [message.plain() for message in body.messages]
        tokens = await run_in_threadpool(
            service.chat_template.encode,
            messages,
            tools=body.offered_tools,
            variables=body.chat_template_kwargs,
        )
    else:
        tokens = await run_in_threadpool(
            tokenizer.encode, body.prompt or "", add_special=body.add_special_tokens
        )
    texts = [tokenizer.decode([token]) for token in tokens] if body.return_token_strs else None
    return {
        "count": len(tokens),
        "max_model_len": service.engine.runner.max_model_len,
        "tokens": tokens,
        "token_strs": texts,
    }


@router.post("/detokenize")
async def detokenize(body: DetokenizeBody, request: Request) -> dict[str, str]:
    """Text of token ids."""
    await enter(request, body.model)
    service = _service(request)
    tokenizer = service.tokenizer
    if any(token >= tokenizer.size for token in body.tokens):
        raise RequestRefused(f"token ids are 0…{tokenizer.size - 1}", param="tokens")
    return {"prompt": await run_in_threadpool(tokenizer.decode, body.tokens)}


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """200 once the LLM can answer, else 503; names the state of LLM and embedder."""
    ready, report = _service(request).health()
    return JSONResponse(report, status_code=200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus text format."""
    return Response(_service(request).engine.metrics.render(), media_type=CONTENT_TYPE_LATEST)
