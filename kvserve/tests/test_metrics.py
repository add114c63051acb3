"""Every metric moves under its event, with the real engine; names, labels and buckets are vLLM's."""

import time
from collections.abc import Callable

import pytest

from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Choosing, SamplingParams
from kvserve.kv.block_watch import BlockWatch
from kvserve.tests.conftest import Reader, ask, wait_idle

VLLM = [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "cache_config_info",
    "lora_requests_info",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "external_prefix_cache_queries",
    "external_prefix_cache_hits",
    "num_preemptions",
    "prompt_tokens",
    "prompt_tokens_by_source",
    "prompt_tokens_cached",
    "prompt_tokens_recomputed",
    "generation_tokens",
    "request_success",
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_time_per_output_token_seconds",
    "e2e_request_latency_seconds",
    "request_queue_time_seconds",
    "request_inference_time_seconds",
    "request_prefill_time_seconds",
    "request_decode_time_seconds",
    "request_prompt_tokens",
    "request_generation_tokens",
    "request_max_num_generation_tokens",
    "request_params_n",
    "request_params_max_tokens",
    "request_prefill_kv_computed_tokens",
    "iteration_tokens_total",
    "kv_block_lifetime_seconds",
    "kv_block_idle_before_evict_seconds",
    "kv_block_reuse_gap_seconds",
]


class Figures:
    """An engine's metrics since this object was made."""

    def __init__(self, engine: Engine) -> None:
        self.registry = engine.metrics.registry
        self.labels = {"model_name": engine.model_name, "engine": "0"}
        self.before = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.registry.collect()
            for sample in family.samples
        }

    def now(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, {**self.labels, **labels})
        assert value is not None, name
        return value

    def moved(self, name: str, **labels: str) -> float:
        key = (name, frozenset({**self.labels, **labels}.items()))
        return self.now(name, **labels) - self.before.get(key, 0)


@pytest.fixture(scope="module")
def swapping(start_engine: Callable[..., Engine]) -> Engine:
    return start_engine(kv_blocks=20, max_seqs=4, swap_bytes=64 << 20)


@pytest.fixture(scope="module")
def recomputing(start_engine: Callable[..., Engine]) -> Engine:
    return start_engine(kv_blocks=20, max_seqs=4, prefix_cache=False)


def crowd(engine: Engine, number: int) -> list[Reader]:
    """Requests of 25 + 100 tokens: four of them need 32 blocks."""
    prompts = [[5 + number, *range(100 + index, 124 + index)] for index in range(number)]
    return [ask(engine, prompt, max_tokens=100, ignore_eos=True) for prompt in prompts]


def test_it_has_vllms_names_and_labels(engine) -> None:
    families = {family.name: family for family in engine.metrics.registry.collect()}
    assert [name for name in VLLM if f"vllm:{name}" not in families] == []
    for name in VLLM[:4]:
        assert {"model_name", "engine"} <= set(families[f"vllm:{name}"].samples[0].labels)
    assert all(name.startswith(("vllm:", "kvserve:")) for name in families)


def test_it_has_vllms_buckets(engine) -> None:
    ask(engine, "a", max_tokens=2).answer()
    bounds: dict[str, list[str]] = {}
    for family in engine.metrics.registry.collect():
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                bounds.setdefault(family.name, []).append(sample.labels["le"])
    for name, first, last, number in (
        ("time_to_first_token_seconds", "0.001", "2560.0", 23),
        ("inter_token_latency_seconds", "0.01", "80.0", 20),
        ("e2e_request_latency_seconds", "0.3", "7680.0", 22),
        ("kv_block_lifetime_seconds", "0.001", "1800.0", 22),
        ("iteration_tokens_total", "1.0", "16384.0", 14),
    ):
        found = bounds[f"vllm:{name}"]
        assert (found[0], found[-2], len(found)) == (first, last, number), name


