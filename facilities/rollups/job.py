"""The job that brings rollups up to date: a bounded number of minutes and hours per run.

Each minute (or hour) is one transaction under an advisory lock of its own: delete its marks,
recompute it from what is committed, write it. A commit of readings that lands meanwhile appends
its own mark, which a later run finds. Several workers may run the job at once; they take
different minutes. A crash rolls back: the marks are there again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from facilities.models.rollup import Level
from facilities.partitions import ROLLUPS_1H, ROLLUPS_1M, PartitionedTable

from .sql import HOURS, MINUTES, SOME_POINTS, UPSERT

GRACE_S: Final = 5.0
"""A minute is summed up this long after its end, when most of what is late has come (assumed)."""

BUDGET_S: Final = 4.0
"""A run starts no further minute after this; beat starts a run every ``INTERVAL_S``."""

INTERVAL_S: Final = 5.0
BATCH: Final = 200
_LOCK_SPACE: Final = 0x68700000  # "hp": keeps these two-part advisory locks apart from others'


class Span(NamedTuple):
    """What a level is made of."""

    level: Level
    length: timedelta
    table: PartitionedTable
    sums: str
    above: Level | None


MINUTE: Final = Span(Level.MINUTE, timedelta(minutes=1), ROLLUPS_1M, MINUTES, Level.HOUR)
HOUR: Final = Span(Level.HOUR, timedelta(hours=1), ROLLUPS_1H, HOURS, None)


class Run(NamedTuple):
    """What one run did: minutes and hours recomputed, rows written, seconds it took."""

    minutes: int
    hours: int
    rows: int
    seconds: float


class Status(NamedTuple):
    """How far behind the rollups are. ``lag_s`` is the age of the oldest minute or hour that is
    over and not summed up; 0 when there is none.
    """

    pending_minutes: int
    pending_hours: int
    lag_s: float


def run(*, now: datetime | None = None, budget_s: float = BUDGET_S) -> Run:
    """Recompute what is marked and over, oldest first, until the budget is spent."""
    started = time.monotonic()
    done = {Level.MINUTE: 0, Level.HOUR: 0}
    rows = 0
    for span in (MINUTE, HOUR):
        for start in _marked(span, now or datetime.now(UTC)):
            if time.monotonic() - started > budget_s:
                break
            written = _recompute(span, start)
            if written is not None:
                done[span.level] += 1
                rows += written
    return Run(done[Level.MINUTE], done[Level.HOUR], rows, time.monotonic() - started)


def _marked(span: Span, now: datetime) -> Iterator[datetime]:
    """Yield the marked starts of a level whose time is over, oldest first, each once."""
    after = datetime(1, 1, 1, tzinfo=UTC)
    over = now - span.length - timedelta(seconds=GRACE_S)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT start FROM facilities_rollupmark "
                "WHERE level = %s AND start > %s AND start <= %s ORDER BY start LIMIT %s",
                [span.level, after, over, BATCH],
            )
            found = [row[0] for row in cursor.fetchall()]
        yield from found
        if len(found) < BATCH:
            return
        after = found[-1]


def _recompute(span: Span, start: datetime) -> int | None:
    """Recompute one minute or hour; None when another worker has it or nothing is marked."""
    span.table.ensure([start.date()])
    with transaction.atomic(), connection.cursor() as cursor:
        # A lock of its own statement: what follows sees whatever the last holder committed.
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [*_lock_key(span, start)])
        if not cursor.fetchone()[0]:
            return None
        claimed = _claim(cursor, span.level, start)
        if claimed is None:
            return None
        whole, points = claimed
        cursor.execute(
            UPSERT.format(
                table=span.table.table, sums=span.sums.format(points="" if whole else SOME_POINTS)
            ),
            {"start": start, "end": start + span.length, "points": points},
        )
        written = cursor.rowcount
        if span.above is not None:
            cursor.execute(
                "INSERT INTO facilities_rollupmark (level, start, point_ids) "
                "VALUES (%s, date_trunc('hour', %s::timestamptz, 'UTC'), %s::bigint[])",
                [span.above, start, None if whole else points],
            )
    return written


def _lock_key(span: Span, start: datetime) -> tuple[int, int]:
    return _LOCK_SPACE + span.level, int(start.timestamp() // span.length.total_seconds())


def _claim(cursor: CursorWrapper, level: Level, start: datetime) -> tuple[bool, list[int]] | None:
    """Delete the marks of one start; return whether all points are meant, and which if not."""
    cursor.execute(
        "DELETE FROM facilities_rollupmark WHERE level = %s AND start = %s RETURNING point_ids",
        [level, start],
    )
    marks = [row[0] for row in cursor.fetchall()]
    if not marks:
        return None
    if any(points is None for points in marks):
        return True, []
    return False, sorted({point for points in marks for point in points})


def status(*, now: datetime | None = None) -> Status:
    """How much waits to be summed up. One query over the marks."""
    moment = now or datetime.now(UTC)
    counts, oldest = {}, moment
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT level, count(DISTINCT start), min(start) FROM facilities_rollupmark "
            "WHERE start + CASE level WHEN 1 THEN interval '1 minute' ELSE interval '1 hour' END "
            "<= %s GROUP BY level",
            [moment],
        )
        for level, count, start in cursor.fetchall():
            counts[level] = count
            length = MINUTE.length if level == Level.MINUTE else HOUR.length
            oldest = min(oldest, start + length)
    return Status(
        counts.get(Level.MINUTE, 0),
        counts.get(Level.HOUR, 0),
        max((moment - oldest).total_seconds(), 0.0),
    )
