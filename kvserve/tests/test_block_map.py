"""The block map: true to the accounts, small, cheap, and silent about what is written."""

import asyncio
import json
import time
from array import array
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Choosing, Origin, SamplingParams, Sequence, SequenceStatus
from kvserve.errors import NotReady
from kvserve.kv.block_manager import BlockManager
from kvserve.observe import block_map
from kvserve.observe.block_map import BlockMap, State
from kvserve.tests.conftest import Reader, ask, wait_idle
from kvserve.tests.toy import new_sequence


def look(engine: Engine, **options: Any) -> dict[str, Any]:
    return asyncio.run(BlockMap(engine).latest(**options))


def blocks_of(picture: dict[str, Any]) -> list[tuple[State, tuple[int, ...]]]:
    """State and owners of each block, as the page decodes them."""
    owners = array("H", b64decode(picture["owners"]))
    states = b64decode(picture["states"])
    return [
        (State(state), tuple(picture["groups"][group]))
        for state, group in zip(states, owners, strict=True)
    ]


@pytest.fixture(scope="module")
def small(start_engine: Callable[..., Engine]) -> Engine:
    return start_engine(kv_blocks=24, max_seqs=4, swap_bytes=64 << 20)


def test_it_shows_private_shared_cached_and_free(engine) -> None:
    readers = [Reader(), Reader()]
    params = SamplingParams(max_tokens=400, ignore_eos=True, seed=1)
    choices = [Choosing(params, reader.deltas.put) for reader in readers]
    for reader, seq in zip(
        readers, engine.submit_choices(choices, prompt=[*range(900, 950)]), strict=True
    ):
        reader.seq = seq
    for reader in readers:
        for _ in range(3):  # by then each has written into its own copy of the last block
            reader.deltas.get(timeout=30)
    picture = look(engine)
    ids = tuple(sorted(reader.seq.id for reader in readers))
    blocks = blocks_of(picture)
    for reader in readers:
        engine.cancel(reader.seq)
        reader.answer()
    shared = [owners for state, owners in blocks if state is State.SHARED]
    assert shared == [ids] * 3  # 48 of the 50 tokens of the prompt
    private = [owners for state, owners in blocks if state is State.PRIVATE]
    assert {*private} == {(ids[0],), (ids[1],)}
    sequences = {row["id"]: row for row in picture["sequences"]}
    for number in ids:
        held = sum(number in owners for _, owners in blocks)
        assert sequences[number]["blocks"] == held
        positions = 16 * held - sum(
            16 - filled for block, filled in picture["partial"] if number in blocks[block][1]
        )
        assert sequences[number]["computed"] == positions
    wait_idle(engine)
    after = look(engine)
    assert {state for state, _ in blocks_of(after)} <= {State.FREE, State.CACHED}
    assert after["counts"]["cached"] == engine.blocks.num_cached > 0
    assert after["sequences"] == after["queues"] == []
    assert sum(after["counts"].values()) == engine.blocks.num_blocks


def test_it_shows_swapped_sequences_and_what_they_want_back(small) -> None:
    prompt = [*range(200, 264)]
    readers = [ask(small, [*prompt, 10 + n], max_tokens=110, ignore_eos=True) for n in range(4)]
    swapped: list[dict[str, Any]] = []
    pinned = 0
    while not all(reader.seq.is_finished for reader in readers):
        picture = look(small)
        swapped += [row for row in picture["waiting"] if row["state"] == "swapped"]
        pinned = max(pinned, picture["counts"]["pinned"])
        time.sleep(0.01)
    for reader in readers:
        reader.answer()
    assert swapped
    assert all(row["swapped_bytes"] > row["swapped_tokens"] * 1000 for row in swapped)
    wait_idle(small)
    assert look(small)["swap"]["used"] == 0


def test_pinned_is_cached_and_wanted_by_a_swapped_sequence() -> None:
    blocks = BlockManager(num_blocks=8, block_size=16, holder_ids=range(10, 20))
    seq = _run(blocks, new_sequence(1, 40), slot=0)
    blocks.release(seq)
    blocks.cache.parked[blocks.cache.key(seq, 0)] = 1
    picture = block_map._blocks(blocks, [])
    assert picture["counts"] == {"free": 6, "private": 0, "shared": 0, "cached": 1, "pinned": 1}


def _run(blocks: BlockManager, seq: Sequence, slot: int) -> Sequence:
    """Compute everything the sequence has."""
    seq.slot, seq.status = slot, SequenceStatus.RUNNING
    blocks.adopt(seq)
    start = seq.num_computed
    blocks.grow(seq, len(seq.tokens))
    seq.num_computed = len(seq.tokens)
    blocks.written(seq, start, len(seq.tokens) - start)
    return seq


def test_it_tells_queues_by_priority(small) -> None:
    readers = [
        ask(small, [7, number], max_tokens=60, ignore_eos=True, priority=number % 2)
        for number in range(8)
    ]
    readers[0].deltas.get(timeout=30)
    picture = look(small)
    for reader in readers:
        small.cancel(reader.seq)
    assert [queue["priority"] for queue in picture["queues"]] == [0, 1]
    assert sum(queue["running"] + queue["waiting"] for queue in picture["queues"]) == 8
    assert sum(queue["running"] for queue in picture["queues"]) == len(picture["sequences"]) == 4
    assert len(picture["waiting"]) == 4


