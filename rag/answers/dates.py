"""The time that a question asks about: simple and strict (pure functions).

Only a date in the past, with words that ask for the state at that time (`did … say`, `as of`,
`was in force`), changes which revision answers. `last month` in `what failed last month` does not.
"""

import calendar
import datetime as dt
import re
from dataclasses import dataclass

_MONTHS = {
    name.lower(): number
    for names in (calendar.month_name, calendar.month_abbr)
    for number, name in enumerate(names)
    if name
} | {"sept": 9}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_LEAD = r"\b(?P<lead>in|on|of|at|as of|as at|from|back in|during|until|before|by|since)?\s*"
_PATTERNS = [
    re.compile(rf"{_LEAD}\b{_YEAR}-(?P<month>\d\d)-(?P<day>\d\d)\b"),
    re.compile(
        rf"{_LEAD}\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?(?P<month>{_MONTH})\.?,? {_YEAR}\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"{_LEAD}\b(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? {_YEAR}\b",
        re.IGNORECASE,
    ),
    re.compile(rf"{_LEAD}\b(?P<month>{_MONTH})\.?,? {_YEAR}\b", re.IGNORECASE),
    re.compile(rf"{_LEAD}\b{_YEAR}-(?P<month>\d\d)\b(?!-)"),
    re.compile(rf"\b(?P<lead>in|as of|back in|during|at the end of) {_YEAR}\b", re.IGNORECASE),
]
_RELATIVE = re.compile(
    r"\b(?:(?P<word>yesterday)|last (?P<unit>week|month|year)"
    r"|(?:a|an|one|(?P<count>\d{1,3})) (?P<unit_ago>day|week|month|year)s? ago)\b",
    re.IGNORECASE,
)
_ASKS_FOR_THEN = re.compile(
    r"\b(?:did\b.{0,80}\b(?:say|require|state|ask|prescribe|read|allow|apply|contain|look like)"
    r"|(?:was|were)\b.{0,80}\b(?:in force|valid|required|allowed|permitted|prescribed|the (?:limit|"
    r"procedure|rule|value|step|setpoint|threshold|instruction|revision|version)|supposed to)"
    r"|as (?:of|at)\b|back then|at (?:that|the) time|used to (?:say|require|be)|in force (?:in|on|at)"
    r"|(?:version|revision) (?:of|from|in force)|said)\b",
    re.IGNORECASE,
)
_WHAT_WAS = re.compile(r"\b(?:what|which|how\s+\w+|who)\s+(?:was|were|did)\b", re.IGNORECASE)


@dataclass(frozen=True)
class AskedTime:
    """`at` is the last instant of the period that was named; `written` the words that named it;
    `question` the question without them."""

    at: dt.datetime
    written: str
    question: str


def asked_time(question: str, *, now: dt.datetime) -> AskedTime | None:
    """The past time whose documents the question asks for, or None.

    A period (`in March 2025`) means its end; one that is not over yet is answered as of now.
    """
    if not (_ASKS_FOR_THEN.search(question) or _WHAT_WAS.search(question)):
        return None
    for pattern in _PATTERNS:
        match = pattern.search(question)
        if match and (end := _end_of(match.groupdict())):
            return _result(question, match, end, now)
    match = _RELATIVE.search(question)
    if match and _ASKS_FOR_THEN.search(question):
        return _result(question, match, _ago(match, now), now)
    return None


def _result(
    question: str, match: re.Match[str], end: dt.datetime, now: dt.datetime
) -> AskedTime | None:
    if end > now:
        return None
    left = question[: match.start()] + question[match.end() :]
    return AskedTime(
        end, match.group().strip(), re.sub(r"\s+([?.,!])", r"\1", " ".join(left.split()))
    )


def _end_of(found: dict[str, str | None]) -> dt.datetime | None:
    """The last instant of a day, month or year; None for a date that does not exist."""
    year = int(found["year"] or 0)
    name, day = found.get("month"), found.get("day")
    month = (_MONTHS.get(name.lower()) or int(name)) if name else 12
    try:
        last = int(day) if day else calendar.monthrange(year, month)[1]
        start = dt.datetime(year, month, last, tzinfo=dt.UTC)
    except (ValueError, calendar.IllegalMonthError):
        return None
    if (found.get("lead") or "").lower() == "before":
        return dt.datetime(year, month if name else 1, int(day or 1), tzinfo=dt.UTC) - _TICK
    return start + dt.timedelta(days=1) - _TICK


_TICK = dt.timedelta(microseconds=1)


def _ago(match: re.Match[str], now: dt.datetime) -> dt.datetime:
    midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if match["word"]:
        return midnight - _TICK
    if unit := match["unit"]:
        starts = {
            "week": midnight - dt.timedelta(days=midnight.weekday()),
            "month": midnight.replace(day=1),
            "year": midnight.replace(month=1, day=1),
        }
        return starts[unit.lower()] - _TICK
    days = {"day": 1, "week": 7, "month": 30, "year": 365}[match["unit_ago"].lower()]
    return now - dt.timedelta(days=days * int(match["count"] or 1))
