"""Times as agents write them, in microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from facilities.ingest.formats.base import show

MS_FROM: Final = 1e11
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""

EPOCH_MOST: Final = 1e15
"""Epoch numbers from here on are no time in seconds or milliseconds (year 33658)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BadTime(ValueError):
    """A value that is no time; the message says why and what to send."""


def from_text(stamp: str) -> int:
    """Microseconds of an ISO 8601 / RFC 3339 text; more than six decimals are cut.

    Raises ``BadTime``, also where the time zone is missing.
    """
    try:
        parsed = datetime.fromisoformat(stamp)
    except ValueError:
        raise BadTime(f"{show(stamp)} is not a time such as 2026-03-01T12:00:00Z") from None
    if parsed.tzinfo is None:
        raise BadTime(f"{show(stamp)} has no time zone; add Z or +01:00")
    try:
        return (parsed - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise BadTime(f"{show(stamp)} is outside the calendar") from None


def from_number(stamp: Any) -> int:
    """Microseconds of epoch seconds, or milliseconds from ``MS_FROM`` on. Raises ``BadTime``."""
    if type(stamp) is not int and type(stamp) is not float:
        raise BadTime(f"{show(stamp)} is not a time; send ISO 8601 text or epoch seconds")
    if not -EPOCH_MOST < stamp < EPOCH_MOST:  # NaN and infinity fail this too
        raise BadTime(f"{show(stamp)} is no epoch time in seconds or milliseconds")
    return round(stamp * 1e3) if abs(stamp) >= MS_FROM else round(stamp * 1e6)
