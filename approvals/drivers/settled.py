"""Setpoints that can be read back: a lost answer is settled by looking, not by guessing.

The protocol knows no keys, but a setpoint is absolute: what is there already is not written, and
writing the same value again changes nothing.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from approvals.drivers.base import Driver, DriverError, Order, Seen, WriteResult, same

ATTEMPTS = 3
PAUSE_S = 0.4


class Lost(Exception):
    """The other side cannot be reached or did not answer; says which."""


class Found(NamedTuple):
    """A raw value as it is there now; `mark` is its version where the protocol has one (ETag)."""

    raw: float
    mark: str = ""


class SettledDriver(Driver):
    """Read, write where it differs, read back; again while answers get lost."""

    @abstractmethod
    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        """The point's settings, and the value as the device holds it. Raises DriverError."""

    @abstractmethod
    def _value(self, point: dict[str, Any], raw: float) -> float:
        """A raw value in the point's unit."""

    @abstractmethod
    def _place(self) -> str:
        """Whom it talks to, in words."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Any]:
        """A connection. Raises Lost."""

    @abstractmethod
    def _read(self, link: Any, point: dict[str, Any]) -> Found:
        """The value now. Raises Lost, or DriverError where it is refused."""

    @abstractmethod
    def _send(self, link: Any, point: dict[str, Any], raw: float, found: Found) -> None:
        """Write over what was found. Raises Lost, or DriverError where it is refused."""

    def write(self, order: Order) -> WriteResult:
        """The confirmation with the value before and the value read back."""
        point, raw = self._raw(order)
        sent, problem, previous = False, "", None
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                time.sleep(PAUSE_S)
            try:
                with self._connected() as link:
                    found = self._read(link, point)
                    previous = found.raw if previous is None else previous
                    if not same(found.raw, raw):
                        sent = True
                        self._send(link, point, raw, found)
                    after = self._read(link, point).raw
            except Lost as error:
                problem = str(error)
                continue
            if same(after, raw):
                return WriteResult(
                    order.tag,
                    order.value,
                    self._value(point, previous),
                    duplicate=not sent,
                    attempts=attempt,
                    response={"raw": after},
                    read_back=self._value(point, after),
                )
            problem = f"took {raw:g} but reads {after:g}"
        unknown = "it may or may not have been applied" if sent else "nothing was written"
        raise DriverError(
            f"writing {order.tag} = {order.value:g}: {self._place()} {problem}, {ATTEMPTS} tries; "
            f"{unknown}",
            maybe_applied=sent,
        )

    def look(self, order: Order) -> Seen:
        """Read the point: it holds what was ordered, or it does not."""
        try:
            point, raw = self._raw(order)
            with self._connected() as link:
                found = self._read(link, point).raw
        except Lost as error:
            return Seen(None, f"{self._place()} {error}")
        except DriverError as error:
            return Seen(None, error.detail)
        value = self._value(point, found)
        return Seen(same(found, raw), f"{self._place()} reads {order.tag} = {value:g}")
