"""Leaf-spine links: utilisation from what the jobs send, symbol errors, capacity, flapping."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class NetworkParameters:
    """Constants of the network."""

    healthy_errors_per_s: float = 0.1  # assumed background of an optical link
    control_share: float = 0.004  # assumed: routing, monitoring, heartbeats
    burst: float = 0.03  # assumed relative standard deviation of a second's traffic
    flap_up_s: float = 18.0  # assumed
    flap_down_s: float = 12.0  # assumed


class Network:
    """Links in file order; a leaf spreads its traffic evenly over its live uplinks."""

    def __init__(
        self, facility: FacilitySpec, *, parameters: NetworkParameters, rng: np.random.Generator
    ) -> None:
        self.p = parameters
        self._rng = rng
        leaves = [leaf.tag for leaf in facility.of_kind("leaf")]
        links = facility.of_kind("link")
        self._leaf = np.array([leaves.index(str(k.attributes["from"])) for k in links])
        self._rated_gb_s = np.array([float(k.attributes["capacity_gbps"]) / 8.0 for k in links])
        self._leaves = len(leaves)
        self._flap_s = 0.0
        self.util = np.zeros(len(links))
        self.errors_per_s = np.zeros(len(links))
        self.up = np.ones(len(links))
        self.capacity = np.ones(len(links))
        self.uplinks: Floats = np.full(len(leaves), 2.0)
        self.weakest: Floats = np.ones(len(leaves))

    def settle(self, dt_s: float, *, enabled: Floats, capacity: Floats, flapping: Flags) -> None:
        """What the links can carry now; ``capacity`` is the share left, 0 is down."""
        p = self.p
        self._flap_s = (self._flap_s + dt_s) % (p.flap_up_s + p.flap_down_s)
        down = flapping & (self._flap_s >= p.flap_up_s)
        self.capacity = np.where(down | (enabled < 0.5), 0.0, capacity)
        self.up = (self.capacity > 0).astype(float)
        live_uplinks = np.bincount(self._leaf, weights=self.up, minlength=self._leaves)
        self.uplinks = np.asarray(live_uplinks, dtype=float)
        self.weakest = np.ones(self._leaves)
        live = self.capacity > 0
        np.minimum.at(self.weakest, self._leaf[live], self.capacity[live])

    def carry(self, *, leaf_gb_s: Floats, added_errors: Floats) -> None:
        """Take what the servers of each leaf send, GB/s."""
        share_gb_s = (leaf_gb_s / np.maximum(self.uplinks, 1.0))[self._leaf]
        burst = 1.0 + self.p.burst * self._rng.standard_normal(len(self.up))
        load = share_gb_s * burst / self._rated_gb_s + self.p.control_share
        left = np.maximum(self.capacity, 1e-6)
        self.util = np.where(self.up > 0, np.clip(load / left, 0.0, 1.0), 0.0)
        mean = self.p.healthy_errors_per_s + added_errors
        self.errors_per_s = self._rng.poisson(mean).astype(float) * self.up
