"""Setpoints that can be read back: a lost answer is settled by looking, not by guessing.

The protocol knows no keys, but a setpoint is absolute: what is there already is not written, and
writing the same value again changes nothing. A momentary command is not absolute: it is sent at
most once, and a lost answer stays unknown.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from approvals.drivers.base import Driver, DriverError, Order, Seen, WriteResult, same

ATTEMPTS = 3
PAUSE_S = 0.4
# How long a device may take to show what it took (assumed), and how often it is asked, s.
SETTLE_S = 2.0
SETTLE_EVERY_S = 0.25


class Lost(Exception):
    """The other side cannot be reached or did not answer; says which."""


class Busy(Exception):
    """The other side took nothing of this request and may take it later, after `after_s`."""

    def __init__(self, detail: str, after_s: float = PAUSE_S) -> None:
        super().__init__(detail)
        self.after_s = after_s


class Found(NamedTuple):
    """A raw value as it is there now (NaN for one that means no number); `mark` is its version
    where the protocol has one (ETag), `text` how the device says it, `whole` what else was read."""

    raw: float
    mark: str = ""
    text: str = ""
    whole: Any = None


class _Tried:
    """What several tries of one write have met."""

    def __init__(self) -> None:
        self.sent = False
        self.previous: Found | None = None
        self.problem = ""
        self.tries = 0


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
        """A connection. Raises Lost or Busy, and DriverError where it is refused."""

    @abstractmethod
    def _read(self, link: Any, point: dict[str, Any]) -> Found:
        """The value now. Raises Lost or Busy, or DriverError where it is refused."""

    @abstractmethod
    def _send(self, link: Any, point: dict[str, Any], raw: float, found: Found | None) -> None:
        """Write over what was found (None: not asked). Raises Lost, Busy where nothing was taken,
        or DriverError where it is refused."""

    def _is_blind(self, order: Order, point: dict[str, Any]) -> bool:
        """Whether reading the point tells nothing of the order."""
        return order.momentary

    def can_repeat(self, order: Order) -> bool:
        """A setpoint can; a momentary command would be given twice."""
        try:
            point, _ = self._raw(order)
        except DriverError:
            return True  # it sends nothing either
        return not self._is_blind(order, point)

    def write(self, order: Order) -> WriteResult:
        """The confirmation with the value before and the value read back."""
        point, raw = self._raw(order)
        tried = _Tried()
        pause_s = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1 and (why := self.pause(pause_s)):
                tried.problem += f"; {why}, so it was not tried again"
                break
            tried.tries, pause_s = attempt, PAUSE_S
            sent_before = tried.sent
            try:
                return self._once(order, point, raw, tried)
            except Lost as error:
                tried.problem = str(error)
                if tried.sent and self._is_blind(order, point):
                    break
            except Busy as busy:
                tried.problem, pause_s = str(busy), busy.after_s
            except DriverError as error:
                if not sent_before or error.maybe_applied or error.reads is not None:
                    raise
                raise DriverError(
                    f"{error.detail}; an earlier try was not answered and may have been applied",
                    maybe_applied=True,
                ) from error
        unknown = "it may or may not have been applied" if tried.sent else "nothing was written"
        tries = f"{tried.tries} {'try' if tried.tries == 1 else 'tries'}"
        raise DriverError(
            f"writing {order.words}: {self._place()} {tried.problem}, {tries}; {unknown}",
            maybe_applied=tried.sent,
        )

    def _once(self, order: Order, point: dict[str, Any], raw: float, tried: _Tried) -> WriteResult:
        with self._connected() as link:
            if self._is_blind(order, point):
                self._send_noted(link, point, raw, None, tried)
                return WriteResult(order.tag, order.value, None, False, tried.tries, {"raw": raw})
            found = self._read(link, point)
            if tried.previous is None:
                tried.previous = found
            if not same(found.raw, raw):
                self._send_noted(link, point, raw, found, tried)
            after, is_still = self._settled(link, point, raw)
        if not same(after.raw, raw):
            raise self._another(order, point, after, tried, is_still=is_still)
        return WriteResult(
            order.tag,
            order.value,
            self._number(point, tried.previous),
            duplicate=not tried.sent,
            attempts=tried.tries,
            response={"raw": after.raw},
            read_back=self._value(point, after.raw),
        )

    def _send_noted(
        self, link: Any, point: dict[str, Any], raw: float, found: Found | None, tried: _Tried
    ) -> None:
        """Send; a request that was not taken, or refused, counts as not sent."""
        sent_before, tried.sent = tried.sent, True
        try:
            self._send(link, point, raw, found)
        except Busy:
            tried.sent = sent_before
            raise
        except DriverError as error:
            tried.sent = sent_before or error.maybe_applied
            raise

    def _settled(self, link: Any, point: dict[str, Any], raw: float) -> tuple[Found, bool]:
        """What the device shows: the value as soon as it does, else the last one in its time, and
        whether that one stood still."""
        left_s = float(self.settings.get("settle_s", SETTLE_S))
        before: Found | None = None
        while True:
            after = self._read(link, point)
            if same(after.raw, raw) or left_s <= 0:
                return after, before is None or same(before.raw, after.raw)
            self.pause(SETTLE_EVERY_S)
            before, left_s = after, left_s - SETTLE_EVERY_S

    def _another(
        self, order: Order, point: dict[str, Any], after: Found, tried: _Tried, *, is_still: bool
    ) -> DriverError:
        """The device took the write and shows something else, for good or not yet."""
        reads = self._number(point, after)
        shown = after.text or _shown(reads)
        was = tried.previous or after
        if not tried.sent:
            return DriverError(
                f"writing {order.words}: {self._place()} held it and then reads {shown}: somebody "
                "else writes there; nothing was written",
                maybe_applied=False,
            )
        if reads is None or not is_still or same(after.raw, was.raw):
            word = "still reads" if is_still else "moves, it reads"
            return DriverError(
                f"writing {order.words}: {self._place()} took it and {word} {shown}; it may or "
                "may not have been applied",
                maybe_applied=True,
            )
        before = self._number(point, was)
        return DriverError(
            f"writing {order.words}: {self._place()} accepted {order.value:g} but holds {shown} "
            f"(before: {was.text or _shown(before)}); the point was changed to another value than "
            "the one that was signed",
            maybe_applied=False,
            reads=reads,
            previous=before,
        )

    def _number(self, point: dict[str, Any], found: Found) -> float | None:
        return self._value(point, found.raw) if math.isfinite(found.raw) else None

    def look(self, order: Order) -> Seen:
        """Read the point: it holds what was ordered, or it does not."""
        try:
            point, raw = self._raw(order)
            if self._is_blind(order, point):
                return Seen(None, f"{self._place()} does not keep {order.tag}: look at the machine")
            with self._connected() as link:
                found = self._read(link, point)
        except (Lost, Busy) as error:
            return Seen(None, f"{self._place()} {error}")
        except DriverError as error:
            return Seen(None, error.detail)
        value = self._number(point, found)
        shown = found.text or _shown(value)
        seen = f"{self._place()} reads {order.tag} = {shown}"
        if same(found.raw, raw):
            return Seen(True, seen)
        return Seen(None if value is None else False, f"{seen}, {order.value:g} was ordered")


def _shown(value: float | None) -> str:
    return "no number" if value is None else f"{value:g}"
