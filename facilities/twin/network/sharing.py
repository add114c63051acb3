"""Max-min fair rates of flows that share the fabric, vectorised over members and flows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ..site import Floats, Ints

UNBOUND = 1e9


class Rates(NamedTuple):
    """What each flow gets, and the arc that holds it back (-1: none)."""

    gbps: Floats  # (members, flows)
    bottleneck: Ints  # (members, flows)


def max_min(usage: csr_array, capacity_gbps: Floats) -> Rates:
    """Rates such that no flow can gain without a slower one losing.

    ``usage`` (flows, arcs) is what one Gb/s of a flow puts on each arc; ``capacity_gbps`` (members,
    arcs). Flows rise together until an arc is full, as progressive filling does; flows whose arc is
    the scarcest for all that cross it are settled at once, so unrelated parts of a large site need
    one round together.
    """
    members, flows = len(capacity_gbps), usage.shape[0]
    rates = np.full((members, flows), UNBOUND)
    bottleneck = np.full((members, flows), -1, dtype=np.int64)
    arc_of, used = usage.indices, usage.data
    flow_of = np.repeat(np.arange(flows), np.diff(usage.indptr))
    if not len(flow_of):
        return Rates(rates, bottleneck)
    by_arc = np.argsort(arc_of, kind="stable")
    flow_starts = np.concatenate([[0], np.nonzero(np.diff(flow_of))[0] + 1])
    arc_starts = np.concatenate([[0], np.nonzero(np.diff(arc_of[by_arc]))[0] + 1])
    present, arcs = flow_of[flow_starts], arc_of[by_arc][arc_starts]
    place = np.zeros(usage.shape[1], dtype=np.int64)
    place[arcs] = np.arange(len(arcs))
    place_of = np.zeros(flows, dtype=np.int64)
    place_of[present] = np.arange(len(present))
    entry_arc, entry_flow = place[arc_of], place_of[flow_of]
    left = capacity_gbps[:, arcs].astype(np.float64)
    settled = np.zeros((members, len(present)), dtype=bool)
    result = np.full((members, len(present)), UNBOUND)
    holding = np.full((members, len(present)), -1, dtype=np.int64)
    for _ in range(len(present)):
        active = np.where(settled[:, entry_flow], 0.0, used)
        wanted = np.add.reduceat(active[:, by_arc], arc_starts, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(wanted > 0, np.maximum(left, 0.0) / wanted, np.inf)
        offered = share[:, entry_arc]  # (members, entries)
        lowest = np.minimum.reduceat(offered, flow_starts, axis=1)
        crossing = np.where(settled, np.inf, lowest)[:, entry_flow]
        arc_lowest = np.minimum.reduceat(crossing[:, by_arc], arc_starts, axis=1)
        binds = (offered <= lowest[:, entry_flow] * (1 + 1e-12)) & (
            arc_lowest[:, entry_arc] >= offered * (1 - 1e-12)
        )
        ready = np.logical_or.reduceat(binds, flow_starts, axis=1) & ~settled
        if not ready.any():
            break
        first = np.where(binds, arc_of, usage.shape[1])
        holding = np.where(ready, np.minimum.reduceat(first, flow_starts, axis=1), holding)
        result = np.where(ready, lowest, result)
        taken = np.where(ready[:, entry_flow], used * np.where(ready, lowest, 0)[:, entry_flow], 0)
        left -= np.add.reduceat(taken[:, by_arc], arc_starts, axis=1)
        settled |= ready
        if settled.all():
            break
    rates[:, present], bottleneck[:, present] = result, holding
    return Rates(rates, bottleneck)
