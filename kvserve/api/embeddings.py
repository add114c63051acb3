"""POST /v1/embeddings."""

import asyncio
import base64

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from kvserve.api.protocol import EmbeddingsBody
from kvserve.api.service import Service
from kvserve.errors import RequestRefused

router = APIRouter()


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingsBody, request: Request) -> JSONResponse:
    """Unit vectors as floats or base64 of little-endian float32; waits for the embedder to load."""
    service: Service = request.app.state.service
    embedder = service.require_embedder(body.model)
    if not all(text.strip() for text in body.texts):
        raise RequestRefused("input has an empty text: give at least one word each", param="input")
    result = await asyncio.wrap_future(embedder.embed(body.texts))
    if body.dimensions not in (None, embedder.dimensions):
        raise RequestRefused(
            f"dimensions is {body.dimensions}, but {embedder.model_name} has {embedder.dimensions}",
            param="dimensions",
        )
    vectors = result.vectors.astype("<f4")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode()
            if body.encoding_format == "base64"
            else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens}
    answer = {"object": "list", "model": embedder.model_name, "data": data, "usage": usage}
    return JSONResponse(answer)  # as it is: FastAPI would look at every number once more
