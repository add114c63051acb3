"""A plant without a clock, its instruments, and the alarms that they would raise."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from facilities.demo.plant.faults import FaultBook
from facilities.demo.plant.judge import Judge
from facilities.demo.plant.physics import Plant, Settings
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Offline:
    """Steps as fast as it can; `readings` are the last ones by tag."""

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
        self._judge = Judge(self.facility)
        self.elapsed_s = -900.0
        self.run(900)
        self._judge = Judge(self.facility)

    @property
    def open(self) -> set[tuple[str, str]]:
        return self._judge.open

    @property
    def raised(self) -> dict[tuple[str, str], float]:
        return self._judge.raised

    def fail(self, *names: str, severity: float | None = None, over_s: float | None = None) -> None:
        """Make exactly these faults present."""
        self.book.clear()
        for name in names:
            self.book.inject(name, now_s=self.elapsed_s, severity=severity, over_s=over_s)

    def run(self, seconds: int) -> None:
        """Step; instruments are read and rules judged every two seconds."""
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
        self.readings = dict(zip(self.sensors.tags, np.round(read, 6).tolist(), strict=True))

    def hottest_inlet_c(self) -> float:
        return max(
            v for tag, v in self.readings.items() if tag.startswith("rack-") and "inlet_c" in tag
        )
