"""Long prefixes that were used again, kept on disk: they survive eviction and restarts.

A chain is kept in segments of about `SEGMENT_TOKENS`, so chains with one beginning share its files.
The engine's thread only copies KV into a bounded buffer and takes finished reads; files are written
and read by two other threads. What is damaged, foreign or cannot be written is counted, logged once
and gone without.
"""

import logging
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from kvserve.config import EngineConfig
from kvserve.engine.sequence import Sequence
from kvserve.kv.chain import Segment
from kvserve.kv.segment_file import Stored, Unusable, fingerprint
from kvserve.kv.segment_store import SegmentStore
from kvserve.kv.swap import CostModel

if TYPE_CHECKING:
    from kvserve.engine.model_runner import ModelInfo

log = logging.getLogger("kvserve")

SEGMENT_TOKENS = 128  # assumed: shorter prefixes are computed in a third of a second
WRITE_BUFFER_BYTES = 64 << 20  # assumed: copied and not yet written, at most
READ_BUFFER_BYTES = 256 << 20  # assumed: read and not yet restored, at most
UNKNOWN_READ_S_PER_BYTE = 1 / (100 << 20)  # assumed, where the disk could not be measured
RETRY_S = 60.0  # after a failed write


class Fetch:
    """Segments being read for the sequences that wait for them."""

    def __init__(self, keys: Seq[bytes], num_bytes: int) -> None:
        self.keys = keys
        self.num_bytes = num_bytes
        self.waiters: list[Sequence] = []
        self.stored: list[Stored] = []


class Segments(NamedTuple):
    """Keys of a prompt's segments of `size` tokens, from position `start` on."""

    keys: list[bytes]
    start: int
    size: int


