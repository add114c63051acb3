"""Products of Q8_0 weights: against numpy in float64, under ggml's nodes and the bundled model."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvserve.kernels.extension import Hook, Product, Unavailable, load
from kvserve.kernels.kernels import Kernels
from kvserve.kernels.layout import Ggml, check_layout, check_product
from kvserve.native import lib
from kvserve.tests.test_attention import F16, F32, FLASH_OFF, Model, error, workload

LLAMA_FTYPE_ALL_F32 = 0  # enum llama_ftype
# of the largest value: F32 sums over at most 64 blocks; the worst seen is 4e-7
TOLERANCE = 5e-6


@pytest.fixture(scope="module", params=[1, 3], ids=["1 thread", "3 threads"])
def hook(request) -> Iterator[Hook]:
    instance = Hook(load(), threads=request.param)
    if not instance.has_product:
        pytest.skip("this processor has no AVX-512 VNNI: products stay with ggml")
    yield instance
    instance.close()


def stored(scales: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Rows of Q8_0 blocks: an F16 scale and 32 signed bytes each."""
    raw = np.concatenate(
        [scales.astype(np.float16)[..., None].view(np.uint8), steps.view(np.uint8)], axis=-1
    )
    return np.ascontiguousarray(raw.reshape(len(raw), -1))


def rounded(x: np.ndarray) -> np.ndarray:
    """Activations as the kernel rounds them: 8 bits per block of 32, an F32 scale."""
    blocks = x.reshape(len(x), -1, 32)
    top = np.abs(blocks).max(-1, keepdims=True)
    by = np.divide(np.float32(127), top, out=np.zeros_like(top), where=top > 0)
    return (np.rint(blocks * by).astype(np.float64) * (top / np.float32(127))).reshape(x.shape)


def compute(hook: Hook, raw: np.ndarray, x: np.ndarray, gap: int = 0) -> np.ndarray:
    """The product; `gap` floats lie between the tokens of input and output."""
    tokens, depth = x.shape
    wide = np.full((tokens, depth + gap), np.nan, np.float32)
    wide[:, :depth] = x
    out = np.full((tokens, len(raw) + gap), np.nan, np.float32)
    view = Product(
        weights=raw.ctypes.data, x=wide.ctypes.data, out=out.ctypes.data,
        weight_row=raw.strides[0], x_token=wide.strides[0], out_token=out.strides[0],
        rows=len(raw), tokens=tokens, blocks=depth // 32,
    )  # fmt: skip
    assert hook.library.hook_product(hook.handle, ctypes.byref(view)) == 0
    assert np.isnan(out[:, len(raw) :]).all()  # nothing beside it is written
    return out[:, : len(raw)]


def error_of(hook: Hook, scales, steps, x, gap: int = 0) -> float:
    """Largest difference from float64, relative to the largest value."""
    out = compute(hook, stored(scales, steps), x, gap)
    weights = steps.astype(np.float64) * scales.astype(np.float16).astype(np.float64)[..., None]
    wanted = rounded(x) @ weights.reshape(len(weights), -1).T
    return float(np.abs(out - wanted).max() / max(np.abs(wanted).max(), 1e-30))


