"""What the board consists of: components, and cells that say how they know what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How a need stands. Unknown is a state of its own and says what to do."""

    OK = "ok"
    ATTENTION = "attention"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Evidence(NamedTuple):
    """Where to look: a path of this product."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One need of one component.

    ``value`` is for people; ``how`` says how it was computed and ``basis`` from what. ``advice``
    says what to do unless the state is ok. ``details`` are further sentences.
    """

    key: str
    need: str
    value: str
    state: State
    how: str
    basis: str
    at: datetime
    advice: str = ""
    evidence: tuple[Evidence, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """One of the six components, with its *stability* and *performance* first."""

    key: str
    title: str
    cells: Sequence[Cell] = field(default_factory=tuple)

    @property
    def state(self) -> State:
        """The worst of its cells; unknown counts as attention."""
        states = {cell.state for cell in self.cells}
        for state in (State.FAIL, State.ATTENTION, State.UNKNOWN):
            if state in states:
                return state
        return State.OK


def share_state(share: float | None, *, ok: float, fail: float) -> State:
    """State of a share that should be high: at least ``ok``, below ``fail`` it fails."""
    if share is None:
        return State.UNKNOWN
    return State.OK if share >= ok else State.FAIL if share < fail else State.ATTENTION


def number(value: float, digits: int = 3) -> str:
    """A number as people read it: 1,234 · 12.3 · 0.004."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """A time span as people say it: 40 s, 12 min, 5 h, 3.2 days."""
    for limit, factor, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / factor:.3g} {name}"
    return f"{seconds / 86_400:,.3g} days"


def size(octets: float) -> str:
    """Bytes as people read them, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(octets) < 1000 or unit == "TB":
            return f"{octets:.3g} {unit}"
        octets /= 1000
    raise AssertionError("unreachable")


def bits(per_s: float) -> str:
    """Bits per second as people read them."""
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if abs(per_s) < 1000 or unit == "Gbit/s":
            return f"{per_s:.3g} {unit}"
        per_s /= 1000
    raise AssertionError("unreachable")
