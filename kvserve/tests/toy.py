"""A model of llama.cpp's unified cache and of the engine around the scheduler, in plain Python.

A cell knows which tokens it was computed from, so sharing the wrong cell, losing one or keeping one
too long shows at once.
"""

from typing import NamedTuple

from kvserve.block import Block
from kvserve.block_manager import BlockManager
from kvserve.cell_ops import CellOp, Drop, Restore, Save, Share
from kvserve.scheduler import Plan, Scheduler
from kvserve.sequence import SamplingParams, Sequence


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Cell(NamedTuple):
    """Named by a number of its own; `path` is every token up to and including its own."""

    number: int
    path: tuple[int, ...]
    space: str


class ToyCache:
    """Sequence ids hold cells by position; a cell lives as long as someone holds it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held: dict[int, dict[int, Cell]] = {}
        self.saved: dict[int, dict[int, Cell]] = {}
        self.born = 0

    @property
    def cells(self) -> set[Cell]:
        return {cell for cells in self.held.values() for cell in cells.values()}

    def perform(self, ops: list[CellOp]) -> None:
        for op in ops:
            match op:
                case Share(source, target, start, end):
                    there = self.held.setdefault(target, {})
                    for position in range(start, end):
                        assert position not in there, "a position held twice"
                        there[position] = self.held[source][position]
                case Drop(holder, start, end):
                    mine = self.held.get(holder, {})
                    self.held[holder] = {p: c for p, c in mine.items() if not start <= p < end}
                case Save(slot, start, end, offset):
                    self.saved[offset] = {p: self.held[slot][p] for p in range(start, end)}
                case Restore(slot, start, end, offset):
                    there = self.held.setdefault(slot, {})
                    for position, cell in self.saved.pop(offset).items():
                        assert position not in there
                        there[position] = self.new_cell(cell.path, cell.space)
            assert len(self.cells) <= self.capacity, "llama.cpp would be full"

    def new_cell(self, path: tuple[int, ...], space: str) -> Cell:
        self.born += 1
        return Cell(self.born, path, space)

    def compute(self, seq: Sequence, start: int, size: int) -> None:
        mine = self.held.setdefault(seq.held_slot, {})
        assert sorted(mine) == list(range(start)), "positions must continue where they end"
        for position in range(start, start + size):
            mine[position] = self.new_cell(tuple(seq.tokens[: position + 1]), seq.cache_salt)
        assert len(self.cells) <= self.capacity, "llama.cpp would be full"

    def check(self, blocks: BlockManager, sequences: list[Sequence]) -> None:
        """The accounts equal the cells, and each sequence holds the KV of its own tokens."""
        expected = {h.id: h.length for h in blocks.holdings(sequences)}
        for holder, cells in self.held.items():
            assert sorted(cells) == list(range(expected.get(holder, 0))), holder
        assert len(self.cells) == blocks.num_cells
        for seq in sequences:
            if seq.slot is not None:
                for position in range(seq.num_computed):
                    cell = self.held[seq.slot][position]
                    assert cell.path == tuple(seq.tokens[: position + 1])
                    assert cell.space == seq.cache_salt
        for holder, end in blocks.cache.ends.items():
            path: tuple[int, ...] = ()
            block: Block | None = end
            while block is not None:
                path = block.tokens + path
                block = block.parent
            last = len(path) - 1
            assert self.held[holder][last].path == path


class ToyEngine:
    """Steps a scheduler; the next token is a function of the sequence's tokens (greedy)."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.cache = ToyCache(scheduler.blocks.capacity_tokens)

    def step(self) -> Plan:
        plan = self.scheduler.schedule()
        self.cache.perform(plan.ops)
        for seq, start, size in plan.chunks:
            samples = start + size == len(seq.tokens)
            self.cache.compute(seq, start, size)
            seq.num_computed += size
            self.scheduler.blocks.written(seq, start, size)
            if samples:
                for each in (*self.scheduler.fork(seq), seq):
                    self.cache.perform(self.scheduler.blocks.ops.take())
                    self.sample(each)
        return plan

    def sample(self, seq: Sequence) -> None:
        seq.tokens.append(next_token(seq.tokens, seq.params.seed or 0))
        if seq.num_completion_tokens >= seq.params.max_tokens:
            self.scheduler.remove(seq)

    def check(self) -> None:
        self.cache.perform(self.scheduler.blocks.ops.take())
        self.scheduler.check_integrity()
        self.cache.check(self.scheduler.blocks, self.scheduler.running)


def next_token(tokens: list[int], seed: int) -> int:
    return (sum(tokens[-3:]) + 7 * seed) % 5


def new_sequence(
    number: int,
    prompt: int | list[int],
    *,
    answer: int = 4,
    priority: int = 0,
    salt: str = "",
    client: str = "",
    seed: int = 0,
) -> Sequence:
    tokens = [1] * prompt if isinstance(prompt, int) else list(prompt)
    params = SamplingParams(max_tokens=answer, seed=seed)
    return Sequence(
        number, tokens, params, lambda _delta: None, priority, client=client, cache_salt=salt
    )
