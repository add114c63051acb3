"""Routes through the fabric: shortest paths with equal-cost multipath (ECMP).

Each switch splits what it sends to a destination over all its next hops on a shortest path: evenly
(ECMP), or by the bandwidth that is left behind each (weighted ECMP, adaptive routing). Hosts are no
transit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from ..site import Flags, Floats, Ints
from .topology import Fabric, Part

CHUNK = 64
"""Pairs routed at once; bounds memory to CHUNK x arcs numbers of one part of the fabric."""
UNLIMITED = 1e12
NOTHING = 1e-9


class Routes(NamedTuple):
    """What each flow puts on the fabric for one unit of each pair."""

    load: csr_array  # (flows, arcs): mean load
    worst: csr_array  # (flows, arcs): the same where hashing is uneven
    blocked: Flags  # (flows,): some pair of the flow has no path


class Pairs(NamedTuple):
    """Who sends to whom: nodes, the flow it belongs to, and how much; each of shape (pairs,)."""

    source: Ints
    target: Ints
    flow: Ints
    amount: Floats


def route(
    fabric: Fabric,
    up: Flags,
    pairs: Pairs,
    flows: int,
    *,
    ecmp_excess: float,
    weights: Floats | None = None,
) -> Routes:
    """Spread every pair over its shortest paths among the arcs that are ``up``, shape (arcs,).

    ``weights`` (arcs,) is the bandwidth of each arc: shares follow it. A path among several takes
    ``ecmp_excess`` more than its share at worst.
    """
    shape = (flows, fabric.arcs)
    blocked = np.zeros(flows, dtype=bool)
    entries: list[tuple[Ints, Ints, Floats, Floats]] = []
    part_of = fabric.part_of
    place = np.zeros(len(fabric.nodes), dtype=np.int64)
    for part in fabric.parts:
        place[part.nodes] = np.arange(len(part.nodes))
    where = part_of[pairs.source]
    apart = where != part_of[pairs.target]
    blocked[pairs.flow[apart]] = True
    order = np.argsort(np.where(apart, -1, where), kind="stable")
    ends = np.searchsorted(np.where(apart, -1, where)[order], np.arange(len(fabric.parts) + 1))
    for number, part in enumerate(fabric.parts):
        chosen = order[ends[number] : ends[number + 1]]
        if not len(chosen):
            continue
        live = up[part.arcs]
        between = _switch_distances(part, live)
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            near = Pairs(
                place[pairs.source[rows]],
                place[pairs.target[rows]],
                pairs.flow[rows],
                pairs.amount[rows],
            )
            own = None if weights is None else weights[part.arcs]
            shares, reached = _spread(part, live, between, near, own)
            blocked[near.flow[~reached]] = True
            pair, arc = np.nonzero(shares > NOTHING)
            share = shares[pair, arc]
            split = share < 1 - NOTHING
            uneven = np.where(split, np.minimum(share * (1 + ecmp_excess), 1.0), share)
            amount = near.amount[pair]
            entries.append((near.flow[pair], part.arcs[arc], amount * share, amount * uneven))
    if not entries:
        return Routes(csr_array(shape), csr_array(shape), blocked)
    flow, arc, mean, most = (np.concatenate(column) for column in zip(*entries, strict=True))
    # entries of the same flow and arc are summed
    return Routes(
        csr_array((mean, (flow, arc)), shape=shape),
        csr_array((most, (flow, arc)), shape=shape),
        blocked,
    )


def _switch_distances(part: Part, up: Flags) -> Floats:
    """Hops between every two switches over switches alone; infinite without a path."""
    inner = up & part.is_switch[part.tail] & part.is_switch[part.head]
    nodes = len(part.nodes)
    graph = csr_array(
        (np.ones(inner.sum()), (part.tail[inner], part.head[inner])), shape=(nodes, nodes)
    )
    switches = np.nonzero(part.is_switch)[0]
    between = np.full((nodes, nodes), np.inf)
    if len(switches):
        inside = graph[switches][:, switches]
        between[np.ix_(switches, switches)] = shortest_path(inside, unweighted=True)
    return between


def _spread(
    part: Part, up: Flags, between: Floats, pairs: Pairs, weights: Floats | None
) -> tuple[Floats, Flags]:
    """(pairs, arcs) share of each pair's flow on each arc, and which pairs have a path."""
    rows = np.arange(len(pairs.source))
    away = _distances_to(part, up, between, pairs.target)  # (pairs, nodes)
    own = np.where(
        up[None] & (part.tail[None] == pairs.source[:, None]), away[:, part.head] + 1, np.inf
    ).min(axis=1)
    away[rows, pairs.source] = np.minimum(away[rows, pairs.source], own)
    reached = np.isfinite(away[rows, pairs.source])
    with np.errstate(invalid="ignore"):
        steps = away[:, part.tail] - away[:, part.head]
    on_path = up[None] & (steps == 1.0)
    depth = int(away[rows, pairs.source][reached].max(initial=0))
    ways = _ways(part, on_path, pairs.target, depth, weights)
    total = ways @ part.from_tail
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(on_path, ways / total[:, part.tail], 0.0)
    present = np.zeros((len(rows), len(part.nodes)))
    present[rows[reached], pairs.source[reached]] = 1.0
    shares = np.zeros_like(fraction)
    for _ in range(depth):
        moved = present[:, part.tail] * fraction
        shares += moved
        present = moved @ part.to_head
    return shares, reached


def _distances_to(part: Part, up: Flags, between: Floats, targets: Ints) -> Floats:
    """(targets, nodes) hops from every switch to each target; other hosts are infinitely far."""
    unique, back = np.unique(targets, return_inverse=True)
    result = np.full((len(unique), len(part.nodes)), np.inf)
    for row, target in enumerate(unique):
        if part.is_switch[target]:
            result[row] = between[target]
        else:
            doors = part.tail[up & (part.head == target) & part.is_switch[part.tail]]
            if len(doors):
                result[row] = between[doors].min(axis=0) + 1
        result[row, target] = 0.0
    return result[back]


def _ways(part: Part, on_path: Flags, targets: Ints, depth: int, weights: Floats | None) -> Floats:
    """(pairs, arcs) weight of each arc as a next hop: 1 each, or the bandwidth behind it."""
    if weights is None:
        return on_path.astype(np.float64)
    rows = np.arange(len(targets))
    behind = np.zeros((len(rows), len(part.nodes)))
    behind[rows, targets] = UNLIMITED
    ways = np.zeros(on_path.shape)
    for _ in range(depth):
        ways = np.where(on_path, np.minimum(weights[None], behind[:, part.head]), 0.0)
        behind = ways @ part.from_tail
        behind[rows, targets] = UNLIMITED
    return np.maximum(ways, on_path * NOTHING)
