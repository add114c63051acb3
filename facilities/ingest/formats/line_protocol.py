"""InfluxDB's line protocol: bytes to samples.

The library decides what a line means; lines without quotes and escapes take a short cut whose
result is the same (a test checks).
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from line_protocol_parser import LineFormatError, parse_line

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    MAX_SAMPLES,
    Grouped,
    Headers,
    Query,
    Rows,
    checked,
    show,
    too_many,
)
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.keys import series_key
from facilities.ingest.samples import Floats, Samples, Times

ENCODINGS: Final = ("gzip",)

NS_IN: Final = {
    "": 1,
    "ns": 1,
    "n": 1,
    "us": 1_000,
    "u": 1_000,
    "µ": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Nanoseconds in one unit of ``precision``; v2 has ns, us, ms and s, v1 has n, u, ms, s, m and h."""

INT64: Final = 2**63 - 1
MOST_LINES_OF_A_TEXT: Final = 50
"""Lines that one quoted text may span; assumed. Bounds the work on a stray quote."""

MOST_KNOWN: Final = 100_000
"""Series whose key is remembered between requests; assumed, about 30 MB."""

_known: dict[str, str] = {}


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read lines. 1 µs for a line with one field; a line the library reads costs 3 µs or more.

    Raises ``IngestError``: 400 for an unknown ``precision`` or a broken body, 413, 415. A line
    that is no line protocol is a rejection.
    """
    unit = query.get("precision", "")
    if unit not in NS_IN:
        raise IngestError(
            400,
            "invalid",
            f"unable to parse: precision {show(unit)}; send one of ns, us, ms, s (v1: n, u, m, h)",
        )
    data = decompress(body, headers, limit=limit, allowed=ENCODINGS)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _one_by_one(data.decode("utf-8", "surrogateescape"), unit, now_us)
    if '"' not in text and "\\" not in text:
        samples = _plain(text, unit, now_us)
        if samples is not None:
            checked(samples)
            return samples
    return _one_by_one(text, unit, now_us)


def _plain(text: str, unit: str, now_us: int) -> Grouped | None:
    """Read a body without quotes and escapes; None where a line is anything but plain."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) > MAX_SAMPLES:
        raise too_many(len(lines))
    raws: list[str] = []
    values: list[str] = []
    stamps: list[str] = []
    group: list[int] = []
    try:
        for number, line in enumerate(lines):
            parts = line.split(" ")
            if len(parts) == 3:
                head, fields, stamp = parts
            else:
                head, fields = parts
                stamp = ""
            if "," in fields:
                for field in fields.split(","):
                    name, _, value = field.partition("=")
                    raws.append(f"{head} {name}")
                    values.append(value)
                    stamps.append(stamp)
                    group.append(number)
            else:
                name, _, value = fields.partition("=")
                raws.append(f"{head} {name}")
                values.append(value)
                stamps.append(stamp)
                group.append(number)
        if not raws:
            return None
        numbers = _plain_numbers(values)
        times = _plain_times(stamps, unit, now_us)
        ids: dict[str, int] = {}
        places: dict[str, int] = {}
        for raw in dict.fromkeys(raws):
            key = _known.get(raw) or _learn(raw)
            places[raw] = ids.setdefault(key, len(ids))
    except (ValueError, OverflowError, LineFormatError):
        return None
    count = len(raws)
    return Grouped(
        names=list(ids),
        series=np.fromiter(map(places.__getitem__, raws), np.int32, count),
        ts_us=times,
        value=numbers,
        index=np.arange(count, dtype=np.int32),
        group=group,
    )


_BOOLEANS: Final = {
    text: float(text[0] in "tT")
    for text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE")
}
_FLOATS: Final = re.compile(r"[0-9.eE-]+")
_WHOLE: Final = re.compile(r"(?:-?[0-9]+i|[0-9]+u)")


def _plain_numbers(values: list[str]) -> Floats:
    """All values as numbers; raises ValueError where one is not plainly a number."""
    try:
        numbers = np.fromiter(map(float, values), np.float64, len(values))
        if not _FLOATS.fullmatch("".join(values)):
            raise ValueError  # inf, nan and underscores are Python's, not the protocol's
    except ValueError:
        numbers = np.fromiter(map(_number, values), np.float64, len(values))
    if not np.isfinite(numbers).all():
        raise ValueError("a number beyond 64 bits")
    return numbers


