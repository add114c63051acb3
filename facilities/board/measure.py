"""Measure on this installation what the capacity planner reckons with."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from django.db import connection, transaction

from facilities.ingest.points import columns_of
from facilities.ingest.samples import Batch
from facilities.models import CapacityMeasure, Point
from facilities.quality.judge import points_judge
from facilities.quality.limits import limits_of
from facilities.quality.stream import StreamQuality

ROWS: Final = 200_000
ROUNDS: Final = 5
START_US: Final = 1_700_000_000_000_000

_TABLE = """
CREATE TEMP TABLE facilities_capacity (point_id bigint, ts timestamptz, value float8,
    quality smallint, source_id bigint, received_at timestamptz, PRIMARY KEY (point_id, ts))
ON COMMIT DROP
"""


def capacity_measure() -> list[CapacityMeasure]:
    """Measure COPY, commit, and the quality tests; store and return the rates. About ten seconds.

    Uses a temporary table and one row of its own: readings are not touched.
    """
    found = [_copy(), _commit(), _checks(), _judge()]
    ingest = next(m for m in found if m.name == "check_us").value + 1e6 / found[0].value
    found.append(
        _made(
            "ingest_us",
            round(ingest * DECODING, 3),
            "µs/reading",
            f"COPY plus quality tests, times {DECODING:g} for decoding, converting and HTTP "
            "(assumed share; benchmarks/ingest.py measures the whole)",
        )
    )
    for measure in found:
        measure.save()
    return found


DECODING: Final = 2.0
"""What the rest of ingestion costs beside COPY and quality tests, as a factor; assumed."""


def _made(name: str, value: float, unit: str, how: str) -> CapacityMeasure:
    return CapacityMeasure(
        name=name, value=value, unit=unit, how=how, measured_at=datetime.now(UTC)
    )


def _copy() -> CapacityMeasure:
    """Rows per second into an indexed table of the readings' shape."""
    lines = "".join(
        f"{n % 1000}\t{datetime.fromtimestamp(1_700_000_000 + n // 1000, UTC).isoformat()}\t24.5\t1\t1"
        f"\t2026-01-01T00:00:00Z\n"
        for n in range(ROWS)
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TABLE)
        began = time.perf_counter()
        with cursor.copy("COPY facilities_capacity FROM STDIN") as copy:
            copy.write(lines)
        took = time.perf_counter() - began
    return _made("copy_per_s", ROWS / took, "rows/s", f"one COPY of {ROWS:,} rows with primary key")


def _commit() -> CapacityMeasure:
    """Milliseconds of a durable commit of one row."""
    took = []
    for number in range(20):
        began = time.perf_counter()
        with transaction.atomic():
            _made("commit_ms", float(number), "ms", "being measured").save()
        took.append((time.perf_counter() - began) * 1e3)
    return _made("commit_ms", statistics.median(took), "ms", "median of 20 commits of one row")


def _checks() -> CapacityMeasure:
    """Microseconds of the streaming quality tests for one reading, in batches of 5,000."""
    columns = columns_of(
        1,
        [
            (n + 1, f"a{n}.t", "Cel", "t", n, -10.0, 70.0, 0.1, 2.0, 10.0, False)
            for n in range(5_000)
        ],
    )
    check = StreamQuality(limits=limits_of(columns, states=np.empty(0, np.int64), own={}))
    rng = np.random.default_rng(1)
    rows = np.arange(5_000, dtype=np.int32)
    took = []
    for number in range(20):
        batch = Batch(
            rows,
            np.full(5_000, START_US + number * 2_000_000, np.int64),
            np.round(24 + rng.normal(0, 0.04, 5_000), 1),
            rows,
        )
        began = time.perf_counter()
        check.check(columns, batch, START_US + 10**9)
        took.append((time.perf_counter() - began) / 5_000 * 1e6)
    return _made("check_us", statistics.median(took), "µs/reading", "streaming quality tests")


def _judge() -> CapacityMeasure:
    """Microseconds of the slow quality tests for one point, on up to 500 real points."""
    points = list(Point.objects.values_list("pk", flat=True)[:500])
    if not points:
        return _made("judge_us", 60.0, "µs/point", "assumed: there is no point yet")
    began = time.perf_counter()
    report = points_judge(point_ids=points, now=datetime.now(UTC) - timedelta(seconds=1))
    took = (time.perf_counter() - began) / max(report.points, 1) * 1e6
    return _made(
        "judge_us",
        took,
        "µs/point",
        f"a verdict on {report.points} points, {report.readings:,} readings",
    )
