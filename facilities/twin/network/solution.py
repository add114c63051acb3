"""What the fabric gives every group: the part of the model that changes only with the fabric."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from ..site import Flags, Floats, Ints
from .constants import NetworkConstants
from .jobs import Jobs
from .plan import Plan
from .sharing import max_min
from .topology import Fabric


class Solution(NamedTuple):
    """Per group, shape (members, groups), until links, servers or background change."""

    comm_s: Floats  # communication between servers in a step; infinite without a path
    data_s: Floats  # reading a step's data
    pause_share: Floats  # time in checkpoints over time in steps
    between_gbps: Floats  # what a server gets towards the others
    bottleneck: Ints  # arc that holds the group back, -1: none
    servers: Floats  # servers in service
    link_gb: list[tuple[Ints, Floats | csr_array]]  # members of each pattern, its plan's link load
    out: Flags | None  # (members, gpus of jobs): server not in service; None where all are


def arc_capacity(fabric: Fabric, jobs: Jobs, constants: NetworkConstants, share: Floats) -> Floats:
    """Usable Gb/s of every arc, shape (members, arcs), for links at ``share`` (members, links).

    What enters or leaves a server passes PCIe as well.
    """
    edges = fabric.link_row
    health = np.ones((len(share), len(edges)))
    placed = edges >= 0
    health[:, placed] = share[:, edges[placed]]
    usable = np.repeat(health, 2, axis=1) * fabric.rated_gbps
    usable = usable * np.asarray(constants.fabric_share)
    rows = [jobs.site.place[tag] for tag in fabric.nodes]
    gpus = np.array(
        [jobs.gpus_of_server[place.row] if place.kind == "server" else np.inf for place in rows]
    )
    gpus = np.where(gpus > 0, gpus, np.inf)
    ports = np.bincount(fabric.tail, minlength=len(fabric.nodes))
    pcie = gpus / np.maximum(ports, 1) * 8  # Gb/s for each of the server's ports, per GB/s
    limit = np.minimum(pcie[fabric.tail], pcie[fabric.head])
    return np.minimum(usable, limit * np.asarray(constants.pcie_gb_s))


def solve(
    plan: Plan,
    jobs: Jobs,
    constants: NetworkConstants,
    capacity_gbps: Floats,
    background: Floats,
    inner: Flags,
    crossings: Floats,
) -> Solution:
    """Communication times under one plan.

    ``capacity_gbps`` and ``background`` (Gb/s of other traffic) are (members, arcs). Data and
    checkpoints take their mean from every arc first; collectives share the rest as if all were
    active at once (max-min fair), which is the slowest they can be. Between switches, on the arcs
    ``inner``, they send ``crossings`` (members, 1) times what servers in order would.
    """
    servers = plan.servers[None]
    members = len(capacity_gbps)
    free = np.maximum(capacity_gbps - background, 0.05 * capacity_gbps)
    with np.errstate(divide="ignore", invalid="ignore"):
        # storage: time alone on the path, limited by the storage system itself too
        save_s = _slowest(plan.checkpoint.worst, free)
        data_s = _slowest(plan.data.worst, free)
        sizes = jobs.column("checkpoint_gb"), jobs.column("data_gb")
        save_s = np.maximum(save_s, sizes[0] / _storage_limits(jobs, "write_gb_s"))
        data_s = np.maximum(data_s, sizes[1] / _storage_limits(jobs, "read_gb_s"))
        every = jobs.column("checkpoint_every_s")
        saves = (every > 0) & (sizes[0] > 0) & (servers > 0)
        pause = np.where(saves, save_s / np.maximum(every, 1e-9), 0.0)
        pause = np.where(saves & plan.checkpoint.blocked, np.inf, pause)
        data_s = np.where((sizes[1] > 0) & plan.data.blocked, np.inf, data_s)
        ideal_s = jobs.column("compute_s")[0]
        per_s = np.divide(1.0, every[0], out=np.zeros_like(ideal_s), where=every[0] > 0)
        loading = plan.data.load.T @ (1.0 / ideal_s) + plan.checkpoint.load.T @ per_s
        loading = loading + np.asarray(plan.stream.load.sum(axis=0)).reshape(-1)
        left = np.maximum(free - loading, 0.05 * free)
        left = np.where(inner, left / crossings, left)
        sent = np.where(plan.sent_gb > 0, plan.sent_gb, 1.0)
        rates = max_min(csr_array(plan.collective.worst.multiply(1 / sent[:, None])), left)
        comm_s = np.where(plan.sent_gb > 0, plan.sent_gb / rates.gbps, 0.0)
        comm_s = comm_s + plan.between_steps * np.asarray(constants.fabric_alpha_s)
        comm_s = np.where(plan.collective.blocked, np.inf, comm_s)
    full = np.broadcast_to
    return Solution(
        full(comm_s, (members, len(plan.servers))),
        full(data_s, (members, len(plan.servers))),
        full(pause, (members, len(plan.servers))),
        np.where(plan.sent_gb > 0, rates.gbps, 0.0),
        rates.bottleneck,
        full(servers, (members, len(plan.servers))),
        [(np.arange(members), plan.link_gb)],
        None,
    )


def _slowest(load_gb: csr_array, capacity_gbps: Floats) -> Floats:
    """(members, groups): seconds until the slowest arc has carried its load."""
    result = np.zeros((len(capacity_gbps), load_gb.shape[0]))
    rows = np.nonzero(np.diff(load_gb.indptr))[0]
    if len(rows):
        times = load_gb.data / capacity_gbps[:, load_gb.indices]
        result[:, rows] = np.maximum.reduceat(times, load_gb.indptr[rows], axis=1)
    return result


def _storage_limits(jobs: Jobs, name: str) -> Floats:
    """(1, groups): GB/s that each group's storage takes or gives; unlimited where not said."""
    rates = dict(
        zip(jobs.site.tags("storage"), jobs.site.attribute("storage", name, np.inf), strict=True)
    )
    found = [sum(rates[tag] for tag in stores) or np.inf for stores in jobs.stores]
    return np.array([found], dtype=np.float64).reshape(1, -1)


