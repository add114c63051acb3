"""Performs the accounts' operations on llama.cpp's cache, and says what that cache holds."""

import ctypes
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any

from kvserve.errors import StepFailed, ensure
from kvserve.kv.cell_ops import CellOp, Drop, Keep, Load, Restore, Save, Share
from kvserve.kv.chain import Segment
from kvserve.kv.disk_tier import DiskTier
from kvserve.kv.segment_file import Stored
from kvserve.kv.swap import HostPool
from kvserve.native import lib

REFERENCE_BYTES = 4  # a sequence id in a saved state


class KVMemory:
    """The unified cache of one context.

    `scratch` is a sequence id below n_seq_max that never runs: a private span is saved and restored
    through it, because llama.cpp saves whole sequences only and restores into empty ones only.
    """

    def __init__(self, context: Any, *, scratch: int, pool: HostPool) -> None:
        self.context = context
        self.memory = lib.llama_get_memory(context)
        self.scratch = scratch
        self.pool = pool
        self.tier: DiskTier | None = None
        self._sizes: dict[int, int] = {}  # extent offset -> bytes saved there
        self._empty_size = lib.llama_state_get_size(context)
        self._header_size = 0
        self.bytes_per_cell = 0

    def calibrate(self, num_cells: int) -> None:
        """Learn a cell's size in a saved state, from slot 0 holding `num_cells` (at least 2) and
        nothing else in use; leaves the cache empty."""
        full = lib.llama_state_get_size(self.context)
        lib.llama_memory_seq_rm(self.memory, 0, 1, -1)
        single = lib.llama_state_get_size(self.context)
        self.bytes_per_cell = (full - single) // (num_cells - 1) - REFERENCE_BYTES
        self._header_size = single - self.bytes_per_cell - REFERENCE_BYTES
        self.clear()

    def perform(self, ops: Seq[CellOp]) -> None:
        """Make the changes, in order.

        Raises:
            StepFailed: a span could not be saved or restored.
        """
        for op in ops:
            match op:
                case Share(source, target, start, end):
                    lib.llama_memory_seq_cp(self.memory, source, target, start, end)
                case Drop(holder, start, end):
                    lib.llama_memory_seq_rm(self.memory, holder, start, end)
                case Save(slot, start, end, offset):
                    self.copy_out(slot, start, end, offset)
                case Restore(slot, start, end, offset):
                    self.copy_in(slot, start, end, offset)
                case Keep(holder, segment) if self.tier is not None:
                    self.tier.keep(segment, partial(self.copy_of, holder, segment))
                case Load(slot, start, stored):
                    self.load(slot, start, stored)

    def copy_out(self, slot: int, start: int, end: int, offset: int) -> int:
        """Copy a span's KV to the pool at `offset`; returns its bytes."""
        lib.llama_memory_seq_cp(self.memory, slot, self.scratch, start, end)
        size = lib.llama_state_seq_get_size(self.context, self.scratch)
        fits = size <= self.pool.capacity - offset
        written = fits and lib.llama_state_seq_get_data(
            self.context, self._buffer(offset, size), size, self.scratch
        )
        lib.llama_memory_seq_rm(self.memory, self.scratch, -1, -1)
        if written != size:
            raise StepFailed(f"positions {start}…{end} of slot {slot} could not be saved")
        self._sizes[offset] = int(size)
        return int(size)

    def copy_in(self, slot: int, start: int, end: int, offset: int) -> None:
        """Bring the span saved at `offset` back; the slot holds everything before it."""
        size = self._sizes.pop(offset)
        read = lib.llama_state_seq_set_data(
            self.context, self._buffer(offset, size), size, self.scratch
        )
        if read != size:
            raise StepFailed(f"positions {start}…{end} of slot {slot} could not be restored")
        lib.llama_memory_seq_cp(self.memory, self.scratch, slot, start, end)
        lib.llama_memory_seq_rm(self.memory, self.scratch, -1, -1)

    def copy_of(self, holder: int, segment: Segment) -> bytearray:
        """A segment's KV as llama.cpp saves it.

        Raises:
            StepFailed: it could not be saved.
        """
        lib.llama_memory_seq_cp(self.memory, holder, self.scratch, segment.start, segment.end)
        size = lib.llama_state_seq_get_size(self.context, self.scratch)
        data = bytearray(size)
        view = (ctypes.c_uint8 * size).from_buffer(data)
        written = lib.llama_state_seq_get_data(self.context, view, size, self.scratch)
        lib.llama_memory_seq_rm(self.memory, self.scratch, -1, -1)
        if written != size:
            raise StepFailed(f"positions {segment.start}…{segment.end} could not be copied")
        return data

    def load(self, slot: int, start: int, stored: Stored) -> None:
        """Bring a verified segment into a slot, from position `start` on.

        Raises:
            StepFailed: llama.cpp refused it; the tier is off from then on.
        """
        view = (ctypes.c_uint8 * stored.size).from_buffer(stored.buffer, stored.offset)
        read = lib.llama_state_seq_set_data(self.context, view, stored.size, self.scratch)
        if read != stored.size:
            reason = f"llama.cpp refused the segment of positions {start}…{stored.segment.end}"
            if self.tier is not None:
                self.tier.disable(reason)
            raise StepFailed(reason)
        lib.llama_memory_seq_cp(self.memory, self.scratch, slot, start, stored.segment.end)
        lib.llama_memory_seq_rm(self.memory, self.scratch, -1, -1)

    def _buffer(self, offset: int, size: int) -> Any:
        if self.pool.memory is None:
            raise StepFailed("there is no host pool to swap to")
        return (ctypes.c_uint8 * size).from_buffer(self.pool.memory, offset)

    def clear(self) -> None:
        """Drop everything."""
        lib.llama_memory_clear(self.memory, False)

    def tokens_held(self, holder: int) -> int:
        """Positions 0…n that a sequence id holds; -1 where they do not start at 0."""
        last = int(lib.llama_memory_seq_pos_max(self.memory, holder))
        first = int(lib.llama_memory_seq_pos_min(self.memory, holder))
        return last + 1 if first in (0, -1) else -1

    def cells_used(self, slot_refs: int) -> int:
        """Cells in use, from the size a saved state would have; `slot_refs` is how many
        (cell, running slot) pairs there are, whose ids are saved too."""
        size = lib.llama_state_get_size(self.context)
        if size == self._empty_size:
            return 0
        rest = size - self._header_size - slot_refs * REFERENCE_BYTES
        ensure(
            rest % self.bytes_per_cell == 0,
            f"a state of {size} bytes is no whole number of cells beside {slot_refs} references",
        )
        return int(rest // self.bytes_per_cell)
