"""Instruments: what a source reports is the true value, lagged, biased, noisy and rounded."""

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.conditions import Ailment
from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]

SPIKE_STEPS = 80.0  # assumed height of a loose contact's spike, in steps of the precision
NOISE_STEPS = 0.4  # assumed standard deviation of the noise, in steps of the precision
BIAS_K = 0.06  # assumed standard deviation of what calibration left in a temperature, K
BIAS_MOST_K = 0.14  # assumed, beyond it an instrument is calibrated again
METER_SHARE = 0.003  # assumed standard deviation of a power meter's gain, class 0.5


class Sensors:
    """First-order lag with each point's tau, small biases, quantisation and range.

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
        digits = [
            max(0, len(f"{point.precision:.6f}".rstrip("0").split(".")[1])) for point in points
        ]
        #: (decimals, rows with that many), to write 21.3 and not 21.300000000000001
        self._digits = [
            (count, np.flatnonzero(np.array(digits) == count)) for count in sorted(set(digits))
        ]
        order: dict[tuple[str, str], list[int]] = {}
        for index, point in enumerate(points):
            order.setdefault((point.kind, point.quantity), []).append(index)
        #: (kind, quantity) -> where those points stand in the vector, in file order of the assets.
        self._places = {key: np.array(indexes) for key, indexes in order.items()}
        self._rng = np.random.default_rng(seed)
        self._bias, self._gain = self._calibrated(facility, np.random.default_rng((seed, 3)))
        self._lagged: Floats | None = None
        self._rows = {tag: row for row, tag in enumerate(self.tags)}
        self._keep: dict[float, Floats] = {}
        #: What is wrong with an instrument, by tag (`Conditions.instruments`).
        self.faults: dict[str, Ailment] = {}
        self._stuck: dict[str, float] = {}

    def step(self, dt_s: float, *, values: dict[tuple[str, str], Floats]) -> None:
        """Let every instrument follow the true values for dt_s seconds."""
        true = self.vector(values)
        if self._lagged is None:
            self._lagged = true
            return
        keep = self._keep.get(dt_s)
        if keep is None:
            tau_s = np.maximum(self._tau_s, 1e-9)
            keep = self._keep[dt_s] = np.where(self._tau_s > 0, np.exp(-dt_s / tau_s), 0.0)
        for tag, ailment in self.faults.items():
            if ailment.kind == "lag":
                row = self._rows[tag]
                keep = keep.copy()
                keep[row] = np.exp(-dt_s / (self._tau_s[row] + ailment.amount))
        self._lagged = true + (self._lagged - true) * keep

    def vector(self, values: dict[tuple[str, str], Floats]) -> Floats:
        """Values by kind and quantity as one vector in the order of `tags`."""
        vector = np.empty(len(self.tags))
        for key, places in self._places.items():
            vector[places] = values[key]
        return vector

    def read(self) -> list[float]:
        """What the instruments report now, in the order of `tags`; call `step` first.

        NaN is an instrument that says nothing.
        """
        values: list[float] = self.read_array().tolist()
        return values

    def read_array(self) -> Floats:
        """`read` as an array, shape (points,)."""
        if self._lagged is None:
            raise RuntimeError("no instrument has a value yet: call step() before read()")
        noise = self._rng.normal(0.0, NOISE_STEPS, len(self.tags)) * self._precision
        # An instrument that reads exactly zero measures nothing that could be noisy.
        quiet = self._exact | (self._lagged == 0.0)
        told = np.where(quiet, self._lagged, self._lagged * self._gain + self._bias + noise)
        for tag, ailment in self.faults.items():
            if ailment.kind in ("drift", "offset"):
                told[self._rows[tag]] += ailment.amount
        stepped = np.round(told / self._precision) * self._precision
        values = np.clip(stepped, self._minimum, self._maximum)
        for digits, rows in self._digits:
            values[rows] = np.round(values[rows], digits)
        self._fail(values)
        return values

    def _fail(self, values: Floats) -> None:
        """Replace what failed instruments report."""
        self._stuck = {
            tag: self._stuck.get(tag, float(values[self._rows[tag]]))
            for tag, ailment in self.faults.items()
            if ailment.kind == "stuck"
        }
        for tag, value in self._stuck.items():
            values[self._rows[tag]] = value
        for tag, ailment in self.faults.items():
            row = self._rows[tag]
            hit = ailment.kind in ("dropout", "spikes") and self._rng.random() < ailment.amount
            if ailment.kind == "silent" or (hit and ailment.kind == "dropout"):
                values[row] = np.nan
            elif hit:
                spike = values[row] + SPIKE_STEPS * self._precision[row]
                values[row] = np.round(min(spike, self._maximum[row]), 6)

    def _calibrated(
        self, facility: FacilitySpec, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Bias of each temperature and gain of each power meter, as the last calibration left it."""
        count = len(facility.points)
        bias = np.clip(rng.normal(0.0, BIAS_K, count), -BIAS_MOST_K, BIAS_MOST_K)
        gain = 1.0 + rng.normal(0.0, METER_SHARE, count)
        celsius = np.array(
            [point.unit == "Cel" and point.precision < 1 for point in facility.points]
        )
        watts = np.array([point.unit == "W" for point in facility.points])
        return np.where(celsius, bias, 0.0), np.where(watts, gain, 1.0)
