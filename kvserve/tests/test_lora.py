"""LoRA adapters: computed as llama.cpp does alone, mixed in traffic, kept apart, and refused if bad."""

import ctypes
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kvserve.adapters.adapter_file import AdapterRefused, LoraModule, read_adapter
from kvserve.engine.sequence import FinishReason, SamplingParams, Sequence
from kvserve.errors import RequestRefused
from kvserve.tests.conftest import Reader, environment
from kvserve.tests.lora import random_pairs, write_adapter

PROMPT = "Cooling water enters the chiller at eighteen degrees and leaves it at twelve. " * 3
TOLERANCE = 1e-3  # of logits that span about 30


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        name: write_adapter(folder / f"{name}.gguf", random_pairs(seed))
        for seed, name in enumerate("abc")
    }


@pytest.fixture(scope="module")
def engine(start_engine, files):
    modules = tuple(LoraModule(name, files[name]) for name in "ab")
    return start_engine(kv_blocks=256, max_seqs=8, lora_modules=modules)


def ask(engine, adapter: str, prompt: str = PROMPT, **params) -> Reader:
    reader = Reader()
    key = engine.runner.adapters.files[adapter].key if adapter else ""
    sampling = SamplingParams(
        **{"max_tokens": 24, "temperature": 0.0, "ignore_eos": True, **params}
    )
    reader.seq = engine.submit(
        prompt=engine.runner.tokenizer.encode(prompt),
        params=sampling,
        sink=reader.deltas.put,
        adapter=key,
    )
    return reader


def load(engine, name: str, path: Path) -> None:
    file = engine.read_adapter(LoraModule(name, path))
    engine.inquire(lambda: engine.runner.adapters.load(file)).result(30)


def unload(engine, name: str) -> None:
    engine.inquire(lambda: engine.runner.adapters.unload(name)).result(30)


def loaded_keys(engine) -> list[str]:
    return engine.inquire(lambda: list(engine.runner.adapters._loaded)).result(30)


def plain_logits(model_path: Path, tokens: list[int], adapter: Path | None) -> np.ndarray:
    """Logits after every token, by nothing but llama.cpp's own functions."""
    from kvserve.native import lib

    model = lib.llama_model_load_from_file(
        str(model_path).encode(), lib.llama_model_default_params()
    )
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = params.n_outputs_max = 256
    context = lib.llama_init_from_model(model, params)
    if adapter:
        handle = lib.llama_adapter_lora_init(model, str(adapter).encode())
        handles = (lib.llama_adapter_lora_p_ctypes * 1)(handle)
        lib.llama_set_adapters_lora(context, handles, 1, (ctypes.c_float * 1)(1.0))
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        batch.token[place], batch.pos[place], batch.logits[place] = token, place, True
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    assert lib.llama_decode(context, batch) == 0
    size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    rows = [lib.llama_get_logits_ith(context, place) for place in range(len(tokens))]
    logits = np.stack([np.ctypeslib.as_array(row, (size,)).copy() for row in rows])
    lib.llama_batch_free(batch)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return logits


def doubt(model_path: Path, seq: Sequence, adapter: Path | None) -> float:
    """How far below the best logit the sequence's own tokens are on average, by plain llama.cpp.

    Zero for greedy text under this adapter; rounding, of batches and of our kernels, makes it a
    little more, another adapter much more.
    """
    first = seq.num_prompt_tokens
    logits = plain_logits(model_path, seq.tokens[:-1], adapter)[first - 1 :]
    chosen = logits[np.arange(len(logits)), seq.tokens[first:]]
    return float((logits.max(axis=1) - chosen).mean())


def test_it_computes_what_llama_computes_with_the_same_adapter(
    start_engine, model_path, files
) -> None:
    modules = tuple(LoraModule(name, files[name]) for name in "ab")
    engine = start_engine(kv_blocks=32, attention="stock", products="stock", lora_modules=modules)
    tokens = engine.runner.tokenizer.encode(PROMPT)
    expected = {}
    for name in ("", "a", "b"):
        logits = plain_logits(model_path, tokens, files.get(name))[-1]
        expected[name] = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        reader = ask(engine, name, max_tokens=1, logprobs=20)
        while not (delta := reader.deltas.get(timeout=60)).logprobs:
            pass
        for token, logprob in delta.logprobs[0].top:
            assert logprob == pytest.approx(expected[name][token], abs=TOLERANCE)
    assert np.abs(expected["a"] - expected[""]).max() > 1
    assert np.abs(expected["a"] - expected["b"]).max() > 1


