"""What other threads may ask of the engine."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Seq
from concurrent.futures import Future
from itertools import count
from typing import TypeVar

from kvserve.adapters.adapter_file import AdapterFile, LoraModule, read_adapter
from kvserve.config import EngineConfig
from kvserve.engine.limits import check_request
from kvserve.engine.mailbox import CLOSED, Mailbox
from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.scheduler import Scheduler
from kvserve.engine.sequence import (
    NOBODY,
    Choosing,
    FinishReason,
    Origin,
    SamplingParams,
    Sequence,
    Sink,
)
from kvserve.engine.state import LoadState
from kvserve.errors import NotReady, QueueFull
from kvserve.kv.disk_tier import DiskTier

T = TypeVar("T")


class Front(ABC):
    """Requests, questions and orders from any thread, all through one mailbox to the engine's.

    `runner`, `scheduler` and `disk` belong to the engine's thread; here they are only read.
    """

    runner: ModelRunner
    scheduler: Scheduler

    def __init__(self, config: EngineConfig, *, model_name: str) -> None:
        self.config = config
        self.model_name = model_name
        self.state = LoadState.LOADING
        self.error = ""
        self.disk: DiskTier | None = None
        self._ids = count()
        self._inbox = Mailbox()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvserve-engine", daemon=True)

    @abstractmethod
    def _run(self) -> None:
        """The engine's thread."""

    @abstractmethod
    def _admit(self, leader: Sequence) -> None:
        """Put a new sequence, and its siblings behind it, in line."""

    @abstractmethod
    def _end(self, seq: Sequence, reason: FinishReason) -> None:
        """End a sequence, unless it has ended."""

    def start(self) -> None:
        """Load the model and begin to serve, in the engine's own thread."""
        self._thread.start()

    def wait_ready(self, timeout_s: float | None = 120.0) -> None:
        """Block until the model is loaded.

        Raises:
            NotReady: it failed to load, or not within `timeout_s`.
        """
        self._ready.wait(timeout_s)
        self.require_ready()

    def require_ready(self) -> None:
        """Raise NotReady, with the reason, unless requests can be served."""
        if self.state is not LoadState.READY:
            reason = f": {self.error}" if self.error else ""
            raise NotReady(f"the model {self.model_name} is {self.state.value}{reason}")

    def submit(
        self,
        *,
        prompt: Seq[int],
        params: SamplingParams,
        sink: Sink,
        priority: int = 0,
        origin: Origin = NOBODY,
        adapter: str = "",
    ) -> Sequence:
        """Queue a prompt; its text arrives at `sink`, the last delta with a finish reason.

        Raises:
            NotReady: the model is not loaded.
            RequestRefused: the request can never be served.
            QueueFull: `max_waiting` requests wait already.
        """
        choice = Choosing(params, sink)
        return self.submit_choices(
            [choice], prompt=prompt, priority=priority, origin=origin, adapter=adapter
        )[0]

    def submit_choices(
        self,
        choices: Seq[Choosing],
        *,
        prompt: Seq[int],
        priority: int = 0,
        origin: Origin = NOBODY,
        adapter: str = "",
    ) -> list[Sequence]:
        """Queue several continuations of one prompt: it is computed once, then forked.

        `adapter` is the key of a loaded LoRA adapter, empty for the base model.

        Raises:
            As `submit`.
        """
        self.require_ready()
        for params, _ in choices:
            check_request(
                prompt,
                params,
                context=self.runner.max_model_len,
                vocabulary=self.runner.tokenizer.size,
            )
        fetching = self.disk.num_waiting if self.disk else 0
        if len(self.scheduler.waiting) + len(self._inbox) + fetching >= self.config.max_waiting:
            raise QueueFull(
                f"{self.config.max_waiting} requests are waiting already; try again later"
            )
        leader, *siblings = [
            Sequence(
                next(self._ids),
                list(prompt),
                params,
                sink,
                priority,
                client=origin.client,
                cache_salt=origin.cache_salt,
                adapter=adapter,
            )
            for params, sink in choices
        ]
        leader.siblings = siblings
        if not self._inbox.put(lambda: self._admit(leader)):
            raise NotReady(CLOSED)
        return [leader, *siblings]

    def cancel(self, seq: Sequence) -> None:
        """End a request early; its blocks are free before the next step. Ended ones stay ended."""
        self._inbox.put(lambda: self._end(seq, FinishReason.ABORT))

    def inquire(self, question: Callable[[], T]) -> Future[T]:
        """Run `question` on the engine's thread between two steps; the future has what it returns.

        Raises:
            NotReady: the model is not loaded.
        """
        self.require_ready()
        return self._inbox.ask(question)

    def read_adapter(self, module: LoraModule) -> AdapterFile:
        """Check an adapter's file for this model; raises AdapterRefused."""
        return read_adapter(module, num_experts=self.runner.info.num_experts)

    def stop(self) -> None:
        """Ask the engine to end: requests fail, the thread returns. Safe in a signal handler."""
        self._stopping.set()
        self._inbox.put(lambda: None)

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
