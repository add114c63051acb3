"""Times in questions: `last night`, `yesterday`, `since 14:00`, `in the last 2 hours`.

Words mean the site's own clock; results are aware times. What lies in the future is cut at now.
"""

import re
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

LONGEST = timedelta(days=31)
NIGHT_FROM, NIGHT_TO = 22, 6

_SECONDS = {
    "second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600,
    "day": 86_400, "d": 86_400, "week": 604_800, "month": 2_592_000,
}  # fmt: skip
_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8,
    "ten": 10, "twelve": 12, "fifteen": 15, "thirty": 30, "couple of": 2, "a couple of": 2,
    "few": 3, "a few": 3, "half an": 0.5, "": 1,
}  # fmt: skip
_UNIT = r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|d|weeks?|months?)\b"
_COUNT = (
    rf"(?P<n>\d+(?:[.,]\d+)?|{'|'.join(sorted(filter(None, _NUMBERS), key=len, reverse=True))})"
)
_LAST = re.compile(
    rf"\b(?:last|past|previous|latest)\s+(?:{_COUNT}\s*)?{_UNIT}(?!\s*night)", re.IGNORECASE
)
_AGO = re.compile(rf"\b{_COUNT}\s*{_UNIT}\s+ago\b", re.IGNORECASE)
_FOR = re.compile(
    rf"\b(?:for|over|within|in|during|next)\s+(?:the\s+)?(?:next\s+)?{_COUNT}\s*{_UNIT}",
    re.IGNORECASE,
)
_CLOCK = r"(?:(\d{1,2})[:.](\d{2})|(\d{1,2})\s*([ap])\.?m\.?)(?:\s*(?:o'clock|utc|h))?"
_SINCE = re.compile(rf"\b(?:since|after|from)\s+{_CLOCK}", re.IGNORECASE)
_BETWEEN = re.compile(
    rf"\b(?:between|from)\s+{_CLOCK}\s*(?:and|to|until|till|-|–)\s*{_CLOCK}", re.IGNORECASE
)
_AT = re.compile(rf"\bat\s+{_CLOCK}", re.IGNORECASE)
_ISO = re.compile(r"\b(20\d\d)-(\d{2})-(\d{2})\b")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = re.compile(rf"\b(?:on|since|last)\s+({'|'.join(_DAYS)})\b", re.IGNORECASE)


class Span(NamedTuple):
    """start <= t < end, and what the user called it."""

    start: datetime
    end: datetime
    label: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


def span_of(text: str, *, now: datetime, zone: str = "UTC") -> Span | None:
    """The time that a question speaks of, or None. At most 31 days; never in the future."""
    found = _find(text, now.astimezone(zoneinfo.ZoneInfo(zone)))
    if found is None:
        return None
    start, end, label = found
    end = min(end.astimezone(UTC), now.astimezone(UTC))
    start = max(start.astimezone(UTC), end - LONGEST)
    return Span(start, end, label) if start < end else None


def duration_of(text: str) -> float | None:
    """Seconds of `for 20 minutes` or `in the next 2 hours`, or None."""
    match = _FOR.search(text)
    return _seconds(match) if match else None


def _find(text: str, now: datetime) -> Span | None:
    low = " ".join(text.lower().split())
    today = now.date()
    if match := _BETWEEN.search(low):
        day, name = _day_named(low, today)
        first, last = _clock(match.groups()[:4]), _clock(match.groups()[4:8])
        if first is None or last is None:
            return None
        start, end = _at(now, day, first), _at(now, day, last)
        if start > now and name == "":
            start, end = start - timedelta(days=1), end - timedelta(days=1)
        if end <= start:
            end += timedelta(days=1)
        return Span(start, end, f"{name} {first:%H:%M} to {last:%H:%M}".strip())
    if match := _SINCE.search(low):
        clock = _clock(match.groups())
        if clock is None:
            return None
        day, name = _day_named(low, today)
        start = _at(now, day, clock)
        if start > now:
            start -= timedelta(days=1)
        return Span(start, now, f"since {name} {clock:%H:%M}".replace("  ", " "))
    if match := _AGO.search(low):
        ago = timedelta(seconds=_seconds(match))
        return Span(now - ago, now, f"since {match.group()}")
    if re.search(r"\blast night\b|\bover ?night\b|\bduring the night\b|\btonight\b", low):
        return _night(now, tonight="tonight" in low)
    if match := _LAST.search(low):
        return Span(now - timedelta(seconds=_seconds(match)), now, match.group())
    return _day_span(low, now)


