"""What a fault is, the register of all of them, and those that are present."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

Apply = Callable[[Conditions, FacilitySpec, float], None]

GROUPS = ("Cooling", "Power", "Compute", "Network", "Safety", "Instruments")
MAX_OVER_S = 30 * 86_400.0


@dataclass(frozen=True)
class Fault:
    """A named failure, the alarm rules it is sure to raise and the procedure that answers it.

    A failed instrument raises no alarm of the plant: it has ``flags``, the quality tests that find
    it, instead of alarms and a procedure. ``within_s`` is the time in which the alarms come at full
    severity. ``cause`` is the asset that is broken. ``scales``: a severity of 0..1 makes sense, and
    so does development ``over_s`` seconds; without it the fault is there or not.
    ``reset_heals``: a reset of the server that ``cause`` is part of makes it go away.
    """

    name: str
    group: str
    title: str
    cause: str
    alarms: tuple[str, ...]
    procedure: str
    apply: Apply
    flags: tuple[str, ...] = ()
    within_s: int = 150
    scales: bool = False
    over_s: float = 0.0
    reset_heals: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    group: str,
    title: str,
    cause: str,
    alarms: tuple[str, ...] = (),
    procedure: str = "",
    flags: tuple[str, ...] = (),
    within_s: int = 150,
    scales: bool = False,
    over_s: float = 0.0,
    reset_heals: bool = False,
) -> Callable[[Apply], Apply]:
    """Register the decorated function as the effect of fault ``name``."""

    def register(apply: Apply) -> Apply:
        FAULTS[name] = Fault(
            name,
            group,
            title,
            cause,
            alarms,
            procedure,
            apply,
            flags,
            within_s,
            scales,
            over_s,
            reset_heals,
        )
        return apply

    return register


def conditions_of(names: Iterable[str], facility: FacilitySpec) -> Conditions:
    """The equipment's health with all named faults fully developed; KeyError for an unknown one."""
    conditions = Conditions.healthy(facility)
    for name in names:
        FAULTS[name].apply(conditions, facility, 1.0)
    return conditions


def index_of(facility: FacilitySpec, kind: str, tag: str) -> int:
    """Place of an asset in the arrays of its kind."""
    return facility.place(kind, tag)


@dataclass(frozen=True)
class Present:
    """A fault that is present since ``since_s`` and fully developed ``over_s`` later."""

    fault: Fault
    severity: float
    over_s: float
    since_s: float

    def level(self, now_s: float) -> float:
        """How far it has developed, 0..severity."""
        if self.over_s <= 0:
            return self.severity
        return self.severity * min(1.0, max(0.0, (now_s - self.since_s) / self.over_s))


class FaultBook:
    """The faults that are present, and the conditions that they make at a time."""

    def __init__(self, facility: FacilitySpec) -> None:
        self._facility = facility
        self._present: dict[str, Present] = {}
        self._settled = Conditions.healthy(facility)
        self._changed = False

    @property
    def present(self) -> dict[str, Present]:
        return dict(self._present)

    def inject(
        self,
        name: str,
        *,
        now_s: float,
        severity: float | None = None,
        over_s: float | None = None,
    ) -> None:
        """Make a fault present. Raises KeyError for an unknown one, ValueError for a bad number.

        A fault that does not scale refuses a severity below 1 and a development time.
        """
        fault = FAULTS[name]
        severity = 1.0 if severity is None else severity
        over_s = fault.over_s if over_s is None else over_s
        if not 0.0 < severity <= 1.0:
            raise ValueError(f"{name}: severity {severity:g} is not above 0 and at most 1")
        if not 0.0 <= over_s <= MAX_OVER_S:
            raise ValueError(f"{name}: over_s {over_s:g} is not between 0 and {MAX_OVER_S:g}")
        if not fault.scales and (severity < 1.0 or over_s > 0):
            raise ValueError(f"{name} is there or not: it takes no severity and no over_s")
        self._present[name] = Present(fault, severity, over_s, now_s)
        self._changed = True

    def clear(self, name: str | None = None) -> None:
        """Repair one fault, or all; one that is not present is fine."""
        if name is None:
            self._present.clear()
        else:
            self._present.pop(name, None)
        self._changed = True

    def restarted(self, servers: Iterable[str]) -> None:
        """These servers came back from a reset: what a reset heals on them is gone."""
        for server in servers:
            for name, present in self.present.items():
                part = f"{present.fault.cause}-".startswith(f"{server}-")
                if present.fault.reset_heals and part:
                    self.clear(name)

    def conditions(self, now_s: float) -> Conditions:
        """Health of the equipment at a time; the same object while nothing develops."""
        developing = any(
            p.over_s > 0 and now_s - p.since_s <= p.over_s + 10.0 for p in self._present.values()
        )
        if self._changed or developing:
            self._settled = Conditions.healthy(self._facility)
            for present in self._present.values():
                present.fault.apply(self._settled, self._facility, present.level(now_s))
            self._changed = False
        return self._settled
