"""Thousands of random requests against the real engine: nothing lost, nothing kept, memory flat."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Choosing, FinishReason, Origin, SamplingParams
from kvserve.kv.memory import resident_bytes
from kvserve.tests.conftest import Reader, ask, wait_idle
from kvserve.text.grammar import regex_grammar

ROUNDS, REQUESTS = 4, 360
SWAP_BYTES = 1 << 20  # room for one short span: the others are computed again
MANUAL = [100 + number % 800 for number in range(130)]  # long enough for the disk
TOLERANCE_BYTES = 8 << 20  # of resident memory after two rounds of four
ENDINGS = {FinishReason.LENGTH, FinishReason.STOP, FinishReason.ABORT}


def random_params(chance: random.Random, engine: Engine) -> SamplingParams:
    grammar = None
    if chance.random() < 0.05:
        yes_or_no = regex_grammar("yes|no", param="guided_regex")
        grammar = engine.runner.tokenizer.grammars.start(yes_or_no)
    return SamplingParams(
        max_tokens=40 if chance.random() < 0.01 else chance.randrange(1, 3),
        temperature=chance.choice((0.0, 0.0, 1.2)),
        seed=chance.choice((None, 7)),
        repetition_penalty=chance.choice((1.0, 1.0, 1.1)),
        stop=("the",) if chance.random() < 0.2 else (),
        ignore_eos=grammar is None,
        grammar=grammar,
        logprobs=2 if chance.random() < 0.1 else None,
    )


def send(engine: Engine, chance: random.Random, number: int) -> list[Reader]:
    head = [chance.randrange(3, 6)] * chance.choice((0, 0, 1, 16, 16))
    if chance.random() < 0.02:
        head = MANUAL
    readers = [Reader() for _ in range(chance.choice((1, 1, 1, 1, 3)))]
    params = random_params(chance, engine)
    sequences = engine.submit_choices(
        [Choosing(params, reader.deltas.put) for reader in readers],
        prompt=head + [chance.randrange(100, 900) for _ in range(2)],
        priority=number % 3,
        origin=Origin(client=str(number % 5), cache_salt="" if number % 3 else "tenant"),
    )
    for reader, seq in zip(readers, sequences, strict=True):
        reader.seq = seq
        if chance.random() < 0.1:
            engine.cancel(seq)
    return readers


def outgrow(engine: Engine, number: int) -> Reader:
    """One of several that fit in the pool when they begin and not when they end."""
    return ask(engine, [200 + number, 5], max_tokens=45, ignore_eos=True, priority=number % 3)


def prove(engine: Engine) -> None:
    """Between two steps, under load: the accounts are what llama.cpp holds."""
    engine.memory.perform(engine.blocks.ops.take())
    engine.check_integrity()


@pytest.mark.slow
def test_it_ends_a_soak_with_every_block_free_and_memory_flat(
    start_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = start_engine(
        kv_blocks=16,
        max_seqs=16,
        max_batch_tokens=128,
        swap_bytes=SWAP_BYTES,
        disk_tier_bytes=64 << 20,
        disk_tier_dir=tmp_path,
    )
    chance = random.Random(7)
    resident: list[int] = []
    endings: Counter[FinishReason | None] = Counter()
    sent = 0
    for _ in range(ROUNDS):
        readers, proofs = [outgrow(engine, number) for number in range(8)], []
        for number in range(REQUESTS):
            readers += send(engine, chance, number)
            if number % 30 == 0:
                proofs.append(engine.inquire(lambda: prove(engine)))
        for proof in proofs:
            proof.result(timeout=60)
        sent += len(readers)
        for reader in readers:
            last = reader.answer().last
            assert last.error is None
            endings[last.finish] += 1
        wait_idle(engine)
        resident.append(resident_bytes())
    assert endings.total() == sent
    assert endings.keys() == ENDINGS
    preempted = {way: counted(engine, way) for way in ("swap", "recompute")}
    assert all(preempted.values()), preempted
    tier = engine.disk
    assert tier is not None
    assert tier.num_rejected == tier.num_failed_writes == 0
    assert tier.num_restored > 0
    if resident[0]:  # 0 where /proc is not there
        assert resident[-1] - resident[1] < TOLERANCE_BYTES, resident
    engine.blocks.drop_cache()
    engine.memory.perform(engine.blocks.ops.take())
    assert engine.memory.cells_used(0) == 0


def counted(engine: Engine, way: str) -> float:
    labels = {"model_name": "bundled", "engine": "0", "decision": way}
    name = "kvserve:preemption_decisions_total"
    return engine.metrics.registry.get_sample_value(name, labels) or 0.0
