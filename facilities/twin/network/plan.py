"""What every group's step puts on the fabric, for one pattern of live links and servers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array, csr_array, hstack, vstack

from ..site import Flags, Floats, SiteError
from .collectives import steps_of
from .jobs import Jobs
from .routing import Pairs, Routes, route
from .topology import Fabric

DENSE = 50_000


class Plan(NamedTuple):
    """Traffic in Gb for a step of each group (checkpoint: for a whole checkpoint)."""

    collective: Routes
    checkpoint: Routes
    data: Routes
    stream: Routes  # in Gb/s, all the time
    sent_gb: Floats  # (groups,) what each server sends to others in a step, in Gb
    between_steps: Floats  # (groups,) latencies between servers one after another
    servers: Floats  # (groups,) servers in service
    link_gb: Floats | csr_array  # (2 x links, 2 x groups): Gb in a step, then Gb/s of checkpoints


def make_plan(
    fabric: Fabric,
    jobs: Jobs,
    up: Flags,
    in_service: Floats,
    *,
    ecmp_excess: float,
    weights: Floats | None = None,
) -> Plan:
    """Route every group's collectives, checkpoints and data over the arcs that are up."""
    tags = jobs.site.tags("server")
    place = [fabric.node.get(tag, -1) for tag in tags]
    rows: dict[str, list[tuple[int, int, int, float]]] = {
        "send": [],
        "save": [],
        "load": [],
        "flow": [],
    }
    groups = len(jobs.groups)
    sent, between, alive = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    apart = np.zeros(groups, dtype=bool)  # servers that are not on the network at all
    for index, group in enumerate(jobs.groups):
        servers = jobs.working(group, in_service)
        alive[index] = len(servers)
        between[index] = (
            steps_of(jobs.algorithm(group, len(servers)), len(servers)) if group.allreduce_gb else 0
        )
        between[index] += len(servers) - 1 if group.alltoall_gb and len(servers) > 1 else 0
        if len(servers) > 1 and any(place[server] < 0 for server in servers):
            apart[index] = True
            continue
        outgoing: dict[int, float] = {}
        for source, target, size in jobs.hops(group, servers):
            rows["send"].append((place[source], place[target], index, 8 * size))
            outgoing[source] = outgoing.get(source, 0.0) + 8 * size
        sent[index] = max(outgoing.values(), default=0.0)
        for server in servers:
            stores = [fabric.node[tag] for tag in jobs.stores[index]] if place[server] >= 0 else []
            for store in stores:
                part = 8 / (len(servers) * len(stores))
                if group.checkpoint_gb and group.checkpoint_every_s:
                    rows["save"].append((place[server], store, index, group.checkpoint_gb * part))
                if group.data_gbps:
                    flow = group.data_gbps / len(stores)
                    rows["flow"].append((store, place[server], index, flow))
                if group.data_gb:
                    rows["load"].append((store, place[server], index, group.data_gb * part))
    routed = {
        name: route(fabric, up, _pairs(part), groups, ecmp_excess=ecmp_excess, weights=weights)
        for name, part in rows.items()
    }
    collective = routed["send"]._replace(blocked=routed["send"].blocked | apart)
    every = jobs.column("checkpoint_every_s")[0]
    per_s = np.divide(1.0, every, out=np.zeros(groups), where=every > 0)
    saved = routed["save"].load.multiply(per_s[:, None]) + routed["flow"].load
    links = _on_links(fabric, vstack([collective.load + routed["load"].load, saved]).tocsc())
    return Plan(
        collective, routed["save"], routed["load"], routed["flow"], sent, between, alive, links
    )


def _pairs(rows: list[tuple[int, int, int, float]]) -> Pairs:
    if not rows:
        none = np.zeros(0, dtype=np.int64)
        return Pairs(none, none, none, np.zeros(0))
    source, target, flow, amount = zip(*rows, strict=True)
    return Pairs(np.array(source), np.array(target), np.array(flow), np.array(amount))


def _on_links(fabric: Fabric, load: csc_array) -> Floats | csr_array:
    """(rows, arcs) → (2 x links, rows): first every link's forward arc, then every backward one.

    Dense for small sites, where a sparse product costs more than the numbers it saves.
    """
    edges = fabric.edge_of_link
    if not len(edges) or not fabric.arcs:
        return np.zeros((2 * len(edges), load.shape[0]))
    known = (edges >= 0).astype(np.float64)
    forward = load[:, 2 * np.maximum(edges, 0)].multiply(known)
    backward = load[:, 2 * np.maximum(edges, 0) + 1].multiply(known)
    both = csr_array(hstack([forward, backward]).T)
    return both.toarray() if both.shape[0] * both.shape[1] <= DENSE else both


def check_weights(weights: Floats | None, arcs: int) -> None:
    """Raises ``SiteError`` unless there is one weight for each arc."""
    if weights is not None and weights.shape != (arcs,):
        raise SiteError(f"weights are of shape {weights.shape}; the fabric has {arcs} arcs")
