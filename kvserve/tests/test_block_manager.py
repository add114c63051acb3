"""Block accounting, driven through random lives of sequences against a model of llama.cpp's cells."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvserve.config import LLAMA_MAX_SEQ
from kvserve.engine.sequence import Sequence
from kvserve.errors import AccountsBroken
from kvserve.kv.block_manager import BlockManager
from kvserve.tests.toy import ToyCache, new_sequence

NUM_BLOCKS, BLOCK_SIZE, MAX_SEQS = 12, 4, 5
HOLDERS = range(MAX_SEQS + 1, MAX_SEQS + 4)  # three: scarce on purpose


class BlockLives(RuleBasedStateMachine):
    """Sequences over two tokens and two tenants, so that prefixes meet, branch and collide."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(
            num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE, holder_ids=HOLDERS
        )
        self.cache = ToyCache(NUM_BLOCKS * BLOCK_SIZE)
        self.live: list[Sequence] = []
        self.free_slots = list(range(MAX_SEQS))
        self.born = 0

    def settle(self) -> None:
        self.cache.perform(self.manager.ops.take())

    def add(self, seq: Sequence) -> None:
        seq.slot = self.free_slots.pop()
        self.live.append(seq)
        self.born += 1

    @precondition(lambda self: self.free_slots)
    @rule(
        words=st.lists(st.integers(0, 1), min_size=1, max_size=6),
        tail=st.integers(0, 3),
        salt=st.sampled_from(["", "tenant"]),
    )
    def arrive(self, words: list[int], tail: int, salt: str) -> None:
        tokens = [word for word in words for _ in range(BLOCK_SIZE)] + [2] * (tail + 1)
        seq = new_sequence(self.born, tokens, salt=salt)
        price = self.manager.price(seq)
        if price <= self.manager.num_free:
            free = self.manager.num_free
            self.add(seq)
            self.manager.adopt(seq)
            self.settle()
            self.write(seq, len(tokens))
            assert self.manager.num_free == free - price

    @precondition(lambda self: self.live)
    @rule(data=st.data(), token=st.integers(0, 1), count=st.integers(1, 6))
    def generate(self, data: st.DataObject, token: int, count: int) -> None:
        seq = data.draw(st.sampled_from(self.live))
        for _ in range(count):
            if self.manager.can_grow(seq, len(seq.tokens) + 1):
                seq.tokens.append(token)
                self.write(seq, len(seq.tokens))
            else:
                assert self.manager.num_free == 0

    def write(self, seq: Sequence, end: int) -> None:
        start = seq.num_computed
        self.manager.grow(seq, end)
        self.settle()
        self.cache.compute(seq, start, end - start)
        seq.num_computed = end
        self.manager.written(seq, start, end - start)

    @precondition(lambda self: self.live and self.free_slots)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(self.live))
        child = new_sequence(self.born, parent.tokens, salt=parent.cache_salt)
        free = self.manager.num_free
        self.add(child)
        self.manager.fork(parent, child)
        assert self.manager.num_free == free, "a fork costs nothing until it writes"

    @precondition(lambda self: self.live)
    @rule(data=st.data(), keep=st.booleans())
    def leave(self, data: st.DataObject, keep: bool) -> None:
        seq = data.draw(st.sampled_from(self.live))
        self.manager.release(seq, keep=None if keep else self.manager.shared_prefix(seq))
        self.live.remove(seq)
        self.free_slots.append(seq.held_slot)
        seq.slot = None

    @rule()
    def forget_everything(self) -> None:
        self.manager.drop_cache()

    @invariant()
    def accounts_add_up(self) -> None:
        self.settle()
        self.manager.check_integrity(self.live)
        self.cache.check(self.manager, self.live)
        tables = {block.id for seq in self.live for block in seq.block_table}
        assert self.manager.num_free == NUM_BLOCKS - len(tables)
        assert self.manager.usage == pytest.approx(len(tables) / NUM_BLOCKS)
        assert 0 <= self.manager.waste < 1
        assert len(self.cache.cells) <= self.manager.num_allocated * BLOCK_SIZE


BlockLives.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBlockLives = BlockLives.TestCase


def new_manager(holders: range = HOLDERS) -> BlockManager:
    return BlockManager(num_blocks=8, block_size=4, holder_ids=holders)


def compute(manager: BlockManager, seq: Sequence, slot: int) -> int:
    """Admit, compute all; returns the tokens found in the cache."""
    seq.slot = slot
    found = manager.adopt(seq)
    manager.grow(seq, len(seq.tokens))
    start, seq.num_computed = seq.num_computed, len(seq.tokens)
    manager.written(seq, start, len(seq.tokens) - start)
    return found


def test_it_copies_a_shared_partial_block_on_write() -> None:
    manager = new_manager()
    parent, child = new_sequence(0, 6), new_sequence(1, 6)
    compute(manager, parent, 0)
    child.slot = 1
    manager.fork(parent, child)
    assert [block.ref_count for block in parent.block_table] == [2, 2]
    child.tokens.append(9)
    manager.grow(child, 7)
    assert parent.block_table[0] is child.block_table[0]
    assert parent.block_table[1] is not child.block_table[1]
    assert [block.ref_count for block in parent.block_table] == [2, 1]
    assert manager.num_cells == 6, "the copy shares the cells written before the fork"


