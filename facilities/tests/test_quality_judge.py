"""The slow tests on stored readings: verdicts, standing flags, scores, trends, restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from facilities import partitions
from facilities.ingest.points import point_table
from facilities.ingest.samples import Batch
from facilities.models import (
    LatestReading,
    Point,
    PointQuality,
    QualityLimit,
    QualityTrend,
    RedundancyGroup,
    Source,
)
from facilities.quality.judge import judge_due, points_judge
from facilities.quality.stream import StreamQuality
from facilities.quality.trend import drop_old

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
INLET, OTHER = "rack-a.inlet_c", "rack-b.inlet_c"


@pytest.fixture
def source(small_facility: None) -> Source:
    return Source.objects.create(name="bms", token_hash="x" * 64, token_prefix="hp_x")


Store = Callable[..., None]


@pytest.fixture
def store(source: Source) -> Store:
    """Write readings as ingestion does: value i at ``end`` − (n − 1 − i) · ``every_s``."""

    def write(
        tag: str,
        values: Sequence[float],
        *,
        end: datetime = NOW,
        every_s: float = 2.0,
        delay_s: float = 0.2,
        flags: Sequence[int] | None = None,
    ) -> None:
        point = Point.objects.get(tag=tag)
        times = [
            end - timedelta(seconds=every_s * (len(values) - 1 - n)) for n in range(len(values))
        ]
        partitions.ensure_partitions({moment.date() for moment in times})
        flags = flags or [1] * len(values)
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO facilities_reading VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    (point.pk, at, value, flag, source.pk, at + timedelta(seconds=delay_s))
                    for at, value, flag in zip(times, values, flags, strict=True)
                ],
            )
        LatestReading.objects.update_or_create(
            point=point,
            defaults={"ts": times[-1], "value": values[-1], "received_at": times[-1]},
        )

    return write


def noise(count: int, *, seed: int = 1, level: float = 24.0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(v) for v in np.round(level + rng.normal(0, 0.04, count), 1)]


def judged(tag: str, *, now: datetime = NOW) -> PointQuality:
    points_judge(point_ids=[Point.objects.get(tag=tag).pk], now=now)
    return PointQuality.objects.get(point__tag=tag)


def test_it_finds_nothing_wrong_with_a_healthy_point(store: Store) -> None:
    store(INLET, noise(300))
    found = judged(INLET)
    assert found.flag == 1
    assert found.standing == 1
    assert found.readings == 300
    assert found.interval_s == pytest.approx(2.0)
    assert found.delay_s == pytest.approx(0.2)
    for part in (found.completeness, found.timeliness, found.validity, found.precision):
        assert part == pytest.approx(1.0)
    assert found.score == pytest.approx(1.0)


def test_it_calls_a_silent_point_missing_and_marks_the_value_that_stands(store: Store) -> None:
    store(INLET, noise(100), end=NOW - timedelta(seconds=60))
    found = judged(INLET)
    assert found.flag == 9
    assert "Silent for 60 s" in found.tests["gap"]["detail"]
    assert LatestReading.objects.get(point__tag=INLET).quality == 9


def test_it_suspects_a_point_that_comes_and_goes_but_not_one_outage(store: Store) -> None:
    store(INLET, noise(60), end=NOW - timedelta(seconds=300))
    store(INLET, noise(60))
    found = judged(INLET)
    assert found.flag == 1
    assert "1 gap in" in found.tests["gap"]["detail"]
    assert found.completeness is not None
    assert found.completeness < 0.6
    for minute in range(5):
        store(OTHER, noise(15), end=NOW - timedelta(seconds=60 * minute))
    assert judged(OTHER).tests["gap"]["flag"] == 3


def test_it_calls_a_point_that_never_spoke_missing(source: Source) -> None:
    found = judged(INLET)
    assert (found.flag, found.readings, found.completeness) == (9, 0, 0.0)
    assert "ever" in found.tests["gap"]["detail"]


def test_it_does_not_mark_a_value_that_came_meanwhile(store: Store) -> None:
    store(INLET, noise(10), end=NOW - timedelta(seconds=60))
    LatestReading.objects.filter(point__tag=INLET).update(ts=NOW)
    judged(INLET)
    assert LatestReading.objects.get(point__tag=INLET).quality == 1


def test_it_measures_completeness_against_the_declared_interval(store: Store) -> None:
    store(INLET, noise(150), every_s=4.0)
    judged(INLET, now=NOW - timedelta(seconds=1))
    found = judged(INLET)
    assert found.completeness == pytest.approx(0.5, abs=0.01)


def test_it_measures_timeliness(store: Store) -> None:
    store(INLET, noise(100), delay_s=30.0)
    found = judged(INLET)
    assert found.timeliness == 0.0
    assert found.tests["timeliness"]["flag"] == 3


def test_it_suspects_a_clock_that_runs_ahead(store: Store) -> None:
    store(INLET, noise(100), delay_s=-20.0)
    assert "clock" in judged(INLET).tests["timeliness"]["detail"]


def test_it_suspects_steps_coarser_than_the_declared_precision(store: Store) -> None:
    store(INLET, [24.0, 24.5, 25.0, 24.5] * 60)
    found = judged(INLET)
    assert found.tests["quantisation"]["flag"] == 3
    assert found.precision == pytest.approx(0.2)


def test_it_counts_flagged_readings_against_validity(store: Store) -> None:
    store(INLET, noise(100), flags=[1] * 90 + [3] * 9 + [4])
    found = judged(INLET)
    assert (found.flagged, found.validity) == (10, pytest.approx(0.9))
    assert found.flag == 4


def test_it_suspects_jitter_but_not_lost_readings(store: Store) -> None:
    store(INLET, noise(50), every_s=6.0)  # two of three are lost: gaps, not jitter
    assert judged(INLET).tests["jitter"]["flag"] == 1
    Point.objects.filter(tag=OTHER).update(sampling_interval_s=10.0)
    store(OTHER, noise(100), every_s=2.0)  # five times as often as declared
    found = judged(OTHER).tests["jitter"]
    assert found["flag"] == 3
    assert "80%" in found["detail"]


def test_it_finds_a_stuck_sensor_and_lets_new_readings_carry_the_verdict(store: Store) -> None:
    store(INLET, noise(250), end=NOW - timedelta(seconds=400))
    judged(INLET, now=NOW - timedelta(seconds=400))
    store(INLET, [24.0] * 199, end=NOW)
    found = judged(INLET)
    assert found.tests["flat_line"]["flag"] in (3, 4)
    assert found.standing in (3, 4)
    columns = point_table(None)
    row = columns.by_tag[INLET]
    batch = Batch(
        np.array([row], np.int32),
        np.array([round(NOW.timestamp() * 1e6) + 2_000_000]),
        np.array([24.1]),
        np.zeros(1, np.int32),
    )
    flags = StreamQuality().check(columns, batch, round(NOW.timestamp() * 1e6) + 2_500_000)
    assert flags.tolist() == [found.standing]


def test_it_takes_up_its_memory_after_a_restart(store: Store) -> None:
    store(INLET, noise(100))
    judged(INLET)
    columns = point_table(None)
    end_us = round(NOW.timestamp() * 1e6)
    fresh = StreamQuality()  # a new process
    batch = Batch(
        np.full(2, columns.by_tag[INLET], np.int32),
        np.array([end_us, end_us + 2_000_000]),  # the stored reading again, then a spike
        np.array([24.0, 60.0]),
        np.arange(2, dtype=np.int32),
    )
    assert fresh.check(columns, batch, end_us + 2_500_000).tolist() == [1, 3]
    row = columns.by_tag[INLET]
    assert fresh._memory.changes[row] >= 20
    assert fresh._memory.longest_s[row] > 0


def test_it_finds_two_redundant_sensors_that_disagree(store: Store) -> None:
    group = RedundancyGroup.objects.create(name="inlets", tolerance=0.5)
    group.points.set(Point.objects.filter(tag__in=[INLET, OTHER]))
    store(INLET, noise(100))
    store(OTHER, noise(100, level=24.3, seed=2))
    assert judged(INLET).tests["redundancy"]["flag"] == 1
    store(OTHER, noise(100, level=26.0, seed=3), end=NOW + timedelta(seconds=300))
    store(INLET, noise(100), end=NOW + timedelta(seconds=300))
    later = NOW + timedelta(seconds=300)
    assert judged(INLET, now=later).tests["redundancy"]["flag"] == 3
    other = PointQuality.objects.get(point__tag=OTHER)
    assert other.standing == 3
    assert INLET in other.tests["redundancy"]["detail"]
    group.reference = Point.objects.get(tag=INLET)
    group.save()
    assert judged(INLET, now=later).tests["redundancy"]["flag"] == 1
    assert judged(OTHER, now=later).tests["redundancy"]["flag"] == 4


def test_it_finds_drift_long_before_the_tolerance_is_reached(store: Store) -> None:
    group = RedundancyGroup.objects.create(
        name="inlets", tolerance=5.0, reference=Point.objects.get(tag=INLET)
    )
    group.points.set(Point.objects.filter(tag__in=[INLET, OTHER]))
    flags = []
    for run in range(30):
        now = NOW + timedelta(seconds=60 * run)
        drift = 0.05 * max(0, run - 12)
        store(INLET, noise(30, seed=run), end=now)
        store(OTHER, noise(30, seed=100 + run, level=24.0 + drift), end=now)
        points_judge(point_ids=[Point.objects.get(tag=OTHER).pk], now=now)
        flags.append(PointQuality.objects.get(point__tag=OTHER).tests["drift"]["flag"])
    assert set(flags[:9]) == {2}
    assert set(flags[10:13]) == {1}
    first = flags.index(3)
    assert 13 < first < 25
    assert 0.05 * (first - 12) < 1.0


def test_it_groups_numbered_quantities_of_one_asset(store: Store) -> None:
    asset = Point.objects.get(tag=INLET).asset
    for number in (1, 2, 3):
        Point.objects.create(
            tag=f"{asset.tag}.probe_{number}_c", asset=asset, quantity=f"probe_{number}_c",
            name=f"Probe {number}", unit="Cel", min_value=0, max_value=100, precision=0.1,
            sampling_interval_s=2,
        )  # fmt: skip
        level = 24.0 if number < 3 else 33.0
        store(f"{asset.tag}.probe_{number}_c", noise(60, seed=number, level=level))
    points_judge(point_ids=[Point.objects.get(quantity="probe_1_c").pk], now=NOW)
    found = {
        q.point.quantity: q.tests["redundancy"]["flag"]
        for q in PointQuality.objects.select_related("point")
    }
    assert found == {"probe_1_c": 1, "probe_2_c": 1, "probe_3_c": 4}


def test_it_judges_the_longest_unjudged_first_and_bounds_a_run(store: Store) -> None:
    total = Point.objects.count()
    assert judge_due(now=NOW, limit=3).points == 3
    assert judge_due(now=NOW + timedelta(seconds=1), limit=total - 3).points == total - 3
    assert PointQuality.objects.count() == total


def test_it_keeps_trends_for_points_assets_sources_and_the_facility(store: Store) -> None:
    store(INLET, noise(300))
    store(OTHER, noise(300), delay_s=30)
    both = list(Point.objects.filter(tag__in=[INLET, OTHER]).values_list("pk", flat=True))
    points_judge(point_ids=both, now=NOW)
    points_judge(point_ids=both, now=NOW + timedelta(seconds=1))
    hour = NOW.replace(minute=0, second=0)
    found = {(t.scope, t.key): t for t in QualityTrend.objects.filter(hour=hour)}
    assert len(found) == 2 + 2 + 1 + 1
    assert all(trend.runs == 2 for trend in found.values())
    assert found["facility", 0].timeliness == pytest.approx(0.5)
    assert drop_old(now=NOW + timedelta(days=8)) == 2


def test_it_refuses_limits_that_contradict_one_another(small_facility: None) -> None:
    point = Point.objects.get(tag=INLET)
    with pytest.raises(ValidationError, match="swap them"):
        QualityLimit(point=point, rate_suspect=5, rate_fail=1).full_clean()
    with pytest.raises(ValidationError, match="leaves nothing good"):
        QualityLimit(point=point, suspect_low=5, suspect_high=1).full_clean()
    with pytest.raises(ValidationError, match="above 0"):
        QualityLimit(point=point, gap_s=-1).full_clean()


def test_it_takes_new_limits_with_the_next_version_of_the_data_list(small_facility: None) -> None:
    def version() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT version FROM facilities_datalistversion")
            return int(cursor.fetchone()[0])

    before = version()
    QualityLimit.objects.create(point=Point.objects.get(tag=INLET), rate_suspect=0.1)
    assert version() > before
