"""The plant's HTTP API: what a BMS gateway would offer. Bearer token on everything but /health."""

import hmac
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from facilities.demo.plant.orders import order_problem
from facilities.demo.plant.outbox import Outbox
from facilities.demo.plant.runtime import RefusedError, Runtime

MAX_KEY_CHARS = 200
MAX_FENCE = 2**53  # JSON numbers are exact up to here
Handler = Callable[[Request], Awaitable[Response]]


def build_app(runtime: Runtime, *, outbox: Outbox, token: str) -> Starlette:
    """The ASGI application; `token` is what callers must present."""

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                return _error(401, "bad_token", "Authorization: Bearer <OPS_PLANT_TOKEN> is needed")
            try:
                return await handler(request)
            except RefusedError as refusal:
                return _error(refusal.status, refusal.code, refusal.detail)

        return checked

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def state(_request: Request) -> Response:
        counters = outbox.counters
        delivery = {
            "pending": outbox.pending,
            "delivered": counters.delivered,
            "dropped": counters.dropped,
            "refused": counters.refused,
            "rejected_readings": counters.rejected_readings,
            "last_error": counters.last_error,
        }
        return JSONResponse({**runtime.state(), "outbox": delivery})

    async def setpoints(request: Request) -> Response:
        body = await _json(request)
        tag, value = body.get("tag"), body.get("value")
        if not isinstance(tag, str):
            raise RefusedError(
                400, "malformed", 'wanted {"tag": text, "value": number, "key": text}'
            )
        key, fence = _key(body), _fence(body)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise RefusedError(
                400, "malformed", f"value of {tag} is not a finite number: {value!r}"
            )
        # The write waits for the disk, so it must not hold the event loop.
        written = await run_in_threadpool(
            runtime.write, tag=tag, value=float(value), key=key, fence=fence
        )
        return JSONResponse(written)

    async def writes(_request: Request) -> Response:
        return JSONResponse({"writes": runtime.writes()})

    async def order(request: Request) -> Response:
        body = await _json(request)
        key, fence, problem = _key(body), _fence(body), order_problem(body)
        if problem:
            raise RefusedError(400, "malformed", problem)
        opened = await run_in_threadpool(
            runtime.open_order,
            asset=body["asset"],
            title=body["title"],
            text=body.get("text", ""),
            priority=body.get("priority", "medium"),
            due=body.get("due"),
            key=key,
            fence=fence,
        )
        return JSONResponse(opened)

    async def orders(_request: Request) -> Response:
        return JSONResponse({"work_orders": runtime.orders()})

    async def faults(_request: Request) -> Response:
        return JSONResponse({"faults": runtime.faults()})

    async def inject(request: Request) -> Response:
        body = await _json(request)
        name = body.get("fault")
        if not isinstance(name, str):
            raise RefusedError(
                400, "malformed", 'wanted {"fault": name}, and "severity" or "over_s" if wished'
            )
        runtime.inject(name, severity=_number(body, "severity"), over_s=_number(body, "over_s"))
        return JSONResponse({"faults": runtime.faults()})

    async def clear(request: Request) -> Response:
        runtime.clear(request.path_params.get("name"))
        return JSONResponse({"faults": runtime.faults()})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/state", guarded(state)),
            Route("/setpoints", guarded(setpoints), methods=["POST"]),
            Route("/writes", guarded(writes)),
            Route("/work-orders", guarded(orders), methods=["GET"]),
            Route("/work-orders", guarded(order), methods=["POST"]),
            Route("/faults", guarded(faults), methods=["GET"]),
            Route("/faults", guarded(inject), methods=["POST"]),
            Route("/faults", guarded(clear), methods=["DELETE"]),
            Route("/faults/{name}", guarded(clear), methods=["DELETE"]),
        ]
    )


def _key(body: dict[str, Any]) -> str:
    key = body.get("key")
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARS:
        raise RefusedError(
            400, "malformed", f"key is not a text of 1 to {MAX_KEY_CHARS} characters"
        )
    return key


def _fence(body: dict[str, Any]) -> int | None:
    fence = body.get("fence")
    if fence is None:
        return None
    if isinstance(fence, bool) or not isinstance(fence, int) or not 0 <= fence <= MAX_FENCE:
        raise RefusedError(400, "malformed", f"fence is not a whole number from 0: {fence!r}")
    return fence


def _number(body: dict[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RefusedError(400, "malformed", f"{name} is not a finite number: {value!r}")
    return float(value)


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise RefusedError(400, "malformed", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "malformed", "the body must be a JSON object")
    return body


def _error(status: int, code: str, detail: str) -> JSONResponse:
    return JSONResponse({"code": code, "detail": detail}, status_code=status)
