"""Is the ggml that llama.cpp runs the one the extension was compiled for?

Tensors are made with ggml's public functions and read through the extension's struct; every field
it uses must agree with what those functions say. Then ggml and our kernels compute the same nodes.
"""

import ctypes
import math
from typing import Any, NamedTuple

import numpy as np

from kvserve.kernels.extension import Description, Hook, Unavailable, constants

MEMORY_BYTES = 8 << 20
SCALE = 0.125
# Relative error of the norm against stock, which multiplies F16 queries and keeps V sums in F16:
# measured 4e-4 … 8e-4; a wrong stride or order gives 1.
TOLERANCE = 1e-2
# Both round activations to 8 bits, ggml with F16 scales: measured 2e-4 … 5e-4.
PRODUCT_TOLERANCE = 5e-3
_OBJECT_BYTES = 32  # struct ggml_object, in front of each tensor (ggml.c, GGML_OBJECT_SIZE)

_pointer = ctypes.c_void_p
_i64 = ctypes.c_int64


class _InitParams(ctypes.Structure):
    _fields_ = [
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", _pointer),
        ("no_alloc", ctypes.c_bool),
    ]


class Node(NamedTuple):
    """A flash-attention node and what it reads, as addresses of ggml tensors."""

    node: int
    query: int
    key: int
    value: int
    mask: int
    cache: int


class Ggml:
    """The few functions of the loaded ggml that the check needs, in a context of its own."""

    def __init__(self, library: Any) -> None:
        self.library = library
        declare = {
            "ggml_init": (_pointer, [_InitParams]),
            "ggml_free": (None, [_pointer]),
            "ggml_new_tensor_4d": (_pointer, [_pointer, ctypes.c_int, *[_i64] * 4]),
            "ggml_permute": (_pointer, [_pointer, _pointer, *[ctypes.c_int] * 4]),
            "ggml_flash_attn_ext": (_pointer, [*[_pointer] * 5, *[ctypes.c_float] * 3]),
            "ggml_mul_mat": (_pointer, [*[_pointer] * 3]),
            "ggml_set_name": (_pointer, [_pointer, ctypes.c_char_p]),
            "ggml_get_data": (_pointer, [_pointer]),
            "ggml_nbytes": (ctypes.c_size_t, [_pointer]),
            "ggml_tensor_overhead": (ctypes.c_size_t, []),
            "ggml_op_name": (ctypes.c_char_p, [ctypes.c_int]),
            "ggml_type_name": (ctypes.c_char_p, [ctypes.c_int]),
            "ggml_type_size": (ctypes.c_size_t, [ctypes.c_int]),
            "ggml_new_graph": (_pointer, [_pointer]),
            "ggml_build_forward_expand": (None, [_pointer, _pointer]),
            "ggml_graph_compute_with_ctx": (ctypes.c_int, [_pointer, _pointer, ctypes.c_int]),
            "ggml_backend_buffer_is_host": (ctypes.c_bool, [_pointer]),
        }
        for name, (result, arguments) in declare.items():
            try:
                function = getattr(library, name)
            except AttributeError as error:
                raise Unavailable(f"this llama.cpp has no {name}") from error
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)
        self.context = self.init(_InitParams(MEMORY_BYTES, None, False))

    def __getattr__(self, name: str) -> Any:  # for type checkers: set in __init__
        raise AttributeError(name)

    def close(self) -> None:
        self.free(self.context)

    def attention(self, *, rows: int, heads: int, kv_heads: int, size: int, cells: int) -> Node:
        """A node over an F16 cache, its views permuted as llama.cpp permutes them."""
        known = {self.type_name(i): i for i in range(4)}
        f32, f16 = known.get(b"f32", 0), known.get(b"f16", 1)
        query = self.new_tensor_4d(self.context, f32, size, heads, rows, 1)
        key = self.new_tensor_4d(self.context, f16, size, kv_heads, cells, 1)
        value = self.new_tensor_4d(self.context, f16, size, kv_heads, cells, 1)
        mask = self.new_tensor_4d(self.context, f16, cells, rows, 1, 1)
        q, k, v = (self.permute(self.context, t, 0, 2, 1, 3) for t in (query, key, value))
        node = self.flash_attn_ext(self.context, q, k, v, mask, SCALE, 0.0, 0.0)
        return Node(node, q, k, v, mask, key)

    def array(self, tensor: int, dtype: Any) -> Any:
        """The tensor's memory as a flat array."""
        raw = (ctypes.c_uint8 * self.nbytes(tensor)).from_address(self.get_data(tensor))
        return np.frombuffer(raw, dtype=dtype)


