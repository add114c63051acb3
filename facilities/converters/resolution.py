"""What each series of a source is, remembered as long as the data list stands.

One ``Resolution`` per source lives in the cache of a ``PointColumns`` and dies with it: triggers
change the data list's version when points, converters, registered series or derived points change.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from facilities.converters.document import DocumentError, read_document
from facilities.converters.keys import key_problem, parse_key
from facilities.converters.maps import rules_of
from facilities.converters.rules import Rule, TemplateError, fill
from facilities.converters.units import SAME, Linear, UnitError, conversion, is_unit
from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Floats, Ints
from facilities.models import Converter, Point, SourceSeries

logger = logging.getLogger(__name__)

MAX_UNKNOWN: Final = 20_000
"""Unknown series remembered per source; beyond it the table starts again. About 10 MB."""


class Kind(IntEnum):
    """How a series' samples are treated. Everything but ``PLAIN`` leaves the quick path."""

    PLAIN = 0
    VALUES = 1
    COUNTER = 2
    DROPPED = 3
    UNKNOWN = 4


class Target(NamedTuple):
    """What became of one series. ``code`` and ``detail`` say why it is unknown."""

    kind: Kind
    row: int = -1
    linear: Linear = SAME
    rule: Rule | None = None
    tag: str = ""
    code: str = ""
    detail: str = ""


class Tables(NamedTuple):
    """The targets as arrays, for numpy."""

    row: Ints
    scale: Floats
    offset: Floats
    kind: npt.NDArray[np.uint8]
    scaled: npt.NDArray[np.bool_]


def _blank(size: int) -> Tables:
    return Tables(
        np.full(size, -1, np.int32),
        np.ones(size),
        np.zeros(size),
        np.zeros(size, np.uint8),
        np.zeros(size, np.bool_),
    )


@lru_cache(maxsize=256)
def rules_from(text: str) -> tuple[Rule, ...]:
    """The rules of a stored document. One that no longer reads (a map is gone) has none."""
    try:
        return rules_of(read_document(text))
    except DocumentError as error:
        logger.error("a converter cannot be read and maps nothing: %s", error)
        return ()


