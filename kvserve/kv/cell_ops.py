"""What the accounts ask of llama.cpp's cache: performed in order, before the step's batch.

Ids are llama.cpp's sequence ids; positions are half-open ranges.
"""

from typing import NamedTuple

from kvserve.kv.chain import Segment
from kvserve.kv.segment_file import Stored


class Share(NamedTuple):
    """`target` also holds the cells that `source` holds at these positions; no byte moves."""

    source: int
    target: int
    start: int
    end: int


class Drop(NamedTuple):
    """`holder` lets go of its cells at these positions; cells nobody holds become empty."""

    holder: int
    start: int
    end: int


class Save(NamedTuple):
    """Copy a slot's cells at these positions to the host pool's extent at `offset`."""

    slot: int
    start: int
    end: int
    offset: int


class Restore(NamedTuple):
    """Bring a saved span back into a slot that holds everything before it."""

    slot: int
    start: int
    end: int
    offset: int


class Keep(NamedTuple):
    """Copy a segment's cells, which `holder` holds, for the disk tier."""

    holder: int
    segment: Segment


class Load(NamedTuple):
    """Bring a segment from disk into a slot that holds everything before `start`, from there on."""

    slot: int
    start: int
    stored: Stored


CellOp = Share | Drop | Save | Restore | Keep | Load


class OpLog(list[CellOp]):
    """Operations still to be performed; neighbouring drops of one holder become one."""

    def share(self, source: int, target: int, start: int, end: int) -> None:
        self.append(Share(source, target, start, end))

    def drop(self, holder: int, start: int, end: int) -> None:
        last = self[-1] if self else None
        if isinstance(last, Drop) and last.holder == holder and last.start == end:
            self[-1] = Drop(holder, start, last.end)
        else:
            self.append(Drop(holder, start, end))

    def keep(self, holder: int, segment: Segment) -> None:
        self.append(Keep(holder, segment))

    def take(self) -> list[CellOp]:
        """All operations, once."""
        taken = list(self)
        self.clear()
        return taken
