"""An hour of everything at once: does kvserve's memory stay where it was after warm-up?

    .venv/bin/python benchmarks/soak.py [--minutes 60] [--concurrency 8] [--pause 0]

Starts a server with a pool so small that requests preempt each other, and sends it random requests
over HTTP: completions and chats, streamed and whole, choices, tenants, classes, seeds, stops,
logprobs, JSON schemas, embeddings, clients that leave half-way, and requests that must be refused.
Prints the server's resident memory, page faults and requests every five minutes; writes them to
benchmarks/results/soak.json. Ends with code 1 where a request failed or was lost, blocks stayed
taken, or memory grew by more than `--tolerance-mib` after warm-up.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jsonschema
import psutil
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout this file lies in

from benchmarks.serving.loads import text  # noqa: E402
from kvserve.testing import kvserve_process  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "soak.json"
ANSWER_S = 180.0  # a request that takes longer counts as lost
MIB = 1 << 20
SCHEMA = {
    "type": "object",
    "properties": {
        "asset": {"type": "string", "maxLength": 12},
        "action": {"enum": ["start", "stop", "inspect"]},
        "urgent": {"type": "boolean"},
    },
    "required": ["asset", "action", "urgent"],
    "additionalProperties": False,
}
COUNTERS = {
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:external_prefix_cache_hits_total",
    "kvserve:preemption_decisions_total",
}
LEVELS = {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"}


class Request(NamedTuple):
    """What to send, what must come back, and whether the client leaves after some tokens."""

    path: str
    body: dict[str, Any]
    status: int = 200
    leaves: bool = False


def random_request(chance: random.Random, number: int) -> Request:
    """One of everything; shared beginnings change slowly, so that the prefix cache turns over."""
    kind = chance.random()
    if kind < 0.03:
        return Request("/v1/embeddings", {"input": text(chance.randrange(1, 60), number)})
    if kind < 0.06:
        bad: dict[str, Any] = chance.choice(
            ({"prompt": []}, {"prompt": [1] * 9000}, {"prompt": "x", "n": 999},
             {"prompt": "x", "max_tokens": 0}, {"prompt": [10**8]})
        )  # fmt: skip
        return Request("/v1/completions", bad, status=400)
    head = text(chance.choice((40, 120, 200)), ("head", number // 40, chance.randrange(4)))
    prompt = f"{head} {text(chance.randrange(1, 60), ('own', number))}"
    body: dict[str, Any] = {
        "n": chance.choice((1, 1, 1, 2, 4)),
        "max_tokens": chance.randrange(1, 64),
        "temperature": chance.choice((0.0, 0.8, 1.3)),
        "seed": chance.choice((None, number)),
        "priority": chance.choice(("interactive", "agent", "batch")),
        "user": f"client-{chance.randrange(5)}",
        "ignore_eos": chance.random() < 0.3,
        "stream": chance.random() < 0.5,
    }
    if chance.random() < 0.2:
        body["cache_salt"] = f"tenant-{chance.randrange(3)}"
    if chance.random() < 0.2:
        body["stop"] = ["\n", "pump"]
    if chance.random() < 0.2:
        body |= {"repetition_penalty": 1.1, "top_p": 0.9, "top_k": 40}
    if kind < 0.2:
        schema = {"type": "json_schema", "json_schema": {"name": "order", "schema": SCHEMA}}
        body |= {"response_format": schema, "stream": False, "max_tokens": 120}
        body["ignore_eos"] = False
    if kind < 0.5:
        message = {"role": "user", "content": prompt}
        return Request("/v1/chat/completions", body | {"messages": [message]})
    if chance.random() < 0.15:
        body["logprobs"] = 3
    if chance.random() < 0.15:
        return Request("/v1/completions", body | {"prompt": prompt, "stream": True}, leaves=True)
    return Request("/v1/completions", body | {"prompt": prompt})


class Soak:
    """A load, and what became of it."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        self.url = url
        self.options = options
        self.counts: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.deadline = time.monotonic() + 60 * options.minutes
        self._number = 0

    async def run(self, sample: Any) -> None:
        """Load until the deadline; `sample` is called after warm-up and at each interval."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self.url, timeout=ANSWER_S, limits=limits) as client:
            watcher = asyncio.create_task(self._watch(sample))
            await asyncio.gather(*(self._work(client) for _ in range(self.options.concurrency)))
            watcher.cancel()

    async def _watch(self, sample: Any) -> None:
        await asyncio.sleep(60 * self.options.warm_up)
        sample("after warm-up")
        started = self.deadline - 60 * self.options.minutes
        for number in range(1, 10_000):
            at = started + 60 * self.options.every * number
            if at >= self.deadline:
                return
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            sample(f"minute {self.options.every * number:g}")

    async def _work(self, client: httpx.AsyncClient) -> None:
        while time.monotonic() < self.deadline:
            self._number += 1
            number = self._number
            request = random_request(random.Random(f"{self.options.seed}:{number}"), number)
            try:
                self.counts[await self._send(client, request)] += 1
            except Exception as error:
                self.counts["failed"] += 1
                self.reasons.append(f"request {number} {request.path}: {error!r}"[:500])
            if self.options.pause:
                await asyncio.sleep(random.expovariate(1 / self.options.pause))

    async def _send(self, client: httpx.AsyncClient, request: Request) -> str:
        if request.body.get("stream") and request.status == 200:
            return await self._stream(client, request)
        answer = await client.post(request.path, json=request.body)
        if answer.status_code != request.status:
            raise RuntimeError(f"HTTP {answer.status_code}: {answer.text[:200]}")
        if request.status == 400:
            return "refused as expected"
        if request.path == "/v1/embeddings":
            return "embedded"
        choices = answer.json()["choices"]
        self._check(request, [choice["finish_reason"] for choice in choices])
        if "response_format" in request.body:
            for choice in choices:
                if choice["finish_reason"] == "stop" and "stop" not in request.body:
                    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
        return "answered"

    async def _stream(self, client: httpx.AsyncClient, request: Request) -> str:
        finishes: list[str] = []
        async with client.stream("POST", request.path, json=request.body) as answer:
            if answer.status_code != 200:
                raise RuntimeError(f"HTTP {answer.status_code}: {(await answer.aread())[:200]!r}")
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(str(event["error"]))
                if request.leaves:
                    return "left by the client"
                finishes += [c["finish_reason"] for c in event["choices"] if c["finish_reason"]]
        self._check(request, finishes)
        return "streamed"

    @staticmethod
    def _check(request: Request, finishes: list[str]) -> None:
        if len(finishes) != request.body["n"] or not set(finishes) <= {"stop", "length"}:
            raise RuntimeError(f"{request.body['n']} choices asked for, ended by {finishes}")


def main() -> int:
    """Run it; 0 where everything held."""
    options = arguments()
    server_options = [
        "--kv-blocks", str(options.kv_blocks), "--swap-gib", "0.25", "--max-seqs", "16",
        "--threads", str(options.threads), "--attention", options.attention,
        "--disk-tier-gib", str(options.disk_tier_gib),
    ]  # fmt: skip
    samples: list[dict[str, Any]] = []
    with kvserve_process(options.data_dir, *server_options) as process:
        url, server = process.url, psutil.Process(process.process.pid)
        soak = Soak(url, options)
        started = time.monotonic()

        def sample(when: str) -> None:
            entry: dict[str, Any] = {
                "when": when,
                "minutes": round((time.monotonic() - started) / 60, 2),
            }
            entry |= memory_of(server) | {"requests": soak.counts.total()}
            entry |= {"failed": soak.counts["failed"]} | figures(url, COUNTERS)
            samples.append(entry)
            print(json.dumps(entry), flush=True)
            save(options, samples, soak)

        sample("at start")
        asyncio.run(soak.run(sample))
        idle = at_rest(url)
        sample("at the end")
        seconds = server.cpu_times()
        save(options, samples, soak, idle=idle, cpu_s=round(seconds.user + seconds.system, 1))
    return verdict(options, samples, soak, idle)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0, help="mean seconds between a client's")
    parser.add_argument("--warm-up", type=float, default=5, help="minutes")
    parser.add_argument("--every", type=float, default=5, help="minutes between samples")
    parser.add_argument("--tolerance-mib", type=float, default=16)
    parser.add_argument("--kv-blocks", type=int, default=36)
    parser.add_argument("--disk-tier-gib", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--attention", default="paged", choices=["stock", "paged"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var" / "benchmark")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def memory_of(server: psutil.Process) -> dict[str, Any]:
    """Resident memory in MiB, and page faults since its start."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "rss_mib": round(server.memory_info().rss / MIB, 1),
        "minor_faults": int(fields[7]),
        "major_faults": int(fields[9]),
    }


