"""Prometheus metrics under vLLM's names and buckets, so that its dashboards work here.

What vLLM has no name for is under `kvserve:`.
"""

import time
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kvserve.config import EngineConfig
from kvserve.engine.scheduler import Chunk, Plan, Scheduler
from kvserve.engine.sequence import FinishReason, Sequence
from kvserve.kernels.kernels import Kernels
from kvserve.observe.energy import ESTIMATED
from kvserve.observe.metric_buckets import (
    ITL,
    JOULES,
    LATENCY,
    RESIDENCY,
    STEP,
    TOKENS,
    TTFT,
    N,
)
from kvserve.observe.recent import Recent

LABELS = ("model_name", "engine")
M = TypeVar("M", Counter, Gauge, Histogram)
SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")


class Following:
    """A counter that follows a total kept elsewhere; a total that starts again adds from 0."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._last = 0.0

    def follow(self, total: float) -> None:
        self._counter.inc(total - self._last if total >= self._last else total)
        self._last = total


class Request:
    """The choices of one request that still run, and the longest so far."""

    def __init__(self, choices: int) -> None:
        self.unfinished = choices
        self.longest = 0


class Metrics:
    """One registry per engine. The engine's thread writes; any thread may render."""

    def __init__(self, model_name: str, *, energy_source: str = ESTIMATED) -> None:
        self.registry = CollectorRegistry()
        self.recent = Recent()
        self._labels = (model_name, "0")
        self._requests: dict[int, Request] = {}
        self._kernels: set[tuple[str, str, str]] = set()
        self._cache_config: Gauge | None = None
        self._define_levels()
        self._define_tokens()
        self._define_times()
        self._define_sizes()
        self._define_own(energy_source)

    # --- definitions -----------------------------------------------------------------------------

    def _define_levels(self) -> None:
        gauge = self._gauge
        self.running = gauge("vllm:num_requests_running", "Sequences in the running batch")
        self.waiting = gauge("vllm:num_requests_waiting", "Sequences waiting for admission")
        self.swapped = gauge("vllm:num_requests_swapped", "Sequences with KV in host memory")
        self.kv_usage = gauge("vllm:kv_cache_usage_perc", "KV blocks in use, 1 is all")
        self.cpu_usage = gauge("vllm:cpu_cache_usage_perc", "Host swap pool in use, 1 is all")

    def _define_tokens(self) -> None:
        counter = self._counter
        self.prefix_queries = counter("vllm:prefix_cache_queries", "Prompt tokens looked up")
        self.prefix_hits = counter("vllm:prefix_cache_hits", "Prompt tokens found in the cache")
        self._external_queries = Following(
            counter("vllm:external_prefix_cache_queries", "Prompt tokens looked up on disk")
        )
        self._external_hits = Following(
            counter("vllm:external_prefix_cache_hits", "Prompt tokens brought back from disk")
        )
        self.preemptions = counter("vllm:num_preemptions", "Preemptions, by swap or recompute")
        self.prompt_tokens = counter("vllm:prompt_tokens", "Prompt tokens of answered requests")
        by_source = self._family(
            Counter, "vllm:prompt_tokens_by_source", "Prompt tokens, where from", "source"
        )
        self._by_source = {source: by_source.labels(*self._labels, source) for source in SOURCES}
        self.prompt_cached = counter("vllm:prompt_tokens_cached", "Prompt tokens not computed")
        self.prompt_recomputed = counter(
            "vllm:prompt_tokens_recomputed", "Prompt tokens computed again after a preemption"
        )
        self.generation_tokens = counter("vllm:generation_tokens", "Tokens generated")
        self._finished = self._family(
            Counter, "vllm:request_success", "Requests by how they ended", "finished_reason"
        )

    def _define_times(self) -> None:
        seconds = self._histogram
        self.ttft = seconds("vllm:time_to_first_token_seconds", "Arrival to first token", TTFT)
        self.itl = seconds("vllm:inter_token_latency_seconds", "Between tokens", ITL)
        self.time_per_token = seconds(
            "vllm:request_time_per_output_token_seconds", "Mean time between tokens", ITL
        )
        self.e2e = seconds("vllm:e2e_request_latency_seconds", "Arrival to end", LATENCY)
        self.queue = seconds("vllm:request_queue_time_seconds", "Arrival to admission", LATENCY)
        self.inference_time = seconds(
            "vllm:request_inference_time_seconds", "Admission to end", LATENCY
        )
        self.prefill_time = seconds(
            "vllm:request_prefill_time_seconds", "Admission to first token", LATENCY
        )
        self.decode_time = seconds(
            "vllm:request_decode_time_seconds", "First token to end", LATENCY
        )
        self.block_lifetime = seconds(
            "vllm:kv_block_lifetime_seconds", "Allocation to eviction, sampled", RESIDENCY
        )
        self.block_idle = seconds(
            "vllm:kv_block_idle_before_evict_seconds", "Last use to eviction, sampled", RESIDENCY
        )
        self.block_reuse_gap = seconds(
            "vllm:kv_block_reuse_gap_seconds", "Between uses of a block, sampled", RESIDENCY
        )

    def _define_sizes(self) -> None:
        sizes = self._histogram
        self.step_tokens = sizes("vllm:iteration_tokens_total", "Tokens per step", STEP)
        self.request_prompt = sizes("vllm:request_prompt_tokens", "Prompt tokens", TOKENS)
        self.request_generation = sizes(
            "vllm:request_generation_tokens", "Generated tokens of a choice", TOKENS
        )
        self.request_max_generation = sizes(
            "vllm:request_max_num_generation_tokens", "Generated tokens, longest choice", TOKENS
        )
        self.params_n = sizes("vllm:request_params_n", "Choices asked for", N)
        self.params_max_tokens = sizes(
            "vllm:request_params_max_tokens", "max_tokens asked for", TOKENS
        )
        self.request_prefill_computed = sizes(
            "vllm:request_prefill_kv_computed_tokens", "Prompt tokens not cached", TOKENS
        )

    def _define_own(self, energy_source: str) -> None:
        gauge, counter = self._gauge, self._counter
        self.kv_waste = gauge("kvserve:kv_cache_waste_perc", "Allocated KV without content")
        self.kv_cached = gauge("kvserve:num_cached_blocks", "Blocks kept for reuse, in no request")
        self.swap_bytes = gauge("kvserve:swap_pool_bytes", "Bytes of KV in host memory")
        decisions = self._family(
            Counter, "kvserve:preemption_decisions", "How room was made", "decision"
        )
        self._decisions = {
            name: decisions.labels(*self._labels, name) for name in ("swap", "recompute")
        }
        self._swaps_in = Following(counter("kvserve:num_swaps_in", "Swapped sequences resumed"))
        self.disk_bytes = gauge("kvserve:disk_tier_bytes", "Bytes of KV on disk")
        self._disk_rejected = Following(
            counter("kvserve:disk_tier_rejected", "Files that could not be served")
        )
        self._disk_failed = Following(
            counter("kvserve:disk_tier_failed_writes", "Writes that the disk refused")
        )
        self._kernel_info = self._family(
            Gauge, "kvserve:kernel_info", "The kernel in use, and why", "node", "kind", "reason"
        )
        nodes = self._family(
            Counter, "kvserve:kernel_nodes", "Nodes computed by our kernels or ggml's", "node", "by"
        )
        seconds = self._family(Counter, "kvserve:kernel_seconds", "Seconds in our kernels", "node")
        self._kernel_use = {
            node: (
                Following(nodes.labels(*self._labels, node, "own")),
                Following(nodes.labels(*self._labels, node, "ggml")),
                Following(seconds.labels(*self._labels, node)),
            )
            for node in ("attention", "products")
        }
        self._energy = self._family(
            Counter, "kvserve:energy_joules", "Joules charged to requests", "source"
        )
        self._per_1000 = self._family(
            Gauge, "kvserve:energy_joules_per_1000_tokens", "In the last minute", "source"
        )
        self._request_joules = self._family(
            Histogram, "kvserve:request_energy_joules", "Joules", "source", buckets=JOULES
        )
        self._source = energy_source
        self._energy.labels(*self._labels, energy_source)  # 0 until the first step

    def _family(self, kind: type[M], name: str, text: str, *labels: str, **options: Any) -> M:
        return kind(name, text, (*LABELS, *labels), registry=self.registry, **options)

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._family(Gauge, name, text).labels(*self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return self._family(Counter, name, text).labels(*self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return self._family(Histogram, name, text, buckets=buckets).labels(*self._labels)

    # --- events, on the engine's thread ----------------------------------------------------------

    def cache_config(self, config: EngineConfig, *, num_blocks: int) -> None:
        """Publish the pool's shape, as vLLM does: a gauge of 1 whose labels say it."""
        values = {
            "block_size": str(config.block_size),
            "num_gpu_blocks": str(num_blocks),
            "enable_prefix_caching": str(config.prefix_cache),
        }
        if self._cache_config is None:
            self._cache_config = self._family(
                Gauge, "vllm:cache_config_info", "Shape of the KV pool", *values
            )
        self._cache_config.clear()
        self._cache_config.labels(*self._labels, *values.values()).set(1)

    def levels(self, scheduler: Scheduler, kernels: Kernels) -> None:
        """Gauges of what runs and waits now, and counters that others keep."""
        blocks, pool = scheduler.blocks, scheduler.swapper.pool
        self.running.set(len(scheduler.running))
        self.waiting.set(len(scheduler.waiting))
        self.kv_usage.set(blocks.usage)
        self.kv_waste.set(blocks.waste)
        self.kv_cached.set(blocks.num_cached)
        self.swapped.set(sum(seq.span is not None for seq in scheduler.waiting))
        self.swap_bytes.set(pool.used)
        self.cpu_usage.set(pool.used / pool.capacity if pool.capacity else 0)
        self._swaps_in.follow(scheduler.num_swapped_in)
        if (tier := blocks.cache.tier) is not None:
            self._external_queries.follow(tier.num_queried)
            self._external_hits.follow(tier.num_restored)
            self._disk_rejected.follow(tier.num_rejected)
            self._disk_failed.follow(tier.num_failed_writes)
            self.disk_bytes.set(tier.store.num_bytes)
        for life in blocks.watch.take():
            self.block_lifetime.observe(life.lifetime_s)
            self.block_idle.observe(life.idle_s)
            for gap in life.gaps_s:
                self.block_reuse_gap.observe(gap)
        now = self.recent.now
        now.usage, now.waste = blocks.usage, blocks.waste
        now.running, now.waiting = len(scheduler.running), len(scheduler.waiting)
        self._show_kernels(kernels)

    def _show_kernels(self, kernels: Kernels) -> None:
        both = (kernels.attention, kernels.products)
        now = {(kernel.name, kernel.kind, kernel.reason) for kernel in both}
        if now != self._kernels:
            self._kernels = now
            self._kernel_info.clear()
            for labels in now:
                self._kernel_info.labels(*self._labels, *labels).set(1)
        for kernel, stats in zip(both, kernels.stats(), strict=True):
            own, ggml, seconds = self._kernel_use[kernel.name]
            own.follow(stats.taken)
            ggml.follow(stats.stock)
            seconds.follow(stats.seconds)

    def arrived(self, leader: Sequence) -> None:
        """A request of one or several choices enters the engine."""
        choices = [leader, *leader.siblings]
        self.params_n.observe(len(choices))
        request = Request(len(choices))
        self._requests.update({seq.id: request for seq in choices})

    def step(self, plan: Plan) -> None:
        """Count a step; a sequence's first chunk ends its time in the queue."""
        now = time.monotonic()
        self.preemptions.inc(len(plan.preempted))
        for seq in plan.preempted:
            self._decisions["swap" if seq.span else "recompute"].inc()
        if plan.chunks:
            self.step_tokens.observe(sum(chunk.size for chunk in plan.chunks))
        for chunk in plan.chunks:
            self._start(chunk.seq, now)
            self._count_prompt(chunk)

    def _start(self, seq: Sequence, now: float) -> None:
        if seq.started is None:
            seq.started = now
            self.queue.observe(now - seq.arrival)

    def _count_prompt(self, chunk: Chunk) -> None:
        """Prompt tokens that this chunk computes, for the first time or again."""
        seq, end = chunk.seq, min(chunk.start + chunk.size, chunk.seq.num_prompt_tokens)
        computed = end - chunk.start
        if computed <= 0:
            return
        again = max(0, min(end, seq.num_reached) - chunk.start)
        seq.num_reached = max(seq.num_reached, end)
        self._by_source["local_compute"].inc(computed)
        self.prompt_recomputed.inc(again)
        self.recent.now.prompt += computed - again

    def energy(self, joules: float, source: str) -> None:
        """Count what a step took."""
        self._source = source
        self._energy.labels(*self._labels, source).inc(joules)
        self.recent.now.joules += joules
        per_1000 = self.recent.rates().joules_per_1000_tokens
        if per_1000 is not None:
            self._per_1000.labels(*self._labels, source).set(per_1000)

    def token(self, seq: Sequence) -> None:
        """Count a generated token and its delay."""
        now = time.monotonic()
        self.generation_tokens.inc()
        self.recent.now.generated += 1
        if seq.last_token is None:
            self._first_token(seq, now)
        else:
            self.itl.observe(now - seq.last_token)
        seq.last_token = now

    def _first_token(self, seq: Sequence, now: float) -> None:
        self._start(seq, now)  # a fork has no step of its own before its first token
        seq.first_token = now
        self.ttft.observe(now - seq.arrival)
        self.prefill_time.observe(now - (seq.started or now))
        self.prompt_tokens.inc(seq.num_prompt_tokens)
        self.prefix_queries.inc(seq.num_prompt_tokens)
        self.prefix_hits.inc(seq.num_cached - seq.num_external)
        self.prompt_cached.inc(seq.num_cached)
        self._by_source["local_cache_hit"].inc(seq.num_cached - seq.num_external)
        self._by_source["external_kv_transfer"].inc(seq.num_external)
        second = self.recent.now
        second.queried += seq.num_prompt_tokens
        second.cached += seq.num_cached

    def finished(self, seq: Sequence, reason: FinishReason) -> None:
        """Count the end of a choice, and of its request when it was the last."""
        now = time.monotonic()
        self.e2e.observe(now - seq.arrival)
        self.request_prompt.observe(seq.num_prompt_tokens)
        self.request_generation.observe(seq.num_completion_tokens)
        self.params_max_tokens.observe(seq.params.max_tokens)
        self.request_prefill_computed.observe(seq.num_prompt_tokens - seq.num_cached)
        self._request_joules.labels(*self._labels, self._source).observe(seq.joules)
        if seq.started is not None:
            self.inference_time.observe(now - seq.started)
        if seq.first_token is not None:
            self.decode_time.observe(now - seq.first_token)
            if seq.num_completion_tokens > 1:
                self.time_per_token.observe(
                    (now - seq.first_token) / (seq.num_completion_tokens - 1)
                )
        self._finished.labels(*self._labels, reason.value).inc()
        request = self._requests.pop(seq.id, None)
        if request is not None:
            request.unfinished -= 1
            request.longest = max(request.longest, seq.num_completion_tokens)
            if not request.unfinished:
                self.request_max_generation.observe(request.longest)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
