"""Prometheus metrics under vLLM's names, so that its dashboards work here."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kvserve.scheduler import Plan, Scheduler
from kvserve.sequence import FinishReason, Sequence

LABELS = ("model_name", "engine")
TTFT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
ITL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
LATENCY_BUCKETS = (0.1, 0.3, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 240, 480)
STEP_BUCKETS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """One registry per engine. The engine's thread writes; any thread may render."""

    def __init__(self, model_name: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = (model_name, "0")
        self.running = self._gauge("num_requests_running", "Sequences in the running batch")
        self.waiting = self._gauge("num_requests_waiting", "Sequences waiting for admission")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "KV blocks in use, 1 is all")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens prefilled")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated")
        self.preemptions = self._counter("num_preemptions", "Preemptions by recompute")
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

    def levels(self, scheduler: Scheduler) -> None:
        """Gauges of what runs and waits now."""
        self.running.set(len(scheduler.running))
        self.waiting.set(len(scheduler.waiting))
        self.kv_usage.set(scheduler.blocks.usage)

    def step(self, plan: Plan) -> None:
        """Count a step; a sequence's first chunk ends its time in the queue."""
        now = time.monotonic()
        self.preemptions.inc(len(plan.preempted))
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
            self.ttft.observe(now - seq.arrival)
        else:
            self.itl.observe(now - seq.last_token)
        seq.last_token = now

    def finished(self, seq: Sequence, reason: FinishReason) -> None:
        """Count the end of a request."""
        self.e2e.observe(time.monotonic() - seq.arrival)
        self._finished.labels(*self._labels, reason.value).inc()

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