def figures(url: str, names: set[str]) -> dict[str, float]:
    """What the server's /metrics says; a decision is part of the name."""
    page = httpx.get(f"{url}/metrics", timeout=30).text
    return {
        " ".join(filter(None, (sample.name, sample.labels.get("decision")))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name in names
    }


def at_rest(url: str) -> dict[str, float]:
    """What still runs, waits or holds blocks once everyone has been answered; all zero is right."""
    for _ in range(50):
        levels = figures(url, LEVELS)
        if not any(levels.values()):
            break
        time.sleep(0.2)
    return levels


def save(
    options: argparse.Namespace, samples: list[dict[str, Any]], soak: Soak, **more: Any
) -> None:
    """Write what is known so far."""
    about: dict[str, Any] = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "minutes": options.minutes,
    }
    about |= {"concurrency": options.concurrency, "pause_s": options.pause}
    about |= {"kv_blocks": options.kv_blocks, "attention": options.attention}
    result = {**about, "outcomes": dict(soak.counts), "failures": soak.reasons, **more}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**result, "samples": samples}, indent=1) + "\n")


def verdict(
    options: argparse.Namespace,
    samples: list[dict[str, Any]],
    soak: Soak,
    idle: dict[str, float],
) -> int:
    """Say how it went; the exit code."""
    print(f"\n{soak.counts.total()} requests: {dict(soak.counts)}")
    for reason in soak.reasons[:20]:
        print(reason)
    warm = next((s for s in samples if s["when"] == "after warm-up"), samples[0])
    grown = samples[-1]["rss_mib"] - warm["rss_mib"]
    print(
        f"resident memory {warm['rss_mib']} MiB after warm-up, {samples[-1]['rss_mib']} MiB at the"
        f" end ({grown:+.1f}, {options.tolerance_mib:g} tolerated); at rest {idle}"
    )
    held = any(idle.values()) or soak.reasons or grown > options.tolerance_mib
    return 1 if held else 0


if __name__ == "__main__":
    sys.exit(main())
