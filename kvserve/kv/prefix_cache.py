"""Which computed blocks can be used again, by anyone who starts with the same tokens.

Full blocks hang in a tree by chained hash. llama.cpp keeps cells only for sequence ids, of which
there are 256, and one id can hold one chain only; so each leaf of the tree has one holder id, whose
chain is the path from the root. A chain that grows keeps its holder; a chain that branches takes a
new one. Blocks of running sequences are in the tree too and are pinned by their slots.
"""

from collections import Counter, deque
from collections.abc import Callable
from collections.abc import Sequence as Seq

from kvserve.engine.sequence import Sequence
from kvserve.errors import AccountsBroken, ensure
from kvserve.kv.block import Block
from kvserve.kv.cell_ops import OpLog
from kvserve.kv.chain import Segment, chain_key, root_key
from kvserve.kv.disk_tier import DiskTier, Fetch, Segments

MAX_TO_KEEP = 4096  # segments, while the disk is slow
KEEP_AFTER = 2  # assumed: uses after the first that make a prefix worth a place on disk


class PrefixCache:
    """The tree, its holders, and least-recently-used eviction from the leaves.

    With a `tier`, segments of it that were used again are copied to disk: after `KEEP_AFTER` uses,
    or when evicted after fewer. Those of a tenant or an adapter stay in memory only.
    """

    def __init__(self, *, block_size: int, holder_ids: Seq[int], ops: OpLog) -> None:
        self.block_size = block_size
        self.ops = ops
        self.index: dict[bytes, Block] = {}
        self.ends: dict[int, Block] = {}
        self.free_holders = list(reversed(holder_ids))
        self.enabled = bool(holder_ids)
        self.tier: DiskTier | None = None
        self._to_keep: deque[Block] = deque(maxlen=MAX_TO_KEEP)
        self.parked: Counter[bytes] = Counter()
        self._clock = 0

    # --- keys and matching -----------------------------------------------------------------------

    def key(self, seq: Sequence, number: int) -> bytes:
        """The chained hash of the sequence's block `number`, which must be full."""
        size = self.block_size
        while len(seq.block_keys) <= number:
            index = len(seq.block_keys)
            parent = seq.block_keys[-1] if index else root_key(seq.adapter, seq.cache_salt)
            seq.block_keys.append(chain_key(parent, seq.tokens[index * size : (index + 1) * size]))
        return seq.block_keys[number]

    def match(self, seq: Sequence, *, limit: int) -> list[Block]:
        """Blocks that continue the sequence's table, up to position `limit`; content is compared."""
        found: list[Block] = []
        if not self.enabled:
            return found
        number = len(seq.block_table)
        parent = seq.block_table[-1] if seq.block_table else None
        while (number + 1) * self.block_size <= limit:
            block = self.index.get(self.key(seq, number))
            if block is None or block.parent is not parent or not self._is(block, seq, number):
                break
            found.append(block)
            parent, number = block, number + 1
        return found

    def _is(self, block: Block, seq: Sequence, number: int) -> bool:
        start = number * self.block_size
        return block.tokens == tuple(seq.tokens[start : start + self.block_size])

    def register(self, seq: Sequence, number: int) -> bool:
        """Enter a full, computed block; False if its place is taken or its parent has none."""
        block = seq.block_table[number]
        parent = seq.block_table[number - 1] if number else None
        if block.key is not None or not self.enabled:
            return block.key is not None
        key = self.key(seq, number)
        if key in self.index or (parent is not None and parent.key is None):
            return False
        start = number * self.block_size
        block.key, block.parent, block.depth = key, parent, number
        block.tokens = tuple(seq.tokens[start : start + self.block_size])
        if parent is not None:
            parent.num_children += 1
        self.index[key] = block
        self._touch([block])
        return True

    # --- keeping ---------------------------------------------------------------------------------

    def retain(self, slot: int, chain: Seq[Block]) -> list[Block]:
        """Keep a chain that only `slot` would hold; returns blocks evicted to free a holder id.

        `chain` is registered, from the root. Does nothing where others hold its end already.
        """
        if not self.enabled or not chain:
            return []
        self._touch(chain)
        end = chain[-1]
        if end.holders or end.num_children or end.slots != {slot}:
            return []
        evicted: list[Block] = []
        grown = next((n for n in range(len(chain), 0, -1) if chain[n - 1].leaf_of is not None), 0)
        if grown:
            holder = chain[grown - 1].leaf_of
            chain[grown - 1].leaf_of = None
        else:
            while not self.free_holders and self.can_evict:
                evicted.append(self.evict())
            holder = self.free_holders.pop() if self.free_holders else None
        if holder is None:
            return evicted
        for block in chain[grown:]:
            block.holders.add(holder)
        end.leaf_of = holder
        self.ends[holder] = end
        self.ops.share(slot, holder, grown * self.block_size, len(chain) * self.block_size)
        return evicted

    def _touch(self, chain: Seq[Block]) -> None:
        self._clock += 1
        for block in chain:
            block.last_used = self._clock

    # --- the disk --------------------------------------------------------------------------------

    def note_reuse(self, seq: Sequence, blocks: Seq[Block]) -> None:
        """Count that a sequence begins with blocks that another one computed."""
        if self.tier is None or not _may_rest_on_disk(seq):
            return
        for block in blocks:
            block.reuses += 1
            if block.reuses == KEEP_AFTER and self._ends_segment(block):
                self._to_keep.append(block)

    def keep_next(self) -> bool:
        """Ask for a copy of one segment that was used often enough; False if there is none."""
        while self._to_keep and self.tier is not None and self.tier.can_keep:
            block = self._to_keep.popleft()
            if block.reuses >= KEEP_AFTER and self._keep(block):
                return True
        return False

    def _ends_segment(self, block: Block) -> bool:
        return self.tier is not None and (block.depth + 1) % self.tier.segment_blocks == 0

    def _keep(self, end: Block) -> bool:
        """Have the segment that ends here copied, unless it is on disk."""
        if self.tier is None or end.key is None or self.tier.has(end.key):
            return False
        blocks = [end]
        while len(blocks) < self.tier.segment_blocks and blocks[-1].parent is not None:
            blocks.append(blocks[-1].parent)
        before = blocks[-1].parent
        segment = Segment(
            key=end.key,
            parent=before.key or b"" if before else root_key("", ""),
            start=blocks[-1].depth * self.block_size,
            tokens=tuple(token for block in reversed(blocks) for token in block.tokens),
        )
        self.ops.keep(min(end.slots | end.holders), segment)
        return True

    def fetch(self, seq: Sequence, done: Callable[[Fetch], None]) -> bool:
        """Have read from disk what memory lacks of a new sequence's prompt, if that is worth it."""
        if self.tier is None or not _may_rest_on_disk(seq):
            return False
        size = self.tier.segment_blocks * self.block_size
        known = len(self.match(seq, limit=seq.reusable_limit)) * self.block_size
        first = known // size
        ends = range((first + 1) * size, seq.reusable_limit + 1, size)
        keys = [self.key(seq, end // self.block_size - 1) for end in ends]
        return self.tier.fetch(seq, Segments(keys, first * size, size), known=known, done=done)

    # --- eviction --------------------------------------------------------------------------------

    def _evictable(self) -> list[Block]:
        return [end for end in self.ends.values() if not end.slots and not end.num_children]

    @property
    def can_evict(self) -> bool:
        return bool(self._evictable())

    def evict(self) -> Block:
        """Drop the least recently used leaf, those that a parked sequence needs last.

        The block returned is held by nobody and out of the tree.
        """
        leaf = min(self._evictable(), key=lambda b: (self.parked[b.key or b""] > 0, b.last_used))
        holder, parent = leaf.leaf_of, leaf.parent
        if holder is None:
            raise AccountsBroken(f"leaf {leaf.id} has no holder")
        if leaf.reuses and self._ends_segment(leaf):
            self._keep(leaf)
        leaf.holders.discard(holder)
        ensure(leaf.ref_count == 0, f"leaf {leaf.id} is evicted but held")
        start = leaf.depth * self.block_size
        self.forget(leaf)
        if parent is None or parent.num_children:
            self._free_holder(holder, parent, start + self.block_size)
        else:
            parent.leaf_of = holder
            self.ends[holder] = parent
            self.ops.drop(holder, start, start + self.block_size)
        return leaf

    def _free_holder(self, holder: int, end: Block | None, length: int) -> None:
        """The chain's rest is a path to other leaves: their ids hold it."""
        del self.ends[holder]
        while end is not None:
            end.holders.discard(holder)
            ensure(end.ref_count > 0, f"block {end.id} lost its last holder {holder}")
            end = end.parent
        self.free_holders.append(holder)
        self.ops.drop(holder, 0, length)

    def forget(self, block: Block) -> None:
        """Take a block out of the tree; it must have no children."""
        if block.key is not None:
            ensure(block.num_children == 0, f"block {block.id} leaves the tree before its children")
            del self.index[block.key]
            if block.parent is not None:
                block.parent.num_children -= 1
        block.key, block.tokens, block.parent = None, (), None
        block.depth, block.leaf_of, block.reuses = 0, None, 0

    def check_integrity(self) -> None:
        """Prove that tree, holders and leaves agree.

        Raises:
            AccountsBroken: what does not.
        """
        children: Counter[int] = Counter()
        paths: dict[int, set[int]] = {holder: set() for holder in self.ends}
        for holder, end in self.ends.items():
            ensure(end.leaf_of == holder, f"holder {holder} ends at {end.id}, which says otherwise")
            block: Block | None = end
            while block is not None:
                paths[holder].add(block.id)
                ensure(holder in block.holders, f"holder {holder} lacks block {block.id}")
                block = block.parent
        for key, block in self.index.items():
            ensure(block.key == key, f"block {block.id} is indexed under another key")
            ensure(len(block.tokens) == self.block_size, f"block {block.id} is not full")
            if block.parent is not None:
                children[block.parent.id] += 1
                own, above = block.slots | block.holders, block.parent.slots | block.parent.holders
                ensure(own <= above, f"block {block.id} is held by ids that lack its parent")
            for holder in block.holders:
                ensure(block.id in paths[holder], f"holder {holder} strays to block {block.id}")
        for block in self.index.values():
            ensure(block.num_children == children[block.id], f"block {block.id} miscounts children")


def _may_rest_on_disk(seq: Sequence) -> bool:
    """A tenant's prompts are not written down; an adapter may be another one after a restart."""
    return not seq.cache_salt and not seq.adapter
