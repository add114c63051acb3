"""The compiled kernel as Python sees it: `_paged.so`, its structs, one hook per llama context."""

import ctypes
import hashlib
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "_paged.so"
FAILURE = FOLDER / "_paged.failed"  # written by ops_platform/install/attention.py

_size = ctypes.c_size_t
_i32 = ctypes.c_int32
_i64 = ctypes.c_int64
_pointer = ctypes.c_void_p


class Unavailable(Exception):
    """Paged attention cannot be used here; the text says why."""


class Isa(IntEnum):
    """Instruction sets with a kernel of their own (enum pa_isa)."""

    PLAIN = 0
    AVX2 = 1
    AVX512 = 2


class KvType(IntEnum):
    """Cache formats the kernel reads (enum pa_type)."""

    F32 = 0
    F16 = 1
    Q8_0 = 2


# enum reason of hook.c: why a node was left to the stock kernel
REASONS = (
    "",
    "ALiBi or a logit soft cap",
    "attention sinks",
    "a cache type other than F32, F16 or Q8_0",
    "a head size beyond 256 or not a multiple of 16, or another shape than one unified cache",
    "a mask that is missing, computed, or adds biases",
    "a tensor outside host memory",
    "attention without a KV cache",
    "out of memory",
)


class View(ctypes.Structure):
    """struct pa_view: addresses, strides in bytes, sizes."""

    _fields_ = [
        *((name, _pointer) for name in ("q", "k", "v", "out")),
        *((name, _size) for name in ("q_row", "q_head", "k_cell", "k_head")),
        *((name, _size) for name in ("v_cell", "v_head", "out_row", "out_head")),
        *((name, _i32) for name in ("k_type", "v_type", "heads", "kv_heads", "k_size", "v_size")),
        ("scale", ctypes.c_float),
    ]


class Description(ctypes.Structure):
    """struct pa_description: a ggml tensor as the extension reads it."""

    _fields_ = [
        ("ne", _i64 * 4),
        ("nb", ctypes.c_uint64 * 4),
        ("type", _i32),
        ("op", _i32),
        ("flags", _i32),
        ("op_params", _i32 * 5),
        ("buffer", _pointer),
        ("src", _pointer * 5),
        ("view_src", _pointer),
        ("data", _pointer),
        ("view_offs", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("offset_data", ctypes.c_uint64),
        ("name", ctypes.c_char * 64),
    ]


class Constants(ctypes.Structure):
    """struct pa_constants: ggml's enum values at compile time."""

    _fields_ = [
        *((name, _i32) for name in ("op_none", "op_flash_attn", "op_copy")),
        *((name, _i32) for name in ("type_f32", "type_f16", "type_q8_0", "flag_compute")),
        ("sources", ctypes.c_char * 65),
    ]


class _Stats(ctypes.Structure):
    _fields_ = [
        *((name, _i64) for name in ("paged", "stock", "nanoseconds", "plan_nanoseconds")),
        ("reason", _i32),
        ("last_stock_layer", _i32),
    ]


class Stats(NamedTuple):
    """Since the hook was made: nodes computed here and left to stock, seconds spent here."""

    paged_nodes: int
    stock_nodes: int
    seconds: float
    plan_seconds: float
    stock_reason: str


def source_hash() -> str:
    """Hash of the C sources, as the build script computes it."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load(path: Path = LIBRARY) -> ctypes.CDLL:
    """Open the extension and declare its functions.

    Raises:
        Unavailable: it was not built, could not be built, or was built from other sources.
    """
    if not path.is_file():
        why = FAILURE.read_text().strip() if FAILURE.is_file() else "run `make setup`"
        raise Unavailable(f"the extension is not built: {why}")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise Unavailable(f"the extension cannot be loaded: {error}") from error
    library.pa_new.restype = _pointer
    library.pa_new.argtypes = [_i32, _i32, _pointer]
    library.pa_free.argtypes = [_pointer]
    library.pa_free.restype = None
    library.pa_enable.argtypes = [_pointer, ctypes.c_bool]
    library.pa_enable.restype = None
    library.pa_read_stats.argtypes = [_pointer, ctypes.POINTER(_Stats)]
    library.pa_read_stats.restype = None
    library.pa_compute_node.argtypes = [_pointer, _pointer, _pointer]
    library.pa_attention.argtypes = [_pointer, ctypes.POINTER(View), _pointer, _i64, _i64]
    library.pa_describe.argtypes = [_pointer, ctypes.POINTER(Description)]
    library.pa_describe.restype = None
    library.pa_read_constants.argtypes = [ctypes.POINTER(Constants)]
    library.pa_read_constants.restype = None
    if constants(library).sources.decode() != source_hash():
        raise Unavailable("the extension was built from other sources: run `make setup`")
    return library


def constants(library: ctypes.CDLL) -> Constants:
    """Enum values the extension was compiled with."""
    values = Constants()
    library.pa_read_constants(ctypes.byref(values))
    return values


class Hook:
    """One llama context's kernel; the context's `cb_eval` calls it on the thread that decodes.

    `is_host` is the address of ggml_backend_buffer_is_host, None where buffers are not ggml's.
    Free the context first.
    """

    def __init__(
        self, library: ctypes.CDLL, *, threads: int, isa: int | None = None, is_host: Any = None
    ) -> None:
        self.library = library
        self.isa = Isa(library.pa_best_isa() if isa is None else isa)
        address = ctypes.cast(is_host, _pointer) if is_host is not None else None
        self.handle = library.pa_new(threads, self.isa, address)
        if not self.handle:
            raise Unavailable(f"this CPU lacks {self.isa.name}, or memory is full")

    def enable(self, enabled: bool) -> None:
        """Whether the next step's nodes are taken over; may change between steps."""
        self.library.pa_enable(self.handle, enabled)

    def compute_node(self, node: int, out: int) -> None:
        """Compute a flash-attention node of any graph into `out`.

        Raises:
            Unavailable: the node is one for the stock kernel.
        """
        why = self.library.pa_compute_node(self.handle, node, out)
        if why:
            raise Unavailable(f"the test node was refused: {REASONS[why]}")

    def stats(self) -> Stats:
        """Counts and times so far."""
        raw = _Stats()
        self.library.pa_read_stats(self.handle, ctypes.byref(raw))
        reason = REASONS[raw.reason]
        return Stats(
            raw.paged, raw.stock, raw.nanoseconds / 1e9, raw.plan_nanoseconds / 1e9, reason
        )

    def close(self) -> None:
        """Free the kernel's memory."""
        if self.handle:
            self.library.pa_free(self.handle)
        self.handle = None
