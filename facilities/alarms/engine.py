"""Applies alarm rules to readings.

Look without locking, decide under lock: most evaluations find nothing to change and write
nothing. Where something would change, the point is locked (an advisory lock, so ingestion never
waits for it), everything is read again, and only then rows change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Max

from facilities.models import Alarm, RuleState

from . import lifecycle
from .context import Context, read_latest
from .excursions import NORMAL_STATE, Excursions, Known, follow
from .kinds import KINDS
from .many import any_of
from .rules import Phase, State
from .samples import Sample, moment
from .table import Pair, RuleTable, rule_table

LOCK_SPACE: Final = 0x616C << 48
"""Advisory lock keys of the engine: "al" in the upper bytes, the point's id below."""

CHUNK: Final = 1000
"""Points locked by one transaction; PostgreSQL's lock table holds some thousands."""


class Evaluation(NamedTuple):
    """What an evaluation changed."""

    raised: int = 0
    cleared: int = 0
    pending: int = 0


def evaluate(
    *,
    point_ids: Iterable[int] | None = None,
    values: Sequence[Sequence[Any]] = (),
    now: datetime | None = None,
) -> Evaluation:
    """Evaluate every rule of these points (None: of all points).

    ``values`` are readings just committed, ``[point_id, ts_us, value, flag]``; they are followed in
    time order and then the point's latest stored reading, so an excursion between two evaluations
    is seen. Safe to run many times at once and after any interruption: the result depends only on
    rows and on the readings. Readings of quality suspect or worse drive nothing, except rules on
    quality. Four queries when nothing changes.
    """
    passed = _passed(values)
    ids = None if point_ids is None else sorted({*point_ids, *passed})
    table = rule_table()
    pairs = table.pairs(ids)
    if not pairs:
        return Evaluation()
    now = now or datetime.now(UTC)
    changes = _look(pairs, ids, passed, now)
    changing = sorted({change.pair.point.id for change in changes})
    total = Evaluation()
    for start in range(0, len(changing), CHUNK):
        done = _decide(table, changing[start : start + CHUNK], passed, now)
        total = Evaluation(*(a + b for a, b in zip(total, done, strict=True)))
    return total


def sweep(*, now: datetime | None = None) -> Evaluation:
    """Evaluate everything, and clear alarms whose rule no longer applies to them."""
    now = now or datetime.now(UTC)
    done = evaluate(now=now)
    orphaned = list(
        Alarm.objects.filter(cleared_at__isnull=True, rule__enabled=False).values_list(
            "pk", flat=True
        )
    )
    cleared = lifecycle.alarms_clear(
        clears=[lifecycle.Clear(pk, now) for pk in orphaned], note="the rule was switched off"
    )
    return done._replace(cleared=done.cleared + cleared)


class _Change(NamedTuple):
    """A pair that does not stay as it is."""

    pair: Pair
    known: Known
    found: Excursions


def _passed(values: Sequence[Sequence[Any]]) -> dict[int, list[Sample]]:
    passed: dict[int, list[Sample]] = defaultdict(list)
    for point, ts_us, value, flag in values:
        passed[point].append(Sample(moment(ts_us), value, flag))
    for samples in passed.values():
        samples.sort(key=lambda sample: sample.ts)
    return dict(passed)


def _look(
    pairs: Sequence[Pair],
    ids: Sequence[int] | None,
    passed: Mapping[int, Sequence[Sample]],
    now: datetime,
) -> list[_Change]:
    """Follow every pair's signal from its known state. Three queries, and those of the kinds."""
    points = None
    if ids is not None:
        points = sorted({p.point.id for p in pairs} | {i for p in pairs for i in p.inputs.values()})
    context = Context(now, passed, read_latest(points))
    known = _known(points)
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair.rule.kind].append(pair)
    changes = []
    for kind, those in by_kind.items():
        for pair, samples in zip(those, KINDS[kind].signals(those, context), strict=True):
            before = known.get((pair.point.id, pair.rule.id), NORMAL_STATE)
            found = follow(pair.levels, before, samples)
            if found is not None:
                changes.append(_Change(pair, before, found))
    return changes