def test_mixed_requests_answer_as_they_do_alone(engine) -> None:
    for name in ("", "a", "b"):
        ask(engine, name).answer()  # so that all below find the same prefix cached
    alone = {name: ask(engine, name).answer().text for name in ("", "a", "b")}
    assert len(set(alone.values())) == 3
    readers = [(name, ask(engine, name)) for name in ("", "a", "b")]
    for name, reader in readers:
        assert reader.answer().text == alone[name]


def test_it_keeps_the_prefixes_of_adapters_apart(engine) -> None:
    prompt = "Only this test speaks of the blue valve in the northern hall of the plant. " * 3
    cached = [ask(engine, name, prompt).answer().last.num_cached_tokens for name in "aab"]
    base = ask(engine, "", prompt).answer().last.num_cached_tokens
    assert cached[0] == 0 and cached[1] > 16
    assert cached[2] == base == 0


def test_a_reload_reuses_kv_only_of_the_same_content(engine, files) -> None:
    prompt = "Only this test speaks of the red pump that stands in the southern yard. " * 3
    load(engine, "c", files["c"])
    ask(engine, "c", prompt).answer()
    first = ask(engine, "c", prompt).answer()
    assert first.last.num_cached_tokens > 16
    unload(engine, "c")
    load(engine, "c", files["a"])
    assert ask(engine, "c", prompt).answer().last.num_cached_tokens == 0
    unload(engine, "c")
    load(engine, "c", files["c"])
    again = ask(engine, "c", prompt).answer()
    assert again.last.num_cached_tokens > 16
    assert again.text == first.text
    unload(engine, "c")


def test_unloading_lets_running_requests_finish_and_frees_the_memory(engine, files) -> None:
    load(engine, "c", files["c"])
    ask(engine, "c", max_tokens=1).answer()  # both below begin with its blocks: one batch shape
    ask(engine, "c").answer()  # so that both below find the same prefix cached
    whole = ask(engine, "c", max_tokens=48).answer().text
    reader = ask(engine, "c", max_tokens=48)
    first = reader.deltas.get(timeout=60)
    key = engine.runner.adapters.files["c"].key
    unload(engine, "c")
    with pytest.raises(KeyError):
        ask(engine, "c")
    assert key in loaded_keys(engine), "a request still computes with it"
    assert first.text + reader.answer().text == whole
    deadline = time.monotonic() + 10
    while key in loaded_keys(engine) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert key not in loaded_keys(engine)
    late = Reader()
    engine.submit(prompt=[1, 2], params=SamplingParams(), sink=late.deltas.put, adapter=key)
    answer = late.answer()
    assert answer.last.finish is FinishReason.ERROR
    assert "'c' was unloaded" in (answer.last.error or "")


@pytest.mark.slow
@pytest.mark.parametrize("swap_bytes", [0, 64 << 20])
def test_preempted_requests_keep_their_adapter(start_engine, files, model_path, swap_bytes) -> None:
    """Three requests, of which the pool holds two."""
    modules = tuple(LoraModule(name, files[name]) for name in "ab")
    small = start_engine(
        kv_blocks=14, max_seqs=4, lora_modules=modules, swap_bytes=swap_bytes, prefix_cache=False
    )
    readers = {name: ask(small, name, max_tokens=60) for name in ("", "a", "b")}
    for name, reader in readers.items():
        assert reader.answer().last.finish is FinishReason.LENGTH
        own = doubt(model_path, reader.seq, files.get(name))
        others = [doubt(model_path, reader.seq, files.get(n)) for n in ("", *"abc") if n != name]
        assert own < 0.1 * min(others)
    assert any(reader.seq.was_preempted for reader in readers.values())
    small.inquire(small.check_integrity).result(10)


def test_it_shows_what_runs_and_waits(engine) -> None:
    readers = [ask(engine, name, max_tokens=64) for name in ("a", "b", "")]
    for reader in readers:
        reader.deltas.get(timeout=60)
    text = engine.metrics.render().decode()
    lines = [line for line in text.splitlines() if line.startswith("vllm:lora_requests_info{")]
    assert len(lines) == 1
    assert 'running_lora_adapters="a,b"' in lines[0]
    assert 'max_lora="8"' in lines[0]
    for reader in readers:
        reader.answer()


# --- bad files ---------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(AdapterRefused) as caught:
        read_adapter(LoraModule("bad", path))
    return str(caught.value)


