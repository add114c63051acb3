"""The engine: one thread that owns the model and moves every running request one step at a time."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from itertools import count
from queue import Empty, SimpleQueue

from kvserve import memory
from kvserve.block_manager import BlockManager
from kvserve.config import LLAMA_MAX_SEQ, EngineConfig
from kvserve.detokenizer import TextStream
from kvserve.errors import (
    AccountsBroken,
    KvserveError,
    NotReady,
    QueueFull,
    SamplingFailed,
    StepFailed,
    ensure,
)
from kvserve.kv_memory import KVMemory
from kvserve.limits import check_request
from kvserve.logprobs import token_logprob
from kvserve.metrics import Metrics
from kvserve.model_runner import ModelRunner
from kvserve.profiling import calibrate
from kvserve.scheduler import Chunk, Plan, Scheduler
from kvserve.sequence import (
    NOBODY,
    Choosing,
    Delta,
    FinishReason,
    Origin,
    SamplingParams,
    Sequence,
    SequenceStatus,
    Sink,
    TokenLogprob,
)
from kvserve.state import LoadState
from kvserve.swap import HostPool, Swapper

log = logging.getLogger("kvserve")

SETTLE_S = 0.1  # idle time before the accounts are proven, so that no next request waits for it


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
        self,
        *,
        prompt: Seq[int],
        params: SamplingParams,
        sink: Sink,
        priority: int = 0,
        origin: Origin = NOBODY,
    ) -> Sequence:
        """Queue a prompt; its text arrives at `sink`, the last delta with a finish reason.

        Raises:
            NotReady: the model is not loaded.
            RequestRefused: the request can never be served.
            QueueFull: `max_waiting` requests wait already.
        """
        choice = Choosing(params, sink)
        return self.submit_choices([choice], prompt=prompt, priority=priority, origin=origin)[0]

    def submit_choices(
        self,
        choices: Seq[Choosing],
        *,
        prompt: Seq[int],
        priority: int = 0,
        origin: Origin = NOBODY,
    ) -> list[Sequence]:
        """Queue several continuations of one prompt: it is computed once, then forked.

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
        if len(self.scheduler.waiting) + self._inbox.qsize() >= self.config.max_waiting:
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
            )
            for params, sink in choices
        ]
        leader.siblings = siblings
        self._inbox.put(lambda: self._admit(leader))
        return [leader, *siblings]

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
            log.error("cannot serve: %s", error, exc_info=not isinstance(error, KvserveError))
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
                self._start_over(f"the engine failed: {error}")
        self.state = LoadState.STOPPED
        self._drain()
        self._fail_all("the server is shutting down")
        self.runner.close()

    def _load(self) -> None:
        started = time.monotonic()
        self.runner = ModelRunner(self.config, should_stop=self._stopping.is_set)
        pool = HostPool(
            memory.swap_bytes(self.config.swap_bytes, available=memory.available_bytes())
        )
        self.memory = KVMemory(self.runner.context, scratch=self.config.scratch_id, pool=pool)
        self.costs = calibrate(self.runner, self.memory)
        self._new_accounts()
        self.metrics.cache_config(self.config, num_blocks=self.runner.num_blocks)
        self.state = LoadState.READY
        log.info("memory plan: %s", self.runner.plan._replace(swap=pool.capacity))
        log.info("preemption: %s", self.costs)
        log.info("%s is ready after %.1f s", self.model_name, time.monotonic() - started)

    def _new_accounts(self) -> None:
        """Begin with every block free."""
        self.blocks = BlockManager(
            num_blocks=self.runner.num_blocks,
            block_size=self.config.block_size,
            holder_ids=self.config.holder_ids,
        )
        self.memory.pool.clear()
        self.scheduler = Scheduler(
            self.blocks,
            max_seqs=self.config.max_seqs,
            max_batch_tokens=self.config.max_batch_tokens,
            swapper=Swapper(
                self.memory.pool, self.costs, bytes_per_token=self.runner.info.kv_bytes_per_token
            ),
        )

    def _take_requests(self) -> None:
        """Run what other threads asked for; sleep until something comes when there is no work."""
        if not self.scheduler.has_work:
            self.memory.perform(self.blocks.ops.take())
            self.metrics.levels(self.scheduler)
            try:
                command = self._inbox.get(timeout=SETTLE_S)
            except Empty:
                self._prove()
                command = self._inbox.get()
            command()
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
            self.memory.perform(plan.ops)
        except StepFailed as error:
            self._start_over(str(error))
            return
        if not plan.chunks:
            return
        try:
            rows = self.runner.compute(plan.chunks)
        except Exception as error:
            log.exception("a step of %d sequences failed", len(plan.chunks))
            self._fail([chunk.seq for chunk in plan.chunks], f"the step failed: {error}")
            return
        for chunk, row in zip(plan.chunks, rows, strict=True):
            self._advance(chunk, row)

    def _start_over(self, reason: str) -> None:
        """The accounts can't be trusted any more: begin with empty ones, fail who was in the old."""
        log.error("the KV cache is cleared: %s", reason)
        sequences = [*self.scheduler.running, *self.scheduler.waiting]
        self.memory.clear()
        self._new_accounts()
        for seq in sequences:
            seq.slot, seq.span, seq.block_table = None, None, []
            seq.status = SequenceStatus.WAITING
        self._fail(sequences, reason)

    def _note(self, plan: Plan) -> None:
        self.largest_batch = max(self.largest_batch, len(plan.chunks))
        self.metrics.step(plan)
        self.metrics.levels(self.scheduler)
        for seq in plan.preempted:
            log.debug("request %d is preempted: %s", seq.id, "swap" if seq.span else "recompute")

    def _admit(self, leader: Sequence) -> None:
        for seq in (leader, *leader.siblings):
            try:
                seq.sampler = self.runner.new_sampler(seq.params)
                seq.text = TextStream(seq.params.stop)
            except KvserveError as error:
                self._fail([seq], str(error))
        leader.siblings = [seq for seq in leader.siblings if not seq.is_finished]
        if leader.is_finished:
            self._promote(leader)
        else:
            self.scheduler.add(leader)

    def _promote(self, leader: Sequence) -> None:
        """A leader that ended early leaves its prompt to the next of its siblings."""
        siblings = [seq for seq in leader.siblings if not seq.is_finished]
        leader.siblings = []
        if siblings:
            siblings[0].siblings = siblings[1:]
            self.scheduler.add(siblings[0])

    def _advance(self, chunk: Chunk, row: int | None) -> None:
        seq = chunk.seq
        seq.num_computed += chunk.size
        self.blocks.written(seq, chunk.start, chunk.size)
        if row is None:
            return
        seq.siblings = [sibling for sibling in seq.siblings if not sibling.is_finished]
        for sampling in (*self.scheduler.fork(seq), seq):
            self._sample(sampling, row)

    def _sample(self, seq: Sequence, row: int) -> None:
        token = self.runner.sample(seq, row)
        if isinstance(token, SamplingFailed):
            self._fail([seq], str(token))
            return
        logprobs: tuple[TokenLogprob, ...] = ()
        if seq.params.logprobs is not None:
            logprobs = (token_logprob(self.runner.logits(row), token, seq.params.logprobs),)
        self._take_token(seq, token, logprobs)

    def _take_token(self, seq: Sequence, token: int, logprobs: tuple[TokenLogprob, ...]) -> None:
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
            self._end(seq, FinishReason.STOP, text=text, logprobs=logprobs)
        elif at_limit:
            self._end(seq, FinishReason.LENGTH, text=text, logprobs=logprobs)
        elif text or logprobs:
            delta = Delta(text, None, None, seq.num_completion_tokens, seq.num_cached, logprobs)
            self._send(seq, delta)

    def _end(
        self,
        seq: Sequence,
        reason: FinishReason,
        *,
        text: str = "",
        error: str | None = None,
        logprobs: tuple[TokenLogprob, ...] = (),
    ) -> None:
        if seq.is_finished:
            return
        self.scheduler.remove(seq)
        self._promote(seq)
        if seq.sampler is not None:
            seq.sampler.close()
        self.metrics.finished(seq, reason)
        delta = Delta(text, reason, error, seq.num_completion_tokens, seq.num_cached, logprobs)
        self._send(seq, delta)

    def _fail(self, sequences: Seq[Sequence], reason: str) -> None:
        for seq in sequences:
            self._end(seq, FinishReason.ERROR, error=reason)

    def _fail_all(self, reason: str) -> None:
        while sequences := [*self.scheduler.running, *self.scheduler.waiting]:
            self._fail(sequences, reason)  # their siblings come into line and are next

    def _send(self, seq: Sequence, delta: Delta) -> None:
        try:
            seq.sink(delta)
        except Exception:  # the reader is gone, its event loop closed
            log.warning("nobody takes the output of request %d; it is cancelled", seq.id)
            if delta.finish is None:
                self.cancel(seq)

    def _prove(self) -> None:
        """At rest: make sure that llama.cpp's accounts and ours agree."""
        try:
            self.check_integrity()
        except AccountsBroken as error:
            log.exception("block accounts do not add up; please report this")
            self._start_over(f"block accounts did not add up: {error}")

    def check_integrity(self) -> None:
        """Prove that blocks, slots and llama.cpp's cells agree (engine idle, or between two steps).

        Raises:
            AccountsBroken: what does not add up.
        """
        self.scheduler.check_integrity()
        held = dict(self.blocks.holdings(self.scheduler.running))
        for holder in range(LLAMA_MAX_SEQ):
            cells = self.memory.tokens_held(holder)
            ensure(
                cells == held.get(holder, 0),
                f"sequence id {holder}: {cells} cells, {held.get(holder, 0)} expected",
            )
        used = self.memory.cells_used(sum(seq.num_computed for seq in self.scheduler.running))
        expected = self.blocks.num_cells
        ensure(used == expected, f"{used} cells are in use, {expected} expected")