def _known(points: Sequence[int] | None) -> dict[tuple[int, int], Known]:
    """States of the pairs that are not normal. Two queries."""
    pending = RuleState.objects.all()
    active = Alarm.objects.filter(cleared_at__isnull=True)
    if points is not None:
        pending, active = (
            pending.filter(point__in=any_of(points)),
            active.filter(point__in=any_of(points)),
        )
    known = {
        (point, rule): Known(State(Phase.PENDING, since))
        for point, rule, since in pending.values_list("point_id", "rule_id", "condition_since")
    }
    for pk, point, rule, raised_at, peak in active.values_list(
        "pk", "point_id", "rule_id", "raised_at", "peak_value"
    ):
        known[point, rule] = Known(State(Phase.ACTIVE, raised_at), pk, peak)
    return known


@transaction.atomic
def _decide(
    table: RuleTable,
    point_ids: Sequence[int],
    passed: Mapping[int, Sequence[Sample]],
    now: datetime,
) -> Evaluation:
    """Lock these points (ascending ids, so that no two workers wait in a circle) and change them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key",
            [[LOCK_SPACE | pk for pk in point_ids]],
        )
    pairs = [pair for pk in point_ids for pair in table.by_point.get(pk, ())]
    changes = _look(pairs, point_ids, passed, now)
    _remember_pending(changes, now)
    lifecycle.peaks_keep(
        peaks=[(c.known.alarm_id, c.found.peak) for c in changes if c.known.alarm_id is not None]
    )
    cleared = lifecycle.alarms_clear(
        clears=[
            lifecycle.Clear(c.known.alarm_id, c.found.cleared_at)
            for c in changes
            if c.known.alarm_id is not None and c.found.cleared_at is not None
        ]
    )
    raises = [
        lifecycle.Raise(c.pair, raised.sample, raised.peak, raised.cleared_at)
        for c in changes
        for raised in c.found.raised
    ]
    news = _without_old(raises)
    lifecycle.alarms_raise(raises=news, now=now)
    cleared += sum(raised.cleared_at is not None for raised in news)
    waiting = sum(c.found.after.phase is Phase.PENDING for c in changes)
    return Evaluation(len(news), cleared, waiting)


def _without_old(raises: list[lifecycle.Raise]) -> list[lifecycle.Raise]:
    """Leave out what an earlier evaluation has told already: a task may run twice, or late."""
    if not raises:
        return raises
    ended = {
        (point, rule): last
        for point, rule, last in Alarm.objects.filter(
            point__in=any_of({r.pair.point.id for r in raises}),
            rule__in={r.pair.rule.id for r in raises},
            cleared_at__gte=min(r.sample.ts for r in raises),
        )
        .order_by()
        .values_list("point_id", "rule_id")
        .annotate(last=Max("cleared_at"))
    }
    return [
        r
        for r in raises
        if (last := ended.get((r.pair.point.id, r.pair.rule.id))) is None or r.sample.ts > last
    ]


def _remember_pending(changes: Sequence[_Change], now: datetime) -> None:
    """Write which conditions hold since when. At most two queries."""
    over = [
        c
        for c in changes
        if c.known.state.phase is Phase.PENDING and c.found.after != c.known.state
    ]
    if over:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM facilities_rulestate s USING unnest(%s::bigint[], %s::bigint[]) "
                "AS gone (point_id, rule_id) "
                "WHERE s.point_id = gone.point_id AND s.rule_id = gone.rule_id",
                [[c.pair.point.id for c in over], [c.pair.rule.id for c in over]],
            )
    RuleState.objects.bulk_create(
        RuleState(
            point_id=c.pair.point.id,
            rule_id=c.pair.rule.id,
            condition_since=c.found.after.since or now,
        )
        for c in changes
        if c.found.after.phase is Phase.PENDING and c.found.after != c.known.state
    )