def test_it_says_nothing_of_text_keys_or_addresses(engine) -> None:
    prompt = "The secret word is Rumpelstiltskin"
    reader = Reader()
    reader.seq = engine.submit(
        prompt=engine.runner.tokenizer.encode(prompt),
        params=SamplingParams(max_tokens=200, ignore_eos=True),
        sink=reader.deltas.put,
        origin=Origin(client="Bearer sk-123", cache_salt="tenant-9"),
    )
    reader.deltas.get(timeout=30)
    picture = look(engine)
    engine.cancel(reader.seq)
    text = json.dumps(picture)
    assert len(picture["sequences"]) == 1
    assert picture["sequences"][0]["client"]
    for word in ("Rumpel", "secret", "Bearer", "sk-123", "tenant"):
        assert word not in text


def test_a_hundred_thousand_blocks_stay_below_a_megabyte_and_a_quarter_second() -> None:
    blocks = BlockManager(num_blocks=100_000, block_size=16, holder_ids=range(64, 250))
    prefix = [*range(16 * 1000)]
    running = [
        _run(blocks, new_sequence(number, [*prefix, *range(number, number + 16 * 500)]), number)
        for number in range(64)
    ]
    for number in range(64, 128):
        done = new_sequence(number, [number, *range(16 * 800)], salt=f"{number}")
        blocks.release(_run(blocks, done, slot=250))
    started = time.thread_time()  # what it costs, not what others do beside it
    picture = block_map._blocks(blocks, running)
    took = time.thread_time() - started
    assert picture["counts"]["free"] < 20_000
    assert picture["counts"]["shared"] == 1000
    assert len(picture["groups"]) == 66
    assert len(json.dumps(picture)) < 1_000_000
    assert took < 0.25


async def test_many_viewers_share_one_picture_until_it_is_stale(engine, monkeypatch) -> None:
    taken = 0
    take = block_map.take

    def counted(of: Engine) -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return take(of)

    monkeypatch.setattr(block_map, "take", counted)
    viewers = BlockMap(engine)
    pictures = await asyncio.gather(*(viewers.latest() for _ in range(20)))
    assert taken == 1
    assert len({picture["ts"] for picture in pictures}) == 1
    await asyncio.sleep(block_map.FRESH_S)
    deadline = time.monotonic() + 5
    while taken < 2 and time.monotonic() < deadline:
        await viewers.latest()
        await asyncio.sleep(0.02)
    assert taken == 2


async def test_a_long_step_shows_the_last_picture_and_does_not_hold_the_viewer(
    engine, monkeypatch
) -> None:
    monkeypatch.setattr(block_map, "PATIENCE_S", 0.1)
    monkeypatch.setattr(block_map, "FRESH_S", 0.0)
    monkeypatch.setattr(block_map, "DUTY", 0)
    viewers = BlockMap(engine)
    engine.inquire(lambda: time.sleep(0.6))
    with pytest.raises(NotReady, match="busy"):
        await viewers.latest()
    await asyncio.sleep(0.7)
    first = await viewers.latest()
    engine.inquire(lambda: time.sleep(0.6))
    started = time.monotonic()
    assert (await viewers.latest())["ts"] == first["ts"]
    assert time.monotonic() - started < 0.5
    await asyncio.sleep(0.7)
    assert (await viewers.latest())["ts"] > first["ts"]


def test_its_history_has_the_tokens_of_each_second(engine) -> None:
    started = time.time()
    ask(engine, [3, 1, 4], max_tokens=20, ignore_eos=True).answer()
    time.sleep(1.1)
    history = look(engine, since=started - 1)["history"]
    assert sum(history["generated"]) == 20
    assert sum(history["prompt"]) == 3
    assert sum(history["joules"]) > 0
    assert history["at"] == sorted(history["at"])
    last = history["at"][-1]
    assert look(engine, since=last)["history"]["at"] == [
        at for at in look(engine)["history"]["at"] if at > last
    ]


def test_watching_an_idle_engine_does_not_prove_its_accounts_again(engine, monkeypatch) -> None:
    wait_idle(engine)
    time.sleep(0.3)
    proofs: list[int] = []
    monkeypatch.setattr(engine, "_prove", lambda: proofs.append(1))
    for _ in range(3):
        look(engine)
        time.sleep(0.15)
    assert proofs == []


def test_the_server_gives_it(server_url) -> None:
    answer = httpx.get(f"{server_url}/kv/blocks", params={"since": time.time()})
    assert answer.status_code == 200
    picture = answer.json()
    assert len(b64decode(picture["states"])) == picture["num_blocks"] == 48
    assert picture["history"]["at"] == []
    refused = httpx.get(f"{server_url}/kv/blocks", params={"since": "yesterday"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "query.since"


def test_usage_says_the_energy(server_url) -> None:
    body = {"prompt": ["One, two,", "Three, four,"], "max_tokens": 4}
    usage = httpx.post(f"{server_url}/v1/completions", json=body, timeout=60).json()["usage"]
    assert usage["energy"]["joules"] > 0
    assert usage["energy"]["source"] in ("rapl", "estimate")
