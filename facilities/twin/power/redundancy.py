"""What a single failure would take down, and how much spare there is: from the power links alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import networkx as nx
import numpy as np

from facilities.twin.site import Floats, Site

from .state import LOADS

_ROOT: Final = object()
CHAIN: Final = ("utility", "generator", "ups", "pdu")


@dataclass(frozen=True, slots=True)
class SinglePoint:
    """An asset without which some loads have no path to any source."""

    tag: str
    kind: str
    loads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the chain. ``label`` is N, N+x, 2N, or ``short`` when the load does not fit.

    2N means that the loads hang on two separate sides, each of which carries all of it.
    """

    kind: str
    units: int
    needed: int
    rated_w: float
    load_w: float
    label: str


def power_graph(site: Site) -> nx.DiGraph:
    """Power links from source to target, with one root before every utility feed and generator."""
    graph: nx.DiGraph = nx.DiGraph()
    kinds = (*CHAIN, *LOADS)
    graph.add_nodes_from(asset.tag for kind in kinds for asset in site.of_kind(kind))
    graph.add_edges_from(
        (link.source, link.target)
        for link in site.links
        if link.kind == "power" and link.source in graph and link.target in graph
    )
    for kind in ("utility", "generator"):
        graph.add_edges_from((_ROOT, tag) for tag in site.tags(kind))
    return graph


def single_points(site: Site) -> list[SinglePoint]:
    """Assets on every path from the sources to some load, those with most loads first.

    They are the dominators of the load in the graph; linear in the number of links. A load without
    any link counts as fed by the main switchboard and is left out.
    """
    graph = power_graph(site)
    if _ROOT not in graph:
        return []
    above = nx.immediate_dominators(graph, _ROOT)
    below: dict[str, list[str]] = {}
    for kind in LOADS:
        for tag in site.tags(kind):
            parent = above.get(tag)
            while parent is not None and parent is not _ROOT:
                below.setdefault(parent, []).append(tag)
                parent = above.get(parent)
    found = [SinglePoint(tag, site.locate(tag).kind, tuple(loads)) for tag, loads in below.items()]
    return sorted(found, key=lambda point: (-len(point.loads), point.tag))


def paths(site: Site, tag: str) -> int:
    """Ways from the sources to a load that share no asset; 0 when it has none."""
    graph = power_graph(site)
    if tag not in graph or _ROOT not in graph or not nx.has_path(graph, _ROOT, tag):
        return 0
    return int(nx.node_connectivity(graph, _ROOT, tag)) if not graph.has_edge(_ROOT, tag) else 1


def stages(site: Site, *, rated_w: dict[str, Floats], load_w: dict[str, float]) -> list[Stage]:
    """Spare units of every stage: ``rated_w`` by kind (n,), ``load_w`` carried by the stage, W."""
    two_sides = _has_two_sides(site)
    found = []
    for kind in CHAIN:
        ratings = np.asarray(rated_w.get(kind, np.zeros(0)), dtype=np.float64)
        units = site.count(kind)
        if not units or not len(ratings) or not np.isfinite(ratings).all():
            continue
        load = load_w.get(kind, 0.0)
        smallest = float(ratings.min())
        needed = max(1, math.ceil(load / smallest)) if smallest > 0 else units
        found.append(
            Stage(
                kind,
                units,
                needed,
                float(ratings.sum()),
                load,
                _label(kind, units, needed, two_sides),
            )
        )
    return found


def _label(kind: str, units: int, needed: int, two_sides: bool) -> str:
    if units < needed:
        return "short"
    if kind in ("ups", "pdu") and two_sides and units >= 2 * needed:
        return "2N"
    return f"N+{units - needed}" if units > needed else "N"


def _has_two_sides(site: Site) -> bool:
    """Every rack has cords of two PDUs that share no UPS."""
    racks = site.tags("rack")
    if not racks:
        return False
    graph = power_graph(site)
    for tag in racks:
        sides = [
            frozenset(_ups_above(graph, site, parent)) or frozenset({parent})
            for parent in graph.predecessors(tag)
            if parent is not _ROOT
        ]
        if not any(a.isdisjoint(b) for i, a in enumerate(sides) for b in sides[i + 1 :]):
            return False
    return True


def _ups_above(graph: nx.DiGraph, site: Site, tag: str) -> set[str]:
    found = {tag} if site.locate(tag).kind == "ups" else set()
    for parent in graph.predecessors(tag):
        if parent is not _ROOT:
            found |= _ups_above(graph, site, parent)
    return found