def test_a_request_moves_tokens_times_and_sizes(engine) -> None:
    figures = Figures(engine)
    seq = ask(engine, [*range(300, 340)], max_tokens=6, ignore_eos=True).finished()
    wait_idle(engine)
    assert figures.moved("vllm:prompt_tokens_total") == 40
    assert figures.moved("vllm:generation_tokens_total") == 6
    assert figures.moved("vllm:request_success_total", finished_reason="length") == 1
    assert figures.moved("vllm:iteration_tokens_total_count") == 6
    assert figures.moved("vllm:iteration_tokens_total_sum") == 45
    assert figures.moved("vllm:inter_token_latency_seconds_count") == 5
    for name in ("prompt_tokens", "params_max_tokens", "generation_tokens", "params_n"):
        assert figures.moved(f"vllm:request_{name}_count") == 1
    assert figures.moved("vllm:request_max_num_generation_tokens_sum") == 6
    assert figures.moved("vllm:request_prefill_kv_computed_tokens_sum") == 40
    spans = ("queue_time", "prefill_time", "decode_time", "inference_time")
    for name in spans:
        assert figures.moved(f"vllm:request_{name}_seconds_count") == 1
    whole = figures.moved("vllm:e2e_request_latency_seconds_sum")
    parts = [figures.moved(f"vllm:request_{name}_seconds_sum") for name in spans[:3]]
    assert sum(parts) == pytest.approx(whole, abs=0.01)
    assert figures.moved("kvserve:energy_joules_total", source="estimate") == pytest.approx(
        seq.joules
    )
    assert figures.moved("kvserve:request_energy_joules_sum", source="estimate") == pytest.approx(
        seq.joules
    )
    assert figures.now("kvserve:energy_joules_per_1000_tokens", source="estimate") > 0


def test_tokens_by_source_add_up_with_the_cache(engine) -> None:
    figures = Figures(engine)
    for _ in range(2):
        ask(engine, [*range(400, 450)], max_tokens=1).answer()
    assert figures.moved("vllm:prompt_tokens_total") == 100
    assert figures.moved("vllm:prompt_tokens_by_source_total", source="local_compute") == 52
    assert figures.moved("vllm:prompt_tokens_by_source_total", source="local_cache_hit") == 48
    assert figures.moved("vllm:prompt_tokens_cached_total") == 48
    assert figures.moved("vllm:prefix_cache_queries_total") == 100
    assert figures.moved("vllm:prefix_cache_hits_total") == 48
    assert figures.moved("vllm:prompt_tokens_recomputed_total") == 0


def test_choices_are_one_request(engine) -> None:
    figures = Figures(engine)
    readers = [Reader() for _ in range(3)]
    choices = [
        Choosing(SamplingParams(max_tokens=length, ignore_eos=True, seed=length), reader.deltas.put)
        for length, reader in zip((2, 9, 4), readers, strict=True)
    ]
    engine.submit_choices(choices, prompt=[*range(500, 520)])
    for reader in readers:
        reader.answer()
    wait_idle(engine)
    assert figures.moved("vllm:request_params_n_count") == 1
    assert figures.moved("vllm:request_params_n_sum") == 3
    assert figures.moved("vllm:request_max_num_generation_tokens_sum") == 9
    assert figures.moved("vllm:request_generation_tokens_sum") == 15
    assert figures.moved("vllm:request_queue_time_seconds_count") == 3
    computed = figures.moved("vllm:prompt_tokens_by_source_total", source="local_compute")
    found = figures.moved("vllm:prompt_tokens_by_source_total", source="local_cache_hit")
    assert (computed, found) == (20, 40)


