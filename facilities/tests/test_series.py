"""Series: the level chosen, nothing lost on the way, right before and after the job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities import partitions
from facilities.models import Level, Point
from facilities.rollups import job, mark_readings
from facilities.series import METHODS, TooMany, point_series, wall_series
from facilities.series.read import choose_level
from facilities.series.thin import chosen

pytestmark = pytest.mark.django_db

END = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)
TAG = "rack-a.inlet_c"


def store(tag: str, times: list[datetime], values: list[float], flags: list[int] | None = None):
    """Readings as they are after their commit, with their marks."""
    point = Point.objects.get(tag=tag).pk
    partitions.ensure_partitions({ts.date() for ts in times})
    with transaction.atomic(), connection.cursor() as cursor:
        with cursor.copy(
            "COPY facilities_reading (point_id, ts, value, quality, received_at) FROM STDIN"
        ) as copy:
            for ts, value, flag in zip(times, values, flags or [1] * len(times), strict=True):
                copy.write_row((point, ts, value, flag, ts))
        us = np.array([int(ts.timestamp() * 1e6) for ts in times], dtype=np.int64)
        mark_readings(
            cursor, np.full(len(us), point, dtype=np.int64), us, int(END.timestamp() * 1e6)
        )


def backwards(count: int, step_s: float) -> list[datetime]:
    return [END - timedelta(seconds=step_s * n) for n in range(count)]


@pytest.fixture
def day(small_facility) -> list[float]:
    """Three hours of readings every 5 s, with one excursion up and one down."""
    times = backwards(2160, 5)
    values = [22.0 + (n % 50) / 50 for n in range(2160)]
    values[500], values[1501] = 61.5, 3.25
    store(TAG, times, values)
    return values


def read(hours: float = 24, **options):
    return point_series(tag=TAG, start=END - timedelta(hours=hours), end=END, **options)


def test_it_gives_readings_when_they_fit_and_rollups_over_longer_times(day):
    short = read(0.5)
    assert (short.level, short.step_s, len(short.values)) == ("raw", 0.0, 361)
    assert short.flags == [1] * 361
    assert (read(24, max_points=500).level, read(24, max_points=40).level) == ("1m", "1h")
    assert read(24, max_points=8000).level == "raw"
    assert read(24, max_points=500, level="1h").level == "1h"


@pytest.mark.parametrize("summed_up", [False, True])
@pytest.mark.parametrize("level", ["", "raw", "1m", "1h"])
def test_it_loses_no_excursion_at_any_level(day, level, summed_up):
    if summed_up:
        job.run(now=END + timedelta(hours=3), budget_s=30)
    for method in ("minmax", "m4"):
        series = read(24, max_points=60, level=level, method=method)
        assert 6 <= len(series.values) <= 60
        assert (max(series.values), min(series.values)) == (61.5, 3.25)
        assert series.ts == sorted(series.ts)


@pytest.mark.parametrize("level", ["1m", "1h"])
def test_it_answers_the_same_before_while_and_after_the_job(day, level):
    def answer():
        return read(24, max_points=200, level=level, method="band")

    before = answer()
    job.run(now=END - timedelta(hours=1.5), budget_s=30)  # a half is summed up
    middle = answer()
    store("rack-a.inlet_c", [END - timedelta(hours=2, seconds=7)], [99.0], [4])
    late = answer()
    job.run(now=END + timedelta(hours=3), budget_s=30)
    after = answer()
    assert before._replace(values=[]) == middle._replace(values=[])
    assert before.values == pytest.approx(middle.values)
    assert late._replace(values=[]) == after._replace(values=[])
    assert late.values == pytest.approx(after.values)
    assert sum(before.counts) == 2160
    assert (sum(after.counts), sum(after.bad), max(after.flags)) == (2161, 1, 4)
    assert max(after.high) == 61.5  # the bad reading is counted, not shown as measured


def test_it_shows_bad_readings_with_their_flag(small_facility):
    times = backwards(1000, 1)
    values = [20.0 + (n % 10) for n in range(1000)]
    flags = [1] * 1000
    for n in range(100, 120):
        values[n], flags[n] = 500.0, 4
    store(TAG, times, values, flags)
    series = read(0.5, max_points=100)
    assert len(series.values) <= 100
    assert {f for f, v in zip(series.flags, series.values, strict=True) if v == 500.0} == {4}
    assert (min(series.usable()), max(series.usable())) == (20.0, 29.0)
    band = read(0.5, level="1m", method="band")
    assert sum(band.bad) == 20
    assert max(v for v in band.high if v is not None) == 29.0


def test_it_leaves_a_gap_where_nothing_was_usable(small_facility):
    store(TAG, [END - timedelta(minutes=m) for m in (5, 15)], [20.0, 21.0], [4, 1])
    band = read(0.5, level="1m", method="band")
    assert (band.values, band.low) == ([21.0, None], [21.0, None])
    assert (band.counts, band.bad, band.flags) == ([1, 1], [0, 1], [1, 4])
    assert read(0.5, level="1m").values == [21.0, 21.0]


def test_it_gives_a_wall_of_points_in_one_order(day, django_assert_num_queries):
    store("rack-b.inlet_c", backwards(50, 60), [30.0] * 50)
    start = END - timedelta(hours=24)
    with django_assert_num_queries(3):  # points, marks, sums
        wall = wall_series(
            tags=["rack-b.inlet_c", "no.such", TAG, TAG, "room-1.pue"], start=start, end=END
        )
    assert [(s.tag, s.level) for s in wall] == [
        ("rack-b.inlet_c", "1m"),
        (TAG, "1m"),
        ("room-1.pue", "1m"),
    ]
    assert max(v for v in wall[1].values if v is not None) == 61.5
    assert (set(wall[0].values), wall[2].values) == ({30.0}, [])
    raw = wall_series(tags=[TAG, "rack-b.inlet_c"], start=END - timedelta(minutes=9), end=END)
    assert [(s.level, len(s.values)) for s in raw] == [("raw", 109), ("raw", 10)]
    assert raw[0].ts == sorted(raw[0].ts)


def test_it_chooses_a_level_that_retention_has_left(small_facility, settings):
    points = list(Point.objects.filter(tag=TAG))
    now = datetime.now(UTC)

    def level(days_ago: float, hours: float, max_points: int = 500):
        start = now - timedelta(days=days_ago)
        return choose_level(points, start, start + timedelta(hours=hours), max_points)

    settings.RETENTION_DAYS, settings.RETENTION_1M_DAYS = 10, 100
    assert level(1, 1) == Level.RAW
    assert level(20, 1) == Level.MINUTE
    assert level(200, 1) == Level.HOUR
    assert level(1, 24, 10_000) == Level.RAW
    points[0].sampling_interval_s = 0.1  # ten readings a second: a day is too many
    assert level(1, 24, 10_000) == Level.MINUTE


def test_it_says_what_to_change_when_too_much_is_asked_for(day, monkeypatch):
    monkeypatch.setattr("facilities.series.read.RAW_ROWS", 1000)
    with pytest.raises(TooMany, match="ask for a shorter time, or for level 1m"):
        read(24, level="raw")
    assert read(24, max_points=8000).level == "1m"
    start = END - timedelta(hours=1)
    with pytest.raises(TooMany, match="501 points"):
        wall_series(tags=[f"p{n}" for n in range(501)], start=start, end=END)
    with pytest.raises(TooMany, match="lower max_points to 200"):
        wall_series(tags=[f"p{n}" for n in range(500)], start=start, end=END, max_points=201)
    with pytest.raises(ValueError, match="method 'mean'"):
        read(1, method="mean")
    with pytest.raises(ValueError, match="level '5m'"):
        read(1, level="5m")


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    count=st.integers(2, 60),
    method=st.sampled_from(METHODS[:3]),
    data=st.data(),
)
def test_it_never_chooses_more_than_asked_and_keeps_the_extremes(values, count, method, data):
    steps = data.draw(st.lists(st.floats(0.001, 1000), min_size=len(values), max_size=len(values)))
    ts, array = np.cumsum(steps), np.array(values)
    kept = chosen(ts, array, count, method)
    assert len(kept) <= count
    assert (np.diff(kept) > 0).all()
    if method != "lttb":
        assert {array[kept].min(), array[kept].max()} == {array.min(), array.max()}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seconds=st.lists(st.integers(0, 9000), min_size=1, max_size=60, unique=True),
    max_points=st.sampled_from([10, 50, 300]),
    level=st.sampled_from(["1m", "1h"]),
)
def test_it_counts_every_reading_once_at_any_width(small_facility, seconds, max_points, level):
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE facilities_reading, facilities_rollupmark")
    store(TAG, [END - timedelta(seconds=s) for s in seconds], [float(s) for s in seconds])
    band = read(3, max_points=max_points, level=level, method="band")
    assert sum(band.counts) == len(seconds)
    assert len(band.values) <= max_points
    assert (min(band.low), max(band.high)) == (min(seconds), max(seconds))
