"""The plant of a case, in process and without a clock, with the last half hour of its readings."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from approvals.evaluation.cases import Case
from facilities.demo.plant.offline import Offline
from facilities.demo.plant.points import FacilitySpec

Readings = NDArray[np.float64]

STEP_S: Final = 2.0
HISTORY_S: Final = 1200  # healthy, before the fault
FINE_S: Final = 620.0  # kept as they came: the quality tests look at ten minutes
COARSE_S: Final = 10.0  # what is kept of older ones
KEPT_S: Final = 1200.0


class Taken(NamedTuple):
    """All instruments at one time: ``values`` (points,), NaN where one said nothing."""

    at_s: float
    values: Readings


@dataclass
class Recorded(Offline):
    """An ``Offline`` that remembers what its instruments said."""

    step_s: float = STEP_S
    history: list[Taken] = field(init=False, default_factory=list)

    def took(self, read: Readings) -> None:
        """Remember; forget what is older than anybody looks back."""
        self.history.append(Taken(self.elapsed_s, read))
        if len(self.history) % 300 == 0:
            self._thin()

    def _thin(self) -> None:
        fine, old = self.elapsed_s - FINE_S, self.elapsed_s - KEPT_S
        self.history = [
            taken
            for taken in self.history
            if taken.at_s > fine or (taken.at_s > old and taken.at_s % COARSE_S == 0)
        ]


_warmed: dict[object, Recorded] = {}
MOST_WARMED: Final = 3  # plants kept; most cases begin in the same one


def healthy_plant(case: Case, facility: FacilitySpec) -> Recorded:
    """A copy of the warm plant of a case, with its history, before anything breaks. 2 s, or 5 ms
    when a case with the same surroundings ran shortly before.
    """
    key = (id(facility), case.seed, case.start, case.settings, tuple(case.before.items()))
    if key not in _warmed:
        sim = Recorded(facility, seed=case.seed, start=case.start, settings=case.settings)
        for tag, value in case.before.items():
            sim.plant.write(tag, value)
        sim.run(HISTORY_S)
        sim.forget_alarms()
        while len(_warmed) >= MOST_WARMED:
            del _warmed[next(iter(_warmed))]
        _warmed[key] = sim
    return copy.deepcopy(_warmed[key])
