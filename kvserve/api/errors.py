"""Every error in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kvserve.errors import NotReady, QueueFull, RequestRefused

log = logging.getLogger("kvserve.api")

RETRY_AFTER_S = "2"
TYPES = {404: "not_found_error", 429: "rate_limit_error"}


class UnknownModel(RequestRefused):
    """A model this server does not serve (HTTP 404)."""


def error_body(
    message: str, *, status: int, param: str | None = None, code: str = ""
) -> dict[str, Any]:
    """The JSON of one error."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {"message": message, "type": kind, "param": param, "code": code or str(status)}
    }


def error_response(
    message: str,
    *,
    status: int,
    param: str | None = None,
    code: str = "",
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """An answer with one error."""
    body = error_body(message, status=status, param=param, code=code)
    return JSONResponse(body, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    """Register the handlers."""

    @app.exception_handler(UnknownModel)
    async def _unknown_model(_request: Request, error: UnknownModel) -> JSONResponse:
        return error_response(str(error), status=404, param="model", code="model_not_found")

    @app.exception_handler(RequestRefused)
    async def _refused(_request: Request, error: RequestRefused) -> JSONResponse:
        return error_response(str(error), status=400, param=error.param, code="invalid_value")

    @app.exception_handler(QueueFull)
    async def _queue_full(_request: Request, error: QueueFull) -> JSONResponse:
        return error_response(
            str(error), status=429, code="queue_full", headers={"Retry-After": RETRY_AFTER_S}
        )

    @app.exception_handler(NotReady)
    async def _not_ready(_request: Request, error: NotReady) -> JSONResponse:
        return error_response(
            str(error), status=503, code="not_ready", headers={"Retry-After": RETRY_AFTER_S}
        )

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid" or (first["loc"] == ("body",) and not first.get("ctx")):
            message = "the body is not a JSON object sent as Content-Type: application/json"
            return error_response(message, status=400, code="invalid_json")
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        reason = str(first["msg"]).removeprefix("Value error, ")
        message = f"{place}: {reason}" if place else reason
        return error_response(message, status=400, param=place or None, code="invalid_value")

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return error_response(str(error.detail), status=error.status_code, headers=headers)

    @app.exception_handler(UnicodeError)
    async def _unicode(_request: Request, _error: UnicodeError) -> JSONResponse:
        return error_response("the text is not valid Unicode", status=400, code="invalid_value")

    @app.exception_handler(RecursionError)
    async def _too_deep(_request: Request, _error: RecursionError) -> JSONResponse:
        return error_response("the body is nested too deeply", status=400, code="invalid_value")

    @app.exception_handler(Exception)
    async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", exc_info=error)
        return error_response("internal error; the server's log says more", status=500)
