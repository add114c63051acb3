"""Making room: move a sequence's private KV to host memory, or drop it and compute it again."""

import mmap
from bisect import insort
from typing import NamedTuple

import numpy as np

from kvserve.errors import ensure

PAGE = 4096
CELL_OVERHEAD = 32  # bytes of positions and ids that llama.cpp saves with each cell, rounded up
SPAN_OVERHEAD = 16 * 1024  # its headers per layer and range, rounded up


class Span(NamedTuple):
    """Positions `start`…`end` of a sequence, saved at an extent of the host pool."""

    start: int
    end: int
    offset: int
    size: int


class CostModel(NamedTuple):
    """Seconds of the two ways, from speeds measured at start."""

    prefill_s_per_token: float
    copy_s_per_byte: float  # out and back in together

    def prefers_swap(self, *, num_bytes: int, num_tokens: int) -> bool:
        """Whether moving `num_bytes` out and in beats computing `num_tokens` again."""
        return num_bytes * self.copy_s_per_byte < num_tokens * self.prefill_s_per_token


class Extent(NamedTuple):
    offset: int
    size: int


class HostPool:
    """One mapping of fixed size; every page is taken at start, so that load takes no more.

    First fit over page-aligned extents, neighbours joined when freed.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity // PAGE * PAGE
        self.memory = mmap.mmap(-1, self.capacity) if self.capacity else None
        if self.memory is not None:
            np.frombuffer(self.memory, dtype=np.uint8)[::PAGE] = 0
        self.clear()

    def clear(self) -> None:
        """Give back every extent."""
        self._free = [Extent(0, self.capacity)] if self.capacity else []

    @property
    def used(self) -> int:
        return self.capacity - sum(extent.size for extent in self._free)

    def reserve(self, size: int) -> Extent | None:
        """An extent of at least `size` bytes, or None where no gap is large enough."""
        size = -(-size // PAGE) * PAGE
        for index, (offset, room) in enumerate(self._free):
            if room >= size:
                self._free[index : index + 1] = (
                    [Extent(offset + size, room - size)] if room > size else []
                )
                return Extent(offset, size)
        return None

    def free(self, extent: Extent) -> None:
        """Give an extent back.

        Raises:
            AccountsBroken: part of it is free already.
        """
        insort(self._free, extent)
        joined: list[Extent] = []
        for part in self._free:
            if joined and joined[-1].offset + joined[-1].size > part.offset:
                ensure(False, f"extent {extent} was free already")
            if joined and joined[-1].offset + joined[-1].size == part.offset:
                joined[-1] = Extent(joined[-1].offset, joined[-1].size + part.size)
            else:
                joined.append(part)
        self._free = joined


class Swapper:
    """Decides between swap and recompute, and keeps the extents of what is swapped."""

    def __init__(self, pool: HostPool, costs: CostModel, *, bytes_per_token: int) -> None:
        self.pool = pool
        self.costs = costs
        self.bytes_per_token = bytes_per_token

    def park(self, start: int, end: int) -> Span | None:
        """A place for positions `start`…`end`, or None if recomputing them is better."""
        tokens = end - start
        num_bytes = tokens * (self.bytes_per_token + CELL_OVERHEAD) + SPAN_OVERHEAD
        if tokens < 1 or not self.costs.prefers_swap(num_bytes=num_bytes, num_tokens=tokens):
            return None
        extent = self.pool.reserve(num_bytes)
        return Span(start, end, *extent) if extent else None

    def forget(self, span: Span) -> None:
        """Give a span's extent back."""
        self.pool.free(Extent(span.offset, span.size))


def no_swapper() -> Swapper:
    """Recompute always: a pool of no bytes."""
    return Swapper(HostPool(0), CostModel(0.0, 0.0), bytes_per_token=0)
