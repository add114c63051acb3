"""kvserve's own kernels against ggml's in one llama.cpp context, switched between interleaved rounds.

    .venv/bin/python -P benchmarks/kernels.py [--model GGUF] [--rounds 7] [--context 512]

Decode: tokens/s of 1, 4, 16 and 32 sequences, each with its own `--context` tokens in the unified
cache. Prefill: tokens/s of a new prompt of as many tokens while those sequences lie in the cache.
Medians and lowest–highest of the rounds; JSON goes to benchmarks/results/kernels.json. Before a
round it waits (bounded) until other processes leave the cores. "wall" is what a client sees; "cpu"
is tokens per second of one core's time, all threads together (they sleep while they wait), and
hardly moves when others use the cores as well.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 256  # prefill tokens per llama_decode: kvserve's default budget
STEPS = 4  # decode steps of a round
QUIET_SHARE = 0.15  # of all cores, used by others
MAX_WAIT_S = 8.0  # per configuration


class Took(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


class Context:
    """A unified context with the paged kernel under it."""

    def __init__(self, model: Any, *, max_seqs: int, cells: int, threads: int, packed: int) -> None:
        from kvserve.engine.batch import Batch
        from kvserve.kernels.kernels import Kernels
        from kvserve.native import lib

        self.lib = lib
        self.kernels = Kernels(
            attention="paged", products="packed", threads=threads, packed_bytes=packed
        )
        for kernel in (self.kernels.attention, self.kernels.products):
            if kernel.reason:
                raise SystemExit(f"no {kernel.wanted} {kernel.name} here: {kernel.reason}")
        params = lib.llama_context_default_params()
        params.n_ctx = -(-cells // 256) * 256
        params.n_batch = params.n_ubatch = CHUNK
        params.n_seq_max = max_seqs
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 1
        params.kv_unified = params.no_perf = True
        self.kernels.install(params)
        self.handle = lib.llama_init_from_model(model, params)
        self.memory = lib.llama_get_memory(self.handle)
        self.batch = Batch(CHUNK)

    def close(self) -> None:
        self.lib.llama_free(self.handle)
        self.kernels.close()

    def decode(self, tokens: Any, positions: Any, slots: Any) -> Took:
        """Time of one llama_decode with logits for the last token of each sequence."""
        size, batch = len(tokens), self.batch
        batch.size = size
        batch.tokens[:size], batch.positions[:size], batch.slots[:size] = tokens, positions, slots
        batch.outputs[:size] = np.append(batch.slots[1:size] != batch.slots[: size - 1], True)
        began, cpu = time.perf_counter(), time.process_time()
        code = self.lib.llama_decode(self.handle, batch.native())
        self.lib.llama_synchronize(self.handle)
        if code:
            raise SystemExit(f"llama_decode returned {code}")
        return Took(time.perf_counter() - began, time.process_time() - cpu)

    def prefill(self, slot: int, tokens: Any) -> Took:
        """Time to put a whole prompt in."""
        parts = [
            self.decode(part, np.arange(i, i + len(part)), np.full(len(part), slot))
            for i, part in ((i, tokens[i : i + CHUNK]) for i in range(0, len(tokens), CHUNK))
        ]
        return Took(sum(part.wall for part in parts), sum(part.cpu for part in parts))

    def copy(self, source: int, slots: range) -> None:
        """Private copies of a sequence's cells under other ids."""
        size = self.lib.llama_state_seq_get_size(self.handle, source)
        state = (ctypes.c_uint8 * size)()
        self.lib.llama_state_seq_get_data(self.handle, state, size, source)
        for slot in slots:
            self.lib.llama_state_seq_set_data(self.handle, state, size, slot)


def others_share() -> float:
    """Share of all cores that other processes use, over a quarter second."""

    def busy() -> tuple[int, float]:
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)

    before = busy()
    time.sleep(0.25)
    after = busy()
    return (after[0] - before[0]) / max(1.0, after[1] - before[1])


def wait_for_quiet(budget_s: float) -> float:
    """Wait until the cores are free; returns what is left of the budget."""
    began = time.monotonic()
    while time.monotonic() - began < budget_s and others_share() > QUIET_SHARE:
        time.sleep(0.1)
    return max(0.0, budget_s - (time.monotonic() - began))


