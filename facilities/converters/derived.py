"""Derived points: computed from the latest values of their inputs, a moment after these arrive.

What follows a commit hands the inputs among its readings to ``evaluate_derived``; beat runs it
for all of them every two seconds, which repairs what got lost. A result has the time of its newest input and the
worst flag of all of them, and is suspect at least when an input is older than the newest by more
than ``max_age_s``. It is stored when it differs from the stored one, so running twice changes
nothing; an input that comes later for the same time replaces the result of that time.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, connection, transaction

from facilities import live
from facilities.alarms import engine
from facilities.converters.derived_graph import order_of
from facilities.converters.expression import Expression, ExpressionError, parse_expression
from facilities.ingest.internal import (
    InternalReading,
    make_partitions,
    moment,
    store_internal,
)
from facilities.models import DerivedPoint, LatestReading, Point, Quality

logger = logging.getLogger(__name__)

BADNESS: Final = {
    Quality.GOOD: 0,
    Quality.UNKNOWN: 1,
    Quality.SUSPECT: 2,
    Quality.MISSING: 3,
    Quality.FAIL: 4,
}
"""Worst last: what rests on a bad input is as bad."""


class Value(NamedTuple):
    """The latest value of a point."""

    ts_us: int
    value: float
    flag: int


def worst(flags: list[int]) -> int:
    """The worst of these QARTOD flags."""
    return max(flags, key=lambda flag: BADNESS[Quality(flag)])


def compute(expression: Expression, inputs: Mapping[str, Value], *, max_age_s: float) -> Value:
    """One result from its inputs' latest values. Raises ``ExpressionError`` without one."""
    if not inputs:
        raise ExpressionError("no input has a value")
    result = expression.evaluate({tag: value.value for tag, value in inputs.items()})
    newest = max(value.ts_us for value in inputs.values())
    oldest = min(value.ts_us for value in inputs.values())
    flags = [value.flag for value in inputs.values()]
    if (newest - oldest) / 1e6 > max_age_s:
        flags.append(Quality.SUSPECT)
    return Value(newest, result, worst(flags))


class _Plan(NamedTuple):
    derived: DerivedPoint
    expression: Expression
    inputs: list[str]


def _plans() -> list[_Plan]:
    """Enabled derived points, inputs first. Two queries."""
    rows = list(DerivedPoint.objects.filter(enabled=True).select_related("point"))
    if not rows:
        return []
    patterns = any("*" in row.expression or "?" in row.expression for row in rows)
    known = list(Point.objects.values_list("tag", flat=True)) if patterns else []
    plans = {}
    for row in rows:
        try:
            expression = parse_expression(row.expression)
        except ExpressionError as error:  # saved before the grammar changed
            _note(row, str(error))
            continue
        inputs = [tag for tag in expression.inputs(known) if tag != row.point.tag]
        plans[row.point.tag] = _Plan(row, expression, inputs)
    try:
        order = order_of({tag: plan.inputs for tag, plan in plans.items()})
    except ValueError as error:  # a pattern took in a derived point that was made later
        logger.error("derived points depend on one another: %s", error)
        circle = set(str(error).split(" → "))
        for tag in circle & plans.keys():
            _note(plans.pop(tag).derived, f"it depends on itself: {error}"[:300])
        order = [tag for tag in plans if not circle & set(plans[tag].inputs)]
    return [plans[tag] for tag in order if tag in plans]


def _note(derived: DerivedPoint, problem: str) -> None:
    if derived.problem != problem[:300]:
        DerivedPoint.objects.filter(pk=derived.pk).update(problem=problem[:300])


def _latest(tags: set[str]) -> dict[str, Value]:
    rows = LatestReading.objects.filter(point__tag__in=tags).values_list(
        "point__tag", "ts", "value", "quality"
    )
    return {tag: Value(_micros(ts), value, flag) for tag, ts, value, flag in rows}


def _fed(plans: list[_Plan], points: Collection[int]) -> list[_Plan]:
    """The plans that these points feed, directly or through others. One query."""
    changed = set(Point.objects.filter(pk__in=points).values_list("tag", flat=True))
    found = []
    for plan in plans:  # inputs first
        if not changed.isdisjoint(plan.inputs):
            changed.add(plan.derived.point.tag)
            found.append(plan)
    return found


