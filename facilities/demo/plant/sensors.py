"""Instruments: what a source reports is the true value, lagged, noisy and rounded to its step."""

import math

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]

SPIKE_STEPS = 80.0  # assumed height of a loose contact's spike, in steps of the precision
SPIKE_SHARE = 0.05  # assumed share of readings that it hits
DRIFT_STEPS_PER_S = 0.1  # assumed; 0.6 °C a minute at 0.1 °C, quick enough to watch
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
        self._rows = {tag: row for row, tag in enumerate(self.tags)}
        #: What is wrong with an instrument, by tag (`Conditions.instruments`).
        self.faults: dict[str, str] = {}
        self._drifted: dict[str, float] = {}
        self._stuck: dict[str, float] = {}

    def step(self, dt_s: float, *, values: dict[tuple[str, str], Floats]) -> None:
        """Let every instrument follow the true values for dt_s seconds."""
        true = np.empty(len(self.tags))
        for key, places in self._places.items():
            true[places] = values[key]
        self._drifted = {
            tag: self._drifted.get(tag, 0.0) + dt_s * DRIFT_STEPS_PER_S
            for tag, what in self.faults.items()
            if what == "drift"
        }
        if self._lagged is None:
            self._lagged = true
            return
        keep = np.where(self._tau_s > 0, np.exp(-dt_s / np.maximum(self._tau_s, 1e-9)), 0.0)
        self._lagged = true + (self._lagged - true) * keep

    def read(self) -> list[float]:
        """What the instruments report now, in the order of `tags`; call `step` first.

        NaN is an instrument that says nothing.
        """
        if self._lagged is None:
            raise RuntimeError("no instrument has a value yet: call step() before read()")
        noise = self._rng.normal(0.0, NOISE_STEPS, len(self.tags)) * self._precision
        # An instrument that reads exactly zero measures nothing that could be noisy.
        noisy = np.where(self._exact | (self._lagged == 0.0), self._lagged, self._lagged + noise)
        stepped = np.round(noisy / self._precision) * self._precision
        for tag, steps in self._drifted.items():
            stepped[self._rows[tag]] += round(steps) * self._precision[self._rows[tag]]
        inside = np.clip(stepped, self._minimum, self._maximum)
        values = [
            round(float(value), digits) for value, digits in zip(inside, self._digits, strict=True)
        ]
        self._fail(values)
        return values

    def _fail(self, values: list[float]) -> None:
        """Replace what failed instruments report."""
        self._stuck = {
            tag: self._stuck.get(tag, values[self._rows[tag]])
            for tag, what in self.faults.items()
            if what == "stuck"
        }
        for tag, value in self._stuck.items():
            values[self._rows[tag]] = value
        for tag, what in self.faults.items():
            row = self._rows[tag]
            if what == "silent":
                values[row] = math.nan
            elif what == "spikes" and self._rng.random() < SPIKE_SHARE:
                spike = values[row] + SPIKE_STEPS * float(self._precision[row])
                values[row] = round(min(spike, float(self._maximum[row])), self._digits[row])
