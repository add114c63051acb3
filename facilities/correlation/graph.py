"""How far apart two assets are: links of power, cooling and network, and what is part of what."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

MAX_STEPS: Final = 8
"""Beyond so many links nothing is called connected. assumed"""


class Steps(NamedTuple):
    """Links between an asset and the origin, and the assets on the way, origin first."""

    distance: int
    path: tuple[int, ...]


def neighbours(edges: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Adjacency of an undirected graph; both ends of each edge know the other, ascending."""
    found: dict[int, set[int]] = {}
    for a, b in edges:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return {node: sorted(others) for node, others in found.items()}


def reach(origin: int, graph: Mapping[int, Sequence[int]]) -> dict[int, Steps]:
    """Every asset within ``MAX_STEPS`` links of ``origin`` by a shortest path. Breadth first."""
    found = {origin: Steps(0, (origin,))}
    waiting = deque([origin])
    while waiting:
        node = waiting.popleft()
        distance, path = found[node]
        if distance == MAX_STEPS:
            continue
        for other in graph.get(node, ()):
            if other not in found:
                found[other] = Steps(distance + 1, (*path, other))
                waiting.append(other)
    return found