def inside_time_s(jobs: Jobs, constants: NetworkConstants) -> tuple[Floats, Floats]:
    """Over NVLink, (members or 1, groups): what tensor parallelism moves in a step (``tensor_gb``
    per GPU on the wire), and the reduce-scatter and all-gather around what goes between servers.
    """
    gpus = np.array([[jobs.gpus_of_server[group.servers[0]] for group in jobs.groups]])
    gpus = np.maximum(gpus.reshape(1, -1), 1.0)
    share = (gpus - 1) / gpus
    pace, alpha = np.asarray(constants.nvlink_gb_s), np.asarray(constants.nvlink_alpha_s)
    several = (gpus > 1).astype(np.float64)
    tensor = jobs.column("tensor_gb")
    inside = tensor / pace + (tensor > 0) * several * 2 * (gpus - 1) * alpha
    gradients = jobs.column("allreduce_gb")
    around = 2 * share * gradients / pace + (gradients > 0) * several * 2 * (gpus - 1) * alpha
    return inside, around


def merged(whole: Solution | None, part: Solution, rows: Ints, members: int) -> Solution:
    """Put the members ``rows`` of one pattern beside those of the others."""
    part = part._replace(link_gb=[(rows, part.link_gb[0][1])])
    if len(rows) == members:
        return part
    columns: list[Any] = []
    for name in Solution._fields[:6]:
        value = getattr(part, name)
        into = (
            getattr(whole, name)
            if whole is not None
            else np.zeros((members, value.shape[1]), dtype=value.dtype)
        )
        into[rows] = value
        columns.append(into)
    before = whole.link_gb if whole is not None else []
    return Solution._make([*columns, [*before, *part.link_gb], None])
