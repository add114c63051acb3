"""Append-only JSON lines with a key each: on disk before the answer, one entry per key."""

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

logger = logging.getLogger(__name__)


class Keyed(Protocol):
    """A dataclass whose instances have a key of their own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str: ...


Entry = TypeVar("Entry", bound=Keyed)


class Journal(Generic[Entry]):
    """Entries in order and by key; re-read at start, so keys survive a restart."""

    def __init__(self, path: Path, *, of: type[Entry]) -> None:
        self._path = path
        self._of = of
        path.parent.mkdir(parents=True, exist_ok=True)
        self._entries: list[Entry] = []
        self._by_key: dict[str, Entry] = {}
        if path.exists():
            self._load()

    @property
    def entries(self) -> list[Entry]:
        """All of them, oldest first."""
        return list(self._entries)

    def find(self, key: str) -> Entry | None:
        """The entry with this key, if there is one."""
        return self._by_key.get(key)

    def append(self, entry: Entry) -> None:
        """Record an entry; returns when it is on disk."""
        with self._path.open("a") as log:
            log.write(json.dumps(asdict(entry)) + "\n")
            log.flush()
            os.fsync(log.fileno())
        self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._by_key[entry.key] = entry

    def _load(self) -> None:
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            self._remember(self._of(**json.loads(line)))
        if torn:
            # A crash in the middle of a line: it was never answered, so it did not happen.
            logger.warning("%s: cut off an unfinished line: %r", self._path, torn)
            os.truncate(self._path, len(whole) + 1 if whole else 0)
