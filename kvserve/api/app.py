"""The ASGI application around one service."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from kvserve.api import (
    adapters,
    blocks,
    chat,
    completions,
    embeddings,
    errors,
    models,
    rerank,
    system,
)
from kvserve.api.body_limit import BodyLimit
from kvserve.api.entry import LeaveModel
from kvserve.api.generation import EngineError
from kvserve.api.require_key import RequireKey
from kvserve.api.service import Service


def create_app(service: Service, *, api_key: str = "") -> FastAPI:
    """Routes, error shape and body limit; the caller starts and stops the service."""
    app = FastAPI(title="kvserve", docs_url=None, redoc_url=None)
    app.state.service = service
    for module in (chat, completions, embeddings, rerank, system, blocks, adapters, models):
        app.include_router(module.router)
    errors.install(app)

    @app.exception_handler(EngineError)
    async def _engine_error(_request: Request, error: EngineError) -> JSONResponse:
        return errors.error_response(str(error), status=500, code="engine_error")

    app.add_middleware(LeaveModel)
    app.add_middleware(BodyLimit)
    if api_key:
        app.add_middleware(RequireKey, key=api_key)
    return app
