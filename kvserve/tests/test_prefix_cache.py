"""Shared prefixes, forks and swaps with the real bundled model."""

from collections.abc import Callable

import pytest

from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Choosing, FinishReason, Origin, SamplingParams, Sequence
from kvserve.tests.conftest import Reader, ask, wait_idle

MANUAL = "The chilled water plant has three chillers, each with a pump of its own. " * 6
SWAP_BYTES = 64 << 20


@pytest.fixture(scope="module")
def small(start_engine: Callable[..., Engine]) -> Engine:
    """A pool of 24 blocks and room to swap."""
    return start_engine(kv_blocks=24, max_seqs=4, max_batch_tokens=64, swap_bytes=SWAP_BYTES)


def on_engine(engine: Engine, action: Callable[[], None]) -> None:
    """Run something on the engine's thread, between two steps."""
    engine._inbox.put(action)


def test_it_writes_the_same_from_a_cached_prefix(engine) -> None:
    prompt = MANUAL + "Each pump"
    fresh = ask(engine, prompt, max_tokens=12).finished()
    again = ask(engine, prompt, max_tokens=12).finished()
    assert fresh.num_cached == 0
    assert again.num_cached == (again.num_prompt_tokens - 1) // 16 * 16
    assert again.tokens == fresh.tokens
    wait_idle(engine)


def test_it_computes_a_shared_prefix_once_for_requests_that_arrive_together(engine) -> None:
    manual = MANUAL.replace("chillers", "towers")
    engine.blocks.drop_cache()
    readers = [ask(engine, f"{manual} Question {n}:", max_tokens=4) for n in range(6)]
    sequences = [reader.finished() for reader in readers]
    shared = sum(seq.num_cached for seq in sequences)
    assert shared >= 5 * (sequences[0].num_prompt_tokens - 32)
    wait_idle(engine)


def test_it_isolates_tenants_by_salt(engine) -> None:
    prompt = engine.runner.tokenizer.encode(MANUAL + "Salted")

    def cached(salt: str) -> int:
        reader = Reader()
        params = SamplingParams(max_tokens=1)
        origin = Origin(cache_salt=salt)
        reader.seq = engine.submit(
            prompt=prompt, params=params, sink=reader.deltas.put, origin=origin
        )
        return reader.finished().num_cached

    assert [cached("a") > 0, cached("a") > 0, cached("b") > 0] == [False, True, False]


def test_it_continues_a_chat_from_its_last_answer(engine) -> None:
    first = ask(engine, MANUAL + "And now", max_tokens=20, ignore_eos=True).finished()
    longer = [*first.tokens, 28, 30]
    second = ask(engine, longer, max_tokens=2).finished()
    assert second.num_cached >= len(first.tokens) - 17


def fork(engine: Engine, prompt: str, n: int, **params) -> list[Reader]:
    readers = [Reader() for _ in range(n)]
    sampling = SamplingParams(**{"max_tokens": 12, "temperature": 0.0, **params})
    sequences = engine.submit_choices(
        [Choosing(sampling, reader.deltas.put) for reader in readers],
        prompt=engine.runner.tokenizer.encode(prompt),
    )
    for reader, seq in zip(readers, sequences, strict=True):
        reader.seq = seq
    return readers


def test_it_forks_choices_that_write_the_same_when_greedy(engine) -> None:
    alone = ask(engine, MANUAL + "Therefore", max_tokens=12).finished()
    engine.blocks.drop_cache()
    sequences = [reader.finished() for reader in fork(engine, MANUAL + "Therefore", 4)]
    assert {tuple(seq.tokens) for seq in sequences} == {tuple(alone.tokens)}
    assert [seq.num_cached >= seq.num_prompt_tokens - 1 for seq in sequences[1:]] == [True] * 3
    wait_idle(engine)


def test_it_cancels_a_leader_and_its_siblings_go_on(engine) -> None:
    readers = fork(engine, MANUAL.replace("chillers", "boilers") + "So", 3)
    engine.cancel(readers[0].seq)
    finishes = [reader.answer().last.finish for reader in readers]
    assert finishes[0] is FinishReason.ABORT
    assert finishes[1:] == [FinishReason.LENGTH] * 2
    wait_idle(engine)


def kv_bytes(engine: Engine, seq: Sequence, start: int, end: int) -> bytes:
    """The sequence's KV as llama.cpp saves it, through the far end of the host pool."""
    offset = engine.memory.pool.capacity // 2
    size = engine.memory.copy_out(seq.held_slot, start, end, offset)
    memory = engine.memory.pool.memory
    assert memory is not None
    return memory[offset : offset + size]


def test_it_brings_swapped_kv_back_to_the_byte(small) -> None:
    prompt = "A pump moves water from the tower"
    whole = ask(small, prompt, max_tokens=60, ignore_eos=True).finished()
    small.blocks.drop_cache()
    reader = ask(small, prompt, max_tokens=60, ignore_eos=True)
    for _ in range(12):
        reader.deltas.get(timeout=10)
    seen: list[bytes] = []
    out, back = small.scheduler.num_swapped_out, small.scheduler.num_swapped_in

    def preempt_and_resume() -> None:
        seq, scheduler = reader.seq, small.scheduler
        end = seq.num_computed
        seen.append(kv_bytes(small, seq, 0, end))
        scheduler._preempt(seq)
        assert seq.slot is None
        scheduler._admit(seq, scheduler.clock())
        small.memory.perform(small.blocks.ops.take())
        assert seq.num_computed == end
        small.check_integrity()
        seen.append(kv_bytes(small, seq, 0, end))

    on_engine(small, preempt_and_resume)
    seq = reader.finished()
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert small.scheduler.num_swapped_out == out + 1
    assert small.scheduler.num_swapped_in == back + 1
    assert seq.tokens == whole.tokens, "greedy text equals that of an unpreempted run"
    wait_idle(small)


def test_it_swaps_when_blocks_run_out_and_everyone_finishes(small) -> None:
    back = small.scheduler.num_swapped_in
    readers = [
        ask(small, f"{n} {MANUAL[:40]}", max_tokens=90, ignore_eos=True, priority=n % 3)
        for n in range(5)
    ]
    answers = [reader.answer() for reader in readers]
    assert [answer.last.num_completion_tokens for answer in answers] == [90] * 5
    assert small.scheduler.num_swapped_in > back
    wait_idle(small)


def test_it_resumes_by_computing_again_where_the_shared_part_was_evicted(small) -> None:
    text = MANUAL[:200]
    ask(small, text, max_tokens=1).finished()
    reader = ask(small, text + " Then", max_tokens=30, ignore_eos=True)
    reader.deltas.get(timeout=10)

    def preempt_and_forget() -> None:
        small.scheduler._preempt(reader.seq)
        assert reader.seq.span is not None
        small.blocks.drop_cache()

    on_engine(small, preempt_and_forget)
    assert reader.answer().last.num_completion_tokens == 30
    wait_idle(small)
