"""Times of the week in a zone: which UTC spans they are, also where the clock changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY: Final = tuple(range(7))


class Span(NamedTuple):
    """From `start` up to but without `end`, UTC."""

    start: datetime
    end: datetime

    def has(self, at: datetime) -> bool:
        return self.start <= at < self.end


def is_zone(name: str) -> bool:
    """Whether the IANA data knows this zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def weekly_spans(
    *,
    days: Sequence[int],
    start: str,
    end: str,
    zone: str,
    after: datetime,
    before: datetime,
    wide: bool = True,
) -> Iterator[Span]:
    """The spans of a weekly time that touch `after`..`before`, in order.

    `start` and `end` are local clock times, `days` (0 Monday) those on which a span begins; an end
    that is not after the start is on the next day. An hour that occurs twice or not at all when the
    clock changes is read so that the span is as long as it can be (`wide`) or as short: in doubt a
    freeze covers it and a maintenance window does not.
    """
    tz = ZoneInfo(zone)
    opens, closes = _clock(start), _clock(end)
    later = timedelta(days=0 if closes > opens else 1)
    day = after.astimezone(tz).date() - timedelta(days=2)
    last = before.astimezone(tz).date() + timedelta(days=1)
    while day <= last:
        if day.weekday() in days:
            first, second = _moments(day, opens, tz), _moments(day + later, closes, tz)
            span = Span(min(first), max(second)) if wide else Span(max(first), min(second))
            if span.start < span.end and span.end > after and span.start < before:
                yield span
        day += timedelta(days=1)


def _clock(text: str) -> time:
    hours, minutes = text.split(":")
    return time(int(hours), int(minutes))


def _moments(day: date, at: time, tz: ZoneInfo) -> tuple[datetime, datetime]:
    """Both readings of a local time (PEP 495): equal unless the clock changes there."""
    local = datetime.combine(day, at, tzinfo=tz)
    first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def spoken_days(days: Sequence[int]) -> str:
    """`Mon-Fri`, `Sat, Sun` or `every day`."""
    wanted = sorted(set(days))
    if len(wanted) == 7:
        return "every day"
    if len(wanted) > 2 and wanted == list(range(wanted[0], wanted[-1] + 1)):
        return f"{DAY_NAMES[wanted[0]]}–{DAY_NAMES[wanted[-1]]}"
    return ", ".join(DAY_NAMES[day] for day in wanted)
