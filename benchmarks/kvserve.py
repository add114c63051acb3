"""Output tokens per second: kvserve over HTTP against llama-cpp-python's own sequential API.

    .venv/bin/python benchmarks/kvserve.py [--rounds 3] [--concurrency 1 8 32]

Both sides load the same GGUF with the same threads, take the same prompts (nothing shared between
them), write the same number of tokens greedily, and run in turn within each round, so that other load
on the machine meets both. Prints a table; writes every round to benchmarks/results/kvserve.json.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "kvserve.json"
TOPICS = ("cooling", "power", "pumps", "fans", "servers", "cables", "alarms", "filters")


def main() -> None:
    """Run all rounds."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # the same for both sides
    from kvserve.config import available_cores
    from kvserve.model_store import prepare_bundled_model
    from kvserve.testing import start_server

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "var" / "benchmark")
    options = parser.parse_args()

    model = prepare_bundled_model(options.data_dir / "models")
    rounds: list[dict[str, Any]] = []
    with start_server(options.data_dir, _free_port(), "--embedder", "none") as url:
        library = Library(model, threads=available_cores())
        for number in range(options.rounds + 1):
            for concurrency in options.concurrency:
                prompts = [_prompt(number, index) for index in range(concurrency)]
                result = {
                    "concurrency": concurrency,
                    "load_before": os.getloadavg()[0],
                    "kvserve": asyncio.run(over_http(url, prompts, options.output_tokens)),
                    "library": library.run(prompts, options.output_tokens),
                }
                if number:  # round 0 warms both sides up
                    rounds.append(result)
                    print(_line(result), flush=True)
    _report(rounds, model, options)


def _prompt(number: int, index: int) -> str:
    """About 80 tokens that share no beginning with another prompt."""
    topic = TOPICS[index % len(TOPICS)]
    return f"{number}.{index}: notes on {topic}. " + f"An operator checks the {topic} daily. " * 10


async def over_http(url: str, prompts: list[str], output_tokens: int) -> dict[str, float]:
    """All prompts at once, streamed; tokens per second over all, and time to first token."""
    import httpx

    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None)) as client:

        async def one(prompt: str) -> float:
            body = {
                "prompt": prompt,
                "max_tokens": output_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
            }
            first = 0.0
            async with client.stream("POST", f"{url}/v1/completions", json=body) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if line and not first:
                        first = time.perf_counter() - started
            return first

        started = time.perf_counter()
        firsts = await asyncio.gather(*map(one, prompts))
        elapsed = time.perf_counter() - started
    return {"tokens_per_s": len(prompts) * output_tokens / elapsed, "ttft_p50_s": median(firsts)}


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

    def run(self, prompts: list[str], output_tokens: int) -> dict[str, float]:
        """The same figures as `over_http`; a prompt's wait for its turn counts into its first token."""
        firsts = []
        started = time.perf_counter()
        for prompt in prompts:
            tokens = self.llama.generate(self.llama.tokenize(prompt.encode()), temp=0.0)
            for index, token in enumerate(islice(tokens, output_tokens)):
                self.llama.detokenize([token])
                if index == 0:
                    firsts.append(time.perf_counter() - started)
        elapsed = time.perf_counter() - started
        return {
            "tokens_per_s": len(prompts) * output_tokens / elapsed,
            "ttft_p50_s": median(firsts),
        }


def _line(result: dict[str, Any]) -> str:
    ours, theirs = result["kvserve"], result["library"]
    return (
        f"{result['concurrency']:>3} requests: kvserve {ours['tokens_per_s']:6.1f} tok/s"
        f" (first token {ours['ttft_p50_s']:.2f} s), library {theirs['tokens_per_s']:6.1f} tok/s"
        f" ({theirs['ttft_p50_s']:.2f} s), load {result['load_before']:.1f}"
    )


def _report(rounds: list[dict[str, Any]], model: Path, options: argparse.Namespace) -> None:
    print(
        "\n| requests | kvserve tok/s | library tok/s | ratio | kvserve TTFT p50 | library TTFT p50 |"
    )
    print("|---|---|---|---|---|---|")
    for concurrency in options.concurrency:
        mine = [r for r in rounds if r["concurrency"] == concurrency]
        ours, theirs = ([r[side]["tokens_per_s"] for r in mine] for side in ("kvserve", "library"))
        firsts = [median(r[side]["ttft_p50_s"] for r in mine) for side in ("kvserve", "library")]
        ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"| {concurrency} | {_spread(ours)} | {_spread(theirs)} | {ratio:.2f}"
            f" | {firsts[0]:.2f} s | {firsts[1]:.2f} s |"
        )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    about = {"model": model.name, "cores": os.cpu_count(), "machine": platform.machine()}
    about |= {"output_tokens": options.output_tokens, "rounds": options.rounds}
    about["omp_wait_policy"] = os.environ["OMP_WAIT_POLICY"]
    RESULTS.write_text(json.dumps({**about, "results": rounds}, indent=1))
    print(f"\nwritten to {RESULTS.relative_to(ROOT)}")


def _spread(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f}–{max(values):.0f})"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
