"""Jobs on GPUs: which GPUs must keep in step, and what a step computes and sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..site import AssetRecord, Floats, Ints, Site, SiteError
from .collectives import HOPS, all_to_all_hops, quicker
from .constants import NetworkConstants
from .links import gb_s_of
from .topology import DEFAULT_GBPS, Fabric

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Group:
    """Servers whose GPUs keep in step: those of a training job, or one server of inference.

    Sizes in GB for a step: ``allreduce_gb`` of gradients per GPU-group buffer between servers,
    ``tensor_gb`` inside a server over NVLink, ``alltoall_gb`` sent by each server to the others,
    ``data_gb`` read from storage by all of them. ``data_gbps`` is read by each server all the time.
    """

    job: int
    servers: tuple[int, ...]
    compute_s: float
    allreduce_gb: float
    tensor_gb: float
    alltoall_gb: float
    data_gb: float
    data_gbps: float
    overlap: float
    checkpoint_gb: float
    checkpoint_every_s: float
    algorithm: str
    utilisation: float


class Jobs:
    """Jobs of a site as groups in order of the job, and the GPUs that belong to each group."""

    def __init__(self, site: Site, fabric: Fabric) -> None:
        self.site = site
        server_of = site.within("gpu", "server")
        held = {int(server) for server in server_of if server >= 0}
        self.groups: tuple[Group, ...] = tuple(
            group
            for job, asset in enumerate(site.of_kind("job"))
            for group in _groups(site, job, asset, held)
        )
        taken: dict[int, int] = {}
        for index, group in enumerate(self.groups):
            for server in group.servers:
                if server in taken:
                    first = site.tags("job")[self.groups[taken[server]].job]
                    raise SiteError(
                        f"server {site.tags('server')[server]} is in {first} and in "
                        f"{site.tags('job')[group.job]}: a server runs one job"
                    )
                taken[server] = index
        group_of_gpu = np.array([taken.get(int(server), -1) for server in server_of], np.int64)
        order = np.argsort(group_of_gpu, kind="stable")
        #: GPUs that work for a job, by group; ``starts`` is where each group begins
        self.gpus: Ints = order[group_of_gpu[order] >= 0]
        self.group_of: Ints = group_of_gpu[self.gpus]
        self.starts: Ints = np.searchsorted(self.group_of, np.arange(len(self.groups)))
        self.server_of: Ints = server_of[self.gpus]
        self.gpus_per_group: Floats = np.bincount(self.group_of, minlength=len(self.groups)).astype(
            np.float64
        )
        count = max(site.count("server"), 1)
        self.gpus_of_server: Floats = np.bincount(
            server_of[server_of >= 0], minlength=count
        ).astype(np.float64)
        self.order = _places(site, fabric)
        tags = site.tags("server")
        #: storage that each group saves to and reads from: what its first server reaches
        self.stores = [fabric.stores(tags[group.servers[0]]) for group in self.groups]

    def column(self, name: str) -> Floats:
        """One attribute of every group, shape (1, groups)."""
        return np.array([[getattr(group, name) for group in self.groups]], dtype=np.float64)

    def mean_by_job(self) -> Floats:
        """(groups, jobs): a job's value is the mean of its groups'."""
        matrix = np.zeros((len(self.groups), self.site.count("job")))
        for index, group in enumerate(self.groups):
            matrix[index, group.job] = 1.0
        return matrix / np.maximum(matrix.sum(axis=0), 1)

    def working(self, group: Group, in_service: Floats) -> list[int]:
        """Servers of a group that are in service, neighbours of one leaf beside one another."""
        servers = [server for server in group.servers if in_service[server] > 0.5]
        return sorted(servers, key=lambda server: self.order[server])

    def algorithm(self, group: Group, ranks: int) -> str:
        """Ring or tree; ``auto`` takes what is quicker at the rated pace of one 400 Gb/s port."""
        if group.algorithm != AUTO:
            return group.algorithm
        p = NetworkConstants()
        return quicker(ranks, group.allreduce_gb, gb_s_of(DEFAULT_GBPS), p.fabric_alpha_s)

    def hops(self, group: Group, servers: list[int]) -> Iterator[tuple[int, int, float]]:
        """Server to server, GB in a step."""
        ranks = len(servers)
        if ranks < 2:
            return
        for hop in HOPS[self.algorithm(group, ranks)](ranks) if group.allreduce_gb else ():
            yield servers[hop.source], servers[hop.target], hop.share * group.allreduce_gb
        for hop in all_to_all_hops(ranks) if group.alltoall_gb else ():
            yield servers[hop.source], servers[hop.target], hop.share * group.alltoall_gb


def _groups(site: Site, job: int, asset: AssetRecord, held: set[int]) -> Iterator[Group]:
    def number(name: str, default: float) -> float:
        value = asset.attributes.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise SiteError(
                f"job {asset.tag}: attribute {name} is {value!r}, not a number"
            ) from None

    servers = []
    for tag in asset.attributes.get("servers", ()):
        place = site.locate(str(tag))
        if place.kind != "server":
            raise SiteError(
                f"job {asset.tag} names {tag} among its servers, which is a {place.kind}"
            )
        if place.row in held:
            servers.append(place.row)
    algorithm = str(asset.attributes.get("algorithm", "ring"))
    if algorithm not in (*HOPS, AUTO):
        raise SiteError(
            f"job {asset.tag}: algorithm {algorithm!r} is not one of {', '.join((*HOPS, AUTO))}"
        )
    one_by_one = asset.attributes.get("kind") == "inference"
    parts = [(server,) for server in servers] if one_by_one else [tuple(servers)]
    for part in parts:
        if part:
            yield Group(
                job,
                part,
                max(number("compute_s", 1.0), 1e-6),
                number("allreduce_gb", 0.0),
                number("tensor_gb", 0.0),
                number("alltoall_gb", 0.0),
                number("data_gb", 0.0),
                number("data_gbps", 0.0),
                min(max(number("overlap", 0.0), 0.0), 1.0),
                number("checkpoint_gb", 0.0),
                number("checkpoint_every_s", 0.0),
                algorithm,
                max(number("utilisation", 0.8), 0.01),
            )


def _places(site: Site, fabric: Fabric) -> list[tuple[int, int]]:
    """Sort key of every server: its first switch, then its own number."""
    keys = []
    for row, tag in enumerate(site.tags("server")):
        around = fabric.neighbours(tag)
        keys.append((fabric.node[around[0]] if around else -1, row))
    return keys