class Resolution:
    """The series of one source at one version of the data list."""

    def __init__(
        self, columns: PointColumns, rules: Sequence[Rule], series: Mapping[str, int]
    ) -> None:
        self.columns, self.rules, self.series = columns, tuple(rules), series
        self.targets: list[Target] = []
        self.refused: dict[str, Target] = {}
        """What registration would not make a point of."""
        self._lookup: dict[str, int] = {}
        self._tables = _blank(64)
        self._unknown = 0
        self._names_of_values: dict[int, dict[str, float]] = {}
        self._lock = threading.Lock()

    @property
    def tables(self) -> Tables:
        """The arrays; longer than ``targets``."""
        return self._tables

    def ids(self, names: Sequence[str], hints: Mapping[str, str]) -> npt.NDArray[np.intp]:
        """The place of each series in ``targets``: one dictionary look-up each when all are known."""
        lookup = self._lookup
        try:
            return np.array([lookup[name] for name in names], np.intp)
        except KeyError:
            with self._lock:
                if self._unknown > MAX_UNKNOWN:
                    self._restart()
                return np.array([self._id(name, hints.get(name, "")) for name in names], np.intp)

    def _restart(self) -> None:
        self._lookup, self._unknown = {}, 0
        self.targets, self._tables = [], _blank(64)
        self.refused = {}

    def _id(self, name: str, hint: str) -> int:
        found = self._lookup.get(name)
        if found is not None:
            return found
        return self._add(name, self.refused.get(name) or self.target(name, hint))

    def _add(self, name: str, target: Target) -> int:
        place = len(self.targets)
        self.targets.append(target)
        if place >= len(self._tables.row):
            longer = _blank(2 * place)
            for name in Tables._fields:
                getattr(longer, name)[:place] = getattr(self._tables, name)
            self._tables = longer
        tables = self._tables
        tables.row[place] = target.row
        tables.scale[place], tables.offset[place] = target.linear
        tables.kind[place] = target.kind
        tables.scaled[place] = target.linear != SAME
        self._unknown += target.kind == Kind.UNKNOWN
        self._lookup[name] = place  # last: another thread may look without the lock
        return place

    def refuse(self, name: str, target: Target) -> None:
        """Remember why registration made no point of a series."""
        with self._lock:
            self.refused[name] = target
            place = self._lookup.get(name)
            if place is not None:
                self.targets[place] = target

    def adopt(self, earlier: Resolution) -> None:
        """Keep the refusals of the version before, which registration has just replaced."""
        with self._lock:
            for name, target in earlier.refused.items():
                if len(self.refused) < MAX_UNKNOWN:
                    self.refused.setdefault(name, target)

    def target(self, name: str, hint: str = "") -> Target:
        """Decide about one series: its tag, a registered series, then the converter's rules."""
        row = self.columns.by_tag.get(name)
        if row is not None:
            return Target(Kind.PLAIN, row, tag=name)
        row = self.series.get(name)
        if row is not None:
            given = hint if hint and is_unit(hint) else ""
            return self._measured(name, row, given, SAME, None)
        key = parse_key(name)
        for rule in self.rules:
            values = rule.placeholders(key)
            if values is None:
                continue
            return self._by_rule(name, rule, values, hint)
        return Target(
            Kind.UNKNOWN,
            code="unknown_point",
            detail=f"point {name[:80]!a} is not in the data list; add it to the facility file, "
            "correct the tag, or map the series in the source's converter",
        )

    def _by_rule(self, name: str, rule: Rule, values: dict[str, str], hint: str) -> Target:
        if rule.drop:
            return Target(Kind.DROPPED, rule=rule)
        try:
            tag = fill(rule.point, values)
        except TemplateError as error:
            return Target(
                Kind.UNKNOWN,
                rule=rule,
                code="bad_mapping",
                detail=f"{rule} takes series {name[:80]!a}, but {error}",
            )
        row = self.columns.by_tag.get(tag)
        if row is None:
            return Target(
                Kind.UNKNOWN,
                rule=rule,
                tag=tag,
                code="unknown_point",
                detail=f"{rule} makes series {name[:80]!a} the point {tag[:80]!a}, which "
                "is not in the data list; add the point or correct the rule",
            )
        given = rule.unit or (hint if hint and is_unit(hint) else "")
        return self._measured(name, row, given, rule.linear, rule)

    def _measured(
        self, name: str, row: int, given: str, linear: Linear, rule: Rule | None
    ) -> Target:
        tag, wanted = self.columns.tags[row], self.columns.units[row]
        kind = Kind.PLAIN
        if rule is not None and rule.counter:
            kind = Kind.COUNTER
            given = f"{given}/s" if given else ""
        elif rule is not None and rule.values is not None:
            return Target(Kind.VALUES, row, SAME, rule, tag)
        if given and wanted:
            try:
                linear = linear.then(conversion(given, wanted))
            except UnitError as error:
                return Target(
                    Kind.UNKNOWN,
                    rule=rule,
                    tag=tag,
                    code="bad_unit",
                    detail=f"series {name[:80]!a} to point {tag}: {error}; correct the unit in "
                    "the converter or in the data list",
                )
        return Target(kind, row, linear, rule, tag)

    def names_of_values(self, row: int) -> dict[str, float]:
        """The point's states as numbers by their names, lower case. One query, then remembered."""
        if row not in self._names_of_values:
            enum = Point.objects.values_list("enum", flat=True).get(pk=int(self.columns.id[row]))
            names = {}
            for number, name in (enum or {}).items():
                try:
                    names[str(name).lower()] = float(number)
                except ValueError:
                    continue
            self._names_of_values[row] = names
        return self._names_of_values[row]


_making = threading.Lock()


def resolution_of(source_id: int, columns: PointColumns) -> Resolution:
    """The source's resolution at this version. Two queries the first time, none later."""
    key = ("resolution", source_id)
    found: Resolution | None = columns.cache.get(key)
    if found is not None:
        return found
    with _making:
        found = columns.cache.get(key)
        if found is None:
            found = columns.cache[key] = _load(source_id, columns)
    return found


def _load(source_id: int, columns: PointColumns) -> Resolution:
    text = (
        Converter.objects.filter(source_id=source_id, enabled=True)
        .values_list("document", flat=True)
        .first()
    )
    pairs = list(SourceSeries.objects.filter(source_id=source_id).values_list("key", "point_id"))
    rows = columns.rows_of(np.array([point for _, point in pairs], np.int64))
    series = {key: row for (key, _), row in zip(pairs, rows.tolist(), strict=True) if row >= 0}
    return Resolution(columns, rules_from(text) if text else (), series)


def hostile(name: str) -> Target | None:
    """Why a series can never be a point, or None."""
    problem = key_problem(name)
    return Target(Kind.UNKNOWN, code="bad_series", detail=problem) if problem else None
