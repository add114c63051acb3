"""The disk tier under the real model: what comes back from disk is what was written, or is computed."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvserve.engine.engine import Engine
from kvserve.engine.sequence import FinishReason, Origin, SamplingParams, Sequence
from kvserve.kv.disk_tier import DiskTier
from kvserve.tests.conftest import Reader, ask, environment, wait_idle
from kvserve.tests.test_prefix_cache import on_engine

GIB = 1 << 30
MANUAL = "The chilled water plant has three chillers, each with a pump of its own. " * 24


def settle(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def tier_of(engine: Engine) -> DiskTier:
    assert engine.disk is not None
    return engine.disk


@pytest.fixture(scope="module")
def tier_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tier")


@pytest.fixture(scope="module")
def start_with_tier(start_engine: Callable[..., Engine]) -> Callable[[Path], Engine]:
    def start(folder: Path) -> Engine:
        engine = start_engine(kv_blocks=160, max_seqs=8, disk_tier_bytes=GIB, disk_tier_dir=folder)
        tier_of(engine).read_s_per_byte = 0.0  # whatever a busy test machine measured
        return engine

    return start


@pytest.fixture(scope="module")
def written(start_with_tier, tier_dir: Path) -> list[Sequence]:
    """What the engine wrote before its restart; the last from whole segments in its memory, which
    is the batch shape of one that comes from disk."""
    engine = start_with_tier(tier_dir)
    sequences = [
        ask(engine, f"{MANUAL}Question {n}: which pump", max_tokens=16, ignore_eos=True).finished()
        for n in (0, 1, 2)
    ]
    settle(lambda: len(tier_of(engine).store) == sequences[0].num_prompt_tokens // 128)
    wait_idle(engine)
    whole = sequences[0].num_prompt_tokens // 128 * 128

    def forget_the_rest() -> None:
        while max(block.depth for block in engine.blocks.cache.index.values()) >= whole // 16:
            engine.blocks._reclaim(engine.blocks.cache.evict())

    on_engine(engine, forget_the_rest)
    sequences.append(again(engine))
    assert (sequences[-1].num_cached, sequences[-1].num_external) == (whole, 0)
    wait_idle(engine)
    engine.stop()
    assert engine.join(10)
    return sequences


@pytest.fixture
def restarted(start_with_tier, written, tier_dir: Path, tmp_path: Path) -> Engine:
    """A new engine over a copy of the files."""
    shutil.copytree(tier_dir, tmp_path / "tier")
    return start_with_tier(tmp_path / "tier")


def again(engine: Engine, *, salt: str = "", question: int = 2) -> Sequence:
    prompt = engine.runner.tokenizer.encode(f"{MANUAL}Question {question}: which pump")
    reader = Reader()
    params = SamplingParams(max_tokens=16, temperature=0.0, ignore_eos=True)
    origin = Origin(cache_salt=salt)
    reader.seq = engine.submit(prompt=prompt, params=params, sink=reader.deltas.put, origin=origin)
    return reader.finished()


def test_it_continues_from_disk_after_a_restart_and_writes_the_same(restarted, written) -> None:
    seq = again(restarted)
    assert seq.num_external == seq.num_cached == seq.num_prompt_tokens // 128 * 128
    assert seq.tokens == written[-1].tokens
    wait_idle(restarted)
    local = again(restarted)
    assert local.num_external == 0
    assert local.num_cached == (local.num_prompt_tokens - 1) // 16 * 16
    tier = tier_of(restarted)
    assert (tier.num_restored, tier.num_rejected) == (seq.num_external, 0)


def same_as_on_disk(engine: Engine) -> dict[int, bool]:
    """For the start of each segment in memory: whether its bytes are those of its file."""
    found: dict[int, bool] = {}

    def compare() -> None:
        for block in list(engine.blocks.cache.index.values()):
            if block.key is not None and block.key in tier_of(engine).store:
                stored = tier_of(engine).store.read(block.key)
                now = engine.memory.copy_of(min(block.holders), stored.segment)
                kv = stored.buffer[stored.offset : stored.offset + stored.size]
                found[stored.segment.start] = now == kv

    on_engine(engine, compare)
    settle(lambda: len(found) == len(tier_of(engine).store))
    return found


def test_it_restores_kv_to_the_byte(restarted, written) -> None:
    again(restarted)
    wait_idle(restarted)
    assert same_as_on_disk(restarted) == {0: True, 128: True, 256: True}
    wait_idle(restarted)


def test_it_restores_what_memory_lacks_from_the_middle_of_a_segment(restarted, written) -> None:
    head = written[2].tokens[:90]
    ask(restarted, head, max_tokens=1).finished()
    wait_idle(restarted)
    seq = again(restarted)
    assert seq.num_external == seq.num_prompt_tokens // 128 * 128 - 80
    assert seq.num_cached == seq.num_external + 80
    wait_idle(restarted)
    same = same_as_on_disk(restarted)
    assert (same[128], same[256]) == (True, True), "of the first, 80 positions were computed anew"
    wait_idle(restarted)


def test_it_reads_a_prefix_once_for_requests_that_arrive_together(restarted, written) -> None:
    readers = [ask(restarted, f"{MANUAL}Ask {n}", max_tokens=4, ignore_eos=True) for n in range(5)]
    sequences = [reader.finished() for reader in readers]
    assert all(seq.num_cached >= 256 for seq in sequences)
    restored = sum(seq.num_external for seq in sequences)
    assert (
        restored == tier_of(restarted).num_restored == sequences[0].num_prompt_tokens // 128 * 128
    )
    wait_idle(restarted)


def test_it_computes_what_is_damaged_on_disk(restarted, written, tmp_path: Path) -> None:
    files = sorted((tmp_path / "tier").glob("*.kv"))
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    seq = again(restarted, question=0)
    assert seq.num_external == 0
    assert seq.tokens == written[0].tokens
    assert tier_of(restarted).num_rejected == 1
    assert len(list((tmp_path / "tier").glob("*.kv"))) == len(files) - 1
    wait_idle(restarted)


def test_it_survives_kv_that_llama_cpp_refuses(restarted, written) -> None:
    """Cannot happen to a file with the right checksum and model; if it does, the tier is off."""
    tier = tier_of(restarted)
    for path in sorted(tier.store.folder.glob("*.kv")):
        key = bytes.fromhex(path.stem.partition("-")[2])
        tier.store.write(tier.store.read(key).segment, bytearray(1000))
    reader = ask(restarted, f"{MANUAL}Question 2: which pump", max_tokens=4)
    last = reader.answer().last
    assert "llama.cpp refused the segment" in (last.error or "")
    assert not tier.enabled
    assert again(restarted, question=0).tokens == written[0].tokens
    wait_idle(restarted)


def test_it_keeps_tenants_and_adapters_off_the_disk(restarted, written) -> None:
    files = len(tier_of(restarted).store)
    seq = again(restarted, salt="tenant")
    assert (seq.num_external, seq.num_cached) == (0, 0), "nor are they given what others left there"
    for _ in range(4):
        assert again(restarted, salt="tenant").num_external == 0
    cache = restarted.blocks.cache
    adapted = Sequence(0, list(seq.tokens), seq.params, seq.sink, adapter="a")
    assert not cache.fetch(adapted, lambda _fetch: None)
    wait_idle(restarted)
    time.sleep(0.2)
    assert len(tier_of(restarted).store) == files


def test_it_cancels_while_it_reads_and_answers_when_it_stops(restarted, written) -> None:
    reader = ask(restarted, f"{MANUAL}Cancelled", max_tokens=4)
    restarted.cancel(reader.seq)
    assert reader.answer().last.finish in (FinishReason.ABORT, FinishReason.LENGTH)
    wait_idle(restarted)
    readers = [ask(restarted, f"{MANUAL}Stopped {n}", max_tokens=400) for n in range(3)]
    restarted.stop()
    assert all("shutting down" in (reader.answer().last.error or "") for reader in readers)
    assert restarted.join(10)


def test_it_keeps_what_is_evicted_after_one_more_use(start_engine, tmp_path: Path) -> None:
    engine = start_engine(
        kv_blocks=24, max_seqs=2, max_batch_tokens=64, disk_tier_bytes=GIB, disk_tier_dir=tmp_path
    )
    tier_of(engine).read_s_per_byte = 0.0
    text = MANUAL[:900]
    once = ask(engine, f"{text} And", max_tokens=1).finished()
    assert once.num_prompt_tokens > 128
    ask(engine, f"{text} Then", max_tokens=1).finished()
    assert len(tier_of(engine).store) == 0
    ask(engine, [7] * 370, max_tokens=1).finished()
    settle(lambda: len(tier_of(engine).store) == once.num_prompt_tokens // 128)
    wait_idle(engine)
    back = ask(engine, f"{text} And", max_tokens=1).finished()
    assert back.num_external == once.num_prompt_tokens // 128 * 128
    wait_idle(engine)


DISK_FULL = """
import json, pathlib, resource, sys, time
from kvserve.config import EngineConfig
from kvserve.engine.engine import Engine
from kvserve.tests.conftest import ask, wait_idle
config = EngineConfig(
    pathlib.Path(sys.argv[1]), kv_blocks=64, max_seqs=2,
    disk_tier_bytes=1 << 30, disk_tier_dir=pathlib.Path(sys.argv[2]),
)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # no file may grow past 1 MiB
engine = Engine(config, model_name="m")
engine.start()
engine.wait_ready()
probe = engine.disk.num_failed_writes
engine.disk._no_writes_before = 0.0  # as if a minute had passed
text = "The chilled water plant has three chillers. " * 24
answers = [ask(engine, text, max_tokens=8).finished().tokens for _ in range(5)]
wait_idle(engine)
deadline = time.monotonic() + 10
while engine.disk.num_failed_writes == probe and time.monotonic() < deadline:
    time.sleep(0.01)
print(json.dumps({
    "probe": probe, "failed": engine.disk.num_failed_writes, "kept": len(engine.disk.store),
    "same": all(answer == answers[0] for answer in answers), "state": engine.state.value,
    "left": [path.name for path in config.disk_tier_dir.iterdir()],
}))
engine.stop()
engine.join(10)
"""


def test_it_goes_on_without_where_the_disk_is_full(model_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DISK_FULL, str(model_path), str(tmp_path / "tier")]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    report = json.loads(run.stdout.splitlines()[-1])
    assert report == {
        "probe": 1, "failed": 2, "kept": 0, "same": True, "state": "ready", "left": [],
    }  # fmt: skip
    assert run.stderr.count("prefixes are not kept on disk for now") <= 1


def test_it_starts_where_the_folder_cannot_be_made(start_engine, tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = start_engine(
        kv_blocks=32, max_seqs=2, disk_tier_bytes=GIB, disk_tier_dir=tmp_path / "file" / "tier"
    )
    assert engine.disk is None
    assert "no prefix is kept on disk" in caplog.text
    assert ask(engine, "Water boils at", max_tokens=2).answer().last.finish is FinishReason.LENGTH