def check_layout(hook: Hook, ggml: Ggml) -> None:
    """Compare every number and field that the extension uses.

    Raises:
        Unavailable: with the first thing that differs.
    """
    _check_constants(hook, ggml)
    _check_fields(hook, ggml)
    _check_product_fields(hook, ggml)


def check_attention(hook: Hook, ggml: Ggml) -> float:
    """Compare results; returns the largest relative difference from stock.

    Raises:
        Unavailable: they differ too much.
    """
    return _bounded(
        "attention",
        TOLERANCE,
        [
            _attention_difference(hook, ggml, rows, heads, kv_heads, size, cells)
            for rows, heads, kv_heads, size, cells in (
                (1, 4, 2, 64, 96),
                (5, 6, 2, 80, 64),
                (70, 4, 1, 128, 256),
            )
        ],
    )


def check_product(hook: Hook, ggml: Ggml) -> float:
    """As `check_attention`, for products of Q8_0 weights.

    Raises:
        Unavailable: this CPU has no kernel for them, or results differ too much.
    """
    if not hook.has_product:
        raise Unavailable("this processor has no AVX-512 VNNI")
    return _bounded(
        "products",
        PRODUCT_TOLERANCE,
        [_product_difference(hook, ggml, *shape) for shape in ((64, 48, 5), (576, 256, 33))],
    )


def _bounded(name: str, tolerance: float, differences: list[float]) -> float:
    worst = max(differences)
    if not worst <= tolerance:
        raise Unavailable(f"own and stock {name} differ by {worst:.2g} (allowed {tolerance:g})")
    return worst


