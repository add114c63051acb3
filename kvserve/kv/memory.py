"""How much memory there is, and how many KV blocks to make of it."""

import re
from pathlib import Path
from typing import NamedTuple

from kvserve.errors import ModelUnavailable

MARGIN_BYTES = (
    1 << 30
)  # assumed: left to the system and the embedder (torch and MiniLM: about 0.6 GiB)
POOL_SHARE = 0.25  # assumed: of what is free beyond the margin; the database and workers grow too
SWAP_SHARE = 0.125  # assumed: of free memory, the most that the swap pool reserves
PACKED_SHARE = 0.125  # assumed: of free memory, the most that packed copies of weights take
BUFFER_LINE = re.compile(r"(?:compute|output) buffer size = +([\d.]+) MiB")
MAX_AUTO_TOKENS = (
    32_768  # assumed: four full 8k contexts; more cells cost stock attention more to scan
)
MIN_AUTO_TOKENS = 512


class MemoryPlan(NamedTuple):
    """What the engine takes, in bytes; `compute` covers activations, logits and scratch."""

    weights: int
    kv: int
    compute: int
    num_blocks: int
    block_size: int
    packed: int = 0
    swap: int = 0

    def __str__(self) -> str:
        return (
            f"weights {self.weights >> 20} MiB, packed copies of them {self.packed >> 20} MiB, KV {self.kv >> 20} MiB"
            f" ({self.num_blocks} blocks of {self.block_size} tokens),"
            f" compute {self.compute >> 20} MiB, swap pool {self.swap >> 20} MiB"
        )


def auto_blocks(*, bytes_per_token: int, block_size: int, max_tokens: int, available: int) -> int:
    """Blocks for `--kv-blocks auto`: free memory under a cap, at most `max_tokens`.

    Raises:
        ModelUnavailable: not even 512 tokens fit.
    """
    affordable = int(max(0, available - MARGIN_BYTES) * POOL_SHARE) // bytes_per_token
    tokens = min(affordable, MAX_AUTO_TOKENS, max_tokens)
    if tokens < min(MIN_AUTO_TOKENS, max_tokens):
        raise ModelUnavailable(
            f"{available >> 20} MiB of memory are free and {MARGIN_BYTES >> 20} MiB stay reserved:"
            f" too little for {MIN_AUTO_TOKENS} tokens of KV cache"
            f" ({MIN_AUTO_TOKENS * bytes_per_token >> 20} MiB);"
            " free some memory or set --kv-blocks yourself"
        )
    return tokens // block_size


def buffer_bytes(log_line: str) -> list[int]:
    """Bytes of a compute or output buffer that a line of llama.cpp's log announces, if it does."""
    return [int(float(size) * (1 << 20)) for size in BUFFER_LINE.findall(log_line)]


def swap_bytes(asked: int, *, available: int, kv: int) -> int:
    """The swap pool's size: what was asked for, at most an eighth of free memory, and no more than
    the KV pool has, since every page of it is taken at start."""
    return min(asked, int(available * SWAP_SHARE), kv)


def packed_bytes(asked: int, *, available: int) -> int:
    """Room for packed copies of weights: what was asked for, at most an eighth of free memory."""
    return min(asked, int(available * PACKED_SHARE))


def available_bytes() -> int:
    """Memory this process may still take: the machine's, or its cgroup's where that is less."""
    return min(_machine_available(), _cgroup_available())


def resident_bytes() -> int:
    """Resident memory of this process; 0 where /proc is not there."""
    return _proc_field(Path("/proc/self/status"), "VmRSS:") or 0


def _machine_available() -> int:
    return _proc_field(Path("/proc/meminfo"), "MemAvailable:") or (2 << 30)


def _proc_field(path: Path, name: str) -> int | None:
    """A `Name:  123 kB` line of a /proc file, in bytes."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cgroup_available() -> int:
    """Limit minus use of the process's cgroup (v2); no limit reads as a very large number."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return 1 << 62
    return max(0, int(limit) - used) if limit.isdigit() else 1 << 62
