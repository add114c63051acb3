"""The engine: one thread that owns the model and moves every running request one step at a time."""

import logging
import time
from collections.abc import Sequence as Seq
from typing import TypeVar

from kvserve.adapters.adapter_metrics import AdapterMetrics
from kvserve.config import EngineConfig
from kvserve.engine import integrity
from kvserve.engine.front import Front
from kvserve.engine.logprobs import token_logprob
from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.profiling import calibrate
from kvserve.engine.scheduler import Chunk, Plan, Scheduler
from kvserve.engine.sequence import (
    Delta,
    FinishReason,
    Sequence,
    SequenceStatus,
    TokenLogprob,
)
from kvserve.engine.state import LoadState
from kvserve.errors import (
    AccountsBroken,
    KvserveError,
    SamplingFailed,
    StepFailed,
)
from kvserve.kv import memory
from kvserve.kv.block_manager import BlockManager
from kvserve.kv.disk_tier import Fetch, open_tier
from kvserve.kv.kv_memory import KVMemory
from kvserve.kv.swap import HostPool, Swapper
from kvserve.observe.energy import EnergyAccount
from kvserve.observe.metrics import Metrics
from kvserve.text.detokenizer import TextStream

log = logging.getLogger("kvserve")
T = TypeVar("T")

SETTLE_S = 0.1  # idle time before the accounts are proven, so that no next request waits for it


class Engine(Front):
    """Takes requests from any thread; answers through their sinks, called on the engine's thread.

    Everything that changes state travels through one queue to the engine's thread, so there is no
    lock. A step that fails ends the requests that were in it, with the reason, and the engine goes
    on.
    """

    def __init__(self, config: EngineConfig, *, model_name: str) -> None:
        super().__init__(config, model_name=model_name)
        self.energy = EnergyAccount(watts_per_core=config.watts_per_core, cores=config.threads)
        self.metrics = Metrics(model_name, energy_source=self.energy.meter.source)
        self.largest_batch = 0
        self._proven = False

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:
            self.state, self.error = LoadState.FAILED, str(error)
            self._free()
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
        self._inbox.close()
        self._fail_all("the server is shutting down")
        self._free()

    def _free(self) -> None:
        """Give back the memory, as far as it was taken."""
        if self.disk:
            self.disk.close()
        if hasattr(self, "runner"):
            self.runner.close()

    def _load(self) -> None:
        started = time.monotonic()
        self.runner = ModelRunner(self.config, should_stop=self._stopping.is_set)
        pool = HostPool(
            memory.swap_bytes(
                self.config.swap_bytes,
                available=memory.available_bytes(),
                kv=self.runner.plan.kv,
            )
        )
        self.memory = KVMemory(self.runner.context, scratch=self.config.scratch_id, pool=pool)
        self.costs = calibrate(self.runner, self.memory)
        if self.config.disk_tier_bytes:
            self.disk = self.memory.tier = open_tier(self.config, self.runner.info, self.costs)
        self._new_accounts()
        for module in self.config.lora_modules:
            self.runner.adapters.load(self.read_adapter(module))
        AdapterMetrics(self).register(self.metrics.registry)
        self.metrics.cache_config(self.config, num_blocks=self.runner.num_blocks)
        self.state = LoadState.READY
        log.info("memory plan: %s", self.runner.plan._replace(swap=pool.capacity))
        log.info("preemption: %s", self.costs)
        log.info("energy: %s", self.energy.meter.detail)
        log.info("%s is ready after %.1f s", self.model_name, time.monotonic() - started)

    def _new_accounts(self) -> None:
        """Begin with every block free."""
        self.blocks = BlockManager(
            num_blocks=self.runner.num_blocks,
            block_size=self.config.block_size,
            holder_ids=self.config.holder_ids,
        )
        self.blocks.cache.tier = self.disk
        self.memory.pool.clear()
        self.scheduler = Scheduler(
            self.blocks,
            max_seqs=self.config.max_seqs,
            max_batch_tokens=self.config.max_batch_tokens,
            swapper=Swapper(
                self.memory.pool, self.costs, bytes_per_token=self.runner.info.kv_bytes_per_token
            ),
        )

    @property
    def _sequences(self) -> list[Sequence]:
        """All that run, wait in line, or wait for the disk tier."""
        fetching = self.disk.waiting if self.disk else []
        return [*self.scheduler.running, *self.scheduler.waiting, *fetching]

    def _take_requests(self) -> None:
        """Run what other threads asked for; sleep until something comes when there is no work."""
        if self.runner.adapters.retired:
            self.runner.adapters.free_unused({seq.adapter for seq in self._sequences})
        if not self.scheduler.has_work:
            self.memory.perform(self.blocks.ops.take())
            while not len(self._inbox) and self.blocks.cache.keep_next():
                self.memory.perform(self.blocks.ops.take())
            self.metrics.levels(self.scheduler, self.runner.kernels)
            command = self._inbox.wait(SETTLE_S)
            if command is None and not self._proven:
                self._prove()
                self._proven = True
            command = command or self._inbox.wait()
            self.energy.resume()
            if command:
                command()
        self._inbox.drain()

    def step(self) -> None:
        """Schedule, compute, hand out: the whole life of the engine, one token at a time."""
        self._proven = False
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
            self._charge(plan)
            log.exception("a step of %d sequences failed", len(plan.chunks))
            self._fail([chunk.seq for chunk in plan.chunks], f"the step failed: {error}")
            return
        self._charge(plan)
        for chunk, row in zip(plan.chunks, rows, strict=True):
            self._advance(chunk, row)
        self.metrics.levels(self.scheduler, self.runner.kernels)

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

    def _charge(self, plan: Plan) -> None:
        joules = self.energy.charge(plan.chunks)
        self.metrics.energy(joules, self.energy.meter.source)

    def _note(self, plan: Plan) -> None:
        self.largest_batch = max(self.largest_batch, len(plan.chunks))
        self.metrics.step(plan)
        for seq in plan.preempted:
            log.debug("request %d is preempted: %s", seq.id, "swap" if seq.span else "recompute")

    def _admit(self, leader: Sequence) -> None:
        self.metrics.arrived(leader)
        for seq in (leader, *leader.siblings):
            try:
                self.runner.adapters.require(seq.adapter)
                seq.sampler = self.runner.new_sampler(seq.params)
                seq.text = TextStream(seq.params.stop)
            except KvserveError as error:
                self._fail([seq], str(error))
        leader.siblings = [seq for seq in leader.siblings if not seq.is_finished]
        if leader.is_finished:
            self._promote(leader)
        elif not self.blocks.cache.fetch(leader, self._fetched):
            self.scheduler.add(leader)

    def _fetched(self, fetch: Fetch) -> None:
        """From the disk tier's thread: who waited for a prefix goes into line."""
        self._inbox.put(lambda: self._enter(fetch))

    def _enter(self, fetch: Fetch) -> None:
        for seq in self.disk.finish(fetch) if self.disk else []:
            self.scheduler.add(seq)

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
        delta = Delta(
            text, reason, error, seq.num_completion_tokens, seq.num_cached, logprobs, seq.joules
        )
        self._send(seq, delta)

    def _fail(self, sequences: Seq[Sequence], reason: str) -> None:
        for seq in sequences:
            self._end(seq, FinishReason.ERROR, error=reason)

    def _fail_all(self, reason: str) -> None:
        while sequences := [seq for seq in self._sequences if not seq.is_finished]:
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
        """Prove that blocks, slots and llama.cpp's cells agree; on the engine's thread only.

        Raises:
            AccountsBroken: what does not add up.
        """
        integrity.check_integrity(self.scheduler, self.memory)
