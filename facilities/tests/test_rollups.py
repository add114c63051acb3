"""Rollups equal a fresh GROUP BY, whatever came late, twice, out of order or meanwhile."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities import partitions
from facilities.models import Rollup1h, Rollup1m, RollupMark
from facilities.rollups import job, mark, mark_readings

BASE = datetime(2026, 3, 1, 22, 58, tzinfo=UTC)
NOW = BASE + timedelta(hours=6)


class Row(NamedTuple):
    point: int
    ts: datetime
    value: float
    quality: int


def micro(ts: datetime) -> int:
    return int(ts.timestamp()) * 1_000_000 + ts.microsecond


def commit(rows: list[Row], *, now: datetime = NOW) -> None:
    """Store readings and their marks as the committer does."""
    partitions.ensure_partitions({row.ts.date() for row in rows})
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
            [tuple(row) for row in rows],
        )
        mark_readings(
            cursor,
            np.array([row.point for row in rows], dtype=np.int64),
            np.array([micro(row.ts) for row in rows], dtype=np.int64),
            micro(now),
        )


def expected(rows: list[Row], seconds: int) -> dict[tuple[int, datetime], tuple]:
    """The sums in plain Python, from the first reading of each (point, time)."""
    first: dict[tuple[int, datetime], Row] = {}
    for row in rows:
        first.setdefault((row.point, row.ts), row)
    groups = defaultdict(list)
    for row in first.values():
        start = datetime.fromtimestamp(row.ts.timestamp() // seconds * seconds, UTC)
        groups[row.point, start].append(row)
    order = [9, 2, 1, 3, 4]
    sums = {}
    for key, group in groups.items():
        usable = sorted((r for r in group if r.quality < 4), key=lambda r: r.ts)
        values = [r.value for r in usable]
        sums[key] = (
            min(values) if values else None,
            max(values) if values else None,
            pytest.approx(sum(values) / len(values)) if values else None,
            values[-1] if values else None,
            len(group),
            len(group) - len(usable),
            max((r.quality for r in group), key=order.index),
        )
    return sums


def stored(model) -> dict[tuple[int, datetime], tuple]:
    return {
        (r.point_id, r.ts): (r.low, r.high, r.mean, r.last, r.count, r.bad, r.flag)
        for r in model.objects.all()
    }


def empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE facilities_reading, facilities_rollup_1m, facilities_rollup_1h, "
            "facilities_rollupmark"
        )


@pytest.fixture(autouse=True)
def _empty_tables(db: None) -> None:
    """Django's flush does not know these tables: a transactional test may have left rows."""
    empty()


readings = st.builds(
    Row,
    point=st.integers(1, 3),
    ts=st.integers(0, 4 * 60 * 4).map(lambda quarter: BASE + timedelta(seconds=15 * quarter)),
    value=st.floats(-50, 50).map(lambda v: round(v, 3)),
    quality=st.sampled_from([1, 1, 1, 2, 3, 4, 9]),
)


@pytest.mark.django_db
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.one_of(st.none(), st.lists(readings, min_size=1, max_size=12)), max_size=12)
)
def test_it_ends_equal_to_a_fresh_sum_after_any_sequence(steps):
    """None is a run of the job, a list is a commit: late, out of order, duplicated."""
    empty()
    rows: list[Row] = []
    for step in steps:
        if step is None:
            job.run(now=NOW)
        else:
            commit(step)
            rows += step
    job.run(now=NOW)
    assert stored(Rollup1m) == expected(rows, 60)
    assert stored(Rollup1h) == expected(rows, 3600)
    assert not RollupMark.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_ends_right_when_jobs_and_commits_run_at_once():
    rng = np.random.default_rng(4)
    batches = [
        [
            Row(
                int(rng.integers(1, 6)),
                BASE + timedelta(seconds=int(rng.integers(0, 3600))),
                float(rng.normal()),
                int(rng.choice([1, 1, 1, 3, 4])),
            )
            for _ in range(60)
        ]
        for _ in range(24)
    ]
    errors: list[Exception] = []
    writing = threading.Event()
    writing.set()

    def write(mine):
        try:
            for batch in mine:
                # In one order, so that two commits do not wait for one another in a circle.
                commit(sorted(batch, key=lambda r: (r.point, r.ts)))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    def sum_up():
        try:
            while writing.is_set():
                job.run(now=NOW, budget_s=0.2)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    try:
        writers = [threading.Thread(target=write, args=(batches[n::3],)) for n in range(3)]
        jobs = [threading.Thread(target=sum_up) for _ in range(2)]
        for thread in writers + jobs:
            thread.start()
        for thread in writers:
            thread.join()
        writing.clear()
        for thread in jobs:
            thread.join()
        job.run(now=NOW)
        assert errors == []
        with connection.cursor() as cursor:  # duplicates raced: what is stored decides
            cursor.execute("SELECT point_id, ts, value, quality FROM facilities_reading")
            rows = [Row(*row) for row in cursor.fetchall()]
        assert len(rows) > 1000
        assert stored(Rollup1m) == expected(rows, 60)
        assert stored(Rollup1h) == expected(rows, 3600)
        assert not RollupMark.objects.exists()
    finally:
        empty()


@pytest.mark.django_db
def test_it_leaves_the_minute_that_is_not_over():
    rows = [Row(1, BASE + timedelta(seconds=s), 1.0, 1) for s in (0, 59, 60, 61)]
    commit(rows, now=BASE + timedelta(seconds=62))
    job.run(now=BASE + timedelta(seconds=66))
    assert [r.ts for r in Rollup1m.objects.all()] == [BASE]
    status = job.status(now=BASE + timedelta(seconds=150))
    assert (status.pending_minutes, status.lag_s) == (1, 30.0)
    job.run(now=BASE + timedelta(seconds=150))
    assert job.status(now=BASE + timedelta(seconds=150)).pending_minutes == 0
    assert Rollup1m.objects.count() == 2


@pytest.mark.django_db
def test_it_recounts_only_the_late_point():
    commit([Row(point, BASE, 1.0, 1) for point in (1, 2)], now=BASE)
    job.run(now=NOW)
    with connection.cursor() as cursor:  # a trace: only a recount of point 2 removes it
        cursor.execute("UPDATE facilities_rollup_1m SET count = 99")
    commit([Row(2, BASE + timedelta(seconds=5), 3.0, 1)])
    assert [m.point_ids for m in RollupMark.objects.filter(level=1)] == [[2]]
    job.run(now=NOW)
    assert dict(Rollup1m.objects.values_list("point_id", "count")) == {1: 99, 2: 2}


@pytest.mark.django_db
def test_it_marks_whole_minutes_by_number():
    with connection.cursor() as cursor:
        mark(cursor, {int(BASE.timestamp()) // 60})
        mark(cursor, [])
    assert [(m.level, m.start, m.point_ids) for m in RollupMark.objects.all()] == [(1, BASE, None)]


@pytest.mark.django_db
def test_it_stops_when_the_budget_is_spent_and_goes_on_next_time():
    commit([Row(1, BASE + timedelta(minutes=n), 1.0, 1) for n in range(10)])
    assert job.run(now=NOW, budget_s=-1).minutes == 0
    assert RollupMark.objects.filter(level=1).count() == 10
    done = job.run(now=NOW)
    assert (done.minutes, done.hours, done.rows) == (10, 2, 12)
