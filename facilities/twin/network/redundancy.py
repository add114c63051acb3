"""Single points of failure: what cuts a job, or the management of devices, when it alone fails.

Devices are articulation points of the graph, connections are bridges (networkx); a candidate counts
where its loss parts the terminals that must reach one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

import networkx as nx
import numpy as np

from ..drive import Drive
from ..site import Site
from .model import Network
from .topology import SWITCHES, Fabric

MOST_FAILURES: Final = 128
"""Links whose loss is simulated one by one; larger sites show the fullest."""


@dataclass(frozen=True, slots=True)
class SinglePoint:
    """What alone cuts ``cut`` off from the rest."""

    kind: Literal["device", "link", "cable"]
    asset: str
    cut: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resilience:
    """How well one job, or the management network, survives failures.

    ``disjoint_paths`` and ``cut_gbps`` are between the two switches of the job that are worst off;
    ``cut`` is what must fail to part them. 0 paths where all of it hangs on one switch.
    """

    name: str
    terminals: int
    points: tuple[SinglePoint, ...]
    disjoint_paths: int
    cut: tuple[str, ...]
    cut_gbps: float


@dataclass(frozen=True, slots=True)
class Loss:
    """One link fails: what the jobs lose, 0..1 of their pace."""

    link: str
    jobs: dict[str, float]

    @property
    def worst(self) -> float:
        """The largest loss of any job."""
        return max(self.jobs.values(), default=0.0)


def graph_of(fabric: Fabric, *, management: bool = False) -> nx.Graph:
    """Devices and connections; parallel ones are one edge with their capacities and names joined.

    ``management``: only connections that carry management traffic.
    """
    graph = nx.Graph()
    graph.add_nodes_from(fabric.nodes)
    for edge in fabric.edges:
        if management and not edge.attribute("management", False):
            continue
        if graph.has_edge(edge.a, edge.b):
            graph[edge.a][edge.b]["names"].append(edge.label)
            graph[edge.a][edge.b]["capacity"] += edge.capacity_gbps
        else:
            graph.add_edge(
                edge.a,
                edge.b,
                names=[edge.label],
                link=edge.link is not None,
                capacity=edge.capacity_gbps,
            )
    return graph


def single_points(
    graph: nx.Graph, terminals: Sequence[str], *, roots: Iterable[str] = ()
) -> list[SinglePoint]:
    """Devices and connections whose loss alone parts the terminals, worst first.

    With ``roots`` (gateways) a terminal is cut when it reaches none of them; without, when it is
    not in the largest group of terminals left. A terminal that fails itself does not count.
    """
    goals = set(roots)
    near: set[str] = set()
    for tag in [*terminals, *goals]:
        if tag in graph and tag not in near:
            near |= nx.node_connected_component(graph, tag)
    part = graph.subgraph(near)
    found = []
    for device in nx.articulation_points(part):
        left = part.subgraph(set(part) - {device})
        cut = _cut(left, [tag for tag in terminals if tag != device], goals - {device})
        if cut:
            found.append(SinglePoint("device", device, tuple(cut)))
    for a, b in nx.bridges(part):
        data = part[a][b]
        if len(data["names"]) > 1:
            continue
        left = nx.restricted_view(part, [], [(a, b)])
        cut = _cut(left, terminals, goals)
        if cut:
            kind: Literal["link", "cable"] = "link" if data["link"] else "cable"
            found.append(SinglePoint(kind, data["names"][0], tuple(cut)))
    return sorted(found, key=lambda point: (-len(point.cut), point.kind != "device", point.asset))


def _cut(graph: nx.Graph, terminals: Sequence[str], roots: set[str]) -> list[str]:
    wanted = [tag for tag in terminals if tag in graph]
    if roots:
        alive = {
            tag
            for root in roots
            if root in graph
            for tag in nx.node_connected_component(graph, root)
        }
        return [tag for tag in wanted if tag not in alive]
    groups: list[set[str]] = []
    for tag in wanted:
        if not any(tag in group for group in groups):
            groups.append(nx.node_connected_component(graph, tag))
    if len(groups) < 2:
        return []
    largest = max(groups, key=lambda group: sum(tag in group for tag in wanted))
    return [tag for tag in wanted if tag not in largest]


def job_resilience(network: Network) -> list[Resilience]:
    """Every job that needs the network: its servers (and storage where it saves or reads)."""
    fabric, site = network.fabric, network.site
    graph = graph_of(fabric)
    found = []
    for row, asset in enumerate(site.of_kind("job")):
        groups = [group for group in network.jobs.groups if group.job == row]
        servers = [site.tags("server")[s] for group in groups for s in group.servers]
        servers = [tag for tag in servers if tag in graph]
        stores = [tag for tag in site.tags("storage") if tag in graph]
        uses = any(g.data_gb or (g.checkpoint_gb and g.checkpoint_every_s) for g in groups)
        together = any(len(group.servers) > 1 for group in groups)
        if not servers or not (together or uses):
            continue
        terminals = servers + (stores if uses else [])
        points = single_points(graph, terminals) if together else []
        paths, cut, gbps = _between_switches(graph, fabric, servers)
        found.append(Resilience(asset.tag, len(terminals), tuple(points), paths, cut, gbps))
    return found


def management_resilience(fabric: Fabric) -> Resilience:
    """Which devices lose their management when one thing fails.

    Management enters at devices with the attribute ``management_gateway``, or else at the spines
    (assumed).
    """
    graph = graph_of(fabric, management=True)
    site = fabric.site
    named = [tag for tag in fabric.nodes if _asset(site, tag).get("management_gateway")]
    spines = [tag for tag in fabric.nodes if site.locate(tag).kind in ("spine", "core")]
    roots = named or spines
    managed = [tag for tag in fabric.nodes if tag not in roots]
    points = single_points(graph, managed, roots=roots) if roots else []
    return Resilience("management", len(managed), tuple(points), len(roots), (), 0.0)


def single_failures(network: Network, drive: Drive) -> list[Loss]:
    """What each link's failure costs each job, worst first: one member for each link."""
    site = network.site
    links = np.nonzero(network.fabric.edge_of_link >= 0)[0]
    if len(links) > MOST_FAILURES:
        load = network.settled(drive.repeated(1)).link_gbps[0, links]
        links = links[np.argsort(-load, kind="stable")[:MOST_FAILURES]]
    case = drive.repeated(len(links) + 1)
    case["link", "capacity"][np.arange(1, len(links) + 1), links] = 0.0
    pace = network.settled(case).throughput
    losses = [
        Loss(
            site.tags("link")[link],
            {
                tag: float(max(0.0, 1.0 - pace[number, job] / max(pace[0, job], 1e-9)))
                for job, tag in enumerate(site.tags("job"))
            },
        )
        for number, link in enumerate(links, start=1)
    ]
    return sorted(losses, key=lambda loss: -loss.worst)


