"""One case as it happens: the plant up to the moment when somebody has to look, and on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from approvals.evaluation.cases import HEALTHY, Case
from approvals.evaluation.harm import Harm, harm_of
from approvals.evaluation.recorded import STEP_S, healthy_plant
from facilities.demo.plant.points import FacilitySpec, read_facility


class PlantRun:
    """The plant of a case. Made, it has run to the first alarm, or as long as the case says.

    Times are plant seconds since the fault (of a healthy run since the end of its history). About a
    second of one core for twenty minutes of the plant.
    """

    def __init__(self, case: Case, facility: FacilitySpec | None = None) -> None:
        from approvals.evaluation.deliver import Delivery  # Django only where it is needed

        self.case = case
        self.sim = healthy_plant(case, facility or read_facility())
        self._began_s = self.sim.elapsed_s
        self.alarm_s: float | None = None
        judged = case.group in (HEALTHY, "Instruments")
        self._delivery = Delivery(self.sim, judged=judged)
        if case.fault:
            self.sim.fail(case.fault, severity=case.severity, over_s=case.over_s)
        while self.alarm_s is None and self.at_s < case.look_after_s:
            self.step(STEP_S)

    @property
    def at_s(self) -> float:
        """Now."""
        return self.sim.elapsed_s - self._began_s

    @property
    def open(self) -> set[tuple[str, str]]:
        """The alarms (rule, point) that hold now, by the plant's own judge."""
        return self.sim.open

    def step(self, seconds: float) -> None:
        """Go on."""
        self.sim.run(seconds)
        if self.alarm_s is None and self.sim.raised:
            self.alarm_s = min(self.sim.raised.values()) - self._began_s

    def write(self, tag: str, value: float) -> None:
        """Let the plant obey; KeyError for what is no setpoint."""
        self.sim.plant.write(tag, value)

    def deliver(self, *, now: datetime) -> list[int]:
        """Make the database look as if it were now; see ``Delivery.deliver``."""
        return self._delivery.deliver(now=now)

    def follow_twin(self, *, now: datetime, minutes: float = 10.0) -> int:
        """Let the twin follow what was delivered at ``now``; see ``Delivery.follow_twin``."""
        return self._delivery.follow_twin(now=now, minutes=minutes)

    def harm(self, writes: Sequence[Mapping[str, Any]], *, minutes: float = 20.0) -> Harm:
        """What these writes, made now, would do to the plant over the next minutes. 3 s."""
        return harm_of(self.sim, writes, horizon_s=60.0 * minutes)
