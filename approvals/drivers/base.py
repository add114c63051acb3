"""What a driver is: it plans, writes and confirms one order.

A driver never assumes. A write whose answer is lost is looked up or repeated with its key where the
other side applies a key once, and otherwise reported as `maybe_applied`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from approvals.driver_reach import refusal_of

# How often a waiting driver asks whether it shall stop, s.
STOP_EVERY_S = 0.25


class DriverError(Exception):
    """The plant did not confirm a write.

    `maybe_applied` is True when a request went out and nothing tells what became of it. Where the
    other side took another value than the one ordered, `reads` is what it holds now and `previous`
    what it held before, both in the point's unit.
    """

    def __init__(
        self,
        detail: str,
        *,
        maybe_applied: bool,
        reads: float | None = None,
        previous: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.maybe_applied = maybe_applied
        self.reads = reads
        self.previous = previous


class Order(NamedTuple):
    """One setpoint to write: point tag, value in the point's unit, and the idempotency key.

    `body` makes it an order that is no setpoint (a work order); `value` means nothing then. `fence`
    counts up per asset: another side that knows it refuses an order older than one it has taken.
    `momentary`: the point does not keep what is written (a reset), so reading it tells nothing.
    """

    tag: str
    value: float
    key: str
    body: Mapping[str, Any] | None = None
    fence: int | None = None
    momentary: bool = False

    @property
    def words(self) -> str:
        """The order in messages."""
        return f"the order {self.tag}" if self.body is not None else f"{self.tag} = {self.value:g}"


class WriteResult(NamedTuple):
    """The confirmation.

    `previous` is the value before, None where nothing tells it; `duplicate`: it had been applied
    already; `read_back` is what the point reported after the write, None where it cannot be asked.
    """

    tag: str
    value: float
    previous: float | None
    duplicate: bool
    attempts: int
    response: dict[str, Any]
    read_back: float | None = None


class Seen(NamedTuple):
    """What the other side tells of an order afterwards, in words too.

    `applied` is None where it does not tell.
    """

    applied: bool | None
    detail: str


class Secret:
    """A secret that says when it is read. Whether there is one can be asked without reading it."""

    def __init__(self, value: str, on_read: Callable[[], None] | None = None) -> None:
        self._value = value
        self._on_read = on_read

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(set)" if self else "Secret(none)"

    def read(self) -> str:
        """The value. Whoever watches is told first; where that fails, nothing is read."""
        if self._on_read is not None:
            self._on_read()
        return self._value


def nobody() -> str:
    """Nobody asked to stop."""
    return ""


class Driver(ABC):
    """One way to reach a plant, with the settings of a binding (`approvals/driver_settings.py`).

    `asked_to_stop` says who asked ('' for nobody); it is asked before every repeat and while the
    other side is waited for.
    """

    name: ClassVar[str]

    def __init__(
        self,
        settings: Mapping[str, Any],
        secret: Secret | str = "",
        *,
        asked_to_stop: Callable[[], str] = nobody,
    ) -> None:
        self.settings = settings
        self.secret = Secret(secret) if isinstance(secret, str) else secret
        self.asked_to_stop = asked_to_stop

    @abstractmethod
    def plan(self, order: Order) -> list[str]:
        """What `write` would send, in words and exact addresses. No I/O, no secret.

        Raises DriverError where the settings cannot carry out the order.
        """

    @abstractmethod
    def write(self, order: Order) -> WriteResult:
        """Write, read back where the other side can be asked, and return its confirmation.

        Raises DriverError with a sentence for people.
        """

    def can_repeat(self, order: Order) -> bool:
        """Whether sending it again with the same key, by another worker, cannot apply it twice."""
        return True

    def pause(self, seconds: float) -> str:
        """Wait, but not longer than until somebody asks to stop. Returns who asked, else ''."""
        until = time.monotonic() + seconds
        while not (why := self.asked_to_stop()):
            left = until - time.monotonic()
            if left <= 0:
                return ""
            time.sleep(min(left, STOP_EVERY_S))
        return why

    def look(self, order: Order) -> Seen:
        """Ask afterwards whether an order whose answer was lost was carried out. Writes nothing."""
        return Seen(None, f"the driver {self.name} cannot be asked what became of {order.words}")


def same(one: float, other: float) -> bool:
    """Whether a value read back is the one that was written (devices keep single precision)."""
    return abs(one - other) <= 1e-4 * max(1.0, abs(one), abs(other))


def only_setpoints(order: Order, place: str) -> None:
    """Raise DriverError for an order that is no setpoint."""
    if order.body is not None:
        raise DriverError(
            f"{place} takes setpoints only, {order.words} is none; bind it to a webhook",
            maybe_applied=False,
        )


def only_carried(order: Order, driver: str) -> None:
    """Raise DriverError for a quantity that this kind of driver has no business with."""
    if why := refusal_of(driver, order.tag):
        raise DriverError(f"{order.tag} cannot go by {driver}: {why}", maybe_applied=False)