@given(
    panels=st.integers(1, 9),
    blocks=st.integers(1, 64),
    tokens=st.integers(1, 41),
    gap=st.sampled_from([0, 5]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_it_agrees_with_float64(hook, panels, blocks, tokens, gap, seed):
    random = np.random.default_rng(seed)
    scales = random.uniform(-2, 2, (16 * panels, blocks))
    steps = random.integers(-128, 128, (16 * panels, blocks, 32), dtype=np.int8)
    x = random.standard_normal((tokens, 32 * blocks)).astype(np.float32)
    x *= 10.0 ** random.integers(-6, 6, (tokens, 1))
    for token in range(tokens):  # each against its own size
        assert error_of(hook, scales, steps, x[token : token + 1], gap) < TOLERANCE
    assert error_of(hook, scales, steps, x, gap) < TOLERANCE


def test_large_products_use_every_thread_and_agree(hook):
    random = np.random.default_rng(1)
    scales = random.uniform(0.001, 0.01, (1024, 18))
    steps = random.integers(-128, 128, (1024, 18, 32), dtype=np.int8)
    x = random.standard_normal((256, 576)).astype(np.float32)
    assert error_of(hook, scales, steps, x) < TOLERANCE


@pytest.mark.parametrize("fill", [-128, 127], ids=["lowest", "highest"])
def test_the_largest_values_do_not_overflow(hook, fill):
    steps = np.full((16, 64, 32), fill, np.int8)
    x = np.full((9, 2048), 3e4, np.float32)
    assert error_of(hook, np.full((16, 64), 1000.0), steps, x) < TOLERANCE
    assert error_of(hook, np.full((16, 64), 1000.0), steps, -x) < TOLERANCE


def test_blocks_of_zeros_stay_zero(hook):
    x = np.zeros((5, 96), np.float32)
    x[1, 40] = 1.0
    steps = np.full((16, 3, 32), 7, np.int8)
    out = compute(hook, stored(np.ones((16, 3)), steps), x)
    assert (out[[0, 2, 3, 4]] == 0).all()
    np.testing.assert_allclose(out[1], 7.0, rtol=1e-6)


# --- under ggml ----------------------------------------------------------------------------------


@pytest.fixture
def ggml() -> Iterator[Ggml]:
    from llama_cpp._ggml import libggml

    instance = Ggml(libggml)
    yield instance
    instance.close()


def test_it_passes_its_own_check(hook, ggml):
    check_layout(hook, ggml)
    assert 0 < check_product(hook, ggml) < 2e-3


def test_it_notices_wrong_results(hook, ggml, monkeypatch):
    def wrong(node: int, out: int) -> None:
        Hook.compute_node(hook, node, out)
        ctypes.memset(out, 0, 256)

    monkeypatch.setattr(hook, "compute_node", wrong)
    with pytest.raises(Unavailable, match="own and stock products differ"):
        check_product(hook, ggml)


@pytest.mark.parametrize(
    ("weight_type", "shape", "batch", "reason"),
    [
        (F16, (64, 48), 1, "other than Q8_0"),
        (8, (64, 40), 1, "multiple of 16"),
        (8, (64, 48), 2, "another shape"),
    ],
    ids=["F16 weights", "odd rows", "batched"],
)
def test_other_products_stay_with_ggml(hook, ggml, weight_type, shape, batch, reason):
    weights = ggml.new_tensor_4d(ggml.context, weight_type, *shape, batch, 1)
    x = ggml.new_tensor_4d(ggml.context, F32, shape[0], 6, batch, 1)
    node = ggml.mul_mat(ggml.context, weights, x)
    with pytest.raises(Unavailable, match=reason):
        hook.compute_node(node, ggml.get_data(node))


def test_it_says_when_the_processor_lacks_the_instructions(monkeypatch):
    monkeypatch.setattr(Hook, "has_product", property(lambda _self: False))
    kernels = Kernels(attention="stock", products="packed", threads=1)
    assert kernels.products.kind == "stock"
    assert "AVX-512 VNNI" in kernels.products.reason
    kernels.close()


# --- under the model -----------------------------------------------------------------------------


def logits_of(model: Any, kernels: Kernels, **options: Any) -> np.ndarray:
    instance = Model(model, kernels, **options)
    try:
        return workload(instance)
    finally:
        lib.llama_free(instance.context)
        kernels.close()


@pytest.mark.slow
def test_logits_are_no_further_from_f32_weights_and_activations_than_stock(
    hook, model_path: Path, tmp_path
):
    """The reference has the same weights, as F32, so that no activation is rounded."""
    exact = tmp_path / "exact.gguf"
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = LLAMA_FTYPE_ALL_F32, True
    assert lib.llama_model_quantize(os.fsencode(model_path), os.fsencode(exact), params) == 0
    errors = {}
    logits = {}
    for path in (exact, model_path):
        model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
        if path == exact:
            stock = Kernels(attention="stock", products="stock", threads=2)
            reference = logits_of(model, stock, kv_type=F32, flash=FLASH_OFF)
        else:
            for kind in ("stock", "packed"):
                kernels = Kernels(attention="paged", products=kind, threads=2)
                logits[kind] = logits_of(model, kernels, kv_type=F32)
                errors[kind] = error(logits[kind], reference)
        lib.llama_model_free(model)
    print(f"relative error of logits: {errors}")
    assert (logits["stock"] != logits["packed"]).any()
    assert errors["packed"] <= errors["stock"] * 1.05


def test_the_model_runs_on_it_and_a_single_token_stays_with_ggml(hook, model_path):
    model = lib.llama_model_load_from_file(
        os.fsencode(model_path), lib.llama_model_default_params()
    )
    kernels = Kernels(attention="stock", products="packed", threads=2)
    instance = Model(model, kernels)
    try:
        instance.step([(5, 0, 0)])
        assert kernels.stats()[1].taken == 0
        instance.step([(5 + i, 1 + i, 0) for i in range(12)])
        kernels.settle()
        taken = kernels.stats()[1].taken
        assert taken > 100
        assert (kernels.products.kind, kernels.products.reason) == ("packed", "")
        kernels.enable(False)
        instance.step([(5 + i, 13 + i, 0) for i in range(12)])
        assert kernels.stats()[1].taken == taken
    finally:
        lib.llama_free(instance.context)
        kernels.close()
        lib.llama_model_free(model)


@pytest.mark.parametrize("packed_bytes", [20 << 20, 1 << 30], ids=["for some", "for all"])
def test_weights_kept_packed_change_no_bit(hook, model_path, packed_bytes):
    model = lib.llama_model_load_from_file(
        os.fsencode(model_path), lib.llama_model_default_params()
    )
    logits = {}
    for room in (0, packed_bytes):
        kernels = Kernels(attention="stock", products="packed", threads=2, packed_bytes=room)
        instance = Model(model, kernels)
        try:
            instance.step([(5 + i, i, 0) for i in range(12)])
            kept = kernels.packed
            lib.llama_memory_seq_rm(instance.memory, 0, -1, -1)
            logits[room] = workload(instance)
            assert kernels.packed == kept <= room  # made at the first step, and never more
        finally:
            lib.llama_free(instance.context)
            kernels.close()
        assert (kept > 10 << 20) == bool(room)
    assert kept > lib.llama_model_size(model) or packed_bytes < 1 << 30
    lib.llama_model_free(model)
    assert (logits[0] == logits[packed_bytes]).all()
