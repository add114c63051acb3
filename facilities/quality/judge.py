"""The slow tests as a job: pick points, read their last minutes, write verdicts, scores, trends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection, transaction

from facilities.ingest.points import PointColumns, point_table
from facilities.models import PointQuality, RedundancyGroup
from facilities.quality import trend
from facilities.quality.limits import Limits, read_limits
from facilities.quality.memory import HALF_LIFE_S, to_us
from facilities.quality.peers import Group, Member, compare, groups_by_name
from facilities.quality.slow import Facts, judge
from facilities.quality.verdict import MISSING, Verdict
from facilities.quality.window import read_window

WINDOW: Final = timedelta(minutes=10)
"""Readings that a verdict rests on."""
LONG_INTERVALS: Final = 20
"""A slowly sampled point's window holds this many of its intervals instead."""
LONGEST_WINDOW: Final = timedelta(hours=6)
EVERY_S: Final = 30.0
MAX_POINTS: Final = 3_000
"""Points judged in one run, longest ago first: 100,000 points take a quarter of an hour."""

_DUE = """
SELECT p.id FROM facilities_point p LEFT JOIN facilities_pointquality q ON q.point_id = p.id
ORDER BY q.computed_at NULLS FIRST, p.id LIMIT %s
"""
_REFUSED = """
SELECT series, count(*) FROM facilities_quarantineditem
WHERE at > %s AND series = ANY(%s) GROUP BY series
"""
# Silence is written where the value stands, unless a newer one has come meanwhile.
_SILENT = """
UPDATE facilities_latestreading SET quality = %s WHERE point_id IN (
    SELECT point_id FROM facilities_latestreading
    WHERE point_id = ANY(%s) AND ts <= %s AND quality <> %s ORDER BY point_id FOR UPDATE)
"""


class JudgeReport(NamedTuple):
    """What a run did."""

    points: int
    readings: int
    flags: dict[int, int]