def _number(text: str) -> float:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _WHOLE.fullmatch(text):
        whole = int(text[:-1])
        if not -INT64 - 1 <= whole <= INT64:
            raise ValueError(text)
        return float(whole)
    if not _FLOATS.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _learn(raw: str) -> str:
    """The key of ``<measurement and tags> <field>``, found by the library and remembered."""
    parsed = parse_line(f"{raw}=1")
    if parsed is None or len(parsed["fields"]) != 1 or parsed["time"] is not None:
        raise ValueError(raw)
    (field,) = parsed["fields"]
    key = series_key(f"{parsed['measurement']}.{field}", parsed["tags"].items())
    if len(raw) <= 500:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[raw] = key
    return key


def _plain_times(stamps: list[str], unit: str, now_us: int) -> Times:
    """All times in microseconds; raises ValueError where one is not plainly a whole number."""
    count = len(stamps)
    if not all(stamps):
        if any(stamps):
            raise ValueError("some lines have a time and some have none")
        return np.full(count, now_us, np.int64)
    joined = "".join(stamps)
    if not (joined.isascii() and joined.isdecimal()):
        raise ValueError("a time is no whole number")
    times = np.fromiter(map(int, stamps), np.int64, count)
    if int(times.max()) == INT64:
        raise ValueError("the library takes this for an overflow")
    if NS_IN[unit] >= 1_000:
        if int(times.max()) > INT64 // (NS_IN[unit] // 1_000):
            raise ValueError("a time is outside the calendar")
        return times * (NS_IN[unit] // 1_000)
    return times // 1_000


def _one_by_one(text: str, unit: str, now_us: int) -> Grouped:
    """Read line by line with the library; what it cannot read is a rejection."""
    lines = text.split("\n")
    if len(lines) > 2 * MAX_SAMPLES:
        raise too_many(len(lines))
    rows = Rows()
    keys: dict[Any, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number].removesuffix("\r").strip(" \t")
        taken = 1
        if line and not line.startswith("#"):
            try:
                parsed, taken = _parse(line, lines, number)
            except _BadLine as error:
                rows.reject(number, "malformed", str(error), _clean(line))
            else:
                _add(rows, parsed, line, number, unit, now_us, keys)
        if len(rows.group) > MAX_SAMPLES:
            raise too_many(len(rows.group))
        number += taken
    return rows.samples()


class _BadLine(Exception):
    pass


def _parse(line: str, lines: list[str], number: int) -> tuple[dict[str, Any], int]:
    """The line, with those after it where a quoted text goes on, and how many that are."""
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        raise _BadLine("unable to parse: the line is not UTF-8") from None
    if "\x00" in line:
        raise _BadLine("unable to parse: the line holds a NUL byte")
    try:
        return parse_line(line), 1
    except LineFormatError as error:
        why = str(error).rstrip(".")
    if line.count('"') % 2:
        longer = line
        for more in range(1, min(MOST_LINES_OF_A_TEXT, len(lines) - number)):
            longer = f"{longer}\n{lines[number + more]}"
            if '"' not in lines[number + more]:
                continue
            try:
                parsed = parse_line(longer.removesuffix("\r"))
                longer.encode("utf-8")
            except (LineFormatError, UnicodeEncodeError):
                break
            return parsed, more + 1
    raise _BadLine(f"unable to parse: {why[:1].lower()}{why[1:]}")


def _add(
    rows: Rows,
    parsed: dict[str, Any],
    line: str,
    number: int,
    unit: str,
    now_us: int,
    keys: dict[Any, str],
) -> None:
    stamp = parsed["time"]
    ts_us = now_us if stamp is None else stamp * NS_IN[unit] // 1_000
    if abs(ts_us) > INT64:
        rows.reject(
            number,
            "bad_timestamp",
            f"time {stamp} in {unit or 'ns'} is outside the calendar; "
            "check precision and the sender's clock",
            line,
        )
        return
    measurement, tags = parsed["measurement"], parsed["tags"]
    series = (measurement, *tags.items())
    for name, value in reversed(parsed["fields"].items()):  # the library lists the last first
        known = (series, name)
        key = keys.get(known)
        if key is None:
            key = keys[known] = series_key(f"{measurement}.{name}", tags.items())
        rows.add(key, ts_us, value if isinstance(value, str) else float(value), number)


def _clean(line: str) -> str:
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