def _agree(what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise Unavailable(
            f"{what} is {ours} for the extension but {theirs} for the loaded ggml: "
            "it was built against another version; run `make setup`"
        )


def _check_constants(hook: Hook, ggml: Ggml) -> None:
    ours = constants(hook.library)
    for name, value in (
        ("NONE", ours.op_none),
        ("FLASH_ATTN_EXT", ours.op_flash_attn),
        ("MUL_MAT", ours.op_product),
        ("CPY", ours.op_copy),
    ):
        _agree(f"operation {value}", name, ggml.op_name(value).decode())
    for name, value, size in (
        ("f32", ours.type_f32, 4),
        ("f16", ours.type_f16, 2),
        ("q8_0", ours.type_q8_0, 34),
    ):
        _agree(
            f"type {value}", (name, size), (ggml.type_name(value).decode(), ggml.type_size(value))
        )


def _check_fields(hook: Hook, ggml: Ggml) -> None:
    made = ggml.attention(rows=5, heads=6, kv_heads=2, size=64, cells=32)
    ggml.set_name(made.cache, b"cache_k_l7")

    node, key, cache, mask = (
        _read(hook, tensor) for tensor in (made.node, made.key, made.cache, made.mask)
    )
    ours = constants(hook.library)
    _agree("the size of a tensor", node.size + _OBJECT_BYTES, ggml.tensor_overhead())
    _agree("the node's operation", node.op, ours.op_flash_attn)
    _agree("the node's type", node.type, ours.type_f32)
    _agree("the node's shape", list(node.ne), [64, 6, 5, 1])
    _agree("the node's strides", list(node.nb), [4, 256, 1536, 7680])
    _agree(
        "the node's sources", list(node.src), [made.query, made.key, made.value, made.mask, None]
    )
    scale = np.frombuffer(bytes(node.op_params), np.float32)[:3].tolist()
    _agree("the node's parameters", scale, [SCALE, 0.0, 0.0])
    _agree("the key's shape", list(key.ne), [64, 32, 2, 1])
    _agree("the key's strides", list(key.nb), [2, 256, 128, 8192])
    _agree("the key's cache", (key.view_src, key.view_offs), (made.cache, 0))
    _agree("the key's data", key.data, ggml.get_data(made.cache))
    _agree("the cache's name", cache.name, b"cache_k_l7")
    _agree("the cache's type", (cache.type, cache.op), (ours.type_f16, ours.op_none))
    _agree("the mask's shape", (mask.type, list(mask.ne)), (ours.type_f16, [32, 5, 1, 1]))
    graph = ggml.new_graph(ggml.context)
    ggml.build_forward_expand(graph, made.node)
    flag = ours.flag_compute
    _agree("the node's compute flag", _read(hook, made.node).flags & flag, flag)


def _check_product_fields(hook: Hook, ggml: Ggml) -> None:
    ours = constants(hook.library)
    weights = ggml.new_tensor_4d(ggml.context, ours.type_q8_0, 64, 48, 1, 1)
    x = ggml.new_tensor_4d(ggml.context, ours.type_f32, 64, 5, 1, 1)
    node = _read(hook, ggml.mul_mat(ggml.context, weights, x))
    stored = _read(hook, weights)
    _agree("the product's operation", node.op, ours.op_product)
    _agree("the product's type", node.type, ours.type_f32)
    _agree("the product's shape", list(node.ne), [48, 5, 1, 1])
    _agree("the product's sources", list(node.src)[:2], [weights, x])
    _agree("the weights' shape", list(stored.ne), [64, 48, 1, 1])
    _agree("the weights' strides", list(stored.nb)[:2], [34, 68])


def _read(hook: Hook, tensor: int) -> Description:
    description = Description()
    hook.library.hook_describe(tensor, ctypes.byref(description))
    return description


def _product_difference(hook: Hook, ggml: Ggml, depth: int, rows: int, tokens: int) -> float:
    """Norm of (own - stock) over the norm of stock, on random weights and activations."""
    ours = constants(hook.library)
    weights = ggml.new_tensor_4d(ggml.context, ours.type_q8_0, depth, rows, 1, 1)
    x = ggml.new_tensor_4d(ggml.context, ours.type_f32, depth, tokens, 1, 1)
    random = np.random.default_rng(7)
    blocks = ggml.array(weights, np.uint8).reshape(-1, 34)
    scales = random.uniform(0.5, 2.0, len(blocks)).astype(np.float16)
    blocks[:, :2] = scales.view(np.uint8).reshape(-1, 2)
    blocks[:, 2:] = random.integers(0, 256, (len(blocks), 32), dtype=np.uint8)
    ggml.array(x, np.float32)[:] = random.standard_normal(depth * tokens)
    return _compare(hook, ggml, ggml.mul_mat(ggml.context, weights, x))


def _compare(hook: Hook, ggml: Ggml, node: int) -> float:
    graph = ggml.new_graph(ggml.context)
    ggml.build_forward_expand(graph, node)
    if ggml.graph_compute_with_ctx(ggml.context, graph, 1) != 0:
        raise Unavailable("ggml could not compute the test graph")
    stock = ggml.array(node, np.float32).copy()
    own = np.empty_like(stock)
    hook.compute_node(node, own.ctypes.data)
    difference = float(np.linalg.norm(own - stock) / np.linalg.norm(stock))
    return difference if math.isfinite(difference) else math.inf


def _attention_difference(
    hook: Hook, ggml: Ggml, rows: int, heads: int, kv_heads: int, size: int, cells: int
) -> float:
    """The same on a random causal attention node."""
    made = ggml.attention(rows=rows, heads=heads, kv_heads=kv_heads, size=size, cells=cells)
    random = np.random.default_rng(7)
    for tensor, dtype in (
        (made.query, np.float32),
        (made.key, np.float16),
        (made.value, np.float16),
    ):
        target = ggml.array(_read(hook, tensor).view_src, dtype)
        target[:] = random.standard_normal(target.size).astype(dtype)
    seen = np.arange(cells)[None, :] <= cells - rows + np.arange(rows)[:, None]
    seen &= (np.arange(cells) % 5 != 3)[None, :]  # cells of others in between
    ggml.array(made.mask, np.float16)[:] = np.where(seen, 0.0, -np.inf).astype(np.float16).ravel()
    return _compare(hook, ggml, made.node)
