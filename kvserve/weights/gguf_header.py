"""The header of a GGUF file: metadata, and the names, shapes and types of its tensors.

Read in Python because llama.cpp aborts the process on some malformed files. Format: docs/gguf.md
of ggml, versions 2 and 3, little endian.
"""

import mmap
import struct
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from kvserve.errors import ModelUnavailable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
STRING, ARRAY = 8, 9
SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # GGUF's code: struct's


class Array(NamedTuple):
    """An array of the metadata; its elements are not kept."""

    type: int
    length: int


class TensorInfo(NamedTuple):
    """`shape` in ggml's order, the contiguous dimension first; `offset` counts from the data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


class GgufHeader(NamedTuple):
    metadata: dict[str, Any]
    tensors: tuple[TensorInfo, ...]
    data_start: int

    @property
    def num_parameters(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", "unknown"))


def read_header(path: Path) -> GgufHeader:
    """Parse the header; costs about 50 ms for a vocabulary of 100,000 tokens.

    Raises:
        ModelUnavailable: not readable, not GGUF, or damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()
    except OSError as error:
        raise ModelUnavailable(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, struct.error, IndexError, OverflowError) as error:
        raise ModelUnavailable(f"{path} is not a whole GGUF file: {error}") from error


class _Reader:
    """A cursor over the file's bytes; every error of the content is a ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.place = 0

    def header(self) -> GgufHeader:
        if self.data[:4] != MAGIC:
            raise ValueError("it does not begin with 'GGUF'")
        self.place = 4
        version = self.number("I")
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}, known are {VERSIONS}")
        num_tensors, num_keys = self.count(), self.count()
        metadata = dict(self.pair() for _ in range(num_keys))
        tensors = tuple(self.tensor() for _ in range(num_tensors))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment!r}")
        start = -(-self.place // alignment) * alignment
        return GgufHeader(metadata, tensors, start)

    def number(self, code: str) -> Any:
        value = struct.unpack_from(f"<{code}", self.data, self.place)[0]
        self.place += struct.calcsize(f"<{code}")
        return value

    def count(self) -> int:
        """A length; nothing can be longer than the file."""
        value: int = self.number("Q")
        if value > len(self.data):
            raise ValueError(f"a length of {value} at byte {self.place - 8} exceeds the file")
        return value

    def skip_string(self) -> None:
        length = self.count()
        self.place += length
        if self.place > len(self.data):
            raise ValueError("a text ends after the file")

    def string(self) -> str:
        length = self.count()
        start, self.place = self.place, self.place + length
        if self.place > len(self.data):
            raise ValueError("a text ends after the file")
        return self.data[start : self.place].decode("utf-8", errors="replace")

    def pair(self) -> tuple[str, Any]:
        key = self.string()
        return key, self.value(self.number("I"))

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array()
        if kind not in SCALARS:
            raise ValueError(f"unknown value type {kind} at byte {self.place}")
        return self.number(SCALARS[kind])

    def array(self) -> Array:
        kind, length = self.number("I"), self.count()
        if kind in SCALARS:
            self.place += length * struct.calcsize(f"<{SCALARS[kind]}")
        elif kind == STRING:
            for _ in range(length):
                self.skip_string()
        else:
            raise ValueError(f"an array of type {kind} at byte {self.place}")
        return Array(kind, length)

    def tensor(self) -> TensorInfo:
        name = self.string()
        dimensions = self.number("I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(f"tensor '{name}' has {dimensions} dimensions")
        shape = tuple(self.count() for _ in range(dimensions))
        return TensorInfo(name, shape, self.number("I"), self.number("Q"))
