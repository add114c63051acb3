"""POST /v1/rerank, in the form that Jina, Cohere, vLLM and llama-server share."""

import asyncio
import uuid
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, field_validator

from kvserve.api.protocol import Body
from kvserve.api.service import Service
from kvserve.errors import RequestRefused

router = APIRouter()

MAX_DOCUMENTS = 256
MAX_TEXT_CHARS = 20_000


class RerankBody(Body):
    """A query and the texts to put in order; a text may come as `{"text": …}`."""

    query: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    documents: list[str] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False

    @field_validator("documents", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [item.get("text", "") if isinstance(item, dict) else item for item in value]


@router.post("/v1/rerank")
@router.post("/rerank", include_in_schema=False)
async def rerank(body: RerankBody, request: Request) -> dict[str, Any]:
    """The documents by falling relevance; `index` is the place in the request."""
    service: Service = request.app.state.service
    reranker = service.require_reranker(body.model)
    if any(len(text) > MAX_TEXT_CHARS for text in body.documents):
        raise RequestRefused(
            f"documents has a text of more than {MAX_TEXT_CHARS} characters", param="documents"
        )
    result = await asyncio.wrap_future(reranker.score(body.query, body.documents))
    order = sorted(range(len(result.scores)), key=lambda index: -result.scores[index])
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": result.scores[index]}
        | ({"document": {"text": body.documents[index]}} if body.return_documents else {})
        for index in order[: body.top_n]
    ]
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "model": reranker.model_name,
        "results": results,
        "usage": {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens},
    }
