"""Decode-only tokens/s at a growing number of sequences, each with its own context.

    python -m benchmarks.serving.growth --model GGUF [--sequences 1 32] [--context 512] [--steps 8]

Two of kvserve's runners in this process, one with its own kernels (paged attention, packed
products) and one with everything stock (llama.cpp's unified cache as it is), measured in turn:
batch, llama_decode and greedy choice of each token, without scheduler and HTTP. One prompt is
computed and its cells copied for every sequence: private cells, without minutes of prefill.
Prints one JSON object on its last line.
"""

import argparse
import ctypes
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from kvserve.config import EngineConfig, available_cores
from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.scheduler import Chunk
from kvserve.engine.sequence import SamplingParams, Sequence
from kvserve.native import lib

STEP_TOKENS = 256
KINDS = {"own": ("paged", "packed"), "stock": ("stock", "stock")}  # attention, products


class Decoder:
    """A runner whose sequences all hold `context` tokens."""

    def __init__(self, kind: str, options: argparse.Namespace) -> None:
        most = max(options.sequences)
        attention, products = KINDS[kind]
        cells = most * (options.context + len(options.sequences) * (options.steps + 2) + 2)
        self.runner = ModelRunner(
            EngineConfig(
                options.model,
                kv_blocks=-(-cells // 16),
                max_seqs=most,
                max_batch_tokens=STEP_TOKENS,
                attention=attention,
                products=products,
                threads=options.threads,
            )
        )
        self.kind = self.runner.kernels.attention.kind
        greedy = SamplingParams(temperature=0.0)
        prompt = [100 + (7919 * index) % 40_000 for index in range(options.context)]
        self.sequences = [
            Sequence(index, list(prompt), greedy, lambda _delta: None, slot=index)
            for index in range(most)
        ]
        for sequence in self.sequences:
            sequence.sampler = self.runner.new_sampler(greedy)
        self._fill()

    def _fill(self) -> None:
        """Compute the first sequence's context, all but its last token, and copy its cells."""
        first, context = self.sequences[0], self.runner.context
        while first.num_uncomputed > 1:
            size = min(STEP_TOKENS, first.num_uncomputed - 1)
            self.runner.compute([Chunk(first, first.num_computed, size)])
            first.num_computed += size
        size = lib.llama_state_seq_get_size(context, 0)
        state = (ctypes.c_uint8 * size)()
        lib.llama_state_seq_get_data(context, state, size, 0)
        for sequence in self.sequences[1:]:
            if lib.llama_state_seq_set_data(context, state, size, sequence.slot) != size:
                raise SystemExit("llama.cpp could not copy the context to another sequence")
            sequence.num_computed = first.num_computed

    def step(self, count: int) -> float:
        """Seconds of one token for each of the first `count` sequences."""
        running = self.sequences[:count]
        began = time.perf_counter()
        rows = self.runner.compute([Chunk(seq, seq.num_computed, 1) for seq in running])
        for sequence, row in zip(running, rows, strict=True):
            token = self.runner.sample(sequence, row or 0)
            if not isinstance(token, int):
                raise SystemExit(f"no token: {token}")
            sequence.num_computed += 1
            sequence.tokens.append(token)
        return time.perf_counter() - began

    def forget_others(self, count: int) -> None:
        """Drop the cells of all but the first `count`, which stock attention would scan too."""
        memory = lib.llama_get_memory(self.runner.context)
        for sequence in self.sequences[count:]:
            lib.llama_memory_seq_rm(memory, sequence.slot, -1, -1)
        self.sequences = self.sequences[:count]


def main() -> None:
    """From most sequences to fewest, so that nothing idle lies in the cache."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=available_cores())
    options = parser.parse_args()
    decoders = {kind: Decoder(kind, options) for kind in KINDS}
    rates: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for count in sorted(options.sequences, reverse=True):
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for decoder in decoders.values():
            decoder.forget_others(count)
        for number in range(options.steps + 1):
            for kind in KINDS if number % 2 else reversed(KINDS):
                seconds = decoders[kind].step(count)
                if number:  # the first builds the graph
                    times[kind].append(seconds)
        for kind in KINDS:
            rates[kind][count] = count / median(times[kind])
    result: dict[str, Any] = {kind: dict(sorted(rates[kind].items())) for kind in KINDS}
    kernels = decoders["own"].runner.kernels
    result["attention"], result["products"] = kernels.attention.kind, kernels.products.kind
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
