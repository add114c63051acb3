"""Alarm rules of facility.yaml over simulated readings: raise after a delay, clear past `clear`."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from facilities.demo.plant.faults import conditions_of
from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.sensors import Sensors

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Offline:
    """A plant stepped without a clock, its instruments, and the alarms they would raise."""

    facility: FacilitySpec
    plant: Plant = field(init=False)
    readings: dict[str, float] = field(init=False, default_factory=dict)
    open: set[tuple[str, str]] = field(init=False, default_factory=set)
    raised: dict[tuple[str, str], float] = field(init=False, default_factory=dict)
    elapsed_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.plant = Plant(self.facility, seed=7)
        self._sensors = Sensors(self.facility, seed=8)
        self._over: dict[tuple[str, str], float] = {}
        by_kind: dict[tuple[str, str], list[str]] = {}
        for point in self.facility.points:
            by_kind.setdefault((point.kind, point.quantity), []).append(point.tag)
        self._watch = [
            (rule, tag)
            for rule in self.facility.rules
            if rule.get("type", "threshold") == "threshold"
            for tag in (
                [rule["point"]] if "point" in rule else by_kind[rule["kind"], rule["quantity"]]
            )
        ]
        self.run(900)
        self.elapsed_s = 0.0

    def fail(self, *names: str) -> None:
        self.plant.conditions = conditions_of(names, self.facility)
        self._sensors.faults = self.plant.conditions.instruments

    def run(self, seconds: int) -> None:
        """Step second by second; instruments are read and rules judged every two seconds."""
        for _ in range(seconds):
            self.elapsed_s += 1.0
            self.plant.step(1.0, at=START + timedelta(seconds=self.elapsed_s))
            self._sensors.step(1.0, values=self.plant.values())
            if self.elapsed_s % 2 == 0:
                self.readings = dict(zip(self._sensors.tags, self._sensors.read(), strict=True))
                self._judge()

    def hottest_inlet_c(self) -> float:
        return max(
            v for tag, v in self.readings.items() if tag.startswith("rack-") and "inlet_c" in tag
        )

    def _judge(self) -> None:
        for rule, tag in self._watch:
            value, key = self.readings[tag], (rule["name"], tag)
            sign = 1.0 if "above" in rule else -1.0
            limit = rule["above"] if sign > 0 else rule["below"]
            if sign * (value - limit) > 0:
                since = self._over.setdefault(key, self.elapsed_s)
                if self.elapsed_s - since >= rule["delay_s"] and key not in self.open:
                    self.open.add(key)
                    self.raised.setdefault(key, self.elapsed_s)
            else:
                self._over.pop(key, None)
                if key in self.open and sign * (value - rule["clear"]) < 0:
                    self.open.discard(key)
