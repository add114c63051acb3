"""Each item becomes a reading or a rejection with its reason. Pure: no database, no clock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from facilities.ingest.formats.native import Malformed
from facilities.ingest.points import PointFacts

MAX_FUTURE_S: Final = 300.0
"""How far a source's clock may run ahead; assumed."""

MS_FROM: Final = 1e11
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ValidReading(NamedTuple):
    """A reading that may be stored. ``ts_us``: microseconds since 1970-01-01 UTC."""

    point: PointFacts
    ts_us: int
    value: float


class Rejection(NamedTuple):
    """Why the item at ``index`` was not taken."""

    index: int  # type: ignore[assignment]  # a field, as the API names it; hides tuple.index
    code: str
    detail: str


class Validated(NamedTuple):
    """The two halves of a batch. ``len(readings) + len(rejected)`` is its size."""

    readings: list[ValidReading]
    rejected: list[Rejection]


class _BadTimestamp(Exception):
    pass


def validate(
    items: Sequence[Any],
    points: Mapping[str, PointFacts],
    *,
    now: float,
    retention_s: float,
) -> Validated:
    """Check every item. ``now`` is epoch seconds; older than ``retention_s`` is too old.

    Raises nothing: whatever an item holds ends in one of the two lists.
    """
    readings: list[ValidReading] = []
    rejected: list[Rejection] = []
    latest_us = int((now + MAX_FUTURE_S) * 1e6)
    oldest_us = int((now - retention_s) * 1e6)
    stamps: dict[str, int] = {}  # sources stamp a whole scan with one time
    take = readings.append
    for index, item in enumerate(items):
        try:
            tag, stamp, value = item["point"], item["ts"], item["value"]
        except (KeyError, TypeError, IndexError):
            rejected.append(Rejection(index, "malformed", _missing(item)))
            continue
        try:
            facts = points[tag]
        except (KeyError, TypeError):
            rejected.append(_unknown_point(index, tag))
            continue
        kind = type(value)
        if kind is int:
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
        elif kind is not float:
            rejected.append(
                Rejection(index, "bad_value", f"point {tag}: {show(value)} is not a number")
            )
            continue
        if not facts.low <= value <= facts.high or value - value != 0.0:
            rejected.append(_bad_number(index, facts, value))
            continue
        try:
            if type(stamp) is str:
                ts_us = stamps.get(stamp)
                if ts_us is None:
                    ts_us = stamps[stamp] = _from_text(stamp)
            else:
                ts_us = _from_number(stamp)
        except _BadTimestamp as error:
            rejected.append(Rejection(index, "bad_timestamp", f"point {tag}: {error}"))
            continue
        if not oldest_us <= ts_us <= latest_us:
            rejected.append(_out_of_time(index, tag, ts_us, now, retention_s))
            continue
        take(ValidReading(facts, ts_us, value))
    return Validated(readings, rejected)


def show(value: Any) -> str:
    """Quote a foreign value, at most 60 characters."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**60:
        return "a whole number of more than 60 digits"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value[:80]) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _missing(item: Any) -> str:
    if isinstance(item, Malformed):
        return item.reason
    if not isinstance(item, dict):
        return f"{show(item)} is not an object with point, ts and value"
    missing = [key for key in ("point", "ts", "value") if key not in item]
    return f"{' and '.join(missing)} missing; a reading has point, ts and value"


def _unknown_point(index: int, tag: Any) -> Rejection:
    if not isinstance(tag, str):
        return Rejection(index, "malformed", f"point must be a tag in text, not {show(tag)}")
    return Rejection(
        index,
        "unknown_point",
        f"point {show(tag)} is not in the data list; add it to the facility file or correct the tag",
    )


def _bad_number(index: int, facts: PointFacts, value: float) -> Rejection:
    if not math.isfinite(value):
        return Rejection(
            index, "bad_value", f"point {facts.tag}: {value} is not a finite number; leave it out"
        )
    side = "below" if value < facts.low else "above"
    return Rejection(
        index,
        "out_of_range",
        f"point {facts.tag}: {value:g} {facts.unit} is {side} its range "
        f"{facts.low:g}…{facts.high:g} {facts.unit}",
    )


def _from_text(stamp: str) -> int:
    try:
        parsed = datetime.fromisoformat(stamp)
    except ValueError:
        raise _BadTimestamp(f"{show(stamp)} is not a time such as 2026-03-01T12:00:00Z") from None
    if parsed.tzinfo is None:
        raise _BadTimestamp(f"{show(stamp)} has no time zone; add Z or +01:00")
    try:
        return (parsed - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise _BadTimestamp(f"{show(stamp)} is outside the calendar") from None


def _from_number(stamp: Any) -> int:
    if type(stamp) is not int and type(stamp) is not float:
        raise _BadTimestamp(f"{show(stamp)} is not a time; send ISO 8601 text or epoch seconds")
    if not -1e15 < stamp < 1e15:  # NaN and infinity fail this too
        raise _BadTimestamp(f"{show(stamp)} is no epoch time in seconds or milliseconds")
    return round(stamp * 1e3) if abs(stamp) >= MS_FROM else round(stamp * 1e6)


def _out_of_time(index: int, tag: str, ts_us: int, now: float, retention_s: float) -> Rejection:
    ahead = ts_us / 1e6 - now
    if ahead > 0:
        return Rejection(
            index,
            "future_timestamp",
            f"point {tag}: the time is {ahead:.0f} s ahead of this server, at most "
            f"{MAX_FUTURE_S:.0f} s is taken; check the source's clock",
        )
    return Rejection(
        index,
        "too_old",
        f"point {tag}: the time is {-ahead / 86400:.0f} days ago, readings are kept "
        f"{retention_s / 86400:.0f} days",
    )
