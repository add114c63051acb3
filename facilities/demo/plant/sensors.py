"""Instruments: what a source reports is the true value, lagged, noisy and rounded to its step."""

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]

NOISE_STEPS = 0.4  # assumed standard deviation of the noise, in steps of the precision


class Sensors:
    """First-order lag with each point's tau, quantisation and range of the instrument.

    States and setpoints (points with `enum` or `writable`) pass unchanged: they are reported as
    the controller holds them.
    """

    def __init__(self, facility: FacilitySpec, *, seed: int = 2) -> None:
        points = facility.points
        self.tags = [point.tag for point in points]
        self._tau_s = np.array([point.tau_s for point in points])
        self._precision = np.array([point.precision for point in points])
        self._minimum = np.array([point.minimum for point in points])
        self._maximum = np.array([point.maximum for point in points])
        self._exact = np.array([point.is_state for point in points])
        self._digits = [
            max(0, len(f"{point.precision:.6f}".rstrip("0").split(".")[1])) for point in points
        ]
        order: dict[tuple[str, str], list[int]] = {}
        for index, point in enumerate(points):
            order.setdefault((point.kind, point.quantity), []).append(index)
        #: (kind, quantity) -> where those points stand in the vector, in file order of the assets.
        self._places = {key: np.array(indexes) for key, indexes in order.items()}
        self._rng = np.random.default_rng(seed)
        self._lagged: Floats | None = None

    def step(self, dt_s: float, *, values: dict[tuple[str, str], Floats]) -> None:
        """Let every instrument follow the true values for dt_s seconds."""
        true = np.empty(len(self.tags))
        for key, places in self._places.items():
            true[places] = values[key]
        if self._lagged is None:
            self._lagged = true
            return
        keep = np.where(self._tau_s > 0, np.exp(-dt_s / np.maximum(self._tau_s, 1e-9)), 0.0)
        self._lagged = true + (self._lagged - true) * keep

    def read(self) -> list[float]:
        """What the instruments report now, in the order of `tags`; call `step` first."""
        if self._lagged is None:
            raise RuntimeError("no instrument has a value yet: call step() before read()")
        noise = self._rng.normal(0.0, NOISE_STEPS, len(self.tags)) * self._precision
        # An instrument that reads exactly zero measures nothing that could be noisy.
        noisy = np.where(self._exact | (self._lagged == 0.0), self._lagged, self._lagged + noise)
        stepped = np.round(noisy / self._precision) * self._precision
        inside = np.clip(stepped, self._minimum, self._maximum)
        return [
            round(float(value), digits) for value, digits in zip(inside, self._digits, strict=True)
        ]
