"""The servers under measurement, each started with the same model, threads and context."""

import os
import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.serving.client import closed_loop
from benchmarks.serving.loads import Load, Prompt, text
from benchmarks.serving.measure import run
from kvserve.testing import ServerProcess, kvserve_process

SLOTS, SLOT_TOKENS = 16, 2048  # llama-server's; kvserve gets as many tokens in one pool
BLOCK = 16
POOL_BLOCKS = SLOTS * SLOT_TOKENS // BLOCK
KVSERVE, LLAMA_SERVER, LIBRARY = "kvserve", "llama-server", "llama_cpp.server"
PROBE_ROUNDS, PROBE_S = 3, 30.0  # on crowded cores spinning threads take for ever
IDLE_S = 2.0
OMP_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
OMP = {  # how OpenMP's threads wait at barriers
    "default": {},  # they spin, nearly for ever
    "brief": {
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "10000",
    },  # as kvserve's, about 0.4 ms
    "passive": {"OMP_WAIT_POLICY": "passive"},  # they sleep at once
}


class Settings(NamedTuple):
    """What all servers have in common."""

    model: Path
    threads: int
    data_dir: Path


def kvserve(settings: Settings, *, blocks: int = POOL_BLOCKS, extra: str = "") -> ServerProcess:
    """Ours, with llama-server's total context as its block pool."""
    return kvserve_process(
        settings.data_dir,
        *("--model", str(settings.model), "--embedder", "none"),
        *("--threads", str(settings.threads), "--kv-blocks", str(blocks)),
        *shlex.split(extra),
        own_session=True,
    )


def llama_server(binary: Path, settings: Settings, *, omp: str) -> ServerProcess:
    """llama.cpp's own: 16 slots, flash attention on, everything else (batch sizes, prompt cache in
    host memory, choice of slots by prefix) at its defaults."""
    threads = str(settings.threads)
    return ServerProcess(
        LLAMA_SERVER,
        [
            *(str(binary), "-m", str(settings.model), "--host", "127.0.0.1", "--port", "{port}"),
            *("-np", str(SLOTS), "-c", str(SLOTS * SLOT_TOKENS), "-fa", "on"),
            *("-t", threads, "-tb", threads),
        ],
        log=settings.data_dir / f"llama-server-{omp}.log",
        environment=without_omp_settings() | OMP[omp],
        own_session=True,
    )


def library_server(extras: Path, settings: Settings, *, omp: str) -> ServerProcess:
    """llama-cpp-python's own server. Left at its default it cuts a stream off when the next
    request comes; here they wait for each other. `extras` come last on the path, so that what both
    use is this environment's."""
    start = f"import sys, runpy; sys.path.append({str(extras)!r});"
    start += " runpy.run_module('llama_cpp.server', run_name='__main__', alter_sys=True)"
    threads = str(settings.threads)
    return ServerProcess(
        LIBRARY,
        [
            *(sys.executable, "-c", start, "--model", str(settings.model), "--port", "{port}"),
            *("--n_ctx", "2048", "--flash_attn", "true", "--interrupt_requests", "false"),
            *("--n_threads", threads, "--n_threads_batch", threads, "--verbose", "false"),
        ],
        log=settings.data_dir / "llama_cpp.server.log",
        ready_path="/v1/models",
        environment=without_omp_settings() | OMP[omp],
        own_session=True,
    )


def without_omp_settings() -> dict[str, str]:
    """This environment, for programs that choose for themselves how OpenMP's threads wait."""
    return {name: value for name, value in os.environ.items() if name not in OMP_SETTINGS}


def choose_omp(binary: Path, settings: Settings) -> tuple[str, dict[str, float]]:
    """How llama-server's threads wait best on this machine, and its tok/s each way.

    One server for each way is started and asked in turn: one request, then four together; the best
    median wins. Where it takes too long, one round must do.
    """
    rates: dict[str, list[float]] = {omp: [] for omp in OMP}
    with ExitStack() as stack:
        servers = {
            omp: stack.enter_context(llama_server(binary, settings, omp=omp)) for omp in rates
        }
        deadline = time.monotonic() + PROBE_S
        for number in range(PROBE_ROUNDS + 1):  # the first warms up
            if number > 1 and time.monotonic() > deadline:
                break
            for omp, server in servers.items():
                prompts = [Prompt(text(60, ("omp", number, omp, i)), 16) for i in range(5)]
                loads = [Load(prompts[:1], 1), Load(prompts[1:], 4)]
                began = time.perf_counter()
                replies = [run(closed_loop(server.url, load)) for load in loads]
                tokens = sum(a.num_tokens for reply in replies for a in reply.good)
                if number:
                    rates[omp].append(tokens / (time.perf_counter() - began))
    medians = {omp: sorted(values)[len(values) // 2] for omp, values in rates.items()}
    return max(medians, key=lambda omp: medians[omp]), medians


def idle_cores(servers: list[ServerProcess]) -> dict[str, float]:
    """Cores that each server burns while nobody asks it anything."""
    before = {server.name: cpu_seconds(server) for server in servers}
    time.sleep(IDLE_S)
    return {server.name: (cpu_seconds(server) - before[server.name]) / IDLE_S for server in servers}


def cpu_seconds(server: ServerProcess) -> float:
    """User and system time of all its threads; 0 where it is gone."""
    try:
        times = psutil.Process(server.process.pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
