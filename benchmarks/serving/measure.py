"""One server under one load: the figures of the answers, and what it cost the machine."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.serving.client import Answer, Replies

REST_S = 3.0  # the server before winds down, and kvserve sees that nobody else wants the cores
TTFT_LIMIT_S, ITL_LIMIT_S = 2.0, 0.25  # of goodput, by the issue


def run(replies: Coroutine[Any, Any, Replies]) -> Replies:
    """Run a load to its end."""
    return asyncio.run(replies)


def measure(
    load: Callable[[], Coroutine[Any, Any, Replies]], cpu_seconds: Callable[[], float]
) -> dict[str, Any]:
    """Figures of one load; `cpu_seconds` is the server's CPU time so far.

    `others_cores` is how many cores everybody else but the server and this client kept busy on
    average: other tenants of the machine, that spoil a wall-clock figure.
    """
    time.sleep(REST_S)
    before, own, busy = cpu_seconds(), time.process_time(), _busy_seconds()
    load_average, began = os.getloadavg()[0], time.perf_counter()
    replies = run(load())
    wall = time.perf_counter() - began
    server = cpu_seconds() - before
    client = time.process_time() - own
    tokens = sum(answer.num_tokens for answer in replies.good)
    others = max(0.0, _busy_seconds() - busy - server - client)
    return answers(replies) | {
        "cpu_s_per_1000_tokens": 1000 * server / tokens if tokens else None,
        "server_cores": server / wall,
        "client_cores": client / wall,
        "others_cores": others / wall,
        "load_average_before": load_average,
        "load_average_after": os.getloadavg()[0],
    }


def answers(replies: Replies) -> dict[str, Any]:
    """Times in seconds. `tokens_per_s` is output over the whole time, prefill included."""
    good = replies.good
    gaps = [gap for answer in good for gap in answer.gaps]
    ttfts = [answer.ttft for answer in good]
    return {
        "requests": len(replies.answers),
        "failed": len(replies.answers) - len(good),
        "errors": sorted({answer.error for answer in replies.answers if answer.error})[:5],
        "elapsed_s": replies.elapsed,
        "output_tokens": sum(answer.num_tokens for answer in good),
        "prompt_tokens": sum(answer.prompt_tokens for answer in good),
        "cached_tokens": sum(answer.cached_tokens for answer in good),
        "tokens_per_s": sum(answer.num_tokens for answer in good) / replies.elapsed,
        "requests_per_s": len(good) / replies.elapsed,
        "ttft_p50_s": median(ttfts) if ttfts else None,
        "ttft_p99_s": percentile(ttfts, 99),
        "itl_p50_s": percentile(gaps, 50),
        "itl_p99_s": percentile(gaps, 99),
    }


def goodput(replies: Replies) -> dict[str, Any]:
    """Requests whose first token came in 2 s and whose gaps' p99 is at most 250 ms."""
    met = sum(meets_limits(answer) for answer in replies.answers)
    return {
        "goodput_share": met / len(replies.answers),
        "goodput_per_s": met / replies.elapsed,
        "within_ttft": sum(a.ttft <= TTFT_LIMIT_S for a in replies.good) / len(replies.answers),
        "within_itl": sum(_itl_p99(a) <= ITL_LIMIT_S for a in replies.good) / len(replies.answers),
    }


def meets_limits(answer: Answer) -> bool:
    """A request that failed, or was cut off, does not count."""
    return not answer.error and answer.ttft <= TTFT_LIMIT_S and _itl_p99(answer) <= ITL_LIMIT_S


def _itl_p99(answer: Answer) -> float:
    return percentile(answer.gaps, 99) or 0.0


def percentile(values: list[float], share: float) -> float | None:
    """Linear between neighbours; None of nothing."""
    return float(np.percentile(values, share)) if values else None


def _busy_seconds() -> float:
    """CPU time of all cores, without idle and waiting for disks."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
