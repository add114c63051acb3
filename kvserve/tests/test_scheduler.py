"""Scheduling, simulated: every step computes what was planned, one token appears per sample."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kvserve.block_manager import BlockManager
from kvserve.scheduler import Plan, Scheduler
from kvserve.sequence import SamplingParams, Sequence, SequenceStatus

BLOCK_SIZE = 4


def new_scheduler(*, num_blocks: int = 16, max_seqs: int = 4, budget: int = 8) -> Scheduler:
    blocks = BlockManager(num_blocks=num_blocks, block_size=BLOCK_SIZE)
    return Scheduler(blocks, max_seqs=max_seqs, max_batch_tokens=budget)


def new_sequence(number: int, prompt: int, *, answer: int = 4, priority: int = 0) -> Sequence:
    params = SamplingParams(max_tokens=answer)
    return Sequence(number, [1] * prompt, params, lambda _delta: None, priority)


def compute(scheduler: Scheduler, plan: Plan) -> None:
    """What engine and model do with a plan."""
    for chunk in plan.chunks:
        seq = chunk.seq
        sampled = chunk.samples
        seq.num_computed += chunk.size
        if sampled:
            seq.tokens.append(9)
            if seq.num_completion_tokens >= seq.params.max_tokens:
                scheduler.remove(seq)


requests = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 24), st.integers(-1, 1), st.integers(0, 20)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(requests=requests, max_seqs=st.integers(1, 6), cancels=st.sets(st.integers(0, 11)))
def test_it_finishes_every_request_and_keeps_its_accounts(requests, max_seqs, cancels) -> None:
    scheduler = new_scheduler(max_seqs=max_seqs)
    capacity = scheduler.blocks.capacity_tokens
    sequences = [
        (at, new_sequence(i, prompt, answer=min(answer, capacity - prompt), priority=priority))
        for i, (prompt, answer, priority, at) in enumerate(requests)
    ]
    step = 0
    while scheduler.has_work or any(at >= step for at, _ in sequences):
        for at, seq in sequences:
            if at == step:
                scheduler.add(seq)
            if at + 6 == step and seq.id in cancels and seq.status is not SequenceStatus.FINISHED:
                scheduler.remove(seq)
        if scheduler.has_work:
            plan = scheduler.schedule()
            check_plan(scheduler, plan)
            scheduler.check_integrity()
            compute(scheduler, plan)
            scheduler.check_integrity()
        step += 1
        assert step < 5000, "no progress"
    assert scheduler.blocks.num_free == scheduler.blocks.num_blocks
    for _, seq in sequences:
        assert seq.status is SequenceStatus.FINISHED
        if seq.id not in cancels:
            assert seq.num_completion_tokens == seq.params.max_tokens


def check_plan(scheduler: Scheduler, plan: Plan) -> None:
    assert plan.chunks, "a step with work computes something"
    assert sum(chunk.size for chunk in plan.chunks) <= scheduler.max_batch_tokens
    assert len({chunk.seq.slot for chunk in plan.chunks}) == len(plan.chunks)
    for chunk in plan.chunks:
        assert chunk.seq.status is SequenceStatus.RUNNING
        assert chunk.start == chunk.seq.num_computed
        assert chunk.start + chunk.size <= len(chunk.seq.block_table) * BLOCK_SIZE
    planned = {chunk.seq.id for chunk in plan.chunks}
    assert all(seq.id in planned for seq in scheduler.running if seq.is_decoding)


def test_it_prefills_beside_decodes_within_the_budget() -> None:
    scheduler = new_scheduler(budget=8)
    first, second = new_sequence(0, 3), new_sequence(1, 20)
    scheduler.add(first)
    compute(scheduler, scheduler.schedule())
    scheduler.add(second)
    plan = scheduler.schedule()
    assert [(chunk.seq.id, chunk.size) for chunk in plan.chunks] == [(0, 1), (1, 7)]


def test_it_preempts_the_lowest_rank_and_keeps_its_tokens() -> None:
    scheduler = new_scheduler(num_blocks=4, budget=32)
    batch = new_sequence(0, 3, answer=12, priority=1)
    chat = new_sequence(1, 4, answer=12)
    for seq in (batch, chat):
        scheduler.add(seq)
    preempted: list[Sequence] = []
    while not preempted:
        plan = scheduler.schedule()
        preempted = plan.preempted
        tokens = len(batch.tokens)
        compute(scheduler, plan)
    assert preempted == [batch]
    assert batch.status is SequenceStatus.WAITING
    assert (batch.num_computed, batch.block_table, len(batch.tokens)) == (0, [], tokens)
    assert len(plan.vacated) == 1


def test_it_admits_by_priority_then_arrival() -> None:
    scheduler = new_scheduler(max_seqs=1)
    for number, priority in ((0, 1), (1, 0), (2, 0)):
        scheduler.add(new_sequence(number, 2, answer=1, priority=priority))
    order = []
    while scheduler.has_work:
        plan = scheduler.schedule()
        order.append(plan.chunks[0].seq.id)
        compute(scheduler, plan)
    assert order == [1, 2, 0]