class DiskTier:
    """Decides what is kept and what is read; the engine's thread calls it, unless said otherwise."""

    def __init__(self, store: SegmentStore, costs: CostModel) -> None:
        self.store = store
        self.costs = costs
        self.segment_blocks = max(1, SEGMENT_TOKENS // store.block_size)
        self.enabled = True
        self.num_queried = 0  # prompt tokens not found in memory
        self.num_restored = 0  # of these, found on disk and used
        self.num_waiting = 0  # sequences for which something is being read
        self.num_rejected = 0  # files that could not be served
        self.num_failed_writes = 0
        self._fetches: dict[bytes, Fetch] = {}
        self._writing: dict[bytes, int] = {}  # key -> bytes in the write buffer
        self._alive: WeakSet[Stored] = WeakSet()
        self._no_writes_before = 0.0
        self._reader = ThreadPoolExecutor(1, "kvserve-disk-reader")
        self._writer = ThreadPoolExecutor(1, "kvserve-disk-writer")
        self.read_s_per_byte = self._measure()

    def _measure(self) -> float:
        try:
            return self.store.read_speed()
        except OSError as error:
            self._write_failed(error)
            return UNKNOWN_READ_S_PER_BYTE

    # --- keeping ---------------------------------------------------------------------------------

    @property
    def can_keep(self) -> bool:
        """Whether there is room to copy a segment to, and a disk that takes it."""
        return (
            self.enabled
            and sum(list(self._writing.values())) < WRITE_BUFFER_BYTES
            and time.monotonic() >= self._no_writes_before
        )

    def has(self, key: bytes) -> bool:
        """Whether a segment is on disk or on its way there."""
        return key in self.store or key in self._writing

    def keep(self, segment: Segment, copy: Callable[[], bytearray]) -> None:
        """Copy a segment's KV and have it written."""
        if self.can_keep and not self.has(segment.key):
            data = copy()
            self._writing[segment.key] = len(data)
            self._writer.submit(self._write, segment, data)

    def _write(self, segment: Segment, data: bytearray) -> None:
        """On the writer's thread."""
        try:
            if time.monotonic() >= self._no_writes_before:
                self.store.write(segment, data)
        except OSError as error:
            self._write_failed(error)
        finally:
            del self._writing[segment.key]

    def _write_failed(self, error: OSError) -> None:
        self.num_failed_writes += 1
        self._no_writes_before = time.monotonic() + RETRY_S
        if self.num_failed_writes == 1:
            log.warning(
                "%s: %s; prefixes are not kept on disk for now, nothing else changes (tried again"
                " every %.0f s, further failures are only counted)",
                self.store.folder,
                error.strerror,
                RETRY_S,
            )

    # --- fetching --------------------------------------------------------------------------------

    def fetch(
        self, seq: Sequence, segments: Segments, *, known: int, done: Callable[[Fetch], None]
    ) -> bool:
        """Read what the disk has of a sequence beyond its `known` first tokens, where that is
        faster than computing it; False where not.

        `done` is called from another thread once the reading is over; `finish` says who waited.
        """
        self.num_queried += seq.num_prompt_tokens - known
        if not self.enabled or not segments.keys:
            return False
        fetch = self._fetches.get(segments.keys[0]) or self._begin(segments, known, done)
        if fetch is None:
            return False
        fetch.waiters.append(seq)
        self.num_waiting += 1
        return True

    def _begin(self, segments: Segments, known: int, done: Callable[[Fetch], None]) -> Fetch | None:
        under_way = sum(fetch.num_bytes for fetch in self._fetches.values())
        room = READ_BUFFER_BYTES - under_way - sum(stored.size for stored in list(self._alive))
        keys, num_bytes = [], 0
        for key in segments.keys:
            size = self.store.size(key)
            if not size or num_bytes + size > room:
                break
            keys.append(key)
            num_bytes += size
        gained = segments.start + len(keys) * segments.size - known
        read_s = (under_way + num_bytes) * self.read_s_per_byte
        restore_s = num_bytes * self.costs.copy_s_per_byte
        if not keys or read_s + restore_s >= gained * self.costs.prefill_s_per_token:
            return None
        fetch = self._fetches[keys[0]] = Fetch(keys, num_bytes)
        self._reader.submit(self._read, fetch, done)
        return fetch

    def _read(self, fetch: Fetch, done: Callable[[Fetch], None]) -> None:
        """On the reader's thread."""
        try:
            for key in fetch.keys:
                started = time.perf_counter()
                stored = self.store.read(key)
                speed = (time.perf_counter() - started) / stored.size
                self.read_s_per_byte += (speed - self.read_s_per_byte) / 8
                fetch.stored.append(stored)
        except Unusable as reason:
            self.num_rejected += 1
            log.log(
                logging.WARNING if self.num_rejected == 1 else logging.DEBUG,
                "a file of %s %s; it is deleted and its tokens are computed (further ones are only"
                " counted)",
                self.store.folder,
                reason,
            )
        except Exception:
            log.exception("a prefix could not be read from %s; it is computed", self.store.folder)
        finally:
            done(fetch)

    def finish(self, fetch: Fetch) -> list[Sequence]:
        """The sequences that have waited, with what was read for them."""
        del self._fetches[fetch.keys[0]]
        self.num_waiting -= len(fetch.waiters)
        self._alive.update(fetch.stored)
        waited = [seq for seq in fetch.waiters if not seq.is_finished]
        for seq in waited:
            seq.stored = tuple(fetch.stored)
        return waited

    @property
    def waiting(self) -> list[Sequence]:
        """Sequences for which something is being read."""
        fetches = self._fetches.values()
        return [seq for fetch in fetches for seq in fetch.waiters if not seq.is_finished]

    # --- the rest --------------------------------------------------------------------------------

    def disable(self, reason: str) -> None:
        """Keep and read nothing from now on."""
        if self.enabled:
            log.error("the disk tier is off until the next start: %s", reason)
        self.enabled = False

    def close(self) -> None:
        """End both threads; what is copied is still written, what is being read is dropped."""
        self.enabled = False
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown()


def open_tier(config: EngineConfig, info: "ModelInfo", costs: CostModel) -> DiskTier | None:
    """The tier of a configuration that asks for one; None, with the reason logged, where its folder
    or the model file cannot be used."""
    from kvserve.native import lib

    folder = config.disk_tier_dir or Path()
    try:
        model = fingerprint(config.model_path, info.kv_bytes_per_token, lib.llama_version())
        store = SegmentStore(
            folder, capacity=config.disk_tier_bytes, model=model, block_size=config.block_size
        )
    except OSError as error:
        log.error("no prefix is kept on disk: %s: %s", folder, error.strerror)
        return None
    tier = DiskTier(store, costs)
    log.info(
        "disk tier: %d of at most %d MiB in %s, read at %.0f MiB/s",
        store.num_bytes >> 20,
        config.disk_tier_bytes >> 20,
        folder,
        1 / tier.read_s_per_byte / (1 << 20),
    )
    return tier
