"""When a threshold rule raises and clears. Pure: values in, state out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from facilities.models.alarm import Comparator


class Phase(Enum):
    """Where a rule stands on one point."""

    NORMAL = "normal"
    PENDING = "pending"
    ACTIVE = "active"


class State(NamedTuple):
    """Phase, and since when the condition holds (reading time; None when normal)."""

    phase: Phase
    since: datetime | None = None


NORMAL = State(Phase.NORMAL)


@dataclass(frozen=True, slots=True)
class Levels:
    """The numbers of a rule, in the unit of the point; ``delay_s`` in seconds of reading time."""

    comparator: str
    raise_level: float
    clear_level: float
    delay_s: float

    def is_abnormal(self, value: float) -> bool:
        """Whether the value is past the raise level."""
        if self.comparator == Comparator.ABOVE:
            return value > self.raise_level
        return value < self.raise_level

    def is_clear(self, value: float) -> bool:
        """Whether an active alarm may clear at the value."""
        if self.comparator == Comparator.ABOVE:
            return value <= self.clear_level
        return value >= self.clear_level

    def is_worse(self, value: float, than: float) -> bool:
        """Whether the value is further into the abnormal side."""
        return value > than if self.comparator == Comparator.ABOVE else value < than


def step(levels: Levels, state: State, *, ts: datetime, value: float) -> State:
    """Return the state after one reading.

    Normal becomes pending when the value passes the raise level, pending becomes active once the
    condition has lasted ``delay_s`` by the readings' own time, and active ends only at the clear
    level, so a value that hovers between the two levels changes nothing.
    """
    if state.phase is Phase.ACTIVE:
        return NORMAL if levels.is_clear(value) else state
    if not levels.is_abnormal(value):
        return NORMAL
    since = state.since if state.since is not None else ts
    if ts - since >= timedelta(seconds=levels.delay_s):
        return State(Phase.ACTIVE, since)
    return State(Phase.PENDING, since)
