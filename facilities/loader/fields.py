"""Typed access to one YAML mapping that knows its lines and notes what is wrong."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from .problems import Problems

_MISSING = object()
MAX_REPEAT = 10_000
"""Entries one line may stand for; assumed, guards against a typed-in extra zero."""


class Fields:
    """One mapping of the file. Each key is taken once; ``finish`` names the unknown rest."""

    def __init__(self, data: CommentedMap, line: int, what: str, problems: Problems) -> None:
        self.data, self.line, self.what, self.problems = data, line, what, problems
        self.taken: set[str] = set()

    def problem(self, key: str, text: str) -> None:
        """Note that the value of ``key`` is wrong."""
        self.problems.add(self.line_of(key), f"{self.what}: {key} {text}")

    def line_of(self, key: str) -> int:
        """1-based line of a key, or of the mapping when it has none."""
        try:
            return int(self.data.lc.key(key)[0]) + 1
        except (AttributeError, KeyError, TypeError):
            return self.line

    def raw(self, key: str, default: Any = None) -> Any:
        """Return the value as YAML gave it."""
        self.taken.add(key)
        return self.data.get(key, default)

    def _required(self, key: str, default: Any) -> Any:
        value = self.raw(key, _MISSING)
        if value is _MISSING or value is None:
            if default is _MISSING:
                self.problems.add(self.line, f"{self.what}: {key} is missing")
            return default
        return value

    def text(self, key: str, default: Any = _MISSING) -> str:
        """Return a non-empty string."""
        value = self._required(key, default)
        if value is _MISSING:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.problem(key, f"must be text, not {value!r}; put it in quotes")
            return ""
        text = str(value).strip()
        if not text and default is _MISSING:
            self.problem(key, "is empty")
        if "\0" in text:
            self.problem(key, "has a NUL character")
            return ""
        return text

    def number(self, key: str, default: Any = _MISSING) -> float:
        """Return a finite number."""
        value = self._required(key, default)
        if value is _MISSING:
            return 0.0
        found = self._as_number(key, value)
        return found if found is not None else 0.0

    def maybe_number(self, key: str) -> float | None:
        """Return a finite number, or None when the key is absent."""
        value = self.raw(key)
        return None if value is None else self._as_number(key, value)

    def _as_number(self, key: str, value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problem(key, f"must be a number, not {value!r}")
            return None
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if not math.isfinite(found):
            self.problem(key, f"must be a finite number, not {value}")
            return None
        return found

    def whole(self, key: str) -> int:
        """Return a whole number from 0 to 32767."""
        value = self._required(key, _MISSING)
        if value is _MISSING:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 32767:
            self.problem(key, f"must be a whole number from 0 to 32767, not {value!r}")
            return 0
        return int(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, not {value!r}")
            return default
        return value

    def pair(self, key: str) -> tuple[float, float] | None:
        """Return ``[low, high]``, or None when the key is absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            self.problem(key, f"must be [low, high], not {plain(value)!r}")
            return None
        low, high = (self._as_number(key, item) for item in value)
        return None if low is None or high is None else (low, high)

    def mapping(self, key: str) -> Fields:
        """Return the mapping under ``key``; an empty one when it is missing."""
        value = self._required(key, _MISSING)
        if not isinstance(value, CommentedMap):
            if value is not _MISSING:
                self.problem(key, "must be a mapping of names to values")
            value = CommentedMap()
        return Fields(value, self.line_of(key), key, self.problems)

    def items(self, key: str) -> list[Fields]:
        """Return the mappings of the list under ``key``; absent means none."""
        return self._entries(key, self.raw(key), self.line_of(key))

    def lists_by_name(self, key: str) -> Iterator[tuple[str, int, list[Fields]]]:
        """Yield ``(name, line, entries)`` of a mapping of lists."""
        value = self.raw(key)
        if value is None:
            return
        if not isinstance(value, CommentedMap):
            self.problem(key, "must map asset kinds to lists of points")
            return
        for name, entries in value.items():
            line = int(value.lc.key(name)[0]) + 1
            yield str(name), line, self._entries(f"{key}.{name}", entries, line)

    def _entries(self, label: str, value: Any, line: int) -> list[Fields]:
        if value is None:
            return []
        if not isinstance(value, CommentedSeq):
            self.problems.add(line, f"{label} must be a list")
            return []
        found = []
        for index, entry in enumerate(value):
            at = int(value.lc.item(index)[0]) + 1
            if isinstance(entry, CommentedMap):
                found.append(Fields(entry, at, _label(label, entry), self.problems))
            else:
                self.problems.add(at, f"{label}: every entry must be a mapping, not {entry!r}")
        return found

    def finish(self) -> None:
        """Note every key that nothing asked for."""
        for key in self.data:
            if str(key) not in self.taken:
                known = ", ".join(sorted(self.taken))
                self.problems.add(
                    self.line_of(key), f"{self.what}: unknown key {key!r}; known are {known}"
                )


def _label(section: str, entry: CommentedMap) -> str:
    for key in ("tag", "name", "quantity", "slug"):
        if isinstance(entry.get(key), str):
            return f"{section} {entry[key]}"
    return section


def plain(value: Any) -> Any:
    """Return YAML data as plain dicts, lists, strings and numbers (JSON-able)."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)


def repeated(item: Fields) -> list[Fields]:
    """Expand ``n: [first, last]``: the entry once for each number, ``{n}`` in its text replaced.

    Any name works, several multiply: a key is a range when some text of the entry has it in
    braces. ``{n:02}`` pads with zeros. An entry without such a key is returned as it is.
    """
    used = _placeholders(item.data)
    ranges: dict[str, range] = {}
    for name in sorted(used):
        bounds = item.data.get(name)
        if (
            not isinstance(bounds, list)
            or len(bounds) != 2
            or any(isinstance(b, bool) or not isinstance(b, int) for b in bounds)
            or bounds[0] > bounds[1]
        ):
            item.problems.add(
                item.line, f"{item.what}: {{{name}}} needs {name}: [first, last], whole numbers"
            )
            return []
        ranges[name] = range(bounds[0], bounds[1] + 1)
    if not ranges:
        return [item]
    if math.prod(len(values) for values in ranges.values()) > MAX_REPEAT:
        item.problems.add(item.line, f"{item.what}: stands for more than {MAX_REPEAT} entries")
        return []
    expanded = []
    for numbers in itertools.product(*ranges.values()):
        values = dict(zip(ranges, numbers, strict=True))
        try:
            data = _filled({k: v for k, v in item.data.items() if k not in ranges}, values)
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            item.problems.add(item.line, f"{item.what}: braces cannot be filled in: {error}")
            return []
        expanded.append(Fields(data, item.line, item.what, item.problems))
    return expanded


def _placeholders(value: Any) -> set[str]:
    if isinstance(value, str):
        try:
            return {name for _, name, _, _ in string.Formatter().parse(value) if name}
        except ValueError:
            return set()
    if isinstance(value, dict):
        return set().union(*(_placeholders(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_placeholders(item) for item in value))
    return set()


def _filled(value: Any, numbers: dict[str, int]) -> Any:
    if isinstance(value, str):
        return value.format(**numbers) if "{" in value else value
    if isinstance(value, dict):
        return CommentedMap((key, _filled(item, numbers)) for key, item in value.items())
    if isinstance(value, list):
        return CommentedSeq(_filled(item, numbers) for item in value)
    return value
