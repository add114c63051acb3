"""vllm:lora_requests_info: which adapters run and wait now."""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kvserve.engine.sequence import Sequence

if TYPE_CHECKING:
    from kvserve.engine.engine import Engine

LABELS = ("max_lora", "waiting_lora_adapters", "running_lora_adapters")


class AdapterMetrics(Collector):
    """As in vLLM: the names are labels, the value is the time; only the present state is shown."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine

    def register(self, registry: CollectorRegistry) -> None:
        """Add it to the engine's metrics."""
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What will be collected, told without a running engine."""
        return [self._family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample, once an adapter was loaded."""
        adapters, scheduler = self.engine.runner.adapters, self.engine.scheduler
        family = self._family()
        if adapters.files or adapters.retired:
            waiting, running = _names(list(scheduler.waiting)), _names(list(scheduler.running))
            family.add_metric([str(adapters.max_loras), waiting, running], time.time())
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "vllm:lora_requests_info", "Running and waiting LoRA adapters", labels=LABELS
        )


def _names(sequences: list[Sequence]) -> str:
    return ",".join(sorted({seq.adapter.rpartition("@")[0] for seq in sequences if seq.adapter}))
