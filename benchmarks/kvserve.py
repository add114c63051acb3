"""kvserve against llama-server and llama-cpp-python, on the same GGUF, threads and prompts.

    .venv/bin/python benchmarks/kvserve.py [--rounds 3] [--workloads shared distinct alone growth tight]
        [--llama-server PATH] [--attention stock|paged] [--requests 48] [--concurrency 16]

Servers run in turn within each round, so that other load on the machine meets all of them; every
prompt of a round is new to every server. llama-cpp-python runs in this process, one request after
another, as its own server does behind its lock, but without HTTP. `tight` gives kvserve a pool of a
quarter of what the load needs. Prints tables; writes every round to benchmarks/results/kvserve.json.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "kvserve.json"
WORDS = tuple(
    "chiller pump valve rack server fan alarm filter cable power breaker loop tower sensor operator "  # noqa: SIM905
    "checks opens closes starts stops reads records before after while during water air supply".split()
)
PREFIX_WORDS, OWN_WORDS, CONTEXT_WORDS = 350, 60, 420  # about 512 tokens of context for `growth`
LLAMA_SERVER_SLOTS = 16


class Outcome(NamedTuple):
    """One server under one load."""

    tokens_per_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    num_tokens: int


class Load(NamedTuple):
    """Prompts sent `concurrency` at a time."""

    prompts: list[str]
    concurrency: int
    output_tokens: int


def text(words: int, seed: object) -> str:
    """So many words that share no beginning with another seed's."""
    chance = random.Random(str(seed))
    return " ".join(chance.choice(WORDS) for _ in range(words))


def prefixed(options: argparse.Namespace, number: object, *, prefixes: int) -> Load:
    heads = [text(PREFIX_WORDS, ("head", number, index)) for index in range(prefixes)]
    prompts = [
        f"{heads[index % prefixes]} {text(OWN_WORDS, ('own', number, index))}"
        for index in range(options.requests)
    ]
    return Load(prompts, options.concurrency, options.output_tokens)


def together(options: argparse.Namespace, number: object, *, sequences: int) -> Load:
    prompts = [text(CONTEXT_WORDS, ("alone", number, sequences, i)) for i in range(sequences)]
    return Load(prompts, sequences, options.output_tokens)


def workloads(options: argparse.Namespace) -> dict[str, Callable[[object], Load]]:
    """Name to a maker of fresh prompts."""
    makers: dict[str, Callable[[object], Load]] = {
        "shared": lambda number: prefixed(options, number, prefixes=1),
        "distinct": lambda number: prefixed(options, number, prefixes=options.concurrency),
        "alone": lambda number: together(options, number, sequences=1),
        "tight": lambda number: prefixed(options, number, prefixes=options.concurrency),
    }
    for sequences in options.growth:
        makers[f"growth {sequences}"] = lambda number, n=sequences: together(  # type: ignore[misc]
            options, number, sequences=n
        )
    return {name: make for name, make in makers.items() if name.split()[0] in options.workloads}


def main() -> None:
    """Run all rounds."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # the same for all sides
    options = arguments()
    from kvserve.model_store import prepare_bundled_model

    model = options.model or prepare_bundled_model(options.data_dir / "models")
    rounds: list[dict[str, Any]] = []
    with ExitStack() as stack:
        servers = start_servers(stack, options, model)
        for number in range(options.rounds + 1):
            for workload, make in workloads(options).items():
                for server, run in servers.items():
                    if (workload == "tight") != (server == "kvserve, tight pool"):
                        continue
                    load = make((number, "warm") if number == 0 else number)
                    if number == 0:  # warms up every side
                        load = load._replace(prompts=load.prompts[:2], output_tokens=4)
                    before = os.getloadavg()[0]
                    outcome = run(load)
                    if number:
                        entry = {"round": number, "workload": workload, "server": server}
                        rounds.append(entry | {"load_before": before} | outcome._asdict())
                        print(f"{number} {workload:>10} {server:>20}: "
                              f"{outcome.tokens_per_s:6.1f} tok/s, first token p50"
                              f" {outcome.ttft_p50_s:.2f} s, load {before:.1f}", flush=True)  # fmt: skip
            save(rounds, model, options)
    report(rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workloads", nargs="+", default=["shared", "distinct", "alone", "growth", "tight"]
    )
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--growth", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--llama-server", type=Path, help="its path; left out where not given")
    parser.add_argument("--no-library", action="store_true", help="leave llama-cpp-python out")
    parser.add_argument("--attention", default="stock", choices=["stock", "paged"])
    parser.add_argument("--model", type=Path, help="GGUF (default: the bundled one)")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var" / "benchmark")
    return parser.parse_args()


def start_servers(
    stack: ExitStack, options: argparse.Namespace, model: Path
) -> dict[str, Callable[[Load], Outcome]]:
    """Start what is there; name to a function that puts a load on it."""
    from kvserve.config import available_cores
    from kvserve.testing import start_server

    def over(url: str) -> Callable[[Load], Outcome]:
        return lambda load: asyncio.run(over_http(url, load))

    common = ("--embedder", "none", "--model", str(model), "--attention", options.attention)
    servers: dict[str, Callable[[Load], Outcome]] = {}
    url = stack.enter_context(start_server(options.data_dir, free_port(), *common))
    servers["kvserve"] = over(url)
    if "tight" in options.workloads:
        need = options.concurrency * (PREFIX_WORDS + OWN_WORDS + 40 + options.output_tokens) // 16
        small = ("--kv-blocks", str(need // 4))
        url = stack.enter_context(start_server(options.data_dir, free_port(), *common, *small))
        servers["kvserve, tight pool"] = over(url)
    if options.llama_server:
        url = stack.enter_context(
            llama_server(options.llama_server, model, threads=available_cores())
        )
        servers["llama-server"] = over(url)
    if not options.no_library:
        servers["llama-cpp-python"] = Library(model, threads=available_cores()).run
    return servers


@contextmanager
def llama_server(binary: Path, model: Path, *, threads: int) -> Iterator[str]:
    """llama.cpp's own server with 16 slots of 1,024 tokens, flash attention on."""
    port = free_port()
    command = [str(binary), "-m", str(model), "--port", str(port), "-np", str(LLAMA_SERVER_SLOTS)]
    command += ["-c", str(LLAMA_SERVER_SLOTS * 1024), "-t", str(threads), "-tb", str(threads)]
    command += ["-fa", "on"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError):
                if urlopen(f"{url}/health", timeout=5).status == 200:
                    break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


