"""One case as it happens: the plant up to the moment when somebody has to look, and on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from approvals.evaluation.breaks import BreakBook
from approvals.evaluation.cases import HEALTHY, Case
from approvals.evaluation.harm import Harm, harm_of
from approvals.evaluation.recorded import HISTORY_S, STEP_S, healthy_plant
from approvals.evaluation.stock import Stock
from facilities.demo.plant.points import FacilitySpec, read_facility

# Between a first judgement of the instruments and the look: a doubt that stands shorter is no ground.
JUDGED_S = 660.0


class PlantRun:
    """The plant of a case. Made, it has run to the first alarm, or as long as the case says.

    Times are plant seconds since the fault (of a healthy run since the end of its history). About a
    second of one core for twenty minutes of the plant.
    """

    def __init__(
        self,
        case: Case,
        facility: FacilitySpec | None = None,
        *,
        pause: bool = False,
        stock: Stock | None = None,
    ) -> None:
        """``pause``: of a case that is ``judged`` it stops ``JUDGED_S`` before its end, where no
        alarm has come, for a delivery that the quality tests judge; then ``go_on``. ``stock`` may
        have it already.
        """
        from approvals.evaluation.deliver import Delivery  # Django only where it is needed

        self.case = case
        self.judged = case.group in (HEALTHY, "Instruments")
        self._stock = stock or Stock(None)
        self._began_s = float(HISTORY_S)
        self._windows_open = False
        facility = facility or read_facility()
        kept = self._stock.plant(case, facility) if pause else None
        self.sim = kept or healthy_plant(case, facility)
        self._delivery = Delivery(self.sim, judged=self.judged, healthy_until_s=self._began_s)
        self._to_do = [deed for deed in case.does if deed.at_s >= self.at_s]
        self.alarm_s: float | None = None
        if kept is not None:
            self._see_alarms()
            return
        if case.fault:
            self.sim.fail(case.fault, severity=case.severity, over_s=case.over_s)
        elif case.breaks:
            self.sim.book = BreakBook(facility, case.breaks, began_s=self._began_s)
        self._run_to(case.look_after_s - (JUDGED_S if pause and self.judged else 0.0))
        if pause:
            self._stock.keep_plant(case, self.sim)

    def go_on(self) -> None:
        """To the next new alarm or the end of the case, and on to where the agent looks."""
        if self.case.healthy or self.alarm_s is None:
            self._run_to(self.case.look_after_s)
        if self.alarm_s is not None and not self.case.healthy:
            while self.at_s < self.alarm_s + self.case.late_s:
                self.step(STEP_S)

    def pass_on(self, seconds: float, *, looks: int) -> None:
        """To the next look after so many: seconds later, at the next alarm of a healthy run, or, of
        one whose instruments are judged, at its end when the first looks found nothing.
        """
        if self.case.healthy:
            self.go_on()
        elif self.judged and looks >= 2 and not self.ended:
            while not self.ended:
                self.step(STEP_S)
        else:
            self.step(seconds)

    @property
    def ended(self) -> bool:
        """Whether a healthy run has its length."""
        return self.at_s >= self.case.look_after_s

    def _run_to(self, end_s: float) -> None:
        known = len(self.sim.raised)
        while len(self.sim.raised) == known and self.at_s < end_s:
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
        """Go on, and write what people write meanwhile."""
        end_s = self.at_s + seconds
        while self._to_do and self._to_do[0].at_s < end_s:
            deed = self._to_do.pop(0)
            self.sim.run(max(0.0, deed.at_s - self.at_s))
            self.write(deed.tag, deed.value)
        self.sim.run(end_s - self.at_s)
        self._see_alarms()

    def _see_alarms(self) -> None:
        if self.alarm_s is None and self.sim.raised:
            self.alarm_s = min(self.sim.raised.values()) - self._began_s

    def write(self, tag: str, value: float) -> None:
        """Let the plant obey; KeyError for what is no setpoint."""
        self.sim.plant.write(tag, value)

    def deliver(self, *, now: datetime) -> list[int]:
        """Make the database look as if it were now; see ``Delivery.deliver``."""
        if not self._windows_open:
            self._delivery.open_windows(self.case.maintenance, now=now)
            self._windows_open = True
        return self._delivery.deliver(now=now)

    def follow_twin(self, *, now: datetime, minutes: float = 10.0) -> int:
        """Let the twin follow what was delivered at ``now``; see ``Delivery.follow_twin``."""
        return self._delivery.follow_twin(now=now, minutes=minutes)

    def harm(self, writes: Sequence[Mapping[str, Any]], *, minutes: float = 20.0) -> Harm:
        """What these writes, made now, would do to the plant over the next minutes. 3 s.

        A change at an asset that people work on harms whatever comes of it.
        """
        places = {str(w["tag"]).rpartition(".")[0] for w in writes if w.get("body") is None}
        hit = sorted(places & self.case.expect.never)
        if hit:
            return Harm(True, [f"people work on {hit[0]}"])
        return self._stock.harm(
            self.case,
            self.at_s,
            writes,
            lambda: harm_of(self.sim, writes, horizon_s=60.0 * minutes),
        )
