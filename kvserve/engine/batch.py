"""A llama_batch over numpy memory: filled by slices, read by llama.cpp in place."""

import ctypes
from collections.abc import Sequence as Seq

import numpy as np

from kvserve.engine.scheduler import Chunk
from kvserve.native import lib


class Batch:
    """Room for `capacity` tokens, each in exactly one sequence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens = np.zeros(capacity, dtype=np.int32)
        self.positions = np.zeros(capacity, dtype=np.int32)
        self.slots = np.zeros(capacity, dtype=np.int32)
        self.outputs = np.zeros(capacity, dtype=np.int8)
        self._ones = np.ones(capacity, dtype=np.int32)
        self._slot_pointers = (
            self.slots.ctypes.data + np.arange(capacity) * self.slots.itemsize
        ).astype(np.uintp)

    def fill(self, chunks: Seq[Chunk]) -> list[int | None]:
        """Lay the chunks out in a row; returns for each the row to sample from, or None."""
        rows: list[int | None] = []
        size = 0
        for chunk in chunks:
            seq, start, count = chunk
            end = size + count
            self.tokens[size:end] = seq.tokens[start : start + count]
            self.positions[size:end] = np.arange(start, start + count)
            self.slots[size:end] = -1 if seq.slot is None else seq.slot
            self.outputs[size:end] = 0
            self.outputs[end - 1] = chunk.samples
            rows.append(end - 1 if chunk.samples else None)
            size = end
        self.size = size
        return rows

    def native(self) -> object:
        """The C struct; valid as long as this object lives and is not refilled."""
        batch = lib.llama_batch()
        batch.n_tokens = self.size
        int32_p = ctypes.POINTER(ctypes.c_int32)
        batch.token = self.tokens.ctypes.data_as(int32_p)
        batch.pos = self.positions.ctypes.data_as(int32_p)
        batch.n_seq_id = self._ones.ctypes.data_as(int32_p)
        batch.seq_id = self._slot_pointers.ctypes.data_as(ctypes.POINTER(int32_p))
        batch.logits = self.outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        return batch
