"""The engine: one thread that owns the model and moves every running request one step at a time."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from itertools import count
from queue import Empty, SimpleQueue

from kvserve.block_manager import BlockManager
from kvserve.config import EngineConfig
from kvserve.detokenizer import TextStream
from kvserve.errors import (
    AccountsBroken,
    KvserveError,
    NotReady,
    QueueFull,
    RequestRefused,
    SamplingFailed,
    ensure,
)
from kvserve.metrics import Metrics
from kvserve.model_runner import ModelRunner
from kvserve.scheduler import Chunk, Plan, Scheduler
from kvserve.sequence import Delta, FinishReason, SamplingParams, Sequence, SequenceStatus, Sink
from kvserve.state import LoadState

log = logging.getLogger("kvserve")


class Engine:
    """Takes requests from any thread; answers through their sinks, called on the engine's thread.

    Everything that changes state travels through one queue to the engine's thread, so there is no
    lock. A step that fails ends the requests that were in it, with the reason, and the engine goes
    on.
    """

    def __init__(self, config: EngineConfig, *, model_name: str) -> None:
        self.config = config
        self.model_name = model_name
        self.state = LoadState.LOADING
        self.error = ""
        self.metrics = Metrics(model_name)
        self.largest_batch = 0
        self._ids = count()
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvserve-engine", daemon=True)

    # --- from any thread -------------------------------------------------------------------------

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
        self, *, prompt: Seq[int], params: SamplingParams, sink: Sink, priority: int = 0
    ) -> Sequence:
        """Queue a prompt; its text arrives at `sink`, the last delta with a finish reason.

        Raises:
            NotReady: the model is not loaded.
            RequestRefused: the request can never be served.
            QueueFull: `max_waiting` requests wait already.
        """
        self.require_ready()
        self.check(prompt, params)
        if len(self.scheduler.waiting) + self._inbox.qsize() >= self.config.max_waiting:
            raise QueueFull(
                f"{self.config.max_waiting} requests are waiting already; try again later"
            )
        seq = Sequence(next(self._ids), list(prompt), params, sink, priority)
        self._inbox.put(lambda: self._admit(seq))
        return seq

    def check(self, prompt: Seq[int], params: SamplingParams) -> None:
        """Refuse what can never be served, whatever else runs.

        Raises:
            RequestRefused: with both sides of the contradiction.
        """
        limit = self.runner.max_model_len
        if not prompt:
            raise RequestRefused("the prompt is empty: give at least one token", param="prompt")
        vocabulary = self.runner.tokenizer.size
        if not all(0 <= token < vocabulary for token in prompt):
            raise RequestRefused(
                f"the prompt has token ids outside 0…{vocabulary - 1}", param="prompt"
            )
        if params.max_tokens < 1:
            raise RequestRefused(
                f"max_tokens is {params.max_tokens}: ask for at least 1", param="max_tokens"
            )
        if len(prompt) + params.max_tokens > limit:
            raise RequestRefused(
                f"this server's context is {limit} tokens, but the prompt has {len(prompt)} and"
                f" max_tokens asks for {params.max_tokens}: shorten the prompt or lower max_tokens",
                param="max_tokens" if len(prompt) < limit else "prompt",
            )

    def cancel(self, seq: Sequence) -> None:
        """End a request early; its blocks are free before the next step. Ended ones stay ended."""
        self._inbox.put(lambda: self._end(seq, FinishReason.ABORT))

    def stop(self) -> None:
        """Ask the engine to end: requests fail, the thread returns. Safe in a signal handler."""
        self._stopping.set()
        self._inbox.put(lambda: None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # --- on the engine's thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:
            self.state, self.error = LoadState.FAILED, str(error)
            log.log(
                logging.ERROR,
                "cannot serve: %s",
                error,
                exc_info=not isinstance(error, KvserveError),
            )
            return
        finally:
            self._ready.set()
        while not self._stopping.is_set():
            try:
                self._take_requests()
                if self.scheduler.has_work:
                    self.step()
            except Exception as error:  # a bug outside the model; the thread must survive it
                log.exception("the engine failed between steps")
                self._fail_all(f"the engine failed: {error}")
        self.state = LoadState.STOPPED
        self._drain()
        self._fail(
            [*self.scheduler.running, *self.scheduler.waiting], "the server is shutting down"
        )
        self.runner.close()

    def _load(self) -> None:
        started = time.monotonic()
        self.runner = ModelRunner(self.config, should_stop=self._stopping.is_set)
        self.blocks = BlockManager(
            num_blocks=self.runner.num_blocks, block_size=self.config.block_size
        )
        self.scheduler = Scheduler(
            self.blocks,
            max_seqs=self.config.max_seqs,
            max_batch_tokens=self.config.max_batch_tokens,
        )
        self.state = LoadState.READY
        log.info("%s is ready after %.1f s", self.model_name, time.monotonic() - started)

    def _take_requests(self) -> None:
        """Run what other threads asked for; sleep until something comes when there is no work."""
        if not self.scheduler.has_work:
            self._settle()
            self._inbox.get()()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                self._inbox.get_nowait()()
            except Empty:
                return

    def step(self) -> None:
        """Schedule, compute, hand out: the whole life of the engine, one token at a time."""
        plan = self.scheduler.schedule()
        self._note(plan)
        try:
            self.runner.clear(plan.vacated)
            results = self.runner.run(plan.chunks)
        except Exception as error:
            log.exception("a step of %d sequences failed", len(plan.chunks))
            self._fail([chunk.seq for chunk in plan.chunks], f"the step failed: {error}")
            return
        for chunk, result in zip(plan.chunks, results, strict=True):
            self._advance(chunk, result)

    def _note(self, plan: Plan) -> None:
        self.largest_batch = max(self.largest_batch, len(plan.chunks))
        self.metrics.step(plan)
        self.metrics.levels(self.scheduler)
        for seq in plan.preempted:
            log.info("request %d is preempted: %d tokens to recompute", seq.id, len(seq.tokens))

    def _admit(self, seq: Sequence) -> None:
        try:
            seq.sampler = self.runner.new_sampler(seq.params)
            seq.text = TextStream(seq.params.stop)
            self.scheduler.add(seq)
        except KvserveError as error:
            self._fail([seq], str(error))

    def _advance(self, chunk: Chunk, result: int | SamplingFailed | None) -> None:
        seq = chunk.seq
        seq.num_computed += chunk.size
        if isinstance(result, SamplingFailed):
            self._fail([seq], str(result))
        elif result is not None:
            self._take_token(seq, result)

    def _take_token(self, seq: Sequence, token: int) -> None:
        """Append the token and say what it means: more text, a stop string, the end, the limit."""
        seq.tokens.append(token)
        self.metrics.token(seq)
        at_end = self.runner.tokenizer.is_end(token) and not (
            seq.params.ignore_eos and seq.params.grammar is None
        )
        at_limit = seq.num_completion_tokens >= seq.params.max_tokens
        data = b"" if at_end else self.runner.tokenizer.piece(token)
        text, stopped = seq.text.feed(data, final=at_end or at_limit)
        if at_end or stopped:
            self._end(seq, FinishReason.STOP, text=text)
        elif at_limit:
            self._end(seq, FinishReason.LENGTH, text=text)
        elif text:
            self._send(seq, Delta(text, None, None, seq.num_completion_tokens))

    def _end(
        self, seq: Sequence, reason: FinishReason, *, text: str = "", error: str | None = None
    ) -> None:
        if seq.is_finished:
            return
        if seq.text is None:  # never reached the scheduler
            seq.status = SequenceStatus.FINISHED
        self.scheduler.remove(seq)
        if seq.sampler is not None:
            seq.sampler.close()
        self.metrics.finished(seq, reason)
        self._send(seq, Delta(text, reason, error, seq.num_completion_tokens))

    def _fail(self, sequences: Seq[Sequence], reason: str) -> None:
        for seq in sequences:
            self._end(seq, FinishReason.ERROR, error=reason)

    def _fail_all(self, reason: str) -> None:
        self._fail([*self.scheduler.running, *self.scheduler.waiting], reason)

    def _send(self, seq: Sequence, delta: Delta) -> None:
        try:
            seq.sink(delta)
        except Exception:  # the reader is gone, its event loop closed
            log.warning("nobody takes the output of request %d; it is cancelled", seq.id)
            if delta.finish is None:
                self.cancel(seq)

    def _settle(self) -> None:
        """At idle: give llama.cpp's cells back and prove that its accounts and ours agree."""
        self.runner.clear(self.scheduler.take_vacated())
        self.metrics.levels(self.scheduler)
        try:
            self.check_integrity()
        except AccountsBroken:
            log.exception("block accounts do not add up; please report this")

    def check_integrity(self) -> None:
        """Prove that blocks, slots and llama.cpp's cells agree (engine idle, or between two steps).

        Raises:
            AccountsBroken: what does not add up.
        """
        self.scheduler.check_integrity()
        held = {seq.slot: seq.num_computed for seq in self.scheduler.running}
        for slot in range(self.config.max_seqs):
            cells = self.runner.tokens_held(slot)
            ensure(
                cells == held.get(slot, 0),
                f"slot {slot}: {cells} cells, {held.get(slot, 0)} expected",
            )
