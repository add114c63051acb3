"""State of the network and the jobs."""

from __future__ import annotations

from dataclasses import dataclass

from ..site import Floats
from ..state import PartState


@dataclass
class NetworkState(PartState):
    """Per GPU (members, gpus), per link (members, links), per job (members, jobs).

    A step replaces the arrays, all but ``link_health``, ``background_gbps`` and
    ``crossings``; several states may
    then share them, so they are not to be changed in place.
    """

    gpu_util: Floats
    """Busy share 0..1, for power: waiting in a collective counts as the constant ``spin_share``."""
    busy_ratio: Floats
    """gpu_util over what the GPU was asked for: 1 in the healthy site, less behind a bottleneck."""
    link_gbps: Floats
    """Mean load of the fuller direction."""
    link_capacity_gbps: Floats
    """Rated capacity times health; 0 where the link is down or disabled."""
    link_health: Floats
    """Share of capacity as readings tell it; multiplies the drive ``link.capacity``."""
    background_gbps: Floats
    """Traffic seen on a link that no job explains; negative where the model carries too much."""
    crossings: Floats
    """(members, 1): how often a ring crosses between switches, against servers in order of their
    leaf; estimated from what links carry."""
    step_time_s: Floats
    """Mean step time of a job; the constant ``stalled_s`` while it stands still."""
    throughput: Floats
    """Pace against the healthy site with every server, 0..1 (more than 1 with better routes)."""
    exposed: Floats
    """Share of a step that waits for communication, 0..1."""
    running: Floats
    """1 while the job makes progress."""
