"""A folder of segment files: found by key, bounded in bytes, the least recently used dropped first."""

import os
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock

from kvserve.kv.chain import Segment
from kvserve.kv.segment_file import Stored, Unusable, read_file, write_file

PROBE_BYTES = 8 << 20
STALE_S = 60.0  # no write of ours takes so long


class SegmentStore:
    """Files of one model; those of other models lie in the same folder and under the same bound.

    Any thread may call it. The index is rebuilt from the folder at start; content is verified when
    it is read.

    Raises:
        OSError: the folder can't be made or read.
    """

    def __init__(self, folder: Path, *, capacity: int, model: str, block_size: int) -> None:
        self.folder = folder
        self.capacity = capacity
        self.model = model
        self.block_size = block_size
        self._lock = Lock()
        self._files: OrderedDict[str, int] = OrderedDict()  # name -> bytes, oldest use first
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it will hold what people asked
        self._scan()

    def _scan(self) -> None:
        found = []
        for entry in os.scandir(self.folder):
            if entry.name.endswith(".tmp"):  # a write that a crash cut off, or that goes on
                mine = entry.name.endswith(f".{os.getpid()}.tmp")
                if not mine or time.time() - entry.stat().st_mtime > STALE_S:
                    Path(entry.path).unlink(missing_ok=True)
            elif entry.name.endswith(".kv"):
                stat = entry.stat()
                found.append((stat.st_mtime_ns, entry.name, stat.st_size))
        self._files.update((name, size) for _, name, size in sorted(found))
        self._make_room(0)

    def _name(self, key: bytes) -> str:
        return f"{self.model}-{key.hex()}.kv"

    def __contains__(self, key: bytes) -> bool:
        return self._name(key) in self._files

    def __len__(self) -> int:
        return len(self._files)

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return sum(self._files.values())

    def size(self, key: bytes) -> int:
        """Bytes of a segment's file; 0 where it is not there."""
        return self._files.get(self._name(key), 0)

    def write(self, segment: Segment, data: bytearray) -> None:
        """Keep a segment, dropping others where the bound asks for it.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        path = self.folder / self._name(segment.key)
        if not self._make_room(len(data)):
            return
        write_file(path, segment, data, model=self.model)
        with self._lock:
            self._files[path.name] = path.stat().st_size
            self._files.move_to_end(path.name)
        self._make_room(0)

    def read(self, key: bytes) -> Stored:
        """A segment, verified; it counts as used now. One that fails is deleted.

        Raises:
            Unusable: why it can't be served.
        """
        path = self.folder / self._name(key)
        try:
            stored = read_file(path, key, model=self.model, block_size=self.block_size)
        except Unusable:
            self._drop(path.name)
            raise
        with suppress(OSError):
            os.utime(path)
        with self._lock:
            if path.name in self._files:
                self._files.move_to_end(path.name)
        return stored

    def _drop(self, name: str) -> None:
        with self._lock:
            self._files.pop(name, None)
        with suppress(OSError):
            (self.folder / name).unlink(missing_ok=True)

    def _make_room(self, size: int) -> bool:
        """Drop the least recently used until `size` more bytes fit; whether they can."""
        while self.num_bytes + size > self.capacity and self._files:
            self._drop(next(iter(self._files)))
        return size <= self.capacity

    def read_speed(self) -> float:
        """Seconds per byte of reading a file past the page cache, and of checking it.

        Raises:
            OSError: the folder can't be written.
        """
        key = os.urandom(16)
        path = self.folder / f"probe-{os.getpid()}.tmp"
        data = bytearray(PROBE_BYTES)
        try:
            write_file(path, Segment(key, key, 0, ()), data, model=self.model)
            return min(self._read_once(path, key) for _ in range(3)) / PROBE_BYTES
        finally:
            path.unlink(missing_ok=True)

    def _read_once(self, path: Path, key: bytes) -> float:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.perf_counter()
        with suppress(Unusable):
            read_file(path, key, model=self.model, block_size=self.block_size)
        return time.perf_counter() - started
