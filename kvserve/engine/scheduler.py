"""Iteration-level scheduling: which tokens of which sequences the next step computes."""

import time
from bisect import insort
from collections.abc import Callable
from typing import NamedTuple

from kvserve.adapters.adapter_turns import AdapterTurns
from kvserve.engine.sequence import Sequence, SequenceStatus
from kvserve.engine.waiting import AGEING_S, WaitingLine
from kvserve.errors import ensure
from kvserve.kv.block_manager import BlockManager
from kvserve.kv.cell_ops import CellOp, Restore, Save
from kvserve.kv.swap import Swapper, no_swapper

LOOK_AHEAD = 32  # waiting sequences looked at in a step; bounds its cost with a long line


class Chunk(NamedTuple):
    """`size` tokens of one sequence from position `start`; after the last known one, a sample."""

    seq: Sequence
    start: int
    size: int

    @property
    def samples(self) -> bool:
        return self.start + self.size == len(self.seq.tokens)


class Plan(NamedTuple):
    """One step. `ops` are changes of llama.cpp's cells to be made before the chunks are computed."""

    chunks: list[Chunk]
    ops: list[CellOp]
    preempted: list[Sequence]


class Scheduler:
    """Decodes first, prefill in chunks beside them, one token budget for both.

    A waiting sequence is admitted with blocks in sight for all its known tokens, so a prefill never
    stalls half-way; it takes them chunk by chunk. One that does not fit lets smaller ones pass for
    `AGEING_S`, then the line waits for it. Running sequences take blocks as they grow; when none is
    left the lowest-ranked is preempted: its private KV moves to host memory or is dropped, and it
    waits, tokens kept. The highest-ranked sequence can always take every block, and admission
    bounds each request by the pool, so every request finishes.

    All chunks of a step have one LoRA adapter; adapters take turns. Slots and blocks are given
    without regard to turns.
    """

    def __init__(
        self,
        blocks: BlockManager,
        *,
        max_seqs: int,
        max_batch_tokens: int,
        swapper: Swapper | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.blocks = blocks
        self.max_seqs = max_seqs
        self.max_batch_tokens = max_batch_tokens
        self.swapper = swapper or no_swapper()
        self.clock = clock
        self.line = WaitingLine()
        self.turns = AdapterTurns(turn_tokens=max_batch_tokens)
        self.running: list[Sequence] = []
        self.free_slots = list(reversed(range(max_seqs)))
        self.num_swapped_out = 0
        self.num_swapped_in = 0

    @property
    def waiting(self) -> list[Sequence]:
        return self.line.sequences

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, seq: Sequence) -> None:
        """Put a new sequence in line."""
        self.line.arrive(seq)

    def remove(self, seq: Sequence) -> None:
        """Forget a sequence, waiting or running, and take back all it holds."""
        if seq.is_finished:
            return
        if seq.status is SequenceStatus.RUNNING:
            self._vacate(seq)
            self.line.depart(seq)
        elif seq in self.waiting:
            self._forget_span(seq)
            self.waiting.remove(seq)
            self.line.depart(seq)
        seq.status = SequenceStatus.FINISHED

    # --- one step --------------------------------------------------------------------------------

    def schedule(self) -> Plan:
        """Choose the next step's tokens, at most `max_batch_tokens`."""
        chunks: list[Chunk] = []
        preempted: list[Sequence] = []
        computing: set[bytes] = set()  # keys of blocks that this step fills
        for adapter in self.turns.order({seq.adapter for seq in self.running}):
            mine = [seq for seq in self.running if seq.adapter == adapter]
            self._schedule_decodes(mine, chunks, preempted)
            for seq in [seq for seq in mine if not seq.is_decoding]:
                if seq.status is SequenceStatus.RUNNING:
                    self._schedule_prefill(seq, chunks, computing, preempted)
            if chunks:
                break
        if not preempted:
            self._schedule_admissions(chunks, computing, preempted)
        self.blocks.cache.keep_next()
        for chunk in chunks:
            self.line.serve(chunk.seq, chunk.size)
        if chunks:
            self.turns.took(chunks[0].seq.adapter, sum(chunk.size for chunk in chunks))
        return Plan(chunks, self.blocks.ops.take(), preempted)

    def _schedule_decodes(
        self, sequences: list[Sequence], chunks: list[Chunk], preempted: list[Sequence]
    ) -> None:
        """One token for each decoding sequence, best rank first."""
        for seq in [seq for seq in sequences if seq.is_decoding]:
            if self._make_room(seq, preempted):
                self.blocks.grow(seq, len(seq.tokens))
                chunks.append(Chunk(seq, seq.num_computed, 1))

    def _make_room(self, seq: Sequence, preempted: list[Sequence]) -> bool:
        """Preempt from the lowest rank up until one more token fits; False if that hit `seq`."""
        while seq.status is SequenceStatus.RUNNING:
            if self.blocks.can_grow(seq, seq.num_computed + 1):
                return True
            preempted.append(self._preempt(self.running[-1]))
        return False

    def _schedule_prefill(
        self,
        seq: Sequence,
        chunks: list[Chunk],
        computing: set[bytes],
        preempted: list[Sequence],
    ) -> None:
        """As much of the prompt as budget and blocks allow, to a block boundary if not to its end.

        First takes what others have computed meanwhile; waits a step where another sequence is
        computing the same block right now.
        """
        if chunks and chunks[0].seq.adapter != seq.adapter:
            return  # admitted; computed when its adapter has the turn
        budget = self.max_batch_tokens - sum(chunk.size for chunk in chunks)
        self._adopt(seq)
        if not budget or self._next_key(seq) in computing:
            return
        if not chunks and not self._make_room(seq, preempted):
            return
        start = seq.num_computed
        end = start + min(budget, seq.num_uncomputed)
        aligned = end // self.blocks.block_size * self.blocks.block_size
        if end < len(seq.tokens) and aligned > start:
            end = aligned
        while end > start and not self.blocks.can_grow(seq, end):
            end = max(start, (end - 1) // self.blocks.block_size * self.blocks.block_size)
        if end > start:
            self.blocks.grow(seq, end)
            chunks.append(Chunk(seq, start, end - start))
            if self.blocks.cache.enabled:
                full = range(start // self.blocks.block_size, end // self.blocks.block_size)
                computing.update(self.blocks.cache.key(seq, number) for number in full)

    def _next_key(self, seq: Sequence) -> bytes | None:
        """Key of the whole block that the sequence would compute next, if others may share it."""
        number, rest = divmod(seq.num_computed, self.blocks.block_size)
        end = seq.num_computed + self.blocks.block_size
        if rest or end > seq.reusable_limit or not self.blocks.cache.enabled:
            return None
        return self.blocks.cache.key(seq, number)

    # --- admission -------------------------------------------------------------------------------

    def _schedule_admissions(
        self, chunks: list[Chunk], computing: set[bytes], preempted: list[Sequence]
    ) -> None:
        now = self.clock()
        for seq in self.line.first(LOOK_AHEAD, now) if self.waiting else []:
            if sum(chunk.size for chunk in chunks) >= self.max_batch_tokens:
                return
            if self.free_slots and self.can_admit(seq):
                self._admit(seq, now)
                self._schedule_prefill(seq, chunks, computing, preempted)
            elif self._outranks_the_last(seq, now):
                preempted.append(self._preempt(self.running[-1]))
                chunks[:] = [c for c in chunks if c.seq.status is SequenceStatus.RUNNING]
                computing.clear()
                if not chunks and self.can_admit(seq):
                    self._admit(seq, now)
                    self._schedule_prefill(seq, chunks, computing, preempted)
                return
            elif not self.free_slots or now - seq.arrival > AGEING_S:
                return

    def can_admit(self, seq: Sequence) -> bool:
        """Whether blocks for all known tokens are in sight, with one left for each running."""
        promised = sum(
            self.blocks.blocks_for(len(other.tokens)) - len(other.block_table)
            for other in self.running
        )
        return self.blocks.price(seq) + promised + len(self.running) <= self.blocks.num_free

    def _outranks_the_last(self, seq: Sequence, now: float) -> bool:
        """Whether a lower class runs where this one waits; one step makes room for one."""
        if not self.running:
            return False
        last = self.running[-1]
        return seq.priority < last.priority and self.line.level(seq, now) < last.level

    def _admit(self, seq: Sequence, now: float) -> None:
        self.waiting.remove(seq)
        seq.level = self.line.level(seq, now)
        self._start(seq)
        self._adopt(seq)
        self._load(seq)
        self._swap_in(seq)

    def _adopt(self, seq: Sequence) -> None:
        adopted = self.blocks.adopt(seq)
        if not seq.was_preempted:
            seq.num_cached += adopted

    def _load(self, seq: Sequence) -> None:
        """Restore what was read from disk for it and is not in memory meanwhile."""
        for stored in seq.stored:
            tokens = self.blocks.load(seq, stored)
            seq.num_cached += tokens
            seq.num_external += tokens
        seq.stored = ()

    def _start(self, seq: Sequence) -> None:
        seq.slot = self.free_slots.pop()
        seq.status = SequenceStatus.RUNNING
        insort(self.running, seq, key=_rank)

    def fork(self, leader: Sequence) -> list[Sequence]:
        """Start the siblings of a sequence whose prompt is computed, as far as there is room.

        Those started share its blocks and may sample from its logits; the others wait in line.
        """
        siblings, leader.siblings = leader.siblings, []
        started = []
        for seq in siblings:
            if self.free_slots and self.blocks.num_free > len(self.running):
                seq.level, seq.num_cached = leader.level, leader.num_computed
                self.line.enter(seq)
                self._start(seq)
                self.blocks.fork(leader, seq)
                started.append(seq)
            else:
                self.add(seq)
        return started

    # --- preemption ------------------------------------------------------------------------------

    def _preempt(self, seq: Sequence) -> Sequence:
        """Save or drop what the sequence alone holds; the rest of it stays cached."""
        start = self.blocks.shared_prefix(seq)
        span = self.swapper.park(start, seq.num_computed)
        if span is not None:
            self.blocks.ops.append(Save(seq.held_slot, span.start, span.end, span.offset))
            self._park(seq, +1, start)
            seq.span = span
            self.num_swapped_out += 1
        self._vacate(seq, keep=None if span is None else start)
        seq.num_computed = 0
        seq.status = SequenceStatus.WAITING
        seq.was_preempted = True
        self.waiting.append(seq)
        return seq

    def _swap_in(self, seq: Sequence) -> None:
        """Bring the private part back if what was shared is all there; else compute it again."""
        span = seq.span
        if span is None:
            return
        whole = seq.num_computed == span.start
        self._forget_span(seq)
        if not whole:
            self._adopt(seq)
            return
        self.blocks.grow(seq, span.end)
        self.blocks.ops.append(Restore(seq.held_slot, span.start, span.end, span.offset))
        seq.num_computed = span.end
        self.blocks.written(seq, span.start, span.end - span.start)
        self.num_swapped_in += 1

    def _forget_span(self, seq: Sequence) -> None:
        if seq.span is not None:
            self._park(seq, -1, seq.span.start)
            self.swapper.forget(seq.span)
            seq.span = None

    def _park(self, seq: Sequence, change: int, end: int) -> None:
        """Note that a swapped sequence will want these cached blocks back."""
        for number in range(end // self.blocks.block_size):
            key = self.blocks.cache.key(seq, number)
            self.blocks.cache.parked[key] += change
            if not self.blocks.cache.parked[key]:
                del self.blocks.cache.parked[key]

    def _vacate(self, seq: Sequence, *, keep: int | None = None) -> None:
        self.running.remove(seq)
        self.blocks.release(seq, keep=keep)
        if seq.slot is not None:
            self.free_slots.append(seq.slot)
            seq.slot = None

    def check_integrity(self) -> None:
        """Prove the accounts of blocks, slots and swapped spans.

        Raises:
            AccountsBroken: what does not add up.
        """
        self.blocks.check_integrity([*self.running, *self.waiting])
        held = [seq.slot for seq in self.running if seq.slot is not None]
        ensure(len(held) == len(self.running), "a running sequence has no slot")
        slots = sorted([*self.free_slots, *held])
        ensure(slots == list(range(self.max_seqs)), f"slots held twice or lost: {slots}")
        idle = all(not seq.block_table and seq.slot is None for seq in self.waiting)
        ensure(idle, "a waiting sequence holds blocks or a slot")
        parked = sum(seq.span.size for seq in self.waiting if seq.span)
        ensure(
            parked == self.swapper.pool.used,
            f"{parked} bytes are swapped, {self.swapper.pool.used} accounted",
        )


def _rank(seq: Sequence) -> tuple[int, int]:
    return seq.rank
