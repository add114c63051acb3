"""Leaf-spine links: utilisation from the GPU jobs, symbol errors, capacity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkParameters:
    """Constants of the network."""

    traffic_share: float = 0.45  # assumed: link load at full GPU utilisation, of rated capacity
    healthy_errors_per_s: float = 0.1  # assumed background of an optical link


class Network:
    """Links in file order; each leaf spreads its servers' traffic evenly over the spines."""

    def __init__(
        self, facility: FacilitySpec, *, parameters: NetworkParameters, rng: np.random.Generator
    ) -> None:
        self.p = parameters
        self._rng = rng
        servers = facility.of_kind("server")
        leaves = [str(link.attributes["from"]) for link in facility.of_kind("link")]
        #: link x server: mean over the servers behind the link's leaf.
        behind = np.array([[s.attributes["leaf"] == leaf for s in servers] for leaf in leaves])
        self._behind = behind / np.maximum(behind.sum(axis=1, keepdims=True), 1)
        self.util = np.zeros(len(leaves))
        self.errors_per_s = np.zeros(len(leaves))
        self.up = np.ones(len(leaves))

    def step(self, *, server_util: Floats, capacity: Floats, added_errors: Floats) -> None:
        """Take the servers' mean GPU utilisation (0..1) and the links' remaining capacity."""
        self.up = np.where(capacity > 0, 1.0, 0.0)
        load = self.p.traffic_share * (self._behind @ server_util)
        self.util = np.where(capacity > 0, np.minimum(load / np.maximum(capacity, 1e-6), 1.0), 0.0)
        mean = self.p.healthy_errors_per_s + added_errors
        self.errors_per_s = self._rng.poisson(mean).astype(float) * self.up