def _day_span(low: str, now: datetime) -> Span | None:
    today = now.date()
    since = bool(re.search(r"\bsince\b", low))
    parts = (("morning", 6, 12), ("afternoon", 12, 18), ("evening", 18, 22))
    for part, begin, end in parts:
        if re.search(rf"\b(?:this|yesterday|the) {part}\b", low):
            day = today - timedelta(days=1) if "yesterday" in low else today
            until = now if since else _at(now, day, time(end))
            return Span(_at(now, day, time(begin)), until, f"{'since ' if since else ''}the {part}")
    if match := _ISO.search(low):
        try:
            day = date(*(int(group) for group in match.groups()))
        except ValueError:
            return None
        return _whole(now, day, match.group(), since)
    if match := _DAY.search(low):
        back = (today.weekday() - _DAYS.index(match[1])) % 7 or 7
        return _whole(now, today - timedelta(days=back), match[1].capitalize(), since)
    if "day before yesterday" in low:
        return _whole(now, today - timedelta(days=2), "the day before yesterday", since)
    if re.search(r"\byesterday\b", low):
        return _whole(now, today - timedelta(days=1), "yesterday", since)
    if re.search(r"\b(?:since )?midnight\b|\btoday\b", low):
        return Span(_at(now, today, time(0)), now, "today")
    if re.search(r"\bthis week\b", low):
        monday = today - timedelta(days=today.weekday())
        return Span(_at(now, monday, time(0)), now, "this week")
    if match := _AT.search(low):
        clock = _clock(match.groups())
        if clock is None:
            return None
        at = _at(now, today, clock)
        at = at if at <= now else at - timedelta(days=1)
        around = timedelta(minutes=15)
        return Span(at - around, at + around, f"around {clock:%H:%M}")
    return None


def _day_named(low: str, today: date) -> tuple[date, str]:
    if "yesterday" in low:
        return today - timedelta(days=1), "yesterday"
    if match := _ISO.search(low):
        try:
            return date(*(int(group) for group in match.groups())), match.group()
        except ValueError:
            return today, ""
    return today, ""


def _whole(now: datetime, day: date, name: str, since: bool) -> Span:
    start = _at(now, day, time(0))
    end = now if since else _at(now, day + timedelta(days=1), time(0))
    return Span(start, end, f"since {name}" if since else name)


def _night(now: datetime, *, tonight: bool) -> Span:
    """22:00 to 06:00: the night that is going on, else the one that ended this morning."""
    morning = now.date() if now.hour < NIGHT_FROM or not tonight else now.date() + timedelta(days=1)
    start = _at(now, morning - timedelta(days=1), time(NIGHT_FROM))
    return Span(start, _at(now, morning, time(NIGHT_TO)), "tonight" if tonight else "last night")


def _at(now: datetime, day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=now.tzinfo)


def _clock(groups: tuple[str | None, ...]) -> time | None:
    hour, minute, twelve, half = groups
    if hour is not None:
        parts = int(hour), int(minute or 0)
    else:
        parts = int(twelve or 0) % 12 + (12 if half == "p" else 0), 0
    return time(*parts) if parts[0] < 24 and parts[1] < 60 else None


def _seconds(match: re.Match[str]) -> float:
    said = (match["n"] or "").lower()
    count = _NUMBERS[said] if said in _NUMBERS else float(said.replace(",", "."))
    unit = match["unit"].lower()
    each = _SECONDS.get(unit) or _SECONDS[unit.rstrip("s")]
    return min(count * each, LONGEST.total_seconds())