def test_it_names_what_is_wrong_with_a_file(tmp_path, files, model_path) -> None:
    pairs = random_pairs(1)
    whole = files["a"].read_bytes()
    text, cut = tmp_path / "text.gguf", tmp_path / "cut.gguf"
    text.write_text("no adapter")
    cut.write_bytes(whole[: len(whole) // 2])
    half = {
        **pairs,
        "blk.0.attn_q.weight": (
            pairs["blk.0.attn_q.weight"][0][:3],
            pairs["blk.0.attn_q.weight"][1],
        ),
    }
    assert "cannot read" in refused(tmp_path / "missing.gguf")
    assert "does not begin with 'GGUF'" in refused(text)
    assert "cut off" in refused(cut)
    assert "general.type is" in refused(model_path)
    assert "A has the rank 3, B has 8" in refused(write_adapter(tmp_path / "h.gguf", half))
    with pytest.raises(RequestRefused, match="use letters"):
        read_adapter(LoraModule("no name", files["a"]))


def test_it_refuses_an_adapter_of_another_model(engine, tmp_path) -> None:
    wide = {"blk.0.attn_q.weight": (np.ones((4, 1024), "f4"), np.ones((1024, 4), "f4"))}
    deep = {"blk.99.attn_q.weight": random_pairs(1)["blk.0.attn_q.weight"]}
    for pairs, arch, why in (
        (wide, "llama", "incorrect shape"),
        (deep, "llama", "does not exist in base model"),
        (random_pairs(1), "qwen2", "arch mismatch"),
    ):
        path = write_adapter(tmp_path / f"{why[:4]}.gguf", pairs, arch=arch)
        with pytest.raises(AdapterRefused, match=why):
            load(engine, "bad", path)
    assert ask(engine, "a").answer().last.finish is FinishReason.LENGTH


def test_it_refuses_more_than_it_may_hold_and_names_in_use(engine, files) -> None:
    with pytest.raises(AdapterRefused, match="is loaded already"):
        load(engine, "a", files["a"])
    for number in range(6):
        load(engine, f"more-{number}", files["c"])
    with pytest.raises(AdapterRefused, match="as many as --max-loras allows"):
        load(engine, "too-many", files["c"])
    for number in range(6):
        unload(engine, f"more-{number}")


FUZZ = """
import sys
from pathlib import Path
from kvserve.adapters.adapter_file import AdapterRefused, LoraModule, read_adapter
from kvserve.adapters.adapters import Adapters
from kvserve.config import EngineConfig
from kvserve.errors import RequestRefused
from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.scheduler import Chunk
from kvserve.engine.sequence import SamplingParams, Sequence

runner = ModelRunner(EngineConfig(Path(sys.argv[1]), kv_blocks=32, max_seqs=1, max_loras=1000))
refused = loaded = 0
for number, path in enumerate(sorted(Path(sys.argv[2]).iterdir())):
    try:
        file = read_adapter(LoraModule(f"f{number}", path))
        runner.adapters.load(file)
    except RequestRefused:
        refused += 1
        continue
    loaded += 1
    seq = Sequence(number, [5, 6, 7], SamplingParams(), print, slot=0, adapter=file.key)
    runner.compute([Chunk(seq, 0, 3)])
    from kvserve.native import lib
    lib.llama_memory_clear(lib.llama_get_memory(runner.context), False)
    runner.adapters.unload(file.name)
    runner.adapters.free_unused([])
print(refused, loaded)
"""


def test_no_damaged_file_ends_the_process(tmp_path, model_path) -> None:
    """Random bytes changed in the header of an adapter of one pair."""
    pairs = {"blk.0.attn_q.weight": random_pairs(1)["blk.0.attn_q.weight"]}
    whole = write_adapter(tmp_path / "whole.gguf", pairs).read_bytes()
    folder = tmp_path / "damaged"
    folder.mkdir()
    chance = random.Random(7)
    for number in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged[chance.randrange(4, 420)] = chance.choice(
                (0, 1, 2, 3, 8, 255, chance.randrange(256))
            )
        (folder / f"{number:03}.gguf").write_bytes(damaged)
    result = subprocess.run(
        [sys.executable, "-c", FUZZ, str(model_path), str(folder)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert result.returncode == 0, result.stderr[-2000:]
    refusals, loads = map(int, result.stdout.split()[-2:])
    assert refusals + loads == 300
    assert min(refusals, loads) > 20
