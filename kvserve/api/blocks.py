"""GET /kv/blocks: the block map."""

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from kvserve.api.service import Service

router = APIRouter()


@router.get("/kv/blocks")
async def blocks(request: Request, since: float = Query(0.0, ge=0)) -> JSONResponse:
    """Blocks, sequences, queues and rates now, and each second after `since` (seconds since 1970).

    Sequences are numbers; there is no text in it.
    """
    service: Service = request.app.state.service
    service.engine.require_ready()
    return JSONResponse(await service.block_map.latest(since=since))
