"""Scheduling, simulated: every step computes what was planned, one token appears per sample."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvserve.adapters.adapter_turns import TURN_STEPS
from kvserve.engine.scheduler import Scheduler
from kvserve.engine.sequence import Sequence, SequenceStatus
from kvserve.engine.waiting import AGEING_S
from kvserve.kv.block_manager import BlockManager
from kvserve.kv.swap import PAGE, CostModel, HostPool, Swapper
from kvserve.tests.toy import Clock, ToyEngine, new_sequence, next_token

BLOCK_SIZE = 4
ALWAYS_SWAP = CostModel(prefill_s_per_token=1.0, copy_s_per_byte=0.0)


def new_scheduler(
    *,
    num_blocks: int = 16,
    max_seqs: int = 4,
    budget: int = 8,
    num_holders: int = 3,
    swap_pages: int = 0,
    clock: Clock | None = None,
) -> Scheduler:
    holders = range(max_seqs + 1, max_seqs + 1 + num_holders)
    blocks = BlockManager(num_blocks=num_blocks, block_size=BLOCK_SIZE, holder_ids=holders)
    swapper = Swapper(HostPool(swap_pages * PAGE), ALWAYS_SWAP, bytes_per_token=64)
    return Scheduler(
        blocks,
        max_seqs=max_seqs,
        max_batch_tokens=budget,
        swapper=swapper,
        clock=clock or Clock(),
    )


def arrive(scheduler: Scheduler, seq: Sequence) -> Sequence:
    seq.arrival = scheduler.clock()
    scheduler.add(seq)
    return seq


def greedy(seq: Sequence) -> list[int]:
    """What the toy model writes after the prompt, alone."""
    tokens = seq.tokens[: seq.num_prompt_tokens]
    for _ in range(seq.params.max_tokens):
        tokens.append(next_token(tokens, seq.params.seed or 0))
    return tokens


requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 1), min_size=1, max_size=9),  # words of BLOCK_SIZE equal tokens
        st.integers(1, 24),  # answer
        st.integers(0, 2),  # class
        st.integers(0, 20),  # step of arrival
        st.integers(1, 3),  # choices
        st.sampled_from(["", "", "a", "b"]),  # adapter
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(
    requests=requests,
    max_seqs=st.integers(1, 6),
    cancels=st.dictionaries(st.integers(0, 9), st.integers(0, 12), max_size=4),  # after steps
    disk=st.booleans(),
    num_holders=st.integers(0, 3),
    swap_pages=st.sampled_from([0, 12, 64]),
    step_s=st.sampled_from([0.1, 5.0]),
)
def test_it_finishes_every_request_and_keeps_its_accounts(
    requests, max_seqs, cancels, disk, num_holders, swap_pages, step_s
) -> None:
    clock = Clock()
    scheduler = new_scheduler(
        max_seqs=max_seqs, num_holders=num_holders, swap_pages=swap_pages, clock=clock
    )
    engine = ToyEngine(scheduler)
    if disk:
        engine.use_disk()
    capacity = scheduler.blocks.capacity_tokens
    groups: list[tuple[int, list[Sequence]]] = []
    for number, (words, answer, priority, at, choices, adapter) in enumerate(requests):
        prompt = [word for word in words for _ in range(BLOCK_SIZE)] + [number % 3]
        group = [
            new_sequence(
                10 * number + choice,
                prompt,
                answer=min(answer, capacity - len(prompt)),
                priority=priority,
                client=str(number % 2),
                adapter=adapter,
                seed=choice,
            )
            for choice in range(choices)
        ]
        group[0].siblings = group[1:]
        groups.append((at, group))
    step = 0
    while scheduler.has_work or any(at >= step for at, _ in groups):
        clock.now += step_s
        for number, (at, group) in enumerate(groups):
            if at == step:
                group[0].arrival = clock.now
                engine.arrive(group[0])
            if at + cancels.get(number, -1) == step and not group[0].siblings:
                for seq in group:
                    cancel(scheduler, seq)
                engine.check()
        if scheduler.has_work:
            check_plan(scheduler, engine)
        step += 1
        assert step < 5000, "no progress"
    engine.check()
    assert scheduler.blocks.num_free == scheduler.blocks.num_blocks
    assert scheduler.swapper.pool.used == 0
    scheduler.blocks.drop_cache()
    engine.check()
    assert not engine.cache.cells
    for number, (_, group) in enumerate(groups):
        for seq in group:
            assert seq.status is SequenceStatus.FINISHED
            if number not in cancels:
                assert seq.tokens == greedy(seq)


def cancel(scheduler: Scheduler, seq: Sequence) -> None:
    """Whatever it was doing, what it alone used is free at once."""
    own = sum(block.slots == {seq.slot} for block in seq.block_table)
    free, saved = scheduler.blocks.num_free, scheduler.swapper.pool.used
    parked = seq.span.size if seq.span else 0
    scheduler.remove(seq)
    assert scheduler.blocks.num_free == free + own
    assert scheduler.swapper.pool.used == saved - parked
    assert (seq.slot, seq.block_table, seq.span) == (None, [], None)


def check_plan(scheduler: Scheduler, engine: ToyEngine) -> None:
    before = {seq.id: seq.num_computed for seq in scheduler.running}
    decoding = [seq for seq in scheduler.running if seq.is_decoding]
    first = scheduler.running[0] if scheduler.running else None
    plan = engine.step()
    engine.check()
    assert plan.chunks or plan.preempted, "a step with work computes something"
    assert sum(chunk.size for chunk in plan.chunks) <= scheduler.max_batch_tokens
    assert len({chunk.seq.id for chunk in plan.chunks}) == len(plan.chunks)
    for chunk in plan.chunks:
        assert chunk.start >= before.get(chunk.seq.id, 0) or chunk.seq in plan.preempted
    planned = {chunk.seq.id for chunk in plan.chunks}
    served = {chunk.seq.adapter for chunk in plan.chunks}
    assert len(served) <= 1, "llama.cpp applies one adapter to a batch"
    on_turn = {seq.id for seq in decoding if seq.adapter in served}
    assert plan.preempted or on_turn <= planned, "decodes never wait"
    if first is not None and first.adapter in served and first not in plan.preempted:
        engine.stalled = 0 if first.id in planned else engine.stalled + 1
        assert engine.stalled <= 2 * BLOCK_SIZE, "a prefill waits for a block of decodes at most"


def test_it_prefills_beside_decodes_within_the_budget_to_a_block_boundary() -> None:
    scheduler = new_scheduler(budget=8)
    engine = ToyEngine(scheduler)
    arrive(scheduler, new_sequence(0, 3))
    engine.step()
    arrive(scheduler, new_sequence(1, [2] * 20))
    plan = engine.step()
    assert [(chunk.seq.id, chunk.size) for chunk in plan.chunks] == [(0, 1), (1, 4)]


def test_it_computes_a_prefix_once_for_requests_that_arrive_together() -> None:
    scheduler = new_scheduler(budget=64, num_blocks=32)
    engine = ToyEngine(scheduler)
    sequences = [arrive(scheduler, new_sequence(n, [1] * 16 + [n])) for n in range(4)]
    computed = 0
    for _ in range(2):
        computed += sum(chunk.size for chunk in engine.step().chunks)
    assert computed == 17 + 3 + 1  # the first whole, then the others' own token beside its decode
    assert [seq.num_cached for seq in sequences] == [0, 16, 16, 16]


def test_it_forks_the_choices_of_a_prompt() -> None:
    scheduler = new_scheduler(budget=64)
    engine = ToyEngine(scheduler)
    leader = new_sequence(0, 10, seed=0)
    leader.siblings = [new_sequence(n, 10, seed=n) for n in (1, 2)]
    group = [leader, *leader.siblings]
    arrive(scheduler, leader)
    assert sum(chunk.size for chunk in engine.step().chunks) == 10
    assert len(scheduler.running) == 3
    assert scheduler.blocks.num_allocated == 3
    engine.step()
    assert scheduler.blocks.num_allocated == 5, "each but the last writer copies the partial block"
    while scheduler.has_work:
        check_plan(scheduler, engine)
    assert [seq.tokens for seq in group] == [greedy(seq) for seq in group]


@pytest.mark.parametrize("swap_pages", [0, 64])
def test_it_preempts_the_lowest_rank_and_keeps_its_tokens(swap_pages: int) -> None:
    scheduler = new_scheduler(num_blocks=4, budget=32, swap_pages=swap_pages)
    engine = ToyEngine(scheduler)
    batch = arrive(scheduler, new_sequence(0, [2] * 3, answer=12, priority=1))
    chat = arrive(scheduler, new_sequence(1, 4, answer=12))
    preempted: list[Sequence] = []
    while not preempted:
        tokens = len(batch.tokens)
        preempted = engine.step().preempted
    assert preempted == [batch]
    assert batch.status is SequenceStatus.WAITING
    assert (batch.num_computed, batch.block_table, len(batch.tokens)) == (0, [], tokens)
    assert (batch.span is not None) == bool(swap_pages)
    while scheduler.has_work:
        check_plan(scheduler, engine)
    assert batch.tokens == greedy(batch)
    assert chat.tokens == greedy(chat)
    assert scheduler.num_swapped_in == scheduler.num_swapped_out == bool(swap_pages)


def order_of_first_chunks(scheduler: Scheduler) -> list[int]:
    engine, order = ToyEngine(scheduler), []
    while scheduler.has_work:
        for chunk in engine.step().chunks:
            if chunk.seq.id not in order:
                order.append(chunk.seq.id)
    return order


def test_it_admits_by_priority_then_arrival() -> None:
    scheduler = new_scheduler(max_seqs=1)
    for number, priority in ((0, 1), (1, 0), (2, 0)):
        arrive(scheduler, new_sequence(number, 2, answer=1, priority=priority))
    assert order_of_first_chunks(scheduler) == [1, 2, 0]


def test_it_lets_batch_pass_fresh_chat_after_it_has_waited() -> None:
    clock = Clock()
    scheduler = new_scheduler(max_seqs=1, clock=clock)
    arrive(scheduler, new_sequence(0, 2, answer=1, priority=2))
    clock.now = 3 * AGEING_S
    arrive(scheduler, new_sequence(1, 2, answer=1))
    assert order_of_first_chunks(scheduler) == [0, 1]


def test_it_makes_room_for_chat_at_the_cost_of_batch() -> None:
    scheduler = new_scheduler(max_seqs=1, swap_pages=64)
    engine = ToyEngine(scheduler)
    batch = arrive(scheduler, new_sequence(0, 4, answer=20, priority=2))
    engine.step()
    chat = arrive(scheduler, new_sequence(1, [2] * 4, answer=2))
    assert engine.step().preempted == [batch]
    while scheduler.has_work:
        check_plan(scheduler, engine)
        assert chat.status is SequenceStatus.FINISHED or batch.status is SequenceStatus.WAITING
    assert batch.tokens == greedy(batch)


def test_it_shares_between_clients_whatever_each_one_sends() -> None:
    scheduler = new_scheduler(max_seqs=1)
    for number in range(6):
        arrive(scheduler, new_sequence(number, [number] * 4, answer=1, client="greedy"))
    for number in (6, 7):
        arrive(scheduler, new_sequence(number, [number] * 4, answer=1, client="modest"))
    order = order_of_first_chunks(scheduler)
    assert order.index(6) <= 2
    assert order.index(7) <= 4


def test_it_lets_small_requests_pass_a_large_one_for_a_while_only() -> None:
    clock = Clock()
    scheduler = new_scheduler(num_blocks=8, budget=32, clock=clock)
    engine = ToyEngine(scheduler)
    arrive(scheduler, new_sequence(0, 15, answer=13))
    engine.step()
    large = arrive(scheduler, new_sequence(1, [2] * 24, answer=2))
    arrive(scheduler, new_sequence(2, [3] * 3, answer=1))
    assert 2 in {chunk.seq.id for chunk in engine.step().chunks}
    clock.now = AGEING_S + 1
    late = arrive(scheduler, new_sequence(3, [3] * 3, answer=1))
    engine.step()
    assert late.status is SequenceStatus.WAITING
    while scheduler.has_work:
        check_plan(scheduler, engine)
    assert large.tokens == greedy(large)


@settings(max_examples=60, deadline=None)
@given(
    adapters=st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=2, max_size=8),
    prompts=st.lists(st.integers(1, 30), min_size=8, max_size=8),
)
def test_it_gives_every_adapter_its_turn(adapters, prompts) -> None:
    scheduler = new_scheduler(num_blocks=256, max_seqs=8, budget=8)
    engine = ToyEngine(scheduler)
    for number, adapter in enumerate(adapters):
        prompt = [number % 3] * prompts[number]
        arrive(scheduler, new_sequence(number, prompt, answer=40, adapter=adapter))
    bound = TURN_STEPS * len(set(adapters))
    waited = dict.fromkeys(adapters, 0)
    for _ in range(8 * bound):
        present = {seq.adapter for seq in scheduler.running}
        served = engine.step().chunks[0].seq.adapter
        waiting = present - {served}
        waited = {name: waited[name] + 1 if name in waiting else 0 for name in waited}
        assert max(waited.values()) <= bound, waited


def test_it_changes_the_adapter_seldom() -> None:
    scheduler = new_scheduler(num_blocks=64, budget=64)
    engine = ToyEngine(scheduler)
    for number, adapter in enumerate("abab"):
        arrive(scheduler, new_sequence(number, 2, answer=20, adapter=adapter))
    served = [engine.step().chunks[0].seq.adapter for _ in range(24)]
    changes = sum(one != other for one, other in pairwise(served))
    assert served.count("a") == served.count("b") == 12
    assert changes == 24 // TURN_STEPS - 1


@settings(max_examples=40, deadline=None)
@given(
    priority=st.integers(0, 4),
    chats=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    max_seqs=st.integers(1, 3),
    swap_pages=st.sampled_from([0, 64]),
)
def test_it_starves_nobody_under_a_flood_of_chat(priority, chats, max_seqs, swap_pages) -> None:
    clock = Clock()
    scheduler = new_scheduler(num_blocks=8, max_seqs=max_seqs, swap_pages=swap_pages, clock=clock)
    engine = ToyEngine(scheduler)
    batch = arrive(scheduler, new_sequence(0, 6, answer=10, priority=priority))
    passed_by: list[float] = []  # arrivals of those that began before it
    for number in range(1, 2000):
        if batch.status is SequenceStatus.FINISHED:
            break
        clock.now += 1.0
        prompt = [number % 5] * chats[number % len(chats)]
        arrive(scheduler, new_sequence(number, prompt, answer=3))
        plan = engine.step()
        if batch.status is SequenceStatus.WAITING and not batch.was_preempted:
            passed_by += [chunk.seq.arrival for chunk in plan.chunks]
    engine.check()
    assert batch.tokens == greedy(batch)
    assert max(passed_by, default=0.0) <= (priority + 1) * AGEING_S, "whoever comes later waits"


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.integers(0, 2), min_size=2, max_size=10), tail=st.integers(1, 3))
def test_it_restores_from_disk_what_memory_has_lost(words, tail) -> None:
    scheduler = new_scheduler(num_blocks=16, budget=64)
    engine = ToyEngine(scheduler)
    engine.use_disk()
    prompt = [word for word in words for _ in range(BLOCK_SIZE)] + [4] * tail
    for number in range(4):
        engine.arrive(new_sequence(number, prompt, answer=2))
        while scheduler.has_work:
            check_plan(scheduler, engine)
    while scheduler.blocks.cache.keep_next():
        engine.check()
    scheduler.blocks.drop_cache()
    engine.check()
    back = new_sequence(9, prompt, answer=2)
    engine.arrive(back)
    while scheduler.has_work:
        check_plan(scheduler, engine)
    segment = 2 * BLOCK_SIZE
    assert back.num_external == len(words) * BLOCK_SIZE // segment * segment
    assert back.tokens == greedy(back)
