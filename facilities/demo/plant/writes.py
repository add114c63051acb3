"""The plant's own record of setpoint writes: append-only JSON lines, on disk before the answer."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Write:
    """One setpoint write that was carried out."""

    ts: str
    tag: str
    value: float
    previous: float
    key: str


class WriteLog:
    """Writes in order and by key; re-read at start, so keys and setpoints survive a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writes: list[Write] = []
        self._by_key: dict[str, Write] = {}
        if path.exists():
            self._load()

    @property
    def writes(self) -> list[Write]:
        return list(self._writes)

    def find(self, key: str) -> Write | None:
        return self._by_key.get(key)

    def append(self, write: Write) -> None:
        """Record a write; returns when it is on disk."""
        with self._path.open("a") as log:
            log.write(json.dumps(asdict(write)) + "\n")
            log.flush()
            os.fsync(log.fileno())
        self._remember(write)

    def last_values(self) -> dict[str, float]:
        """The last value written to each setpoint."""
        return {write.tag: write.value for write in self._writes}

    def _remember(self, write: Write) -> None:
        self._writes.append(write)
        self._by_key[write.key] = write

    def _load(self) -> None:
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            self._remember(Write(**json.loads(line)))
        if torn:
            # A crash in the middle of a write: it was never answered, so it did not happen.
            logger.warning("%s: cut off an unfinished line: %r", self._path, torn)
            os.truncate(self._path, len(whole) + 1 if whole else 0)