def judge_due(*, now: datetime | None = None, limit: int = MAX_POINTS) -> JudgeReport:
    """Judge the points whose verdict is oldest. About 1 ms a point (plan_capacity --measure)."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [limit])
        due = [row[0] for row in cursor.fetchall()]
    return points_judge(point_ids=due, now=now or datetime.now(UTC))


def points_judge(*, point_ids: Sequence[int], now: datetime) -> JudgeReport:
    """Judge these points, and those they are compared with, at ``now``; store what is found."""
    columns = point_table(None)
    limits = read_limits(columns)
    groups = read_groups(columns, limits)
    wanted = set(point_ids)
    groups = [g for g in groups if wanted & {member.point_id for member in g.members}]
    wanted |= {member.point_id for group in groups for member in group.members}
    rows = columns.rows_of(np.array(sorted(wanted), np.int64))
    rows = rows[rows >= 0]
    earlier = PointQuality.objects.in_bulk([int(columns.id[row]) for row in rows])
    verdicts: dict[int, Verdict] = {}
    readings = 0
    for window, chunk in _by_window(limits, rows):
        begin = now - window
        read = read_window(point_ids=[int(columns.id[row]) for row in chunk], begin=begin, end=now)
        refused = _refused(columns, chunk, begin)
        readings += len(read.ts_us)
        for at, point_id in enumerate(read.points.tolist()):
            row = int(columns.rows_of(np.array([point_id]))[0])
            part = slice(int(read.start[at]), int(read.stop[at]))
            verdict = judge(
                facts_of(columns, limits, row, earlier.get(point_id)),
                read.ts_us[part],
                read.value[part],
                read.flag[part],
                read.delay_s[part],
                begin_us=read.begin_us,
                end_us=read.end_us,
                refused=refused.get(columns.tags[row], 0),
            )
            sources = read.source[part]
            verdict.source_id = int(sources[-1]) if len(sources) else 0
            verdicts[point_id] = verdict
    for group in groups:
        compare(group, verdicts)
    _write(list(verdicts.values()), earlier, now, columns)
    flags: dict[int, int] = defaultdict(int)
    for verdict in verdicts.values():
        flags[verdict.flag] += 1
    return JudgeReport(len(verdicts), readings, dict(flags))


def _by_window(limits: Limits, rows: Any) -> list[tuple[timedelta, Any]]:
    """Rows by the length of the window that their sampling interval needs."""
    found: dict[timedelta, list[int]] = defaultdict(list)
    for row in rows:
        needed = timedelta(seconds=float(limits.interval_s[row]) * LONG_INTERVALS)
        hours = -(-needed // timedelta(hours=1))
        window = WINDOW if needed <= WINDOW else min(timedelta(hours=hours), LONGEST_WINDOW)
        found[window].append(int(row))
    return list(found.items())


def _refused(columns: PointColumns, rows: Sequence[int], begin: datetime) -> dict[str, int]:
    """Items in quarantine since ``begin`` whose series is the tag itself."""
    with connection.cursor() as cursor:
        cursor.execute(_REFUSED, [begin, [columns.tags[row] for row in rows]])
        return dict(cursor.fetchall())


def facts_of(columns: PointColumns, limits: Limits, row: int, before: PointQuality | None) -> Facts:
    """What is declared of the point at ``row`` and what its last verdict learned."""
    learned: dict[str, Any] = {}
    if before is not None:
        learned = {
            "run_us": to_us(before.run_since) if before.run_since else None,
            "longest_run_s": before.longest_run_s,
            "changes": before.changes,
            "judged_us": to_us(before.computed_at),
            "memory": before.memory,
        }
    return Facts(
        point_id=int(columns.id[row]),
        unit=columns.units[row],
        low=float(columns.low[row]),
        high=float(columns.high[row]),
        precision=float(columns.precision[row]),
        interval_s=float(columns.interval_s[row]),
        gap_s=float(limits.gap_s[row]),
        is_state=bool(limits.is_state[row]),
        flat_suspect_s=float(limits.flat_suspect_s[row]),
        flat_fail_s=float(limits.flat_fail_s[row]),
        flat_floor_s=float(limits.flat_floor_s[row]),
        **learned,
    )


def read_groups(columns: PointColumns, limits: Limits) -> list[Group]:
    """Declared groups, and those that follow from names; a point is compared in one group each."""

    def member(point_id: int) -> Member | None:
        row = int(columns.rows_of(np.array([point_id]))[0])
        if row < 0 or limits.is_state[row]:
            return None
        return Member(
            point_id,
            columns.tags[row],
            columns.units[row],
            float(columns.precision[row]),
            float(limits.span[row]),
            float(limits.redundancy_tolerance[row]),
        )

    found, taken = [], set()
    for declared in RedundancyGroup.objects.prefetch_related("points"):
        ids = sorted(point.pk for point in declared.points.all() if point.pk not in taken)
        members = tuple(m for m in map(member, ids) if m is not None)
        if len(members) > 1:
            taken |= {m.point_id for m in members}
            found.append(Group(declared.name, members, declared.reference_id, declared.tolerance))
    facts = zip(
        columns.id.tolist(),
        columns.asset_id.tolist(),
        columns.units,
        columns.quantities,
        strict=True,
    )
    for ids in groups_by_name(fact for fact in facts if fact[0] not in taken):
        members = tuple(m for m in map(member, ids) if m is not None)
        if len(members) > 1:
            found.append(Group(" = ".join(m.tag for m in members), members))
    return found


@transaction.atomic
def _write(
    verdicts: list[Verdict],
    earlier: dict[int, PointQuality],
    now: datetime,
    columns: PointColumns,
) -> None:
    """Upsert the verdicts in the order of the points, then silence and trends."""
    verdicts.sort(key=lambda verdict: verdict.point_id)
    rows = [_row(verdict, earlier.get(verdict.point_id), now) for verdict in verdicts]
    names = [f.name for f in PointQuality._meta.concrete_fields if not f.primary_key]
    PointQuality.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["point"], update_fields=names, batch_size=1_000
    )
    silent = [v.point_id for v in verdicts if v.flag == MISSING]
    if silent:
        heard = [v.last_us for v in verdicts if v.flag == MISSING and v.last_us is not None]
        until = datetime.fromtimestamp(max(heard) / 1e6, UTC) if heard else now - WINDOW
        with connection.cursor() as cursor:
            cursor.execute(_SILENT, [MISSING, silent, until, MISSING])
    trend.add(rows, verdicts, columns, now)


def _row(verdict: Verdict, before: PointQuality | None, now: datetime) -> PointQuality:
    flag = verdict.flag
    same = before is not None and before.flag == flag
    fade = 1.0
    if before is not None:
        fade = 0.5 ** (max((now - before.computed_at).total_seconds(), 0.0) / HALF_LIFE_S)
    scores = verdict.scores
    return PointQuality(
        point_id=verdict.point_id,
        computed_at=now,
        window_s=WINDOW.total_seconds(),
        flag=flag,
        standing=verdict.standing,
        since=before.since if same and before is not None else now,
        tests={
            name: {"flag": finding.flag, "detail": finding.detail}
            for name, finding in verdict.findings.items()
        },
        readings=verdict.readings,
        expected=verdict.expected,
        flagged=verdict.flagged,
        interval_s=verdict.interval_s,
        delay_s=verdict.delay_s,
        run_since=datetime.fromtimestamp(verdict.run_us / 1e6, UTC) if verdict.run_us else None,
        longest_run_s=verdict.longest_run_s * fade,
        changes=verdict.changes,
        memory=verdict.memory,
        completeness=scores.completeness,
        timeliness=scores.timeliness,
        validity=scores.validity,
        precision=scores.precision,
        score=scores.overall,
    )