_NEWEST: Final = """
SELECT p.tag, newest.ts, newest.value, newest.quality
FROM facilities_point p
JOIN facilities_latestreading l ON l.point_id = p.id
CROSS JOIN LATERAL (
    -- At least as new as what is noted; the readings hold what has not been noted yet.
    SELECT ts, value, quality FROM facilities_reading
    WHERE point_id = p.id AND ts >= l.ts ORDER BY ts DESC LIMIT 1
) newest
WHERE p.tag = ANY(%s)
"""


def _newest(tags: set[str]) -> dict[str, Value]:
    """The newest committed reading of each, noted as latest or not. Two queries."""
    found = _latest(tags)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [sorted(tags)])
        for tag, ts, value, flag in cursor.fetchall():
            found[tag] = Value(_micros(ts), value, flag)
    missing = sorted(tags - found.keys())
    if missing:  # never noted: its first reading is from a moment ago, if there is one
        with connection.cursor() as cursor:
            cursor.execute(_FIRST, [missing])
            for tag, ts, value, flag in cursor.fetchall():
                found[tag] = Value(_micros(ts), value, flag)
    return found


_FIRST: Final = """
SELECT p.tag, newest.ts, newest.value, newest.quality
FROM facilities_point p
CROSS JOIN LATERAL (
    SELECT ts, value, quality FROM facilities_reading
    WHERE point_id = p.id AND ts >= now() - interval '1 hour' ORDER BY ts DESC LIMIT 1
) newest
WHERE p.tag = ANY(%s)
"""


def _micros(ts: datetime) -> int:
    return round(ts.timestamp() * 1e6)


def evaluate_derived(*, values: Sequence[Sequence[Any]] | None = None) -> int:
    """Compute and store what changed; return how many values. Three queries when nothing did.

    ``values``: inputs just committed, ``[point_id, ts_us, value, flag]``; then only what they feed
    is computed. The other inputs are read from the readings, as latest values are written a moment
    after the commit.
    """
    plans = _plans()
    if values is not None:
        plans = _fed(plans, [value[0] for value in values])
    if not plans:
        return 0
    tags = {tag for plan in plans for tag in plan.inputs} | {p.derived.point.tag for p in plans}
    latest = _latest(tags) if values is None else _newest(tags)
    made: list[tuple[Point, InternalReading]] = []
    for plan in plans:
        point = plan.derived.point
        inputs = {tag: latest[tag] for tag in plan.inputs if tag in latest}
        try:
            value = compute(plan.expression, inputs, max_age_s=plan.derived.max_age_s)
        except ExpressionError as error:
            _note(plan.derived, str(error))
            continue
        _note(plan.derived, "")
        value = _in_range(point, value)
        before = latest.get(point.tag)
        if before == value or (before is not None and before.ts_us > value.ts_us):
            continue
        latest[point.tag] = value
        made.append((point, InternalReading(point.pk, *value)))
    if made:
        _store(made)
    return len(made)


def _in_range(point: Point, value: Value) -> Value:
    low, high = point.min_value, point.max_value
    outside = (low is not None and value.value < low) or (high is not None and value.value > high)
    return value._replace(flag=int(Quality.FAIL)) if outside else value


def _store(made: list[tuple[Point, InternalReading]]) -> None:
    readings = [reading for _, reading in made]
    make_partitions(readings)
    with transaction.atomic():
        store_internal(readings, replace=True)
    tell(made)


def tell(made: list[tuple[Point, InternalReading]]) -> None:
    """Push stored readings to the browsers and evaluate their alarm rules. Best effort."""
    live.push(
        "telemetry",
        {
            "type": "readings",
            "readings": [
                {
                    "point": point.tag,
                    "ts": moment(reading.ts_us).isoformat(),
                    "value": reading.value,
                    "quality": reading.quality,
                }
                for point, reading in made
            ],
        },
    )
    try:
        engine.evaluate(
            point_ids=[reading.point_id for _, reading in made],
            values=[[r.point_id, r.ts_us, r.value, r.quality] for _, r in made],
        )
    except DatabaseError as error:  # the sweep evaluates them again
        logger.warning("alarm rules of %d derived values not evaluated: %s", len(made), error)