def test_a_cancelled_request_counts_as_aborted(engine) -> None:
    figures = Figures(engine)
    reader = ask(engine, "Count to a million:", max_tokens=500, ignore_eos=True)
    reader.deltas.get(timeout=30)
    assert figures.now("vllm:num_requests_running") == 1
    assert figures.now("vllm:kv_cache_usage_perc") > 0
    engine.cancel(reader.seq)
    reader.answer()
    wait_idle(engine)
    assert figures.moved("vllm:request_success_total", finished_reason="abort") == 1
    assert figures.now("vllm:num_requests_running") == 0
    assert figures.now("vllm:kv_cache_usage_perc") == 0


def test_kernels_say_what_runs_and_count_their_nodes(engine) -> None:
    figures = Figures(engine)
    layers, prompt = 30, "Another prompt of a few more words than eight tokens hold"
    ask(engine, prompt, max_tokens=4, ignore_eos=True).answer()
    wait_idle(engine)
    kernels = engine.runner.kernels
    for kernel in (kernels.attention, kernels.products):
        name, kind, reason = kernel.name, kernel.kind, kernel.reason
        assert figures.now("kvserve:kernel_info", node=name, kind=kind, reason=reason) == 1
        if kernel.is_own:
            assert figures.moved("kvserve:kernel_nodes_total", node=name, by="own") >= 3 * layers
            assert figures.moved("kvserve:kernel_seconds_total", node=name) > 0


def test_swapping_shows_in_decisions_and_bytes(swapping) -> None:
    figures = Figures(swapping)
    readers = crowd(swapping, 4)
    most = 0.0
    while not readers[0].seq.is_finished:
        most = max(most, figures.now("kvserve:swap_pool_bytes"))
        time.sleep(0.005)
    for reader in readers:
        reader.answer()
    wait_idle(swapping)
    out = figures.moved("kvserve:preemption_decisions_total", decision="swap")
    again = figures.moved("kvserve:preemption_decisions_total", decision="recompute")
    assert out > 0
    assert out + again == figures.moved("vllm:num_preemptions_total")
    assert figures.moved("kvserve:num_swaps_in_total") == out
    assert most > 0
    assert figures.now("kvserve:swap_pool_bytes") == 0


def test_recomputing_shows_in_prompt_tokens(recomputing) -> None:
    figures = Figures(recomputing)
    for reader in crowd(recomputing, 4):
        reader.answer()
    wait_idle(recomputing)
    again = figures.moved("vllm:prompt_tokens_recomputed_total")
    assert figures.moved("kvserve:preemption_decisions_total", decision="recompute") > 0
    assert again > 0
    computed = figures.moved("vllm:prompt_tokens_by_source_total", source="local_compute")
    assert computed - again == figures.moved("vllm:prompt_tokens_total") == 100


def test_blocks_tell_their_lives(swapping) -> None:
    wait_idle(swapping)
    swapping.blocks.watch = BlockWatch(every=1)
    figures = Figures(swapping)
    shared = [*range(700, 764)]
    for _ in range(6):
        ask(swapping, shared, max_tokens=1).answer()
    for number in range(10):  # each takes new blocks, so older ones are evicted
        ask(swapping, [*range(800 + 70 * number, 866 + 70 * number)], max_tokens=1).answer()
    wait_idle(swapping)
    ended = figures.moved("vllm:kv_block_lifetime_seconds_count")
    assert ended >= 20
    assert figures.moved("vllm:kv_block_reuse_gap_seconds_count") >= 3 * 4
    assert figures.moved("vllm:kv_block_idle_before_evict_seconds_count") == ended
    lifetime = figures.moved("vllm:kv_block_lifetime_seconds_sum")
    assert 0 < figures.moved("vllm:kv_block_idle_before_evict_seconds_sum") <= lifetime


def test_waste_and_cached_blocks_are_levels(engine) -> None:
    figures = Figures(engine)
    ask(engine, [*range(600, 640)], max_tokens=1).answer()
    wait_idle(engine)
    assert figures.now("kvserve:num_cached_blocks") == engine.blocks.num_cached > 0
    assert figures.now("kvserve:kv_cache_waste_perc") == engine.blocks.waste == 0