def test_it_finds_a_prefix_of_a_running_and_of_a_finished_sequence() -> None:
    manager = new_manager()
    first = new_sequence(0, list(range(10)))
    assert compute(manager, first, 0) == 0
    second = new_sequence(1, [*range(8), 50, 51])
    assert compute(manager, second, 1) == 8
    manager.release(first)
    manager.release(second)
    assert compute(manager, new_sequence(2, [*range(8), 60]), 2) == 8


def test_it_computes_the_last_token_of_a_prompt_that_is_all_cached() -> None:
    manager = new_manager()
    first = new_sequence(0, 8)
    compute(manager, first, 0)
    manager.release(first)
    assert compute(manager, new_sequence(1, 8), 1) == 4


def test_it_keeps_tenants_apart() -> None:
    manager = new_manager()
    compute(manager, new_sequence(0, 9, salt="a"), 0)
    assert compute(manager, new_sequence(1, 9, salt="b"), 1) == 0
    assert compute(manager, new_sequence(2, 9, salt="a"), 2) == 8


def test_it_compares_content_where_hashes_collide(monkeypatch) -> None:
    monkeypatch.setattr("kvserve.kv.prefix_cache.chain_key", lambda _parent, _tokens: b"same")
    manager = new_manager()
    compute(manager, new_sequence(0, [1] * 5), 0)
    assert compute(manager, new_sequence(1, [2] * 5), 1) == 0


def test_it_evicts_the_least_recently_used_leaf_and_keeps_its_parent() -> None:
    manager = new_manager()
    for number, last in enumerate((7, 8)):
        seq = new_sequence(number, [1, 1, 1, 1, last, last, last, last])
        compute(manager, seq, number)
        manager.release(seq)
    assert manager.num_cached == 3
    compute(manager, new_sequence(2, [5] * 24), 2)
    assert {block.tokens for block in manager.cache.index.values() if not block.slots} == {
        (1, 1, 1, 1),
        (8, 8, 8, 8),
    }


def test_it_survives_more_chains_than_holder_ids() -> None:
    manager = new_manager()
    cache = ToyCache(32)
    for number in range(30):
        seq = new_sequence(number, [number, 1, 2, 3, 4])
        compute(manager, seq, 0)
        manager.ops.clear()
        manager.release(seq)
        manager.check_integrity([])
    assert len(manager.cache.ends) == len(HOLDERS)
    assert cache.capacity == manager.capacity_tokens


def test_it_keeps_as_many_chains_as_llama_cpp_has_ids() -> None:
    holders = range(65, LLAMA_MAX_SEQ)
    manager = BlockManager(num_blocks=500, block_size=4, holder_ids=holders)
    chains = [[number, number >> 4, 2, 3, 4] for number in range(400)]
    for number, tokens in enumerate(chains):
        compute(manager, seq := new_sequence(number, tokens), 0)
        manager.release(seq)
    manager.check_integrity([])
    assert len(manager.cache.ends) == len(holders)
    found = [bool(manager.cache.match(new_sequence(0, tokens), limit=4)) for tokens in chains]
    assert found == [False] * (400 - len(holders)) + [True] * len(holders), "the latest"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=14))
def test_it_evicts_in_the_order_of_last_use_from_the_leaves(chains) -> None:
    manager = BlockManager(num_blocks=64, block_size=4, holder_ids=range(2, 40))
    used: dict[tuple[int, ...], int] = {}
    for number, words in enumerate(chains):
        seq = new_sequence(number, [word for word in words for _ in range(4)] + [9])
        compute(manager, seq, 0)
        manager.release(seq)
        used |= {tuple(words[: depth + 1]): number for depth in range(len(words))}
    pinned = new_sequence(99, [word for word in chains[0] for _ in range(4)] + [9])
    compute(manager, pinned, 1)
    kept = {tuple(chains[0][: depth + 1]) for depth in range(len(chains[0]))}
    while manager.cache.can_evict:
        leaves = [
            path
            for path in used.keys() - kept
            if not any(len(path) < len(other) and other[: len(path)] == path for other in used)
        ]
        expected = min(leaves, key=used.__getitem__)
        key = manager.cache.key(
            new_sequence(0, [word for word in expected for _ in range(4)]), len(expected) - 1
        )
        assert key in manager.cache.index
        manager._reclaim(manager.cache.evict())
        assert key not in manager.cache.index, f"{expected} was the oldest leaf"
        del used[expected]
        manager.check_integrity([pinned])
    assert used.keys() == kept, "what is in use stays"
    assert manager.num_cached == 0


def test_it_notices_a_block_held_by_the_wrong_sequence() -> None:
    manager = new_manager()
    first, second = new_sequence(0, 4), new_sequence(1, [2] * 4)
    compute(manager, first, 0)
    compute(manager, second, 1)
    second.block_table = list(first.block_table)
    with pytest.raises(AccountsBroken, match="tables say"):
        manager.check_integrity([first, second])


def test_it_refuses_to_grow_past_the_pool() -> None:
    manager = new_manager()
    seq = new_sequence(7, 40)
    seq.slot = 0
    assert not manager.can_grow(seq, 40)
    with pytest.raises(AccountsBroken, match="sequence 7: 10 blocks, 8 free"):
        manager.grow(seq, 40)
