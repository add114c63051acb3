"""Who holds which block of the KV pool.

llama.cpp places cells itself, so a block is a logical span of `block_size` positions: the unit of
accounting, not an address. A batch fits the cache iff enough cells are empty, whatever their order,
so blocks that are accounted for here are cells that llama.cpp has.
"""

from collections import deque
from collections.abc import Iterable

from kvserve.errors import ensure
from kvserve.sequence import Sequence


class BlockManager:
    """A free list of `num_blocks` blocks and a block table on each sequence."""

    def __init__(self, *, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.free_blocks: deque[int] = deque(range(num_blocks))

    @property
    def num_free(self) -> int:
        return len(self.free_blocks)

    @property
    def usage(self) -> float:
        """Share of the pool in use, 0…1."""
        return 1 - self.num_free / self.num_blocks

    @property
    def capacity_tokens(self) -> int:
        return self.num_blocks * self.block_size

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that `num_tokens` positions fill, the last one perhaps partly."""
        return -(-num_tokens // self.block_size)

    def can_allocate(self, seq: Sequence, *, keep_free: int = 0) -> bool:
        """Whether all known tokens of a waiting sequence fit, with `keep_free` blocks left over."""
        return self.blocks_for(len(seq.tokens)) + keep_free <= self.num_free

    def allocate(self, seq: Sequence) -> None:
        """Give a sequence without blocks the blocks for all its known tokens."""
        ensure(
            not seq.block_table, f"sequence {seq.id} already holds {len(seq.block_table)} blocks"
        )
        self._extend(seq)

    def can_append(self, seq: Sequence) -> bool:
        """Whether the sequence's newest token has, or can get, a place."""
        return self.blocks_for(len(seq.tokens)) - len(seq.block_table) <= self.num_free

    def append(self, seq: Sequence) -> None:
        """Grow the block table to cover the sequence's newest token."""
        self._extend(seq)

    def free(self, seq: Sequence) -> None:
        """Take back every block of the sequence."""
        self.free_blocks.extend(reversed(seq.block_table))
        seq.block_table.clear()

    def _extend(self, seq: Sequence) -> None:
        missing = self.blocks_for(len(seq.tokens)) - len(seq.block_table)
        ensure(
            missing <= self.num_free,
            f"sequence {seq.id}: {missing} blocks, {self.num_free} free",
        )
        seq.block_table.extend(self.free_blocks.popleft() for _ in range(missing))

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Prove that every block is either free or held once, by the sequences given.

        Raises:
            AccountsBroken: a block is lost, held twice, or a table is longer than its tokens need.
        """
        held = [block for seq in sequences for block in seq.block_table]
        everything = sorted([*self.free_blocks, *held])
        ensure(
            everything == list(range(self.num_blocks)),
            f"{self.num_blocks} blocks, but {self.num_free} free and {len(held)} held",
        )
        for seq in sequences:
            needed = self.blocks_for(len(seq.tokens))
            ensure(
                len(seq.block_table) <= needed,
                f"sequence {seq.id} holds more than {needed} blocks",
            )
            covered = len(seq.block_table) * self.block_size
            ensure(
                seq.num_computed <= covered,
                f"sequence {seq.id} computed past its {covered} places",
            )