def shape_of(fabric: Fabric) -> str:
    """What the switches form: ring, star, leaf–spine, mesh, or a single switch."""
    graph = graph_of(fabric).subgraph(
        [tag for tag in fabric.nodes if fabric.site.locate(tag).kind in SWITCHES]
    )
    if len(graph) < 2:
        return "single switch" if len(graph) else "none"
    kinds = {tag: fabric.site.locate(tag).kind for tag in graph}
    if set(kinds.values()) == {"leaf", "spine"} and all(
        kinds[a] != kinds[b] for a, b in graph.edges
    ):
        return "leaf–spine"
    degrees = sorted(degree for _, degree in graph.degree())
    if len(graph) > 2 and degrees[0] == degrees[-1] == 2 and nx.is_connected(graph):
        return "ring"
    if len(graph) > 2 and degrees[:-1] == [1] * (len(graph) - 1) and degrees[-1] > 1:
        return "star"
    return "mesh"


def _between_switches(
    graph: nx.Graph, fabric: Fabric, servers: Sequence[str]
) -> tuple[int, tuple[str, ...], float]:
    first = dict.fromkeys(fabric.neighbours(tag)[0] for tag in servers)
    worst: tuple[int, tuple[str, ...], float] = (0, (), 0.0)
    for a, b in combinations(list(first)[:8], 2):
        if not nx.has_path(graph, a, b):
            return (0, (), 0.0)
        edges = nx.minimum_edge_cut(graph, a, b)
        gbps = float(nx.maximum_flow_value(graph, a, b, capacity="capacity"))
        if not worst[1] or (len(edges), gbps) < (worst[0], worst[2]):
            names = sorted(name for u, v in edges for name in graph[u][v]["names"])
            worst = (len(edges), tuple(names), gbps)
    return worst


def _asset(site: Site, tag: str) -> Mapping[str, Any]:
    place = site.locate(tag)
    return site.of_kind(place.kind)[place.row].attributes
