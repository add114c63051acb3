"""Prefixes on disk: found again after a restart, never served when anything about them is wrong."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvserve.kv.chain import Segment, chain_key, root_key
from kvserve.kv.disk_tier import DiskTier, Segments
from kvserve.kv.segment_file import Unusable, fingerprint
from kvserve.kv.segment_store import SegmentStore
from kvserve.kv.swap import CostModel
from kvserve.tests.conftest import environment
from kvserve.tests.toy import new_sequence

BLOCK_SIZE = 4
GIB = 1 << 30
ROOT = root_key("", "")


def segment(*words: int, start: int = 0, parent: bytes = ROOT) -> Segment:
    """Two blocks of equal tokens each."""
    tokens = tuple(word for word in words for _ in range(BLOCK_SIZE))
    key = parent
    for at in range(0, len(tokens), BLOCK_SIZE):
        key = chain_key(key, tokens[at : at + BLOCK_SIZE])
    return Segment(key, parent, start, tokens)


def open_store(folder: Path, *, capacity: int = 1 << 20, model: str = "m") -> SegmentStore:
    return SegmentStore(folder, capacity=capacity, model=model, block_size=BLOCK_SIZE)


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.kv")
    return path


def test_it_finds_a_segment_again_after_a_restart(tmp_path: Path) -> None:
    first, second = segment(1, 2), segment(3, 4)
    store = open_store(tmp_path)
    store.write(first, bytearray(b"first" * 100))
    store.write(second, bytearray(b"second" * 100))
    again = open_store(tmp_path)
    stored = again.read(first.key)
    assert stored.segment == first
    assert bytes(stored.buffer[stored.offset : stored.offset + stored.size]) == b"first" * 100
    assert second.key in again
    assert segment(5).key not in again
    assert oct(only_mode(tmp_path)) == "0o600", "it holds what people asked"


def only_mode(folder: Path) -> int:
    (mode,) = {path.stat().st_mode & 0o777 for path in folder.glob("*.kv")}
    return mode


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_serves_no_altered_and_no_truncated_file(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("tier")
    one = segment(1, 2)
    store = open_store(folder)
    store.write(one, bytearray(range(256)))
    path = only_file(folder)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[at:]
    path.write_bytes(content)
    with pytest.raises(Unusable, match="truncated or altered"):
        store.read(one.key)
    assert one.key not in store
    assert not path.exists(), "it is deleted"


def test_it_serves_no_file_of_another_model_or_key(tmp_path: Path) -> None:
    one, other = segment(1, 2), segment(3, 4)
    open_store(tmp_path, model="theirs").write(one, bytearray(b"kv"))
    ours = open_store(tmp_path)
    assert one.key not in ours
    path = only_file(tmp_path)
    shutil.copy(path, tmp_path / f"m-{one.key.hex()}.kv")
    with pytest.raises(Unusable, match="another model"):
        open_store(tmp_path).read(one.key)
    mine = open_store(tmp_path / "mine")
    mine.write(one, bytearray(b"kv"))
    only_file(tmp_path / "mine").rename(tmp_path / "mine" / f"m-{other.key.hex()}.kv")
    with pytest.raises(Unusable, match="other tokens than its name says"):
        open_store(tmp_path / "mine").read(other.key)


def test_it_drops_the_least_recently_used_within_its_bound(tmp_path: Path) -> None:
    segments = [segment(number) for number in range(4)]
    store = open_store(tmp_path, capacity=4000)
    for one in segments[:3]:
        store.write(one, bytearray(1000))
        time.sleep(0.01)
    store.read(segments[0].key)
    again = open_store(tmp_path, capacity=4000)  # the order survives: it is the files' times
    again.write(segments[3], bytearray(1000))
    assert [one.key in again for one in segments] == [True, False, True, True]
    assert again.num_bytes <= 4000
    assert len(open_store(tmp_path, capacity=1500)) == 1
    again.write(segment(9), bytearray(5000))
    assert segment(9).key not in again, "larger than the bound"


KILLED = """
import os, pathlib, signal, sys
from kvserve.kv.chain import Segment
from kvserve.kv.segment_store import SegmentStore
store = SegmentStore(pathlib.Path(sys.argv[1]), capacity=1 << 20, model="m", block_size=4)
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.write(Segment(b"k" * 16, b"p" * 16, 0, (1, 2, 3, 4)), bytearray(5000))
"""


def test_it_forgets_a_write_that_a_kill_cut_off(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command, env=environment()).returncode == -9
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    store = open_store(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(store) == 0
    store.write(segment(1), bytearray(100))
    assert segment(1).key in open_store(tmp_path)


def test_it_names_a_model_file_by_content_and_time(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(os.urandom(8 << 20))
    names = {fingerprint(path, 1), fingerprint(path, 1), fingerprint(path, 2)}
    assert len(names) == 2, "other facts, other name"
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(path, 1) not in names


def new_tier(folder: Path, *, prefill_s_per_token: float = 1.0) -> DiskTier:
    return DiskTier(open_store(folder, capacity=GIB), CostModel(prefill_s_per_token, 0.0))


def settle(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_it_reads_only_where_that_beats_computing(tmp_path: Path) -> None:
    one = segment(1, 2)
    open_store(tmp_path).write(one, bytearray(100_000))
    for prefill_s, reads in ((1.0, True), (1e-12, False)):
        tier = new_tier(tmp_path, prefill_s_per_token=prefill_s)
        fetched: list[object] = []
        seq = new_sequence(0, [*one.tokens, 9])
        wanted = Segments([one.key], 0, 8)
        assert tier.fetch(seq, wanted, known=0, done=fetched.append) is reads
        if reads:
            settle(fetched.__len__)
            assert tier.waiting == [seq]
            assert tier.finish(fetched[0]) == [seq]  # type: ignore[arg-type]
            assert [stored.segment for stored in seq.stored] == [one]
        assert not tier.waiting
        tier.close()
