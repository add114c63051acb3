"""Applies alarm rules to the latest readings.

Look without locking, decide under lock: most evaluations find nothing to change and write
nothing. Where something would change, the point is locked (an advisory lock, so ingestion never
waits for it), everything is read again, and only then rows change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Q

from facilities.models import Alarm, AlarmRule, LatestReading, Quality, RuleState
from facilities.models.point import Point

from .rules import NORMAL, Levels, Phase, State, step
from .services import alarm_clear, alarm_raise

LOCK_SPACE: Final = 0x616C << 48
"""Advisory lock keys of the engine: "al" in the upper bytes, the point's id below."""

CHUNK: Final = 500
"""Points locked by one transaction; PostgreSQL's lock table holds some thousands."""


class Evaluation(NamedTuple):
    """What an evaluation changed."""

    raised: int = 0
    cleared: int = 0
    pending: int = 0


class _Pair(NamedTuple):
    """One rule on one point with the point's latest reading."""

    point: Point
    rule: AlarmRule
    levels: Levels
    ts: datetime
    value: float


class _Known(NamedTuple):
    """What the database says about a pair: its state, and the open alarm when active."""

    state: State
    alarm_id: int | None
    peak: float


def evaluate(*, point_ids: Iterable[int] | None = None) -> Evaluation:
    """Evaluate every rule of these points (None: of all points) on their latest readings.

    Safe to run many times at once and after any interruption: the result depends only on rows.
    Readings of quality suspect or worse drive nothing.
    """
    ids = None if point_ids is None else sorted(set(point_ids))
    pairs = _pairs(ids)
    if not pairs:
        return Evaluation()
    known = _known(pairs)
    changing = sorted({pair.point.pk for pair in pairs if _would_change(pair, known)})
    total = Evaluation()
    for start in range(0, len(changing), CHUNK):
        done = _decide(changing[start : start + CHUNK])
        total = Evaluation(*(a + b for a, b in zip(total, done, strict=True)))
    return total


def sweep() -> Evaluation:
    """Evaluate everything, and clear alarms whose rule no longer applies to them."""
    done = evaluate()
    orphaned = Alarm.objects.filter(cleared_at__isnull=True, rule__enabled=False)
    now = datetime.now(UTC)
    cleared = sum(
        alarm_clear(alarm_id=pk, ts=now, note="the rule was switched off")
        for pk in orphaned.values_list("pk", flat=True)
    )
    return done._replace(cleared=done.cleared + cleared)


def _pairs(point_ids: Sequence[int] | None) -> list[_Pair]:
    """Every (point, rule) with a usable latest reading. Two queries."""
    by_point: dict[int, list[AlarmRule]] = defaultdict(list)
    by_kind: dict[tuple[str, str], list[AlarmRule]] = defaultdict(list)
    for rule in AlarmRule.objects.filter(enabled=True):
        if rule.point_id is not None:
            by_point[rule.point_id].append(rule)
        else:
            by_kind[rule.asset_kind, rule.quantity].append(rule)
    if not by_point and not by_kind:
        return []
    kinds = {kind for kind, _ in by_kind}
    quantities = {quantity for _, quantity in by_kind}
    latest = (
        LatestReading.objects.filter(quality__lte=Quality.UNKNOWN)
        .filter(
            Q(point__in=by_point) | Q(point__asset__kind__in=kinds, point__quantity__in=quantities)
        )
        .select_related("point__asset")
    )
    if point_ids is not None:
        latest = latest.filter(point__in=point_ids)
    levels = {
        rule.pk: Levels(rule.comparator, rule.raise_level, rule.clear_level, rule.delay_s)
        for rules in (*by_point.values(), *by_kind.values())
        for rule in rules
    }
    return [
        _Pair(row.point, rule, levels[rule.pk], row.ts, row.value)
        for row in latest
        for rule in (
            *by_point.get(row.point_id, ()),
            *by_kind.get((row.point.asset.kind, row.point.quantity), ()),
        )
    ]


def _known(pairs: Sequence[_Pair]) -> dict[tuple[int, int], _Known]:
    """States of the pairs that are not normal. Two queries."""
    points = {pair.point.pk for pair in pairs}
    known = {
        (point, rule): _Known(State(Phase.PENDING, since), None, 0.0)
        for point, rule, since in RuleState.objects.filter(point__in=points).values_list(
            "point_id", "rule_id", "condition_since"
        )
    }
    for pk, point, rule, raised_at, peak in Alarm.objects.filter(
        point__in=points, cleared_at__isnull=True
    ).values_list("pk", "point_id", "rule_id", "raised_at", "peak_value"):
        known[point, rule] = _Known(State(Phase.ACTIVE, raised_at), pk, peak)
    return known


_UNKNOWN: Final = _Known(NORMAL, None, 0.0)


def _would_change(pair: _Pair, known: dict[tuple[int, int], _Known]) -> bool:
    now = known.get((pair.point.pk, pair.rule.pk), _UNKNOWN)
    after = step(pair.levels, now.state, ts=pair.ts, value=pair.value)
    if after != now.state:
        return True
    return now.alarm_id is not None and pair.levels.is_worse(pair.value, now.peak)


@transaction.atomic
def _decide(point_ids: Sequence[int]) -> Evaluation:
    """Lock these points (ascending ids, so that no two workers wait in a circle) and change them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key",
            [[LOCK_SPACE | pk for pk in point_ids]],
        )
    pairs = _pairs(point_ids)
    known = _known(pairs)
    raised = cleared = pending = 0
    for pair in pairs:
        now = known.get((pair.point.pk, pair.rule.pk), _UNKNOWN)
        after = step(pair.levels, now.state, ts=pair.ts, value=pair.value)
        if after.phase is Phase.ACTIVE and now.alarm_id is not None:
            if pair.levels.is_worse(pair.value, now.peak):
                Alarm.objects.filter(pk=now.alarm_id).update(peak_value=pair.value)
            continue
        if after == now.state:
            continue
        if now.state.phase is Phase.PENDING:
            RuleState.objects.filter(point=pair.point, rule=pair.rule).delete()
        if after.phase is Phase.PENDING:
            RuleState.objects.create(
                point=pair.point, rule=pair.rule, condition_since=after.since or pair.ts
            )
            pending += 1
        elif after.phase is Phase.ACTIVE:
            alarm_raise(point=pair.point, rule=pair.rule, value=pair.value, ts=pair.ts)
            raised += 1
        elif now.alarm_id is not None:
            cleared += alarm_clear(alarm_id=now.alarm_id, ts=pair.ts)
    return Evaluation(raised, cleared, pending)
