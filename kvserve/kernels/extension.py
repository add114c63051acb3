"""The compiled kernels as Python sees them: `_kernels.so`, its structs, one hook per context."""

import ctypes
import hashlib
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "_kernels.so"
FAILURE = FOLDER / "_kernels.failed"  # written by ops_platform/install/kernels.py

_size = ctypes.c_size_t
_i32 = ctypes.c_int32
_i64 = ctypes.c_int64
_pointer = ctypes.c_void_p


class Unavailable(Exception):
    """A kernel cannot be used here; the text says why."""


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


# enum reason of hook.h: why a node was left to ggml
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
    "weights or activations of a format other than Q8_0 and F32",
    "a matrix whose rows are no multiple of 16, or another shape than weights by tokens",
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


class Product(ctypes.Structure):
    """struct pm_view: addresses, strides in bytes, sizes; `blocks` of 32 weights make a row."""

    _fields_ = [
        *((name, _pointer) for name in ("weights", "x", "out")),
        *((name, _size) for name in ("weight_row", "x_token", "out_token")),
        ("rows", _i64),
        ("tokens", _i64),
        ("blocks", _i32),
        ("kept", _pointer),
        ("rounded", ctypes.c_bool),
    ]


class Description(ctypes.Structure):
    """struct hook_description: a ggml tensor as the extension reads it."""

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
    """struct hook_constants: ggml's enum values at compile time."""

    _fields_ = [
        *((name, _i32) for name in ("op_none", "op_flash_attn", "op_product", "op_copy")),
        *((name, _i32) for name in ("type_f32", "type_f16", "type_q8_0", "flag_compute")),
        ("sources", ctypes.c_char * 65),
    ]


class _Stats(ctypes.Structure):
    _fields_ = [
        *((name, _i64) for name in ("taken", "stock", "nanoseconds", "plan_nanoseconds")),
        ("reason", _i32),
    ]


class Stats(NamedTuple):
    """Since the hook was made: nodes computed here and left to ggml, seconds spent here."""

    taken: int
    stock: int
    seconds: float
    plan_seconds: float
    stock_reason: str


def _stats(raw: _Stats) -> Stats:
    seconds = raw.nanoseconds / 1e9, raw.plan_nanoseconds / 1e9
    return Stats(raw.taken, raw.stock, *seconds, REASONS[raw.reason])


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
    declare: dict[str, tuple[Any, list[Any]]] = {
        "hook_new": (_pointer, [_i32, _i32, _pointer]),
        "hook_free": (None, [_pointer]),
        "hook_enable": (None, [_pointer, ctypes.c_bool, ctypes.c_bool]),
        "hook_allow": (None, [_pointer, ctypes.c_uint64]),
        "hook_kept": (ctypes.c_uint64, [_pointer]),
        "hook_has_product": (ctypes.c_bool, []),
        "hook_read_stats": (None, [_pointer, *[ctypes.POINTER(_Stats)] * 2]),
        "hook_compute_node": (_i32, [_pointer, _pointer, _pointer]),
        "hook_attention": (_i32, [_pointer, ctypes.POINTER(View), _pointer, _i64, _i64]),
        "hook_product": (_i32, [_pointer, ctypes.POINTER(Product)]),
        "hook_describe": (None, [_pointer, ctypes.POINTER(Description)]),
        "hook_read_constants": (None, [ctypes.POINTER(Constants)]),
        "crowd_hold": (ctypes.c_bool, [ctypes.c_bool, _i32]),
    }
    for name, (result, arguments) in declare.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if constants(library).sources.decode() != source_hash():
        raise Unavailable("the extension was built from other sources: run `make setup`")
    return library


def constants(library: ctypes.CDLL) -> Constants:
    """Enum values the extension was compiled with."""
    values = Constants()
    library.hook_read_constants(ctypes.byref(values))
    return values


class Hook:
    """One llama context's kernels; the context's `cb_eval` calls it on the thread that decodes.

    `is_host` is the address of ggml_backend_buffer_is_host, None where buffers are not ggml's.
    Nothing is taken over before `enable`. Free the context first.
    """

    def __init__(
        self, library: ctypes.CDLL, *, threads: int, isa: int | None = None, is_host: Any = None
    ) -> None:
        self.library = library
        self.isa = Isa(library.hook_best_isa() if isa is None else isa)
        address = ctypes.cast(is_host, _pointer) if is_host is not None else None
        self.handle = library.hook_new(threads, self.isa, address)
        if not self.handle:
            raise Unavailable(f"this CPU lacks {self.isa.name}, or memory is full")

    @property
    def has_product(self) -> bool:
        """Whether this CPU can compute products here."""
        return bool(self.library.hook_has_product())

    def enable(self, *, attention: bool, product: bool) -> None:
        """Which nodes of the next steps are taken over; may change between steps."""
        self.library.hook_enable(self.handle, attention, product)

    def allow(self, size: int) -> None:
        """Bytes that packed copies of weights may take; call before the first step."""
        self.library.hook_allow(self.handle, size)

    @property
    def kept(self) -> int:
        """Bytes of packed copies of weights."""
        return int(self.library.hook_kept(self.handle))

    def compute_node(self, node: int, out: int) -> None:
        """Compute a flash-attention node or a product of any graph into `out`.

        Raises:
            Unavailable: the node is one for ggml.
        """
        why = self.library.hook_compute_node(self.handle, node, out)
        if why:
            raise Unavailable(f"the test node was refused: {REASONS[why]}")

    def stats(self) -> tuple[Stats, Stats]:
        """Counts and times so far, of attention and of products."""
        attention, product = _Stats(), _Stats()
        self.library.hook_read_stats(self.handle, ctypes.byref(attention), ctypes.byref(product))
        return _stats(attention), _stats(product)

    def close(self) -> None:
        """Free the kernels' memory."""
        if self.handle:
            self.library.hook_free(self.handle)
        self.handle = None
