"""A model of llama.cpp's unified cache and of the engine around the scheduler, in plain Python.

A cell knows which tokens it was computed from, so sharing the wrong cell, losing one or keeping one
too long shows at once.
"""

from collections.abc import Callable
from typing import NamedTuple

from kvserve.engine.scheduler import Plan, Scheduler
from kvserve.engine.sequence import SamplingParams, Sequence
from kvserve.kv.block import Block
from kvserve.kv.block_manager import BlockManager
from kvserve.kv.cell_ops import CellOp, Drop, Keep, Load, Restore, Save, Share
from kvserve.kv.chain import Segment
from kvserve.kv.disk_tier import Fetch, Segments
from kvserve.kv.segment_file import Stored


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
        self.disk: dict[bytes, dict[int, Cell]] = {}
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
                case Keep(holder, segment):
                    cells = {p: self.held[holder][p] for p in range(segment.start, segment.end)}
                    last = cells[segment.end - 1]
                    assert last.path[segment.start :] == segment.tokens
                    assert last.space == OPEN_SPACE, "neither a tenant's nor an adapter's"
                    self.disk[segment.key] = cells
                case Load(slot, start, stored):
                    segment, there = stored.segment, self.held.setdefault(slot, {})
                    whole = len(self.cells) + len(segment.tokens)
                    assert whole <= self.capacity, "llama.cpp restores all before any is let go"
                    for position in range(start, segment.end):
                        assert position not in there
                        cell = self.disk[segment.key][position]
                        there[position] = self.new_cell(cell.path, cell.space)
            assert len(self.cells) <= self.capacity, "llama.cpp would be full"

    def new_cell(self, path: tuple[int, ...], space: str) -> Cell:
        self.born += 1
        return Cell(self.born, path, space)

    def compute(self, seq: Sequence, start: int, size: int) -> None:
        mine = self.held.setdefault(seq.held_slot, {})
        assert sorted(mine) == list(range(start)), "positions must continue where they end"
        for position in range(start, start + size):
            mine[position] = self.new_cell(tuple(seq.tokens[: position + 1]), space_of(seq))
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
                    assert cell.space == space_of(seq)
        for holder, end in blocks.cache.ends.items():
            path: tuple[int, ...] = ()
            block: Block | None = end
            while block is not None:
                path = block.tokens + path
                block = block.parent
            last = len(path) - 1
            assert self.held[holder][last].path == path


class ToyTier:
    """A disk that is read at once; `ToyCache.disk` is what was written to it."""

    segment_blocks = 2
    can_keep = True

    def __init__(self, cache: ToyCache) -> None:
        self.cache = cache
        self.num_restored = 0

    def has(self, key: bytes) -> bool:
        return key in self.cache.disk

    def fetch(
        self, seq: Sequence, segments: Segments, *, known: int, done: Callable[[Fetch], None]
    ) -> bool:
        found = []
        for number, key in enumerate(segments.keys):
            if key not in self.cache.disk:
                break
            start = segments.start + number * segments.size
            tokens = tuple(seq.tokens[start : start + segments.size])
            found.append(Stored(Segment(key, b"", start, tokens), bytearray(), 0, 0))
        seq.stored = tuple(found)
        return False


class ToyEngine:
    """Steps a scheduler; the next token is a function of the sequence's tokens (greedy)."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.cache = ToyCache(scheduler.blocks.capacity_tokens)
        self.stalled = 0  # steps in a row without the highest rank

    def use_disk(self) -> None:
        self.scheduler.blocks.cache.tier = ToyTier(self.cache)  # type: ignore[assignment]

    def arrive(self, seq: Sequence) -> None:
        self.scheduler.blocks.cache.fetch(seq, lambda _fetch: None)
        self.scheduler.add(seq)

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


OPEN_SPACE = "/"  # no tenant, no adapter


def space_of(seq: Sequence) -> str:
    """Who may share a cell: KV of one tenant, computed under one adapter."""
    return f"{seq.cache_salt}/{seq.adapter}"


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
    adapter: str = "",
    seed: int = 0,
) -> Sequence:
    tokens = [1] * prompt if isinstance(prompt, int) else list(prompt)
    params = SamplingParams(max_tokens=answer, seed=seed)
    return Sequence(
        number,
        tokens,
        params,
        lambda _delta: None,
        priority,
        client=client,
        cache_salt=salt,
        adapter=adapter,
    )
