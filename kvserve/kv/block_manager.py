"""Who holds which block of the KV pool.

llama.cpp places cells itself, so a block is a logical span of `block_size` positions: the unit of
accounting, not an address. A batch fits the cache iff enough cells are empty, whatever their order,
so blocks that are accounted for here are cells that llama.cpp has.
"""

from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from kvserve.engine.sequence import Sequence
from kvserve.errors import ensure
from kvserve.kv.block import Block
from kvserve.kv.block_watch import BlockWatch
from kvserve.kv.cell_ops import Load, OpLog
from kvserve.kv.prefix_cache import PrefixCache
from kvserve.kv.segment_file import Stored

NO_HOLDERS = range(0)


class Holding(NamedTuple):
    """What one of llama.cpp's sequence ids should hold: every position below `length`."""

    id: int
    length: int


class BlockManager:
    """A free list of `num_blocks` blocks, a block table on each sequence, a cache of prefixes.

    `holder_ids` are sequence ids that may keep finished prefixes; none means no prefix cache.
    Changes to llama.cpp's cells are collected in `ops`, in order.
    """

    def __init__(self, *, num_blocks: int, block_size: int, holder_ids: range = NO_HOLDERS) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.ops = OpLog()
        self.cache = PrefixCache(block_size=block_size, holder_ids=holder_ids, ops=self.ops)
        self.watch = BlockWatch()
        self.blocks = [Block(number) for number in range(num_blocks)]
        self.free_blocks: deque[Block] = deque(self.blocks)
        self.num_cached = 0  # blocks kept for later that nobody uses now
        self.num_filled = 0  # positions with content, over all blocks
        self._cell_names = count()

    # --- counts ----------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """Blocks to be had: empty ones and those whose cached content may go."""
        return len(self.free_blocks) + self.num_cached

    @property
    def usage(self) -> float:
        """Share of the pool that running sequences hold, 0…1."""
        return 1 - self.num_free / self.num_blocks

    @property
    def capacity_tokens(self) -> int:
        return self.num_blocks * self.block_size

    @property
    def num_allocated(self) -> int:
        return self.num_blocks - len(self.free_blocks)

    @property
    def waste(self) -> float:
        """Share of positions in allocated blocks, cached ones included, without content, 0…1.

        That is the unfilled end of last blocks, and what the next step will fill once it is
        scheduled: read it between steps. No memory lies idle: the cells of these positions stay
        empty in llama.cpp; they are only promised.
        """
        allocated = self.num_allocated * self.block_size
        return (allocated - self.num_filled) / allocated if allocated else 0.0

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that `num_tokens` positions fill, the last one perhaps partly."""
        return -(-num_tokens // self.block_size)

    # --- admission -------------------------------------------------------------------------------

    def price(self, seq: Sequence) -> int:
        """Free blocks that a waiting sequence takes for all its known tokens."""
        found = self.cache.match(seq, limit=seq.reusable_limit)
        pinned = sum(block.is_cached_only for block in found)
        return self.blocks_for(len(seq.tokens)) - len(found) + pinned

    def adopt(self, seq: Sequence) -> int:
        """Take over cached blocks that continue a sequence at a block boundary; returns tokens."""
        if seq.num_computed != len(seq.block_table) * self.block_size:
            return 0
        found = self.cache.match(seq, limit=seq.reusable_limit)
        start = len(seq.block_table)
        self._share(found, start, seq.held_slot)
        for block in found:
            self._use(block, seq.held_slot)
            seq.block_table.append(block)
        seq.num_computed += len(found) * self.block_size
        if not seq.was_preempted:
            self.cache.note_reuse(seq, found)
        return len(found) * self.block_size

    def load(self, seq: Sequence, stored: Stored) -> int:
        """Restore from disk what a sequence lacks of a segment; returns tokens, 0 where it does not
        continue the sequence or the pool has no room.

        llama.cpp restores the whole segment before the part that memory has is let go.
        """
        start, end = seq.num_computed, stored.segment.end
        number = end // self.block_size - 1
        again = start - stored.segment.start
        if (
            not stored.segment.start <= start < end <= seq.reusable_limit
            or start != len(seq.block_table) * self.block_size
            or self.cache.key(seq, number) != stored.segment.key
            or self._missing(seq, end) + self.blocks_for(again) > self.num_free
        ):
            return 0
        self.grow(seq, end)
        while len(self.free_blocks) < self.blocks_for(again):
            self._reclaim(self.cache.evict())
        self.ops.append(Load(seq.held_slot, start, stored))
        seq.num_computed = end
        self.written(seq, start, end - start)
        if self.cache.tier is not None:
            self.cache.tier.num_restored += end - start
        return end - start

    def _share(self, blocks: list[Block], start: int, slot: int) -> None:
        """One operation for each stretch of blocks that one id holds."""
        size, first = self.block_size, 0
        while first < len(blocks):
            common = blocks[first].slots | blocks[first].holders
            last = first + 1
            while last < len(blocks) and (
                narrower := common & (blocks[last].slots | blocks[last].holders)
            ):
                common, last = narrower, last + 1
            self.ops.share(min(common), slot, (start + first) * size, (start + last) * size)
            first = last

    # --- growth ----------------------------------------------------------------------------------

    def _must_copy(self, seq: Sequence) -> bool:
        """Whether the block that takes the next position is shared with another sequence."""
        number = seq.num_computed // self.block_size
        return number < len(seq.block_table) and seq.block_table[number].ref_count > 1

    def _missing(self, seq: Sequence, end: int) -> int:
        return max(0, self.blocks_for(end) - len(seq.block_table)) + self._must_copy(seq)

    def can_grow(self, seq: Sequence, end: int) -> bool:
        """Whether positions up to `end` have, or can get, a place."""
        return self._missing(seq, end) <= self.num_free

    def grow(self, seq: Sequence, end: int) -> None:
        """Make room for positions `num_computed`…`end`; a shared partial block is copied on write.

        The copy costs a block but no bytes: llama.cpp counts references per cell, so what was
        written before the fork stays shared and each side writes its own cells from here.
        """
        missing = self._missing(seq, end)
        ensure(
            missing <= self.num_free,
            f"sequence {seq.id}: {missing} blocks, {self.num_free} free",
        )
        if self._must_copy(seq):
            number = seq.num_computed // self.block_size
            origin = seq.block_table[number]
            copy = self._take(seq.held_slot)
            copy.cells = origin.cells[: seq.num_computed % self.block_size]
            self.num_filled += len(copy.cells)
            self._leave(origin, seq.held_slot)
            seq.block_table[number] = copy
        while len(seq.block_table) < self.blocks_for(end):
            seq.block_table.append(self._take(seq.held_slot))

    def written(self, seq: Sequence, start: int, size: int) -> None:
        """Note that these positions are computed; blocks that became full can be shared."""
        for position in range(start, start + size):
            seq.block_table[position // self.block_size].cells.append(next(self._cell_names))
        self.num_filled += size
        for number in range(start // self.block_size, (start + size) // self.block_size):
            self.cache.register(seq, number)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """Let a child with a slot of its own share all that its parent has computed."""
        for block in parent.block_table:
            self._use(block, child.held_slot)
        child.block_table = list(parent.block_table)
        child.num_computed = parent.num_computed
        self.ops.share(parent.held_slot, child.held_slot, 0, parent.num_computed)

    # --- giving back -----------------------------------------------------------------------------

    def shared_prefix(self, seq: Sequence) -> int:
        """Positions at the start that others hold too and that can be found again."""
        number = 0
        for block in seq.block_table:
            if block.key is None or block.ref_count == 1:
                break
            number += 1
        return number * self.block_size

    def release(self, seq: Sequence, *, keep: int | None = None) -> None:
        """Take back a sequence's blocks; full ones stay cached, up to position `keep` if given."""
        if seq.slot is None:
            return
        chain = []
        for block in seq.block_table if keep is None else seq.block_table[: self.blocks_for(keep)]:
            if block.key is None:
                break
            chain.append(block)
        for block in self.cache.retain(seq.slot, chain):
            self._reclaim(block)
        for block in reversed(seq.block_table):
            self._leave(block, seq.slot)
        self.ops.drop(seq.slot, 0, len(seq.block_table) * self.block_size)
        seq.block_table = []

    def drop_cache(self) -> None:
        """Forget every cached prefix that nobody uses."""
        while self.num_cached:
            self._reclaim(self.cache.evict())

    # --- single blocks ---------------------------------------------------------------------------

    def _take(self, slot: int) -> Block:
        if not self.free_blocks:
            self._reclaim(self.cache.evict())
        block = self.free_blocks.popleft()
        block.slots.add(slot)
        self.watch.taken(block)
        return block

    def _use(self, block: Block, slot: int) -> None:
        self.num_cached -= block.is_cached_only
        block.slots.add(slot)
        self.watch.used(block)

    def _leave(self, block: Block, slot: int) -> None:
        block.slots.discard(slot)
        self.num_cached += block.is_cached_only
        if block.ref_count == 0:
            self.cache.forget(block)
            self._clear(block)

    def _reclaim(self, evicted: Block) -> None:
        self.num_cached -= 1
        self._clear(evicted)

    def _clear(self, block: Block) -> None:
        self.num_filled -= len(block.cells)
        block.cells = []
        self.watch.cleared(block)
        self.free_blocks.append(block)

    # --- proof -----------------------------------------------------------------------------------

    def holdings(self, sequences: Iterable[Sequence]) -> list[Holding]:
        """What each sequence id should hold in llama.cpp, slots and holders alike."""
        held = [Holding(seq.slot, seq.num_computed) for seq in sequences if seq.slot is not None]
        return held + [
            Holding(holder, (end.depth + 1) * self.block_size)
            for holder, end in self.cache.ends.items()
        ]

    @property
    def num_cells(self) -> int:
        """Distinct cells that llama.cpp should have in use."""
        return len({cell for block in self.blocks for cell in block.cells})

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Prove that every block is free or held, and by exactly those whose table names it.

        Raises:
            AccountsBroken: a block is lost, or held by the wrong ids; or tree and holders disagree.
        """
        sequences = list(sequences)
        users: dict[int, set[int]] = {}
        for seq in sequences:
            for number, block in enumerate(seq.block_table):
                ensure(seq.slot is not None, f"sequence {seq.id} holds blocks without a slot")
                users.setdefault(block.id, set()).add(seq.slot or 0)
                filled = min(self.block_size, max(0, seq.num_computed - number * self.block_size))
                ensure(
                    len(block.cells) >= filled,
                    f"sequence {seq.id}: block {block.id} has {len(block.cells)} of {filled} cells",
                )
            ensure(
                seq.slot is None or seq.num_computed <= len(seq.block_table) * self.block_size,
                f"sequence {seq.id} computed past its {len(seq.block_table)} blocks",
            )
        free = {block.id for block in self.free_blocks}
        for block in self.blocks:
            expected = users.get(block.id, set())
            ensure(
                block.slots == expected,
                f"block {block.id} is held by slots {sorted(block.slots)}, tables say"
                f" {sorted(expected)}",
            )
            ensure(
                (block.ref_count == 0) == (block.id in free),
                f"block {block.id} has {block.ref_count} references and is"
                f" {'' if block.id in free else 'not '}free",
            )
        cached = sum(block.is_cached_only for block in self.blocks)
        ensure(cached == self.num_cached, f"{cached} blocks cached, {self.num_cached} counted")
        filled = sum(len(block.cells) for block in self.blocks)
        ensure(filled == self.num_filled, f"{filled} positions filled, {self.num_filled} counted")
        self.cache.check_integrity()
