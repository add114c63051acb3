"""One rule of a converter: which series it takes, and what it makes of them."""

from __future__ import annotations

import fnmatch
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import regex

from facilities.converters.keys import SeriesKey, snake, tag
from facilities.converters.units import SAME, Linear

REGEX_TIMEOUT_S: Final = 0.05
"""One match may take this long; a pattern that backtracks without end counts as no match."""

FILTERS: Final[dict[str, Callable[[str], str]]] = {
    "tag": tag,
    "snake": snake,
    "lower": str.lower,
    "host": lambda text: tag(text.rsplit(":", 1)[0] if text.count(":") == 1 else text),
    "last": lambda text: text.rstrip("/").rsplit("/", 1)[-1],
}
"""``{label|filter}`` in a point template. ``host`` drops the port, ``last`` keeps the end of a path."""


class TemplateError(ValueError):
    """A point template that cannot be filled."""


def fields_of(template: str) -> list[tuple[str, list[str]]]:
    """The placeholders of a template with their filters. Raises ``TemplateError``."""
    found = []
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise TemplateError(f"{template!r}: {error}") from error
    for _, name, spec, conversion in parsed:
        if name is None:
            continue
        if spec or conversion:
            raise TemplateError(f"{template!r}: write {{label|filter}}, nothing else in braces")
        label, *filters = name.split("|")
        unknown = [f for f in filters if f not in FILTERS]
        if not label or unknown:
            raise TemplateError(
                f"{template!r}: unknown filter {unknown[0]!r}; there are {', '.join(FILTERS)}"
                if unknown
                else f"{template!r}: empty braces"
            )
        found.append((name, [label, *filters]))
    return found


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill a template. Raises ``TemplateError`` when a placeholder has no value."""
    out = []
    for literal, name, _, _ in string.Formatter().parse(template):
        out.append(literal)
        if name is None:
            continue
        label, *filters = name.split("|")
        if label not in values:
            raise TemplateError(f"the series has no label {label!r}")
        text = values[label]
        for each in filters:
            text = FILTERS[each](text)
        out.append(text)
    return "".join(out)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What auto-registration writes into a new point's line; empty: nothing is known."""

    name: str = ""
    brick: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    precision: float | None = None
    interval_s: float | None = None
    interface: str = ""
    enum: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a converter. ``number`` counts from 1 within its document or map.

    ``series``: glob patterns for the series' name, or one regular expression. ``match``: label →
    regular expression that must match the whole value; named groups become placeholders.
    ``point``: template of the tag. ``unit``: the unit of what arrives. ``linear``: applied before
    the unit's conversion. ``values``: number for a text or another number. ``counter``: the series
    counts up and the point is its rate per second; ``wraps_at`` is where it starts again at zero.
    """

    number: int
    origin: str
    series: tuple[str, ...]
    point: str = ""
    match: Mapping[str, Any] = field(default_factory=dict)
    name_regex: Any = None
    unit: str = ""
    linear: Linear = SAME
    values: Mapping[str, float] | None = None
    other: float | None = None
    counter: bool = False
    wraps_at: float | None = None
    drop: bool = False
    suggest: Suggestion = Suggestion()

    def __str__(self) -> str:
        return f"{self.origin} rule {self.number}"

    def placeholders(self, key: SeriesKey) -> dict[str, str] | None:
        """What the point template may use for this series; None when the rule does not take it."""
        values = {"name": key.name, **key.labels}
        measurement, dot, last = key.name.rpartition(".")
        if dot:  # line protocol: measurement.field
            values |= {"_measurement": measurement, "_field": last}
        if self.name_regex is not None:
            found = _full(self.name_regex, key.name)
            if found is None:
                return None
            values |= found
        elif not any(fnmatch.fnmatchcase(key.name, pattern) for pattern in self.series):
            return None
        for label, pattern in self.match.items():
            found = _full(pattern, key.labels.get(label, ""))
            if found is None:
                return None
            values |= found
        return values


def _full(pattern: Any, text: str) -> dict[str, str] | None:
    try:
        found = pattern.fullmatch(text, timeout=REGEX_TIMEOUT_S)
    except TimeoutError:
        return None
    if found is None:
        return None
    return {name: value for name, value in found.groupdict().items() if value is not None}


def compiled(pattern: str) -> Any:
    """Compile a regular expression. Raises ``TemplateError`` with what is wrong with it."""
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise TemplateError(f"{pattern!r} is no regular expression: {error}") from error
