"""How a request comes to the model it names, and leaves it when its answer is complete."""

import asyncio
from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from kvserve.api.errors import UnknownModel
from kvserve.api.service import Service
from kvserve.engine.engine import Engine
from kvserve.errors import NotReady
from kvserve.weights.model_pool import Lease

T = TypeVar("T")
LEASES = "model_leases"


class Entered(NamedTuple):
    """`engine` stays loaded until the response is over; `name` is what the client is told,
    `adapter` the key of the LoRA adapter it chose, or empty."""

    engine: Engine
    name: str
    adapter: str


async def enter(request: Request, name: str, *, priority: int = 0, places: int = 1) -> Entered:
    """Wait until the model that `name` means is loaded; a client that goes away leaves the line.

    Raises:
        UnknownModel: nothing has this name.
        QueueFull, NotReady: as `ModelPool.enter`.
    """
    service: Service = request.app.state.service
    model = service.find_llm(name)
    lease: Lease = await _unless_gone(
        request, service.pool.enter(model, priority=priority, places=places)
    )
    request.scope[LEASES].append(lease)
    engine = lease.engine
    engine.require_ready()
    if not name or name.lower() == model.lower():
        return Entered(engine, engine.model_name, "")
    file = engine.runner.adapters.files.get(name)
    if file is None:
        raise UnknownModel(f"the LoRA adapter '{name}' is not loaded any more")
    return Entered(engine, name, file.key)


async def _unless_gone(request: Request, wanted: Awaitable[T]) -> T:
    """Wait for a result, or for the client to go away, which cancels the waiting."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(wanted)
    await asyncio.sleep(0)  # mostly the model is there
    if task.done():
        return task.result()
    watcher = asyncio.create_task(gone())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise NotReady("the client went away")
        return task.result()
    finally:
        watcher.cancel()
        task.cancel()


class LeaveModel:
    """ASGI middleware: when a response is over, however it ended, its request leaves the model."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leases: list[Lease] = []
        scope[LEASES] = leases
        try:
            await self.app(scope, receive, send)
        finally:
            for lease in leases:
                lease.leave()
