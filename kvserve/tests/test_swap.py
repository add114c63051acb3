"""The host pool's extents, the choice between swap and recompute, and the memory plan."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvserve.config import EngineConfig
from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.scheduler import Chunk
from kvserve.engine.sequence import SamplingParams, Sequence
from kvserve.errors import AccountsBroken
from kvserve.kv import memory
from kvserve.kv.cell_ops import Drop
from kvserve.kv.kv_memory import KVMemory
from kvserve.kv.swap import PAGE, CostModel, Extent, HostPool, Swapper


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6 * PAGE), st.integers(0, 50)), max_size=60)
)
def test_it_never_hands_out_overlapping_extents_and_joins_what_is_freed(steps) -> None:
    pool = HostPool(20 * PAGE)
    held: list[Extent] = []
    for take, size, which in steps:
        if take:
            extent = pool.reserve(size)
            if extent is not None:
                assert extent.size >= size
                held.append(extent)
        elif held:
            pool.free(held.pop(which % len(held)))
        ends = sorted((e.offset, e.offset + e.size) for e in held)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
        assert all(start >= 0 and end <= pool.capacity for start, end in ends)
        assert pool.used == sum(e.size for e in held)
    for extent in held:
        pool.free(extent)
    assert pool.reserve(20 * PAGE) == Extent(0, 20 * PAGE)


def test_it_notices_an_extent_freed_twice() -> None:
    pool = HostPool(4 * PAGE)
    extent = pool.reserve(PAGE)
    assert extent is not None
    pool.free(extent)
    with pytest.raises(AccountsBroken, match="free already"):
        pool.free(extent)


@pytest.mark.parametrize(
    ("costs", "swaps"),
    [
        (CostModel(prefill_s_per_token=2e-3, copy_s_per_byte=2e-10), True),  # a CPU
        (CostModel(prefill_s_per_token=1e-6, copy_s_per_byte=2e-9), False),  # copying is slower
        (CostModel(prefill_s_per_token=2e-3, copy_s_per_byte=1.0), False),
    ],
)
def test_it_takes_the_cheaper_of_swap_and_recompute(costs: CostModel, swaps: bool) -> None:
    swapper = Swapper(HostPool(64 << 20), costs, bytes_per_token=23040)
    assert (swapper.park(32, 300) is not None) == swaps


def test_it_computes_again_when_the_pool_is_full() -> None:
    swapper = Swapper(HostPool(1 << 20), CostModel(1.0, 0.0), bytes_per_token=23040)
    first = swapper.park(0, 40)
    assert first is not None
    assert swapper.park(0, 40) is None
    swapper.forget(first)
    assert swapper.park(0, 40) is not None


def test_it_reads_buffers_from_llama_cpps_log() -> None:
    line = "sched_reserve:        CPU compute buffer size =    57.50 MiB"
    assert memory.buffer_bytes(line) == [int(57.5 * (1 << 20))]
    assert memory.buffer_bytes("llama_kv_cache:        CPU KV buffer size =  720.00 MiB") == []


def test_it_takes_a_quarter_of_free_memory_at_most() -> None:
    free = 5 << 30
    blocks = memory.auto_blocks(
        bytes_per_token=1 << 20, block_size=16, max_tokens=10**9, available=free
    )
    assert blocks * 16 << 20 <= free // 4
    assert memory.swap_bytes(2 << 30, available=8 << 30, kv=4 << 30) == 1 << 30
    assert memory.swap_bytes(2 << 30, available=8 << 30, kv=720 << 20) == 720 << 20


def test_it_takes_every_page_of_the_pool_at_start() -> None:
    before = memory.resident_bytes()
    pool = HostPool(64 << 20)
    taken = memory.resident_bytes() - before
    if before:  # 0 where /proc is not there
        assert taken > 60 << 20
    assert pool.used == 0


def test_what_comes_back_is_the_same_to_the_byte(model_path):
    """A span leaves, others take its cells, it returns elsewhere: its keys and values are equal."""
    config = EngineConfig(model_path, kv_blocks=32, max_seqs=4, max_batch_tokens=256)
    runner = ModelRunner(config)
    kv = KVMemory(runner.context, scratch=config.scratch_id, pool=HostPool(64 << 20))

    def compute(slot: int, size: int) -> None:
        tokens = [(101 * slot + 7 * i) % 40_000 for i in range(size)]
        seq = Sequence(slot, tokens, SamplingParams(), lambda _delta: None, slot=slot)
        runner.compute([Chunk(seq, 0, size)])

    try:
        compute(0, 90)
        compute(1, 40)
        size = kv.copy_out(0, 32, 90, 0)
        kv.perform([Drop(0, 32, 90)])
        compute(2, 70)
        kv.copy_in(0, 32, 90, 0)
        assert kv.tokens_held(0) == 90
        assert kv.copy_out(0, 32, 90, 32 << 20) == size
        assert kv.pool.memory is not None
        before, after = (kv.pool.memory[at : at + size] for at in (0, 32 << 20))
        assert before == after
        assert len(set(before)) > 200  # keys and values, not zeros
    finally:
        runner.close()