def summary(rates: dict[str, list[Took]]) -> dict[str, Any]:
    """Medians and spreads of tokens/s by kernel, and of the ratio of neighbouring rounds."""
    result: dict[str, Any] = {}
    for clock in Took._fields:
        values = {kind: [getattr(rate, clock) for rate in rates[kind]] for kind in rates}
        pairs = [p / s for p, s in zip(values["own"], values["stock"], strict=True)]
        result[clock] = {kind: _spread(values[kind], 1) for kind in values}
        result[clock]["ratio"] = _spread(pairs, 2)
    return result


def _spread(values: list[float], digits: int) -> list[float]:
    return [round(x, digits) for x in (statistics.median(values), min(values), max(values))]


def fill(context: Context, sequences: int, prompt: Any) -> None:
    """Every sequence gets private cells; computed once, then copied."""
    context.prefill(0, prompt)
    context.copy(0, range(1, sequences))


def measure(model: Any, sequences: int, options: argparse.Namespace, words: int) -> dict[str, Any]:
    """Both kernels at one number of sequences; `words`: size of the vocabulary."""
    length, rounds = options.context, options.rounds
    cells = (sequences + 1) * length + sequences * (rounds + 2) * STEPS * 2 + CHUNK
    context = Context(
        model,
        max_seqs=sequences + 1,
        cells=cells,
        threads=options.threads,
        packed=int(options.packed_gib * (1 << 30)),
    )
    random = np.random.default_rng(0)
    prompt = random.integers(100, words - 100, length).astype(np.int32)
    fill(context, sequences, prompt)
    decode: dict[str, list[Took]] = {"own": [], "stock": []}
    prefill: dict[str, list[Took]] = {"own": [], "stock": []}
    spent: list[list[float]] = []
    position, budget = length, MAX_WAIT_S
    for turn in range(rounds + 1):  # the first round warms up
        for kind in ("own", "stock") if turn % 2 else ("stock", "own"):
            budget = wait_for_quiet(budget)
            context.kernels.enable(kind == "own")
            before = context.kernels.stats()
            times = []
            for _ in range(STEPS):
                tokens = random.integers(100, words - 100, sequences)
                where = np.full(sequences, position)
                times.append(context.decode(tokens, where, np.arange(sequences)))
                position += 1
            after = context.kernels.stats()
            if turn and kind == "own":
                spent.append(
                    [(a.seconds - b.seconds) / STEPS for a, b in zip(after, before, strict=True)]
                )
            if turn:
                middle = (statistics.median(took) for took in zip(*times, strict=True))
                decode[kind].append(Took(*(sequences / seconds for seconds in middle)))
    for turn in range(options.prefill_rounds + 1):
        for kind in ("own", "stock") if turn % 2 else ("stock", "own"):
            budget = wait_for_quiet(budget)
            context.kernels.enable(kind == "own")
            took = context.prefill(sequences, prompt)
            context.lib.llama_memory_seq_rm(context.memory, sequences, -1, -1)
            if turn:
                prefill[kind].append(Took(length / took.wall, length / took.cpu))
    context.close()
    return {
        "sequences": sequences,
        "context": length,
        "decode": summary(decode),
        "prefill": summary(prefill),
        "attention_ms_per_step": round(1e3 * statistics.median(s[0] for s in spent), 2),
        "products_ms_per_step": round(1e3 * statistics.median(s[1] for s in spent), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="kvserve's own kernels against ggml's")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prefill-rounds", type=int, default=3)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--packed-gib", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from kvserve.native import lib
    from kvserve.weights.model_store import prepare_bundled_model

    path = options.model or prepare_bundled_model(ROOT / "var" / "models")
    model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
    if not model:
        raise SystemExit(f"cannot load {path}")
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    results = []
    for sequences in options.sequences:
        results.append(measure(model, sequences, options, vocabulary))
        print(json.dumps(results[-1]), flush=True)
    report = {
        "model": path.name,
        "threads": options.threads,
        "processor": platform.processor() or platform.machine(),
        "load_average": os.getloadavg(),
        "results": results,
    }
    target = ROOT / "benchmarks" / "results" / "kernels.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
