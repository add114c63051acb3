"""What an LLM server says about itself: kvserve its block map, others the figures of /metrics.

Cheap to import; for whoever watches servers, such as the platform's engine page.
"""

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

TIMEOUT_S = 4.0
ERRNO = re.compile(r"^\[Errno -?\d+\] ")

#: Figures that servers of this kind publish, by our name; the first name found counts.
FIGURES: dict[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "llamacpp:requests_deferred"),
    "usage": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "llamacpp:kv_cache_usage_ratio",
    ),
    "prompt_tokens": ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total"),
    "generation_tokens": ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total"),
    "prefix_queries": (
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
    ),
    "prefix_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "preemptions": ("vllm:num_preemptions_total",),
}
LEVELS = ("usage",)  # a mean over engines; everything else is a sum


class Report(NamedTuple):
    """`state` is "ready", "loading" or "down"; `detail` is the reason where it is not ready.

    `picture` is kvserve's block map; `figures` are what another server publishes, by FIGURES' names.
    """

    state: str
    detail: str = ""
    picture: dict[str, Any] | None = None
    figures: dict[str, float] | None = None


def look(url: str, *, since: float = 0.0, api_key: str = "none") -> Report:
    """Ask one server, given without /v1; never raises.

    `since`: kvserve tells each second after this time (seconds since 1970) as its history.
    """
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        answer = _client().get(f"{url}/kv/blocks", params={"since": since}, headers=headers)
        if answer.status_code == HTTPStatus.OK:
            return Report("ready", picture=answer.json())
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return Report("loading", _message(answer))
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Report("down", f"it refused this platform: {_message(answer)}")
        return _other(url, headers)
    except httpx.TimeoutException:
        return Report("down", f"it did not answer within {TIMEOUT_S:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Report("down", ERRNO.sub("", str(error)) or type(error).__name__)


@cache
def _client() -> httpx.Client:
    """One for all threads: connections are kept, and making one costs 20 ms."""
    return httpx.Client(timeout=TIMEOUT_S)


def _other(url: str, headers: dict[str, str]) -> Report:
    """A server that is no kvserve: its figures, or none where it publishes none."""
    answer = _client().get(f"{url}/metrics", headers=headers)
    if answer.status_code == HTTPStatus.OK:
        return Report("ready", figures=read_figures(answer.text))
    answer = _client().get(f"{url}/v1/models", headers=headers)
    if answer.status_code == HTTPStatus.OK:
        return Report("ready", figures={})
    return Report("down", f"/v1/models answered {answer.status_code}")


def read_figures(text: str) -> dict[str, float]:
    """The figures in a Prometheus text; what is not there is left out.

    Raises:
        ValueError: it is no such text.
    """
    samples: dict[str, list[float]] = {}
    for sample in _samples(text):
        samples.setdefault(sample.name, []).append(sample.value)
    found = {}
    for figure, names in FIGURES.items():
        values = next((samples[name] for name in names if name in samples), None)
        if values:
            found[figure] = sum(values) / (len(values) if figure in LEVELS else 1)
    return found


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _message(answer: httpx.Response) -> str:
    """The sentence of an error in OpenAI's shape, or the status."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
