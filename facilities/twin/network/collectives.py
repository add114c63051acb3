"""Times of collective operations: α–β model, bus bandwidth as nccl-tests defines it.

``size_gb`` is the buffer of one rank in 10⁹ bytes, ``gb_s`` the bandwidth of the slowest link that
the operation crosses (10⁹ bytes/s, one direction), ``alpha_s`` the latency of a step. All take
scalars or arrays. With one rank nothing is sent and the time is 0.

Source: nccl-tests doc/PERFORMANCE.md; trees: Sanders et al. 2009 (two-tree algorithms) as in NCCL.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np

from ..site import Floats

Operation = Literal["all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast"]
Value = float | Floats


def bus_factor(operation: Operation, ranks: int) -> float:
    """Bus bandwidth over algorithm bandwidth (size over time): what the slowest link carries."""
    if ranks < 2:
        return 0.0
    factors: Final[dict[Operation, float]] = {
        "all_reduce": 2 * (ranks - 1) / ranks,
        "reduce_scatter": (ranks - 1) / ranks,
        "all_gather": (ranks - 1) / ranks,
        "all_to_all": (ranks - 1) / ranks,
        "broadcast": 1.0,
    }
    return factors[operation]


def ring_steps(operation: Operation, ranks: int) -> int:
    """How many latencies follow one another in a ring; all-to-all sends to every peer in turn."""
    return 0 if ranks < 2 else (2 if operation == "all_reduce" else 1) * (ranks - 1)


def ring_time_s(
    operation: Operation, ranks: int, size_gb: Value, gb_s: Value, alpha_s: Value
) -> Value:
    """Seconds of an operation on a ring. A ring runs at its slowest link."""
    return ring_steps(operation, ranks) * alpha_s + bus_factor(operation, ranks) * size_gb / gb_s


def tree_time_s(ranks: int, size_gb: Value, gb_s: Value, alpha_s: Value) -> Value:
    """Seconds of an all-reduce on two complementary trees: each rank is inner in one of them."""
    if ranks < 2:
        return 0.0 * size_gb
    depth = int(np.ceil(np.log2(ranks)))
    return 2 * depth * alpha_s + 2 * size_gb / gb_s


def hierarchical_time_s(
    servers: int, gpus: int, size_gb: Value, *, inside: LinkPace, between: LinkPace
) -> Value:
    """All-reduce of ``size_gb`` per GPU: reduce-scatter over NVLink, ring between the servers with
    every GPU's shard over the server's own links at once, all-gather over NVLink.
    """
    within = ring_time_s("reduce_scatter", gpus, size_gb, inside.gb_s, inside.alpha_s)
    across = ring_time_s("all_reduce", servers, size_gb, between.gb_s, between.alpha_s)
    return 2 * within + across


class LinkPace(NamedTuple):
    """Bandwidth of one direction and latency of a step."""

    gb_s: Value
    alpha_s: Value


class Hop(NamedTuple):
    """``source`` sends ``share`` of the buffer's size to ``target``; both are places in the ranks'
    order.
    """

    source: int
    target: int
    share: float


def ring_hops(ranks: int) -> list[Hop]:
    """Who sends to whom in a ring all-reduce, and how much of the buffer in total."""
    if ranks < 2:
        return []
    share = bus_factor("all_reduce", ranks)
    return [Hop(rank, (rank + 1) % ranks, share) for rank in range(ranks)]


def tree_hops(ranks: int) -> list[Hop]:
    """The same on two binary trees: half the buffer goes up and down each of them.

    The second tree is the first turned around, so an inner rank of one is mostly a leaf of the
    other.
    """
    hops = []
    for rank in range(1, ranks):
        above = (rank - 1) // 2
        for child, parent in ((rank, above), (ranks - 1 - rank, ranks - 1 - above)):
            hops += [Hop(child, parent, 0.5), Hop(parent, child, 0.5)]
    return hops


def all_to_all_hops(ranks: int) -> list[Hop]:
    """Every rank sends an equal part of its buffer to every other."""
    return [Hop(a, b, 1 / ranks) for a in range(ranks) for b in range(ranks) if a != b]


HOPS: Final = {"ring": ring_hops, "tree": tree_hops}


def steps_of(algorithm: str, ranks: int) -> int:
    """Latencies one after another of an all-reduce."""
    if ranks < 2:
        return 0
    if algorithm == "tree":
        return 2 * int(np.ceil(np.log2(ranks)))
    return ring_steps("all_reduce", ranks)


def quicker(ranks: int, size_gb: float, gb_s: float, alpha_s: float) -> str:
    """Ring or tree, whichever is quicker for an all-reduce of this size, as NCCL's tuner picks."""
    ring = ring_time_s("all_reduce", ranks, size_gb, gb_s, alpha_s)
    return "ring" if ring <= tree_time_s(ranks, size_gb, gb_s, alpha_s) else "tree"
