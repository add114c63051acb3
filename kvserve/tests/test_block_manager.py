"""Block accounting, driven through random lives of sequences against a plain model."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvserve.block_manager import BlockManager
from kvserve.errors import AccountsBroken
from kvserve.sequence import SamplingParams, Sequence

NUM_BLOCKS, BLOCK_SIZE = 12, 4


def new_sequence(number: int, length: int) -> Sequence:
    return Sequence(number, [1] * length, SamplingParams(), sink=lambda _delta: None)


class BlockLives(RuleBasedStateMachine):
    """The model: each live sequence needs ceil(tokens / size) blocks, the rest is free."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE)
        self.live: list[Sequence] = []
        self.born = 0

    @rule(length=st.integers(1, 30), keep_free=st.integers(0, 3))
    def arrive(self, length: int, keep_free: int) -> None:
        seq = new_sequence(self.born, length)
        self.born += 1
        needed = -(-length // BLOCK_SIZE)
        fits = needed + keep_free <= self.manager.num_free
        assert self.manager.can_allocate(seq, keep_free=keep_free) == fits
        if fits:
            self.manager.allocate(seq)
            self.live.append(seq)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.live))
        seq.tokens.append(2)
        if self.manager.can_append(seq):
            self.manager.append(seq)
        else:
            assert self.manager.num_free == 0
            self.manager.free(seq)
            self.live.remove(seq)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.live))
        self.manager.free(seq)
        self.live.remove(seq)

    @invariant()
    def accounts_add_up(self) -> None:
        self.manager.check_integrity(self.live)
        held = sum(-(-len(seq.tokens) // BLOCK_SIZE) for seq in self.live)
        assert self.manager.num_free == NUM_BLOCKS - held
        assert self.manager.usage == pytest.approx(held / NUM_BLOCKS)


BlockLives.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBlockLives = BlockLives.TestCase


def test_it_notices_a_block_held_twice() -> None:
    manager = BlockManager(num_blocks=4, block_size=4)
    first, second = new_sequence(0, 4), new_sequence(1, 4)
    manager.allocate(first)
    manager.allocate(second)
    second.block_table = list(first.block_table)
    with pytest.raises(AccountsBroken, match="4 blocks, but 2 free and 2 held"):
        manager.check_integrity([first, second])


def test_it_refuses_to_allocate_twice() -> None:
    manager = BlockManager(num_blocks=4, block_size=4)
    seq = new_sequence(7, 4)
    manager.allocate(seq)
    with pytest.raises(AccountsBroken, match="sequence 7 already holds 1 blocks"):
        manager.allocate(seq)
