"""kvserve's `/metrics`, read while a load runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

SAMPLE_S = 0.25
EVERYWHERE = ("model_name", "engine")  # labels that every sample has
RUNNING, WASTE = "vllm:num_requests_running", "kvserve:kv_cache_waste_perc"
USAGE, CACHED = "vllm:kv_cache_usage_perc", "kvserve:num_cached_blocks"
PREEMPTIONS = "vllm:num_preemptions_total"
SWAPS, RECOMPUTES = (f"kvserve:preemption_decisions_total {way}" for way in ("swap", "recompute"))


def read(url: str) -> dict[str, float]:
    """Every sample under its name and the values of its own labels; empty if nobody answers."""
    try:
        with urlopen(f"{url}/metrics", timeout=5) as answer:
            body = answer.read().decode()
    except OSError:
        return {}
    return {
        " ".join(
            [sample.name, *(v for k, v in sample.labels.items() if k not in EVERYWHERE)]
        ): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


class Waste:
    """Samples of allocated positions without content, from 0 to 1, while requests run.

    `shares` are of all that is allocated, cached prefixes, which are always full, among it;
    `running` are of what running requests hold.
    """

    def __init__(self, url: str, *, blocks: int) -> None:
        self.url = url
        self.blocks = blocks
        self.shares: list[float] = []
        self.running: list[float] = []

    def watch(self) -> Callable[[], Awaitable[None]]:
        """To run beside a load; ends by cancellation."""

        async def sample() -> None:
            while True:
                began = time.perf_counter()
                self.take(await asyncio.to_thread(read, self.url))
                await asyncio.sleep(max(0.0, SAMPLE_S - (time.perf_counter() - began)))

        return sample

    def take(self, values: dict[str, float]) -> None:
        """Keep a sample, if somebody runs."""
        if not values.get(RUNNING) or WASTE not in values:
            return
        self.shares.append(values[WASTE])
        held = values[USAGE] * self.blocks
        if held:
            self.running.append(values[WASTE] * (held + values[CACHED]) / held)
