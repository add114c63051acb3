"""The fabric of a site: switches, hosts and what connects them, from the network links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ..site import Floats, Ints, Site

SWITCHES: Final = frozenset({"leaf", "spine", "switch", "core"})
DEFAULT_GBPS: Final = 400.0
"""assumed where a link names no ``capacity_gbps``: an InfiniBand NDR or 400G Ethernet port"""


@dataclass(frozen=True, slots=True)
class Edge:
    """One connection. ``link`` is the tag of its asset; a cable without one is always healthy."""

    a: str
    b: str
    capacity_gbps: float
    link: str | None = None
    attributes: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """How messages and pages call it."""
        return self.link or f"{self.a} to {self.b}"

    def attribute(self, name: str, default: Any = None) -> Any:
        """One attribute of the connection, such as ``medium`` or ``layer``."""
        return (self.attributes or {}).get(name, default)


class Part:
    """A connected part: its nodes and arcs in the fabric, and the same numbered from 0."""

    def __init__(
        self, nodes: Ints, arcs: Ints, tail: Ints, head: Ints, is_switch: NDArray[np.bool_]
    ) -> None:
        self.nodes, self.arcs = nodes, arcs
        self.tail, self.head, self.is_switch = tail, head, is_switch
        #: (arcs, nodes): 1 where the arc leaves, or enters, the node
        self.from_tail, self.to_head = self._incidence(tail), self._incidence(head)

    def _incidence(self, ends: Ints) -> csr_array:
        arcs = len(self.arcs)
        return csr_array((np.ones(arcs), (np.arange(arcs), ends)), shape=(arcs, len(self.nodes)))


class Fabric:
    """Nodes and edges of the network; every edge is two arcs, 2e from a to b and 2e + 1 back.

    A link asset stands between two devices: its ends are its neighbours in the network records, or
    its attributes ``from`` and ``to``. One whose ends are unknown is in ``unplaced`` and carries
    nothing.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.unplaced: list[str] = []
        self.edges: list[Edge] = list(self._found(site))
        names = dict.fromkeys(end for edge in self.edges for end in (edge.a, edge.b))
        self.nodes: tuple[str, ...] = tuple(names)
        self.node: dict[str, int] = {tag: index for index, tag in enumerate(self.nodes)}
        self.is_switch = np.array([site.locate(tag).kind in SWITCHES for tag in self.nodes], bool)
        a = np.array([self.node[edge.a] for edge in self.edges], dtype=np.int64)
        b = np.array([self.node[edge.b] for edge in self.edges], dtype=np.int64)
        self.tail: Ints = np.stack([a, b], axis=1).reshape(-1)
        self.head: Ints = np.stack([b, a], axis=1).reshape(-1)
        self.rated_gbps: Floats = np.repeat([edge.capacity_gbps for edge in self.edges], 2).astype(
            np.float64
        )
        #: link's place among the site's links for every edge, or -1
        self.link_row: Ints = np.array(
            [site.locate(edge.link).row if edge.link else -1 for edge in self.edges], dtype=np.int64
        )

    @property
    def arcs(self) -> int:
        """How many arcs there are: two for each edge."""
        return len(self.tail)

    @cached_property
    def edge_of_link(self) -> Ints:
        """The edge of every link asset, shape (links,); -1 where it is unplaced."""
        edges = np.full(self.site.count("link"), -1, dtype=np.int64)
        placed = self.link_row >= 0
        edges[self.link_row[placed]] = np.nonzero(placed)[0]
        return edges

    @cached_property
    def parts(self) -> list[Part]:
        """Connected parts of the fabric; a large site often has one for each hall."""
        nodes = len(self.nodes)
        if not nodes:
            return []
        graph = csr_array((np.ones(self.arcs), (self.tail, self.head)), shape=(nodes, nodes))
        count, label = connected_components(graph, directed=False)
        by_node = np.argsort(label, kind="stable")
        by_arc = np.argsort(label[self.tail], kind="stable")
        node_ends = np.searchsorted(label[by_node], np.arange(count + 1))
        arc_ends = np.searchsorted(label[self.tail][by_arc], np.arange(count + 1))
        place = np.empty(nodes, dtype=np.int64)
        found = []
        for number in range(count):
            members = by_node[node_ends[number] : node_ends[number + 1]]
            arcs = by_arc[arc_ends[number] : arc_ends[number + 1]]
            place[members] = np.arange(len(members))
            tail, head = place[self.tail[arcs]], place[self.head[arcs]]
            found.append(Part(members, arcs, tail, head, self.is_switch[members]))
        return found

    @cached_property
    def part_of(self) -> Ints:
        """The connected part of every node, shape (nodes,)."""
        numbers = np.zeros(len(self.nodes), dtype=np.int64)
        for number, part in enumerate(self.parts):
            numbers[part.nodes] = number
        return numbers

    def stores(self, tag: str) -> list[str]:
        """Storage that a host is connected to in the healthy fabric."""
        own = self.part_of[self.node[tag]] if tag in self.node else -1
        return [
            store
            for store in self.site.tags("storage")
            if store in self.node and self.part_of[self.node[store]] == own
        ]

    def label(self, arc: int) -> str:
        """An arc as people read it, with its direction."""
        edge = self.edges[arc // 2]
        source, target = (edge.a, edge.b) if arc % 2 == 0 else (edge.b, edge.a)
        return f"{edge.link} towards {target}" if edge.link else f"{source} to {target}"

    def neighbours(self, tag: str) -> list[str]:
        """What a node is connected to, in the order of the edges."""
        index = self.node.get(tag)
        return [self.nodes[other] for other in self.head[self.tail == index]]

    def _found(self, site: Site) -> list[Edge]:
        ends: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        edges: dict[tuple[str, str], Edge] = {}
        for record in site.links:
            if record.kind != "network":
                continue
            kinds = site.locate(record.source).kind, site.locate(record.target).kind
            if "link" not in kinds:
                capacity = float(record.attributes.get("capacity_gbps", DEFAULT_GBPS))
                key = (record.source, record.target)
                edges[key] = Edge(*key, capacity, None, record.attributes)
            elif kinds[0] == "link" and kinds[1] != "link":
                ends[record.source][record.target] = record.attributes
            elif kinds[1] == "link" and kinds[0] != "link":
                ends[record.target][record.source] = record.attributes
        found = list(edges.values())
        for link in site.of_kind("link"):
            places = list(ends[link.tag])
            if len(places) != 2:
                named = [link.attributes.get("from"), link.attributes.get("to")]
                places = [str(tag) for tag in named if tag in site.place]
            if len(places) != 2 or places[0] == places[1]:
                self.unplaced.append(link.tag)
                continue
            attributes: dict[str, Any] = {}
            for part in ends[link.tag].values():
                attributes |= part
            attributes |= link.attributes
            capacity = float(attributes.get("capacity_gbps", DEFAULT_GBPS))
            found.append(Edge(places[0], places[1], capacity, link.tag, attributes))
        return found
