"""Which model is loaded. There is one at a time; requests for another wait in line for a swap."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kvserve.engine.engine import Engine
from kvserve.engine.state import LoadState
from kvserve.engine.waiting import AGEING_S
from kvserve.errors import KvserveError, NotReady, QueueFull

log = logging.getLogger("kvserve")

TURN_S = 10.0  # assumed: long against the seconds of a load, short against a person's patience


class Lease:
    """The right to use `engine`: it stays loaded until everyone has left."""

    def __init__(self, engine: Engine, on_leave: Callable[[], None]) -> None:
        self.engine = engine
        self._on_leave: Callable[[], None] | None = on_leave

    def leave(self) -> None:
        """Give it back; a second time does nothing."""
        on_leave, self._on_leave = self._on_leave, None
        if on_leave:
            on_leave()


@dataclass(eq=False)
class Waiter:
    """A request for a model that is not loaded, or whose turn is ending."""

    model: str
    priority: int
    places: int
    entered: asyncio.Future[Lease]
    arrival: float = field(default_factory=time.monotonic)

    def rank(self, now: float) -> tuple[int, float]:
        """Order in line: by class, which rises with waiting, then by arrival."""
        return self.priority - int((now - self.arrival) / AGEING_S), self.arrival


class ModelPool:
    """Lets requests in to the live engine, and swaps engines; all on the event loop's thread.

    While others wait, a model that has work keeps its turn for `turn_s` seconds after it was
    loaded. Then it takes no new requests, finishes those it has, and is freed before the next
    model is loaded, so models with steady traffic alternate and no request is lost. One that can't
    be loaded fails its own requests, and the model before it comes back.
    """

    def __init__(
        self, engine: Engine, *, new_engine: Callable[[str], Engine], turn_s: float = TURN_S
    ) -> None:
        self.engine = engine
        self.loading: Engine | None = None
        self.new_engine = new_engine
        self.turn_s = turn_s
        self.waiting: list[Waiter] = []
        self._num_leases = 0
        self._closed = False
        self._stopping = False
        self._since = time.monotonic()
        self._changed = asyncio.Event()
        self._driver: asyncio.Task[None] | None = None

    @property
    def is_swapping(self) -> bool:
        """Whether no model is loaded just now because another is on its way."""
        return self._closed and self.engine.state is not LoadState.READY

    async def enter(self, model: str, *, priority: int = 0, places: int = 1) -> Lease:
        """Wait until `model` is live; may be cancelled. `places` is how many sequences will follow.

        Raises:
            QueueFull: too many wait.
            NotReady: the model can't be loaded, or the server is starting or stopping.
        """
        live = self.engine
        if live.state is LoadState.LOADING or self._stopping:
            live.require_ready()
        if live.model_name == model and live.state is LoadState.READY and not self._closed:
            return self._lease()
        most = live.config.max_waiting
        if sum(waiter.places for waiter in self.waiting) + places > most:
            raise QueueFull(f"{most} requests are waiting for a model already; try again later")
        waiter = Waiter(model, priority, places, asyncio.get_running_loop().create_future())
        self.waiting.append(waiter)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            return await waiter.entered
        except asyncio.CancelledError:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
                self._changed.set()
            elif not waiter.entered.cancelled() and not waiter.entered.exception():
                # let in at the very moment it gave up
                waiter.entered.result().leave()
            raise

    def _lease(self) -> Lease:
        self._num_leases += 1
        return Lease(self.engine, self._leave)

    def _leave(self) -> None:
        self._num_leases -= 1
        self._changed.set()

    async def _drive(self) -> None:
        """Serve those who wait, model after model, until nobody does."""
        while self.waiting and not self._stopping:
            try:
                await self._finish_turn()
                target = self._next_model()
                if target is not None:
                    await self._swap(target)
            except Exception as error:
                log.exception("the change of models failed")
                self._fail(None, f"the change of models failed: {error}")
            self._closed = False
            self._let_in()

    async def _finish_turn(self) -> None:
        """Wait until the live model is idle; when its time is up, let nobody in any more."""
        while self._num_leases and self._next_model() is not None:
            left = self._since + self.turn_s - time.monotonic()
            self._closed = self._closed or left <= 0
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), None if self._closed else left)
            except TimeoutError:
                continue
        self._closed = True

    def _next_model(self) -> str | None:
        """The model of the first in line who waits for another than the live one."""
        now, live = time.monotonic(), self.engine
        is_up = live.state is LoadState.READY
        others = [w for w in self.waiting if not (is_up and w.model == live.model_name)]
        return min(others, key=lambda w: w.rank(now)).model if others else None

    async def _swap(self, model: str) -> None:
        """Free the live engine, then load `model`; if that fails, the one before it."""
        before = self.engine.model_name
        log.info("changing the model from %s to %s", before, model)
        await self._free()
        for name in dict.fromkeys((model, before)):
            try:
                self.engine = await self._load(name)
                break
            except (KvserveError, OSError, ValueError) as error:
                log.error("the model %s could not be loaded: %s", name, error)
                self._fail(name, f"the model {name} could not be loaded: {error}")
        self.loading = None
        self._since = time.monotonic()

    async def _free(self) -> None:
        """The live engine's memory is free when this returns."""
        self.engine.stop()
        await asyncio.to_thread(self.engine.join, None)
        gc.collect()  # answers that just ended may still hold parts of it in cycles

    async def _load(self, name: str) -> Engine:
        if self._stopping:
            raise NotReady("the server is shutting down")
        self.loading = engine = self.new_engine(name)
        engine.start()
        await asyncio.to_thread(engine.wait_ready, None)
        return engine

    def _fail(self, model: str | None, reason: str) -> None:
        """Answer those who wait for `model` (or for any) with the reason."""
        for waiter in list(self.waiting):
            if model is None or waiter.model == model:
                self.waiting.remove(waiter)
                if not waiter.entered.done():
                    waiter.entered.set_exception(NotReady(reason))

    def _let_in(self) -> None:
        if self.engine.state is not LoadState.READY:
            return
        now = time.monotonic()
        for waiter in sorted(self.waiting, key=lambda w: w.rank(now)):
            if waiter.model == self.engine.model_name:
                self.waiting.remove(waiter)
                if not waiter.entered.done():
                    waiter.entered.set_result(self._lease())

    def stop(self) -> None:
        """End the engines; those who wait fail. Safe in a signal handler."""
        self._stopping = True
        self.engine.stop()
        if self.loading is not None:
            self.loading.stop()
        self._fail(None, "the server is shutting down")
        self._changed.set()
