"""Does a request that was swapped out and in write exactly what it would have written anyway?

    python -m benchmarks.serving.swapped --model GGUF [--requests 8] [--output-tokens 48]

The order of additions inside a matrix product depends on the shape of the batch, so only runs of
equal batch shapes can be compared. Here the same requests run several times on the real engine; in
one run every running request is swapped to host memory and back between two steps, again and again,
which leaves the shape of each batch as it was. Compared are all tokens and, as exact floats, their
log-probabilities: those may differ by rounding, because what is swapped in lies in other cells and
attention adds cells in the order in which they lie. Prints one JSON object on its last line.
"""

import argparse
import json
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from benchmarks.serving.loads import text
from kvserve.config import EngineConfig, available_cores
from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Delta, SamplingParams

PERIOD = 5  # steps between two swaps of everything
ANSWER_S = 300.0


class SwappingEngine(Engine):
    """Preempts all that decodes, in every fifth step, before it schedules that step."""

    swaps = True

    def step(self) -> None:
        self.num_steps = getattr(self, "num_steps", 0) + 1
        running = self.scheduler.running
        if self.swaps and self.num_steps % PERIOD == 0 and all(s.is_decoding for s in running):
            while running:  # from the lowest rank, as in need; the step admits them again
                self.scheduler._preempt(running[-1])
        self.shapes.append(0)
        super().step()

    def _note(self, plan: Any) -> None:
        self.shapes[-1] = [chunk.size for chunk in plan.chunks]
        super()._note(plan)

    def begin(self, *, swaps: bool) -> threading.Event:
        """Hold the engine until the event is set, so that all requests come in one step."""
        self.swaps, self.num_steps = swaps, 0
        self.shapes: list[Any] = []
        gate = threading.Event()
        self.inquire(lambda: gate.wait(ANSWER_S))
        return gate


class Written(NamedTuple):
    """What one request wrote: tokens, and the log-probability of each."""

    tokens: list[int]
    logprobs: list[float]


def ask_all(
    engine: SwappingEngine, options: argparse.Namespace, *, swaps: bool = False
) -> list[Written]:
    """All requests together, from one step on."""
    gate = engine.begin(swaps=swaps)
    readers = [ask(engine, number, options) for number in range(options.requests)]
    gate.set()
    return [reader() for reader in readers]


def ask(engine: SwappingEngine, number: int, options: argparse.Namespace) -> Callable[[], Written]:
    """Submit one request; what it returns waits for the end."""
    queue: SimpleQueue[Delta] = SimpleQueue()
    params = SamplingParams(
        max_tokens=options.output_tokens, temperature=0.0, ignore_eos=True, logprobs=0
    )
    prompt = engine.runner.tokenizer.encode(text(40 + 23 * number, ("swap", number)))
    sequence = engine.submit(prompt=prompt, params=params, sink=queue.put)

    def read() -> Written:
        logprobs: list[float] = []
        while True:
            delta = queue.get(timeout=ANSWER_S)
            logprobs += [entry.logprob for entry in delta.logprobs]
            if delta.error:
                raise SystemExit(f"a request failed: {delta.error}")
            if delta.finish is not None:
                return Written(sequence.tokens[sequence.num_prompt_tokens :], logprobs)

    return read


def largest_difference(some: list[Written], others: list[Written]) -> float:
    """Of log-probabilities, up to the first different token of each request."""
    largest = 0.0
    for a, b in zip(some, others, strict=True):
        for u, v, x, y in zip(a.tokens, b.tokens, a.logprobs, b.logprobs, strict=True):
            largest = max(largest, abs(x - y))
            if u != v:
                break
    return largest


def main() -> None:
    """Twice without swaps, which must agree for the comparison to mean anything; once with; once
    one after another, to see what another batch shape alone does to log-probabilities."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--output-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=available_cores())
    options = parser.parse_args()
    config = EngineConfig(
        options.model,
        kv_blocks=options.requests * 24,
        max_seqs=options.requests,
        threads=options.threads,
        prefix_cache=False,  # so that whole requests move, not what no cache holds of them
        swap_bytes=1 << 30,
    )
    engine = SwappingEngine(config, model_name="swapped")
    engine.start()
    engine.wait_ready()
    plain = ask_all(engine, options)
    shapes = engine.shapes
    again = ask_all(engine, options)
    reproducible = plain == again and shapes == engine.shapes
    before = engine.scheduler.num_swapped_in
    swapped = ask_all(engine, options, swaps=True)
    same_shapes = shapes == engine.shapes
    num_swaps = engine.scheduler.num_swapped_in - before
    engine.begin(swaps=False).set()
    alone = [ask(engine, number, options)() for number in range(options.requests)]
    pairs = list(zip(plain, swapped, strict=True))
    result = {
        "requests": options.requests,
        "output_tokens": options.output_tokens,
        "reproducible_without_swaps": reproducible,
        "same_batch_shapes": same_shapes,
        "swaps_in": num_swaps,
        "identical_tokens": sum(a.tokens == b.tokens for a, b in pairs),
        "identical_logprobs": sum(a.logprobs == b.logprobs for a, b in pairs),
        "largest_logprob_difference": largest_difference(plain, swapped),
        "largest_logprob_difference_of_other_shapes": largest_difference(plain, alone),
        "attention": engine.runner.kernels.attention.kind,
        "products": engine.runner.kernels.products.kind,
    }
    engine.stop()
    engine.join(10)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
