"""How well a quantity is predicted: CV(RMSE) and NMBE, judged by ASHRAE Guideline 14."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from facilities.twin.site import Floats

HOURLY: Final = (30.0, 10.0)
"""CV(RMSE) and NMBE in % for hourly data: ASHRAE Guideline 14 (as cited in the reference)."""

MONTHLY: Final = (15.0, 5.0)
"""The same for monthly data."""


class Fitness(NamedTuple):
    """Of one quantity over all its assets. ``mean`` is of the measured values: temperatures are in
    °C, so CV is relative to the mean above 0 °C, and ``rmse`` (K) says more.
    """

    samples: int
    mean: float
    rmse: float
    cv_rmse_pct: float | None
    nmbe_pct: float | None
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def fitness(samples: int, total: float, error: float, square: float) -> Fitness:
    """From sums of the measured values, of predicted - measured, and of its square.

    CV(RMSE) = √(Σe²/n) / mean, NMBE = Σe / (n mean). A mean of 0 has neither and does not pass,
    unless nothing was ever wrong.
    """
    if samples == 0:
        return Fitness(0, 0.0, 0.0, None, None, False)
    mean, rmse = total / samples, float(np.sqrt(square / samples))
    if abs(mean) < 1e-9:
        return Fitness(samples, mean, rmse, None, None, rmse < 1e-9)
    cv, bias = 100.0 * rmse / abs(mean), 100.0 * error / samples / abs(mean)
    return Fitness(samples, mean, rmse, cv, bias, cv <= HOURLY[0] and abs(bias) <= HOURLY[1])


@dataclass
class Score:
    """Sums by quantity (``rack.inlet_c``): samples, Σ measured, Σ error, Σ error²."""

    sums: dict[str, Floats] = field(default_factory=dict)

    def add(self, quantity: str, measured: Floats, predicted: Floats) -> None:
        """Take one moment's values of all assets; NaN on either side is left out."""
        error = predicted - measured
        known = np.isfinite(error)
        if not known.any():
            return
        error, shown = error[known], measured[known]
        new = np.array([len(error), shown.sum(), error.sum(), (error**2).sum()])
        self.sums[quantity] = self.sums.get(quantity, np.zeros(4)) + new

    def merged(self, other: Score) -> Score:
        """The sum of both."""
        names = self.sums.keys() | other.sums.keys()
        zero = np.zeros(4)
        return Score({n: self.sums.get(n, zero) + other.sums.get(n, zero) for n in names})

    def results(self) -> dict[str, Fitness]:
        """Fitness by quantity, in order of name."""
        return {
            name: fitness(int(s[0]), float(s[1]), float(s[2]), float(s[3]))
            for name, s in sorted(self.sums.items())
        }

    def to_json(self) -> dict[str, list[float]]:
        """For storing."""
        return {name: sums.tolist() for name, sums in self.sums.items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, list[float]]) -> Score:
        """The inverse of ``to_json``."""
        return cls({name: np.array(sums, dtype=np.float64) for name, sums in stored.items()})