async def over_http(url: str, load: Load) -> Outcome:
    """Streamed completions; tokens per second over all, and times to first token."""
    import httpx

    queue = list(reversed(load.prompts))
    firsts: list[float] = []
    counts: list[int] = []

    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:

        async def one(prompt: str) -> int:
            body = {
                "prompt": prompt,
                "max_tokens": load.output_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            begun, first, used = time.perf_counter(), 0.0, 0
            async with client.stream("POST", f"{url}/v1/completions", json=body) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    first = first or time.perf_counter() - begun
                    if '"usage"' in line and (usage := json.loads(line[6:]).get("usage")):
                        used = usage["completion_tokens"]
            firsts.append(first)
            return used

        async def work() -> None:
            while queue:
                counts.append(await one(queue.pop()))

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(load.concurrency)))
        elapsed = time.perf_counter() - started
    return outcome(sum(counts), elapsed, firsts)


class Library:
    """llama-cpp-python's high-level Llama, one request after another."""

    def __init__(self, model: Path, *, threads: int) -> None:
        from llama_cpp import Llama

        self.llama = Llama(
            str(model),
            n_ctx=2048,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=True,
            verbose=False,
        )

    def run(self, load: Load) -> Outcome:
        """The same figures; a prompt's wait for its turn counts into its first token. Of long
        loads a third is enough: what waits does not change its speed."""
        prompts = load.prompts[: max(1, min(len(load.prompts), load.concurrency))]
        firsts: list[float] = []
        started = time.perf_counter()
        for prompt in prompts:
            tokens = self.llama.generate(self.llama.tokenize(prompt.encode()), temp=0.0)
            for index, token in enumerate(islice(tokens, load.output_tokens)):
                self.llama.detokenize([token])
                if index == 0:
                    firsts.append(time.perf_counter() - started)
        elapsed = time.perf_counter() - started
        return outcome(len(prompts) * load.output_tokens, elapsed, firsts)


def outcome(tokens: int, elapsed: float, firsts: list[float]) -> Outcome:
    ordered = sorted(firsts)
    return Outcome(
        tokens / elapsed, median(ordered), ordered[int(0.99 * (len(ordered) - 1))], tokens
    )


def report(rounds: list[dict[str, Any]]) -> None:
    """Medians and spread; ratios are of the same round, then the median."""
    print("\n| workload | server | tok/s | kvserve is | first token p50 | kvserve's share |")
    print("|---|---|---|---|---|---|")
    for workload in dict.fromkeys(entry["workload"] for entry in rounds):
        mine = [entry for entry in rounds if entry["workload"] == workload]
        ours = {entry["round"]: entry for entry in mine if entry["server"] == "kvserve"}
        for server in dict.fromkeys(entry["server"] for entry in mine):
            theirs = [entry for entry in mine if entry["server"] == server]
            times, share = (
                median(ours[e["round"]][field] / e[field] for e in theirs) if ours else 1.0
                for field in ("tokens_per_s", "ttft_p50_s")
            )
            print(
                f"| {workload} | {server} | {spread([e['tokens_per_s'] for e in theirs])}"
                f" | {times:.2f} × | {median(e['ttft_p50_s'] for e in theirs):.2f} s"
                f" | {share:.2f} |"
            )
    print(f"\nwritten to {RESULTS.relative_to(ROOT)}")


def save(rounds: list[dict[str, Any]], model: Path, options: argparse.Namespace) -> None:
    """Write what is measured so far."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    about = {"model": model.name, "cores": os.cpu_count(), "machine": platform.machine()}
    about |= {"attention": options.attention, "rounds": options.rounds}
    about |= {"requests": options.requests, "output_tokens": options.output_tokens}
    about["omp_wait_policy"] = os.environ["OMP_WAIT_POLICY"]
    RESULTS.write_text(json.dumps({**about, "results": rounds}, indent=1))


def spread(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
