"""What a driver is: it plans, writes and confirms one setpoint.

A driver never assumes. A write whose answer is lost is looked up or repeated with its key where the
other side applies a key once, and otherwise reported as `maybe_applied`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple


class DriverError(Exception):
    """The plant did not confirm a write.

    `maybe_applied` is True when a request went out and nothing tells what became of it.
    """

    def __init__(self, detail: str, *, maybe_applied: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.maybe_applied = maybe_applied


class Order(NamedTuple):
    """One setpoint to write: point tag, value in the point's unit, and the idempotency key."""

    tag: str
    value: float
    key: str


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


class Driver(ABC):
    """One way to reach a plant, with the settings of a binding (`approvals/driver_settings.py`)."""

    name: ClassVar[str]

    def __init__(self, settings: Mapping[str, Any], secret: str = "") -> None:
        self.settings = settings
        self.secret = secret

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


def same(one: float, other: float) -> bool:
    """Whether a value read back is the one that was written (devices keep single precision)."""
    return abs(one - other) <= 1e-4 * max(1.0, abs(one), abs(other))
