"""Loads of every connection, cables too, for pages."""

from __future__ import annotations

import numpy as np

from ..drive import Drive
from ..site import Floats
from .model import Network
from .state import NetworkState


def edge_loads(network: Network, state: NetworkState, drive: Drive) -> Floats:
    """Mean Gb/s of the fuller direction of every edge of the fabric, shape (edges,), first member.

    Link assets carry what the state says; cables what the jobs put on them.
    """
    fabric, jobs = network.fabric, network.jobs
    if not fabric.edges:
        return np.zeros(0)
    plan = network.plan(state, drive)
    job_of = np.array([group.job for group in jobs.groups], dtype=np.int64)
    arcs = np.zeros(fabric.arcs)
    if len(job_of):
        running = state.running[0, job_of]
        demand = np.clip(drive["gpu", "demand"][0, jobs.gpus], 0.0, 1.0)
        mean = np.add.reduceat(demand, jobs.starts) / np.maximum(jobs.gpus_per_group, 1)
        asked = mean / jobs.column("utilisation")[0]
        steps = running * asked / state.step_time_s[0, job_of]
        every = jobs.column("checkpoint_every_s")[0]
        saves = running * np.divide(1.0, every, out=np.zeros_like(every), where=every > 0)
        arcs = plan.collective.load.T @ steps + plan.data.load.T @ steps
        arcs = arcs + plan.checkpoint.load.T @ saves + plan.stream.load.T @ running
    both = np.asarray(arcs).reshape(-1, 2).max(axis=1)
    rows = fabric.link_row
    return np.where(rows >= 0, state.link_gbps[0, rows] if state.link_gbps.size else 0.0, both)
