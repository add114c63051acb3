"""Iteration-level scheduling: which tokens of which sequences the next step computes."""

from bisect import insort
from typing import NamedTuple

from kvserve.block_manager import BlockManager
from kvserve.errors import ensure
from kvserve.sequence import Sequence, SequenceStatus


class Chunk(NamedTuple):
    """`size` tokens of one sequence from position `start`; after the last known one, a sample."""

    seq: Sequence
    start: int
    size: int

    @property
    def samples(self) -> bool:
        return self.start + self.size == len(self.seq.tokens)


class Plan(NamedTuple):
    """One step. `vacated` are slots whose cells must be dropped before the chunks are computed."""

    chunks: list[Chunk]
    vacated: list[int]
    preempted: list[Sequence]


class Scheduler:
    """Decodes first, prefill in chunks beside them, one token budget for both.

    Sequences are ranked by priority (lower first), then arrival. Waiting ones are admitted in that
    order and only with blocks for all their known tokens, so a prefill never stalls half-way.
    Decoding sequences take blocks as they grow; when none is left the lowest-ranked running
    sequence is preempted by recompute: its blocks go back and it waits, tokens kept. The highest-
    ranked sequence can always take every block, and admission bounds each request by the pool, so
    every request finishes.
    """

    def __init__(self, blocks: BlockManager, *, max_seqs: int, max_batch_tokens: int) -> None:
        self.blocks = blocks
        self.max_seqs = max_seqs
        self.max_batch_tokens = max_batch_tokens
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.free_slots = list(range(max_seqs))
        self.vacated: list[int] = []

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, seq: Sequence) -> None:
        """Queue a sequence by rank."""
        insort(self.waiting, seq, key=_rank)

    def remove(self, seq: Sequence) -> None:
        """Forget a sequence, waiting or running, and take back all it holds."""
        if seq.status is SequenceStatus.RUNNING:
            self._vacate(seq)
        elif seq.status is SequenceStatus.WAITING:
            self.waiting.remove(seq)
        seq.status = SequenceStatus.FINISHED

    def take_vacated(self) -> list[int]:
        """Slots given up since the last call; their cells in llama.cpp are still to be dropped."""
        vacated, self.vacated = self.vacated, []
        return vacated

    def schedule(self) -> Plan:
        """Choose the next step's tokens, at most `max_batch_tokens`."""
        chunks: list[Chunk] = []
        preempted = self._schedule_decodes(chunks)
        budget = self.max_batch_tokens - len(chunks)
        for seq in [seq for seq in self.running if not seq.is_decoding]:
            budget -= self._schedule_prefill(seq, budget, chunks)
        while budget and not preempted and self.can_admit():
            budget -= self._schedule_prefill(self._admit(), budget, chunks)
        return Plan(chunks, self.take_vacated(), preempted)

    def _schedule_prefill(self, seq: Sequence, budget: int, chunks: list[Chunk]) -> int:
        """As much of the prompt as the budget allows; returns the tokens taken."""
        count = min(budget, seq.num_uncomputed)
        if count:
            chunks.append(Chunk(seq, seq.num_computed, count))
        return count

    def _schedule_decodes(self, chunks: list[Chunk]) -> list[Sequence]:
        """One token for each decoding sequence, best rank first; returns who had to make room."""
        preempted: list[Sequence] = []
        for seq in [seq for seq in self.running if seq.is_decoding]:
            while seq.status is SequenceStatus.RUNNING and not self.blocks.can_append(seq):
                preempted.append(self._preempt(self.running[-1]))
            if seq.status is SequenceStatus.RUNNING:
                self.blocks.append(seq)
                chunks.append(Chunk(seq, seq.num_computed, 1))
        return preempted

    def can_admit(self) -> bool:
        """Whether the first in line gets a slot and blocks, with one left for each running."""
        return bool(
            self.waiting
            and self.free_slots
            and self.blocks.can_allocate(self.waiting[0], keep_free=len(self.running))
        )

    def _admit(self) -> Sequence:
        seq = self.waiting.pop(0)
        self.blocks.allocate(seq)
        seq.slot = self.free_slots.pop()
        seq.status = SequenceStatus.RUNNING
        insort(self.running, seq, key=_rank)
        return seq

    def _preempt(self, seq: Sequence) -> Sequence:
        self._vacate(seq)
        seq.num_computed = 0
        seq.status = SequenceStatus.WAITING
        self.add(seq)
        return seq

    def _vacate(self, seq: Sequence) -> None:
        self.running.remove(seq)
        self.blocks.free(seq)
        if seq.slot is not None:
            self.free_slots.append(seq.slot)
            self.vacated.append(seq.slot)
            seq.slot = None

    def check_integrity(self) -> None:
        """Prove the accounts of blocks and slots.

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


def _rank(seq: Sequence) -> tuple[int, int]:
    return seq.rank
