"""Prometheus metrics under vLLM's names, so that its dashboards work here."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kvserve.config import EngineConfig
from kvserve.scheduler import Plan, Scheduler
from kvserve.sequence import FinishReason, Sequence

LABELS = ("model_name", "engine")
TTFT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
ITL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
LATENCY_BUCKETS = (0.1, 0.3, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 240, 480)
TOKEN_BUCKETS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768)
STEP_BUCKETS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """One registry per engine. The engine's thread writes; any thread may render."""

    def __init__(self, model_name: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = (model_name, "0")
        self.running = self._gauge("num_requests_running", "Sequences in the running batch")
        self.waiting = self._gauge("num_requests_waiting", "Sequences waiting for admission")
        self.kv_waste = self._gauge("kv_cache_waste_perc", "Allocated KV without content, 1 is all")
        self.kv_cached = self._gauge("num_cached_blocks", "Blocks kept for reuse, in no request")
        self.swapped = self._gauge("num_requests_swapped", "Requests with KV in host memory")
        self.cpu_usage = self._gauge("cpu_cache_usage_perc", "Host swap pool in use, 1 is all")
        self.prefix_queries = self._counter("prefix_cache_queries", "Prompt tokens looked up")
        self.prefix_hits = self._counter("prefix_cache_hits", "Prompt tokens found in the cache")
        self.swaps_out = self._counter("num_swaps_out", "Preemptions that saved KV to host memory")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "KV blocks in use, 1 is all")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens prefilled")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated")
        self.preemptions = self._counter("num_preemptions", "Preemptions, by swap or recompute")
        self.ttft = self._histogram(
            "time_to_first_token_seconds", "Arrival to first token", TTFT_BUCKETS
        )
        self.itl = self._histogram("inter_token_latency_seconds", "Between tokens", ITL_BUCKETS)
        self.e2e = self._histogram("e2e_request_latency_seconds", "Arrival to end", LATENCY_BUCKETS)
        self.queue = self._histogram(
            "request_queue_time_seconds", "Arrival to admission", TTFT_BUCKETS
        )
        self.step_tokens = self._histogram(
            "iteration_tokens_total", "Tokens per step", STEP_BUCKETS
        )
        self.request_prompt = self._histogram(
            "request_prompt_tokens", "Prompt tokens per request", TOKEN_BUCKETS
        )
        self.request_generation = self._histogram(
            "request_generation_tokens", "Generated tokens per request", TOKEN_BUCKETS
        )
        self.request_max_tokens = self._histogram(
            "request_params_max_tokens", "max_tokens asked for", TOKEN_BUCKETS
        )
        self.request_prefill_computed = self._histogram(
            "request_prefill_kv_computed_tokens", "Prompt tokens not cached", TOKEN_BUCKETS
        )
        self.prefill_time = self._histogram(
            "request_prefill_time_seconds", "Admission to first token", TTFT_BUCKETS
        )
        self.decode_time = self._histogram(
            "request_decode_time_seconds", "First token to end", LATENCY_BUCKETS
        )
        self.inference_time = self._histogram(
            "request_inference_time_seconds", "Admission to end", LATENCY_BUCKETS
        )
        self.time_per_token = self._histogram(
            "request_time_per_output_token_seconds", "Mean time between tokens", ITL_BUCKETS
        )
        self._finished = Counter(
            "vllm:request_success",
            "Requests by how they ended",
            (*LABELS, "finished_reason"),
            registry=self.registry,
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, LABELS, registry=self.registry).labels(*self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, LABELS, registry=self.registry).labels(*self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", text, LABELS, buckets=buckets, registry=self.registry)
        return histogram.labels(*self._labels)

    def cache_config(self, config: EngineConfig, *, num_blocks: int) -> None:
        """Publish the pool's shape, as vLLM does: a gauge of 1 whose labels say it."""
        values = {
            "block_size": str(config.block_size),
            "num_gpu_blocks": str(num_blocks),
            "enable_prefix_caching": str(config.prefix_cache),
        }
        Gauge(
            "vllm:cache_config_info",
            "Shape of the KV pool",
            (*LABELS, *values),
            registry=self.registry,
        ).labels(*self._labels, *values.values()).set(1)

    def levels(self, scheduler: Scheduler) -> None:
        """Gauges of what runs and waits now."""
        self.running.set(len(scheduler.running))
        self.waiting.set(len(scheduler.waiting))
        blocks, pool = scheduler.blocks, scheduler.swapper.pool
        self.kv_usage.set(blocks.usage)
        self.kv_waste.set(blocks.waste)
        self.kv_cached.set(blocks.num_cached)
        self.swapped.set(sum(seq.span is not None for seq in scheduler.waiting))
        self.cpu_usage.set(pool.used / pool.capacity if pool.capacity else 0)

    def step(self, plan: Plan) -> None:
        """Count a step; a sequence's first chunk ends its time in the queue."""
        now = time.monotonic()
        self.preemptions.inc(len(plan.preempted))
        self.swaps_out.inc(sum(seq.span is not None for seq in plan.preempted))
        self.step_tokens.observe(sum(chunk.size for chunk in plan.chunks))
        for seq in (chunk.seq for chunk in plan.chunks if chunk.seq.started is None):
            seq.started = now
            self.queue.observe(now - seq.arrival)
            self.prompt_tokens.inc(seq.num_prompt_tokens)

    def token(self, seq: Sequence) -> None:
        """Count a generated token and its delay."""
        now = time.monotonic()
        self.generation_tokens.inc()
        if seq.last_token is None:
            seq.first_token = now
            self.ttft.observe(now - seq.arrival)
            self.prefill_time.observe(now - (seq.started or now))
            self.prefix_queries.inc(seq.num_prompt_tokens)
            self.prefix_hits.inc(seq.num_cached)
        else:
            self.itl.observe(now - seq.last_token)
        seq.last_token = now

    def finished(self, seq: Sequence, reason: FinishReason) -> None:
        """Count the end of a request."""
        now = time.monotonic()
        self.e2e.observe(now - seq.arrival)
        self.request_prompt.observe(seq.num_prompt_tokens)
        self.request_generation.observe(seq.num_completion_tokens)
        self.request_max_tokens.observe(seq.params.max_tokens)
        self.request_prefill_computed.observe(seq.num_prompt_tokens - seq.num_cached)
        if seq.started is not None:
            self.inference_time.observe(now - seq.started)
        if seq.first_token is not None:
            self.decode_time.observe(now - seq.first_token)
            if seq.num_completion_tokens > 1:
                self.time_per_token.observe(
                    (now - seq.first_token) / (seq.num_completion_tokens - 1)
                )
        self._finished.labels(*self._labels, reason.value).inc()

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
