"""The rules as the engine needs them: per point, compiled once per version of the data list."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.db import connection

from facilities.models import AlarmRule, Envelope
from facilities.models.alarm import SAFETY_KINDS, Comparator

from .rules import Levels

DEFAULT_CLASS: Final = "A1"
"""Envelope of a rack whose hall and itself name none; assumed, the narrowest common class."""


class Watched(NamedTuple):
    """A point as rules see it. ``interval_s`` is 0 where the data list names none."""

    id: int
    tag: str
    quantity: str
    unit: str
    is_state: bool
    interval_s: float
    asset_id: int
    asset: str
    asset_kind: str
    hall_id: int
    air_class: str


class Rule(NamedTuple):
    """A rule without its scope."""

    id: int
    name: str
    kind: str
    parameters: dict[str, Any]
    severity: str
    message: str
    safety: bool


class Pair(NamedTuple):
    """One rule on one point. ``inputs``: further points it reads, by the name in its text."""

    point: Watched
    rule: Rule
    levels: Levels
    inputs: Mapping[str, int] = {}

    @property
    def safety(self) -> bool:
        """Whether the alarm protects people."""
        return self.rule.safety or self.point.asset_kind in SAFETY_KINDS


@dataclass(slots=True, eq=False)
class RuleTable:
    """Every enabled rule on every point it watches, at one version of the data list."""

    version: int | None
    by_point: dict[int, tuple[Pair, ...]] = field(default_factory=dict)
    hosts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By point: the points whose rules read it as an input."""
    broken: dict[str, str] = field(default_factory=dict)
    """By rule: why it watches nothing or not all it should."""

    def pairs(self, point_ids: Iterable[int] | None) -> list[Pair]:
        """Pairs of these points and of the points whose rules read them (None: all)."""
        if point_ids is None:
            return [pair for pairs in self.by_point.values() for pair in pairs]
        wanted = dict.fromkeys(point_ids)
        for point in list(wanted):
            wanted.update(dict.fromkeys(self.hosts.get(point, ())))
        return [pair for point in wanted for pair in self.by_point.get(point, ())]


# A rack's class is its own attribute, else that of its hall's asset.
_POINTS: Final = """
SELECT p.id, p.tag, p.quantity, p.unit, p.enum IS NOT NULL, coalesce(p.sampling_interval_s, 0),
       a.id, a.tag, a.kind, coalesce(a.hall_id, 0),
       coalesce(a.attributes->>'ashrae_class', h.attributes->>'ashrae_class', '')
FROM facilities_point p
JOIN facilities_asset a ON a.id = p.asset_id
LEFT JOIN facilities_hall hall ON hall.id = a.hall_id
LEFT JOIN facilities_asset h ON h.tag = hall.slug
"""
_VERSION: Final = "SELECT version FROM facilities_datalistversion WHERE id = 1"

_table = RuleTable(None)
_lock = threading.Lock()


def rule_table() -> RuleTable:
    """Return the rules as they are now. One query while nothing has changed, else four."""
    with connection.cursor() as cursor:
        cursor.execute(_VERSION)
        row = cursor.fetchone()
    version = row[0] if row else None
    if version is not None and _table.version == version:
        return _table
    with _lock:
        return _read()


def forget() -> None:
    """Read the rules again at the next use."""
    global _table
    with _lock:
        _table = RuleTable(None)


def _read() -> RuleTable:
    global _table
    with connection.cursor() as cursor:
        # The version first: at worst the rows are newer than it says and are read once more.
        cursor.execute(_VERSION)
        row = cursor.fetchone()
        cursor.execute(_POINTS)
        points = [Watched(*values) for values in cursor.fetchall()]
    rules = list(AlarmRule.objects.filter(enabled=True).order_by("pk"))
    limits = {(row.name, row.range): row for row in Envelope.objects.all()}
    _table = compile_rules(row[0] if row else None, points, rules, limits)
    return _table


def compile_rules(
    version: int | None,
    points: Sequence[Watched],
    rules: Sequence[AlarmRule],
    envelopes: Mapping[tuple[str, str], Envelope],
) -> RuleTable:
    """Join rules and points. A rule that cannot be applied is named in ``broken``."""
    from .kinds import KINDS

    table = RuleTable(version)
    by_id = {point.id: point for point in points}
    by_tag = {point.tag: point for point in points}
    by_kind: dict[tuple[str, str], list[Watched]] = defaultdict(list)
    for point in points:
        by_kind[point.asset_kind, point.quantity].append(point)
    found: dict[int, list[Pair]] = defaultdict(list)
    hosts: dict[int, set[int]] = defaultdict(set)
    for row in rules:
        rule = Rule(
            row.pk,
            row.name,
            row.kind,
            row.parameters,
            row.severity,
            row.message or row.name,
            row.safety,
        )
        kind = KINDS[rule.kind]
        if row.point_id is not None:
            watched = [by_id[row.point_id]] if row.point_id in by_id else []
        else:
            watched = by_kind.get((row.asset_kind, row.quantity), [])
        for point in watched:
            try:
                levels = _levels(row, point, envelopes)
                inputs = kind.inputs(rule.parameters, point, by_tag)
            except ValueError as error:
                table.broken[rule.name] = str(error)
                continue
            found[point.id].append(Pair(point, rule, levels, inputs))
            for used in inputs.values():
                if used != point.id:
                    hosts[used].add(point.id)
    table.by_point = {point: tuple(pairs) for point, pairs in found.items()}
    table.hosts = {point: tuple(sorted(of)) for point, of in hosts.items()}
    return table


def _levels(
    row: AlarmRule, point: Watched, envelopes: Mapping[tuple[str, str], Envelope]
) -> Levels:
    """The rule's own levels, or those of the envelope that the point's rack or hall has.

    ``{"envelope": "recommended" | "allowable", "deadband": K}``; a rule ``above`` takes the upper
    limit, ``below`` the lower; humidity points take the humidity limits.
    """
    wanted = row.parameters.get("envelope")
    if not wanted:
        return Levels(row.comparator, row.raise_level, row.clear_level, row.delay_s)
    name = point.air_class or DEFAULT_CLASS
    envelope = envelopes.get((name, wanted))
    if envelope is None:
        raise ValueError(
            f"point {point.tag}: there is no {wanted} envelope for class {name}; add it or correct "
            "the attribute ashrae_class of its rack or hall"
        )
    above = row.comparator == Comparator.ABOVE
    if point.unit == "%":
        limit = envelope.rh_high_pct if above else envelope.rh_low_pct
    else:
        limit = envelope.high_c if above else envelope.low_c
    if limit is None:
        raise ValueError(
            f"point {point.tag}: envelope {envelope} has no such limit for {point.unit}"
        )
    deadband = float(row.parameters.get("deadband", 1.0))
    return Levels(
        row.comparator, limit, limit - deadband if above else limit + deadband, row.delay_s
    )
