"""Paged attention under the real bundled model, and what makes it step back."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvserve.config import EngineConfig
from kvserve.engine.batch import Batch
from kvserve.engine.model_runner import ModelRunner
from kvserve.kernels import extension
from kvserve.kernels.extension import Hook, Unavailable, load, source_hash
from kvserve.kernels.kernels import Kernels
from kvserve.kernels.layout import Ggml, check_attention, check_layout
from kvserve.native import lib

F32, F16, Q8_0 = 0, 1, 8  # enum ggml_type
FLASH_OFF, FLASH_ON = 0, 1  # enum llama_flash_attn_type


class Model:
    """One context over the bundled model; `kernels` None leaves llama.cpp alone."""

    def __init__(self, model: Any, kernels: Kernels | None, kv_type=F16, flash=FLASH_ON):
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 2048, 512, 512, 8
        params.n_threads = params.n_threads_batch = 2
        params.flash_attn_type, params.kv_unified = flash, True
        params.type_k = params.type_v = kv_type
        if kernels is not None:
            kernels.install(params)
        self.context = lib.llama_init_from_model(model, params)
        self.memory = lib.llama_get_memory(self.context)
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        self.batch = Batch(512)

    def step(self, rows: list[tuple[int, int, int]]) -> np.ndarray:
        """Logits of every (token, position, sequence)."""
        batch, size = self.batch, len(rows)
        batch.size = size
        batch.tokens[:size], batch.positions[:size], batch.slots[:size] = zip(*rows, strict=True)
        batch.outputs[:size] = 1
        assert lib.llama_decode(self.context, batch.native()) == 0
        pointers = (lib.llama_get_logits_ith(self.context, i) for i in range(size))
        return np.stack([np.ctypeslib.as_array(p, (self.vocabulary,)).copy() for p in pointers])


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Any]:
    handle = lib.llama_model_load_from_file(
        str(model_path).encode(), lib.llama_model_default_params()
    )
    yield handle
    lib.llama_model_free(handle)


@contextmanager
def running(model: Any, kind: str | None = None, **options: Any) -> Iterator[tuple[Model, Any]]:
    kernels = Kernels(attention=kind, products="stock", threads=2) if kind else None
    instance = Model(model, kernels, **options)
    yield instance, kernels
    lib.llama_free(instance.context)
    if kernels is not None:
        kernels.close()


def workload(instance: Model) -> np.ndarray:
    """Prefill of ragged prompts, a prefix shared by two, mixed steps, then decode of six."""
    random = np.random.default_rng(11)
    logits = []

    def tokens(count: int) -> list[int]:
        return [int(t) for t in random.integers(100, instance.vocabulary - 100, count)]

    ends = [180, 70, 33, 5]
    for slot, end in enumerate(ends):
        logits.append(instance.step([(t, i, slot) for i, t in enumerate(tokens(end))]))
    lib.llama_memory_seq_cp(instance.memory, 0, 4, 0, 128)
    lib.llama_memory_seq_cp(instance.memory, 0, 5, 0, 128)
    ends += [128, 128]
    chunk = [(t, 128 + i, 4) for i, t in enumerate(tokens(50))]
    decode = [(t, ends[slot], slot) for slot, t in enumerate(tokens(4))]
    logits.append(instance.step([*decode, *chunk]))
    ends = [end + 1 for end in ends[:4]] + [178, 128]
    for _ in range(12):
        logits.append(instance.step([(t, ends[s], s) for s, t in enumerate(tokens(6))]))
        ends = [end + 1 for end in ends]
    lib.llama_memory_seq_rm(instance.memory, 1, -1, -1)
    logits.append(instance.step([(t, i, 1) for i, t in enumerate(tokens(90))]))
    logits.append(instance.step([(tokens(1)[0], ends[0], 0)]))
    return np.concatenate(logits)


def error(logits: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(logits - reference) / np.linalg.norm(reference))


@pytest.fixture(scope="module")
def reference(model: Any) -> np.ndarray:
    """Plain attention in F32 over an F32 cache."""
    with running(model, kv_type=F32, flash=FLASH_OFF) as (instance, _):
        return workload(instance)


@pytest.mark.slow
def test_it_is_no_less_exact_than_stock(model, reference):
    with running(model) as (instance, _):
        stock = error(workload(instance), reference)
    with running(model, "paged") as (instance, kernels):
        paged = error(workload(instance), reference)
        stats, _ = kernels.stats()
    print(f"relative error of logits: stock {stock:.2e}, paged {paged:.2e}")
    assert stats.taken > 0
    assert stats.stock == 0
    assert paged <= stock * 1.05


@pytest.mark.slow
def test_it_leaves_stock_exactly_as_it_was_when_switched_off(model):
    with running(model) as (instance, _):
        wanted = workload(instance)
    with running(model, "paged") as (instance, kernels):
        workload(instance)
        lib.llama_memory_clear(instance.memory, True)
        kernels.enable(False)
        before = kernels.stats()[0].taken
        np.testing.assert_array_equal(workload(instance), wanted)
        assert kernels.stats()[0].taken == before


def test_it_may_be_switched_between_steps_that_reuse_one_graph(model, reference):
    with running(model, "paged") as (instance, kernels):
        tokens = [(500 + i, i, 0) for i in range(40)]
        instance.step(tokens)
        results: dict[bool, np.ndarray] = {}
        for enabled in (True, False, True, False):
            kernels.enable(enabled)
            result = instance.step([(77, 40, 0)])
            lib.llama_memory_seq_rm(instance.memory, 0, 40, -1)
            np.testing.assert_array_equal(results.setdefault(enabled, result), result)
        assert 0 < error(results[True], results[False]) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kv_type", [F32, Q8_0], ids=["f32", "q8_0"])
def test_it_reads_other_caches(model, reference, kv_type):
    with running(model, kv_type=kv_type) as (instance, _):
        stock = error(workload(instance), reference)
    with running(model, "paged", kv_type=kv_type) as (instance, kernels):
        paged = error(workload(instance), reference)
        assert kernels.stats()[0].stock == 0
    print(f"relative error of logits: stock {stock:.2e}, paged {paged:.2e}")
    assert paged <= stock * 1.1


def test_it_leaves_attention_without_the_flash_node_alone(model):
    with running(model, "paged", flash=FLASH_OFF) as (instance, kernels):
        instance.step([(5, 0, 0)])
        kernels.settle()
        assert kernels.attention.kind == "stock"
        assert kernels.stats()[0].taken == 0


@pytest.mark.parametrize("kind", ["paged", "stock"])
def test_it_is_what_the_runner_was_told_to_use(model_path, kind):
    config = EngineConfig(model_path, kv_blocks=32, max_seqs=2, max_batch_tokens=64, attention=kind)
    runner = ModelRunner(config)
    try:
        assert (runner.kernels.attention.kind, runner.kernels.attention.reason) == (kind, "")
    finally:
        runner.close()


# --- self-checks ---------------------------------------------------------------------------------


@pytest.fixture
def ggml() -> Iterator[Ggml]:
    from llama_cpp._ggml import libggml

    instance = Ggml(libggml)
    yield instance
    instance.close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    instance = Hook(load(), threads=2)
    yield instance
    instance.close()


def test_it_passes_its_own_check_layout(hook, ggml):
    check_layout(hook, ggml)
    assert 0 < check_attention(hook, ggml) < 5e-3


def test_it_notices_another_tensor_size(hook, ggml):
    ggml.tensor_overhead = lambda: 4096
    with pytest.raises(Unavailable, match="size of a tensor"):
        check_layout(hook, ggml)


def test_it_notices_renumbered_operations(hook, ggml):
    ggml.op_name = lambda number: b"SOMETHING_ELSE"
    with pytest.raises(Unavailable, match="another version"):
        check_layout(hook, ggml)


def test_it_notices_wrong_results(hook, ggml, monkeypatch):
    def wrong(node: int, out: int) -> None:
        ctypes.memset(out, 0, 64)
        Hook.compute_node(hook, node, out)
        ctypes.memset(out, 0, 64)

    monkeypatch.setattr(hook, "compute_node", wrong)
    with pytest.raises(Unavailable, match="differ by"):
        check_attention(hook, ggml)


@pytest.mark.parametrize(
    ("bias", "softcap", "reason"), [(8.0, 0.0, "ALiBi"), (0.0, 30.0, "soft cap")]
)
def test_it_leaves_biased_nodes_to_stock(hook, ggml, bias, softcap, reason):
    made = ggml.attention(rows=2, heads=2, kv_heads=1, size=64, cells=32)
    node = ggml.flash_attn_ext(
        ggml.context, made.query, made.key, made.value, made.mask, 0.1, bias, softcap
    )
    with pytest.raises(Unavailable, match=reason):
        hook.compute_node(node, ggml.get_data(node))


def test_it_leaves_nodes_with_sinks_to_stock(hook, ggml):
    add_sinks = ggml.library.ggml_flash_attn_ext_add_sinks
    add_sinks.argtypes, add_sinks.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    made = ggml.attention(rows=2, heads=2, kv_heads=1, size=64, cells=32)
    add_sinks(made.node, ggml.new_tensor_4d(ggml.context, F32, 2, 1, 1, 1))
    with pytest.raises(Unavailable, match="sinks"):
        hook.compute_node(made.node, ggml.get_data(made.node))


@pytest.mark.parametrize("size", [40, 320])
def test_it_leaves_odd_head_sizes_to_stock(hook, ggml, size):
    made = ggml.attention(rows=2, heads=2, kv_heads=1, size=size, cells=32)
    with pytest.raises(Unavailable, match="head size"):
        hook.compute_node(made.node, ggml.get_data(made.node))


# --- set-up --------------------------------------------------------------------------------------


def test_it_says_when_it_was_not_built(monkeypatch, tmp_path):
    monkeypatch.setattr(extension, "FAILURE", tmp_path / "none")
    with pytest.raises(Unavailable, match="make setup"):
        load(tmp_path / "missing.so")


def test_it_says_when_its_sources_changed(monkeypatch):
    monkeypatch.setattr(extension, "source_hash", lambda: "f" * 64)
    with pytest.raises(Unavailable, match="other sources"):
        load()


def test_it_runs_stock_with_the_reason_when_it_cannot_load(monkeypatch):
    def refuse() -> None:
        raise Unavailable("the extension is not built: no compiler")

    monkeypatch.setattr("kvserve.kernels.kernels.load", refuse)
    kernels = Kernels(attention="paged", products="packed", threads=2)
    for kernel in (kernels.attention, kernels.products):
        assert (kernel.kind, kernel.reason) == ("stock", "the extension is not built: no compiler")


def test_it_survives_a_missing_compiler(monkeypatch, tmp_path, capsys):
    from ops_platform.install import kernels as script

    monkeypatch.setenv("CC", str(tmp_path / "no-such-cc"))
    monkeypatch.setattr(script, "LIBRARY", tmp_path / "_kernels.so")
    monkeypatch.setattr(script, "FAILURE", tmp_path / "_kernels.failed")
    script.main()
    assert "stock attention and products" in capsys.readouterr().out
    monkeypatch.setattr(extension, "FAILURE", tmp_path / "_kernels.failed")
    with pytest.raises(Unavailable, match="no-such-cc"):
        load(tmp_path / "_kernels.so")


def test_it_builds_from_source_anew(monkeypatch, tmp_path):
    from ops_platform.install import kernels as script

    assert script.sources() == source_hash()
    script.compile_library(tmp_path / "_kernels.so")
    assert load(tmp_path / "_kernels.so").hook_best_isa() >= 0


def test_it_stays_out_when_stock_is_asked_for():
    kernels = Kernels(attention="stock", products="stock", threads=2)
    assert (kernels.attention.kind, kernels.attention.reason) == ("stock", "")
    assert not any(stats.taken for stats in kernels.stats())
    kernels.close()
