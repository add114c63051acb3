"""A plant without a clock, its instruments, and the alarms that they would raise."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.faults import FaultBook
from facilities.demo.plant.judge import Judge
from facilities.demo.plant.physics import Plant, Settings
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WARM_UP_S = 900  # simulated before the first reading, so that a start is no event


@dataclass
class Offline:
    """Steps as fast as it can; `readings` are the last ones by tag. A copy shares the facility."""

    facility: FacilitySpec
    seed: int = 7
    start: datetime = START
    step_s: float = 1.0
    settings: Settings = field(default_factory=Settings)
    plant: Plant = field(init=False)
    readings: dict[str, float] = field(init=False, default_factory=dict)
    elapsed_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.plant = Plant(self.facility, seed=self.seed, settings=self.settings)
        self.sensors = Sensors(self.facility, seed=self.seed + 1)
        self.book = FaultBook(self.facility)
        self.forget_alarms()
        self.elapsed_s = -float(WARM_UP_S)
        self.run(WARM_UP_S)
        self.forget_alarms()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self.facility)] = self.facility  # read only, and thousands of objects
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(v, memo) for name, v in vars(self).items()})
        return twin

    @property
    def open(self) -> set[tuple[str, str]]:
        """The alarms that hold now, as (rule, tag)."""
        return self._judge.open

    @property
    def raised(self) -> dict[tuple[str, str], float]:
        """When each alarm first held, s."""
        return self._judge.raised

    def forget_alarms(self) -> None:
        """Judge from now on as if nothing had been."""
        self._judge = Judge(self.facility)

    def fail(self, *names: str, severity: float | None = None, over_s: float | None = None) -> None:
        """Make exactly these faults present."""
        self.book.clear()
        for name in names:
            self.book.inject(name, now_s=self.elapsed_s, severity=severity, over_s=over_s)

    def run(self, seconds: float) -> None:
        """Step; instruments are read and rules judged every two seconds."""
        read: NDArray[np.float64] | None = None
        for _ in range(round(seconds / self.step_s)):
            self.elapsed_s += self.step_s
            conditions = self.book.conditions(self.elapsed_s)
            self.plant.conditions = conditions
            self.sensors.faults = conditions.instruments
            self.plant.step(self.step_s, at=self.start + timedelta(seconds=self.elapsed_s))
            self.book.restarted(self.plant.take_restarted())
            self.sensors.step(self.step_s, values=self.plant.values())
            if self.elapsed_s % 2 == 0:
                read = self.sensors.read_array()
                self._judge.judge(read, now_s=self.elapsed_s)
                self.took(read)
        if read is not None:
            self.readings = dict(zip(self.sensors.tags, np.round(read, 6).tolist(), strict=True))

    def took(self, read: NDArray[np.float64]) -> None:
        """Called with every reading of all instruments, (points,), NaN for a silent one."""

    def hottest_inlet_c(self) -> float:
        """Of the last readings."""
        return max(
            v for tag, v in self.readings.items() if tag.startswith("rack-") and "inlet_c" in tag
        )
