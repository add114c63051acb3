"""What this machine can do at most, and what an output token needs of it.

    python -m benchmarks.serving.roofline --model GGUF [--threads 2]

Ceilings are measured with torch: memory bandwidth by summing an array far larger than any cache,
multiply-adds by square matrix products in float32 and int8. Prints one JSON object on its last line.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ARRAY_BYTES = 512 << 20
SIZE = 2048  # of the square matrices
REPEATS = 5
STEP_TOKENS = 256  # kvserve's step: how many prompt tokens share one reading of the weights


class Model(NamedTuple):
    """Facts that decide bytes and operations."""

    weight_bytes: int
    parameters: int
    embedding: int  # parameters of the vocabulary's matrix
    kv_bytes_per_token: int
    attention_ops: int  # per token of context, both products of all heads and layers


class Work(NamedTuple):
    """What one output token stands for: its share of a prompt, a batch, its context."""

    prefill_tokens: float
    batch: float
    context: float


class Need(NamedTuple):
    """Per output token."""

    num_bytes: float
    ops: float
    bandwidth_s: float
    compute_s: float
    ceiling_tokens_per_s: float


def need(model: Model, work: Work, *, bytes_per_s: float, ops_per_s: float) -> Need:
    """Bytes and operations of one output token, and the most tokens/s they allow.

    Decode and prefill are steps after one another here: each takes the longer of its bytes and its
    operations. A prompt token needs no row of the vocabulary's matrix, but for the last one.
    """
    decode_bytes = model.weight_bytes / work.batch + work.context * model.kv_bytes_per_token
    decode_ops = 2 * model.parameters + model.attention_ops * work.context
    prefill_bytes = work.prefill_tokens * model.weight_bytes / STEP_TOKENS
    prefill_ops = work.prefill_tokens * (
        2 * (model.parameters - model.embedding) + model.attention_ops * work.context / 2
    )
    seconds = max(decode_bytes / bytes_per_s, decode_ops / ops_per_s) + max(
        prefill_bytes / bytes_per_s, prefill_ops / ops_per_s
    )
    num_bytes, ops = decode_bytes + prefill_bytes, decode_ops + prefill_ops
    return Need(num_bytes, ops, num_bytes / bytes_per_s, ops / ops_per_s, 1 / seconds)


def ceilings(threads: int) -> dict[str, dict[str, float]]:
    """Bytes/s and operations/s (two per multiply-add), for one thread and for all."""
    import torch

    array = torch.ones(ARRAY_BYTES // 4)
    floats = torch.rand(SIZE, SIZE)
    ints = torch.randint(-127, 127, (SIZE, SIZE), dtype=torch.int8)
    ops = 2 * SIZE**3
    found: dict[str, dict[str, float]] = {}
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        found[str(count)] = {
            "read_bytes_per_s": ARRAY_BYTES / best(array.sum),
            "float32_ops_per_s": ops / best(lambda: torch.mm(floats, floats)),
            "int8_ops_per_s": ops / best(lambda: torch._int_mm(ints, ints)),
        }
    return found


def best(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some runs: what the machine can do when nobody disturbs it."""
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def model_facts(path: Path) -> Model:
    """Read them from the GGUF."""
    from kvserve.native import lib

    params = lib.llama_model_default_params()
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise SystemExit(f"llama.cpp could not load {path}")
    layers, heads = lib.llama_model_n_layer(model), lib.llama_model_n_head(model)
    width = lib.llama_model_n_embd(model)
    values = lib.llama_model_n_head_kv(model) * (width // heads)
    facts = Model(
        weight_bytes=lib.llama_model_size(model),
        parameters=lib.llama_model_n_params(model),
        embedding=lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model)) * width,
        kv_bytes_per_token=layers * values * 2 * 2,  # K and V, F16
        attention_ops=layers * width * 2 * 2,  # K·q and V·p, two per multiply-add
    )
    lib.llama_model_free(model)
    return facts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    facts = model_facts(options.model)._asdict()
    print(json.dumps({"model": facts, "ceilings": ceilings(options.threads)}), flush=True)


if __name__ == "__main__":
    main()
