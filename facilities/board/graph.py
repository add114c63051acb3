"""The facility as a graph: what hangs on one device alone, and what shape the network has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import networkx as nx

from facilities.models import Asset, AssetLink
from facilities.models.asset import AssetKind, LinkKind

SOURCES: Final[dict[str, frozenset[str]]] = {
    LinkKind.POWER: frozenset({AssetKind.UTILITY, AssetKind.GENERATOR}),
    LinkKind.COOLING: frozenset({AssetKind.CHILLER}),
    LinkKind.NETWORK: frozenset({AssetKind.SPINE}),
}
"""Kinds from which a medium comes; an asset of another kind without a feeder is a source too."""

SUPER: Final = ("the outside",)


class Edge(NamedTuple):
    """One link between two asset tags."""

    source: str
    target: str
    kind: str
    attributes: dict[str, Any]


class SinglePoint(NamedTuple):
    """A device, and what loses its supply when it alone fails."""

    tag: str
    kind: str
    cuts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Supply:
    """How one medium (power, cooling, network) reaches its consumers."""

    kind: str
    consumers: int
    redundant: int
    single_points: tuple[SinglePoint, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """The network as it is drawn. Counters of declared values; "" is not declared."""

    devices: int
    links: int
    declared: int
    """Links of the file; a cable that is an asset of its own has one at each end."""
    topology: str
    medium: Counter[str]
    layer: Counter[str]
    private: Counter[str]
    management: int
    capacity_gbps: float
    connected: bool


def read_edges() -> tuple[list[Edge], dict[str, str]]:
    """All links, and the kind of every asset by its tag (two queries)."""
    edges = [
        Edge(*row)
        for row in AssetLink.objects.order_by("pk").values_list(
            "source__tag", "target__tag", "kind", "attributes"
        )
    ]
    return edges, dict(Asset.objects.values_list("tag", "kind"))


def supply(edges: Iterable[Edge], kinds: dict[str, str], kind: str) -> Supply:
    """Single points of failure of one medium.

    A device is one for a consumer when every path from any source to the consumer passes through
    it: the dominators of a flow graph whose root stands for all sources. Consumers are what feeds
    nothing further.
    """
    graph: nx.DiGraph[Any] = nx.DiGraph()
    for edge in edges:
        if edge.kind == kind:
            graph.add_edge(edge.source, edge.target)
            if kind == LinkKind.NETWORK:  # traffic flows both ways
                graph.add_edge(edge.target, edge.source)
    named = [node for node in graph if kinds.get(node) in SOURCES[kind]]
    orphans = [node for node in graph if kind != LinkKind.NETWORK and graph.in_degree(node) == 0]
    for node in {*named, *orphans}:
        graph.add_edge(SUPER, node)
    if SUPER not in graph:
        return Supply(kind, 0, 0, ())
    roots = {*named, *orphans}
    if kind == LinkKind.NETWORK:
        ends = [node for node in graph if node != SUPER and node not in roots]
    else:
        ends = [node for node in graph if node != SUPER and graph.out_degree(node) == 0]
    dominators = nx.immediate_dominators(graph, SUPER)
    cuts: dict[str, set[str]] = {}
    safe = 0
    for end in ends:
        above, alone = dominators.get(end), True
        while above is not None and above != SUPER:
            cuts.setdefault(above, set()).add(end)
            above, alone = dominators.get(above), False
        safe += alone and end in dominators
    points = [
        SinglePoint(tag, kinds.get(tag, ""), tuple(sorted(lost))) for tag, lost in cuts.items()
    ]
    points.sort(key=lambda point: (-len(point.cuts), point.tag))
    return Supply(kind, len(ends), safe, tuple(points))


def network_shape(edges: Iterable[Edge], kinds: dict[str, str]) -> Shape:
    """Topology and declared attributes of the network links."""
    links = [edge for edge in edges if edge.kind == LinkKind.NETWORK]
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_edges_from((edge.source, edge.target) for edge in links)
    _contract_cables(graph, kinds)
    counted = {
        name: Counter(str(edge.attributes.get(name, "")).lower() for edge in links)
        for name in ("medium", "layer", "private")
    }
    return Shape(
        devices=len(graph),
        links=graph.number_of_edges(),
        declared=len(links),
        topology=topology_of(graph, kinds),
        medium=counted["medium"],
        layer=counted["layer"],
        private=counted["private"],
        management=sum(1 for edge in links if edge.attributes.get("management")),
        capacity_gbps=sum(float(edge.attributes.get("capacity_gbps", 0) or 0) for edge in links),
        connected=bool(len(graph)) and nx.is_connected(graph),
    )


def _contract_cables(graph: nx.Graph[Any], kinds: dict[str, str]) -> None:
    """A cable that is an asset of its own (kind link) between two devices becomes an edge."""
    for node in [n for n in graph if kinds.get(n) == AssetKind.LINK]:
        ends = list(graph[node])
        if len(ends) == 2:
            graph.add_edge(*ends)
            graph.remove_node(node)


def topology_of(graph: nx.Graph[Any], kinds: dict[str, str]) -> str:
    """Name the shape: none, line, star, tree, ring, leaf–spine, full mesh or mesh.

    Ends (servers, racks) hang on switches and say nothing of the shape, so they are taken away
    first where switches are known.
    """
    switches = [n for n in graph if kinds.get(n) in (AssetKind.LEAF, AssetKind.SPINE)]
    core = graph.subgraph(switches) if len(switches) > 1 else graph
    count, links = core.number_of_nodes(), core.number_of_edges()
    if not count or not links:
        return "none"
    if not nx.is_connected(core):
        return "separate parts"
    leaves = {n for n in core if kinds.get(n) == AssetKind.LEAF}
    spines = {n for n in core if kinds.get(n) == AssetKind.SPINE}
    if leaves and spines and all(set(core[leaf]) == spines for leaf in leaves):
        return "leaf–spine" if len(spines) > 1 else "star"
    degrees = sorted(degree for _, degree in core.degree())
    if links == count - 1:
        if count > 2 and degrees[-1] == count - 1:
            return "star"
        return "line" if degrees[-1] <= 2 else "tree"
    if links == count and set(degrees) == {2}:
        return "ring"
    return "full mesh" if links == count * (count - 1) // 2 else "mesh"
