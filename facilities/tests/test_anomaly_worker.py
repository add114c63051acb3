"""The detector at work on committed readings: scores, events, flags, restart, lease, API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from django.test import Client

from facilities import partitions
from facilities.anomaly import THRESHOLD
from facilities.anomaly.store import KEEP_EVENTS, events_drop_old
from facilities.anomaly.worker import LEASE, Worker
from facilities.models import AnomalyEvent, AnomalyScore, AnomalyWorker, LatestReading, Point

pytestmark = pytest.mark.django_db
STEP = timedelta(seconds=2)
NOW = datetime.now(UTC)
COUNT = 800


def calm(seed: int = 0, count: int = COUNT) -> np.ndarray:
    """Readings of a healthy point."""
    random = np.random.default_rng(seed)
    return 22 + 0.3 * np.sin(np.arange(count) / 20) + 0.05 * random.normal(size=count)


def commit(tag: str, values: np.ndarray, *, until: datetime = NOW, quality: int = 1) -> None:
    """Store readings every 2 s up to ``until``, and the latest as ingestion does."""
    point = Point.objects.get(tag=tag)
    times = [until - STEP * n for n in range(len(values))][::-1]
    partitions.ensure_partitions({moment.date() for moment in times})
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (point.pk, at, float(value), quality, until)
                for at, value in zip(times, values, strict=True)
            ],
        )
    LatestReading.objects.update_or_create(
        point=point,
        defaults={"ts": until, "value": values[-1], "quality": quality, "received_at": until},
    )


@pytest.fixture
def worker(small_facility, tmp_path) -> Worker:
    made = Worker(path=tmp_path / "state.npz", owner="me")
    assert made.claim()
    made.load()
    return made


def test_it_scores_what_was_committed_and_records_an_event(worker):
    values = calm()
    values[-30:] += 6
    commit("rack-a.inlet_c", values)
    commit("rack-b.inlet_c", calm(1))
    turn = worker.turn(now=NOW)
    assert turn.scored == 2 * COUNT
    assert turn.events == 1
    event = AnomalyEvent.objects.get()
    assert event.point.tag == "rack-a.inlet_c"
    assert event.started_at == NOW - STEP * 29
    assert event.value == pytest.approx(values[-30])
    assert event.expected == pytest.approx(22, abs=1)
    scores = dict(AnomalyScore.objects.values_list("point__tag", "score"))
    assert scores["rack-a.inlet_c"] >= THRESHOLD > scores["rack-b.inlet_c"]
    assert worker.turn(now=NOW).scored == 0


def test_it_keeps_up_with_one_query_when_each_point_has_one_new_reading(
    worker, django_assert_num_queries
):
    commit("rack-a.inlet_c", calm())
    worker.turn(now=NOW)
    later = NOW + STEP
    commit("rack-a.inlet_c", np.array([22.0]), until=later)
    with django_assert_num_queries(1):  # the data list's version; the readings come as arrays
        assert worker.turn(now=later).scored == 1


def test_it_neither_scores_nor_learns_from_readings_that_are_not_good(worker):
    commit("rack-a.inlet_c", calm())
    worker.turn(now=NOW)
    learned = worker.detector.moments.copy()
    commit("rack-a.inlet_c", np.full(20, 60.0), until=NOW + STEP * 20, quality=3)
    assert worker.turn(now=NOW + STEP * 20).scored == 0
    assert np.array_equal(worker.detector.moments, learned)
    assert not AnomalyEvent.objects.exists()


def test_it_says_nothing_while_a_point_is_new(worker):
    commit("rack-a.inlet_c", calm(count=100))
    assert worker.turn(now=NOW).scored == 100
    assert not AnomalyScore.objects.exists()


def test_it_leaves_states_to_rules(worker):
    commit("crac-a.running", np.r_[np.ones(COUNT - 1), 0.0])
    assert worker.turn(now=NOW).scored == 0


def test_it_joins_what_follows_into_one_event(worker):
    values = calm()
    values[-200] += 5
    values[-20] += 30
    commit("rack-a.inlet_c", values)
    assert worker.turn(now=NOW).events == 1
    event = AnomalyEvent.objects.get()
    assert event.last_at - event.started_at == STEP * 180


def test_it_goes_on_where_the_last_holder_stopped(worker, tmp_path):
    """Killed between two snapshots: the next one reads again what came after the snapshot."""
    values = calm()
    values[700] += 8
    first, rest = values[:600], values[600:]
    middle = NOW - STEP * len(rest)
    commit("rack-a.inlet_c", first, until=middle)
    worker.turn(now=middle)
    worker.save()
    commit("rack-a.inlet_c", rest[:50], until=NOW - STEP * (len(rest) - 50))
    worker.turn(now=NOW)  # scored, but not saved: this holder dies now
    other = Worker(path=tmp_path / "state.npz", owner="other")
    assert not other.claim()
    assert other.claim(now=datetime.now(UTC) + LEASE * 2)
    other.load()
    commit("rack-a.inlet_c", rest, until=NOW)
    assert other.turn(now=NOW).scored == len(rest)
    once = Worker(path=tmp_path / "none.npz", owner="once")
    once.load()
    once.turn(now=NOW)
    at = other.row_of[Point.objects.get(tag="rack-a.inlet_c").pk]
    assert np.allclose(other.detector.moments[at], once.detector.moments[at])
    assert AnomalyEvent.objects.count() == 1
    assert not worker.claim(now=datetime.now(UTC) + LEASE * 2)


def test_it_follows_the_data_list(worker):
    commit("rack-a.inlet_c", calm())
    commit("rack-b.inlet_c", calm(1))
    worker.turn(now=NOW)
    rows = worker.detector.rows
    gone = Point.objects.get(tag="rack-a.inlet_c")
    LatestReading.objects.filter(point=gone).delete()
    gone.delete()
    commit("rack-b.inlet_c", np.array([22.0]), until=NOW + STEP)
    assert worker.turn(now=NOW + STEP).scored == 1
    assert worker.detector.rows == rows - 1
    assert not AnomalyScore.objects.filter(point=gone.pk).exists()


def test_it_reports_how_it_keeps_up(worker, client_as, viewer):
    commit("rack-a.inlet_c", calm())
    worker.report(worker.turn(now=NOW), 0.01)
    body = client_as(viewer).get("/api/v1/anomalies/status").json()
    assert body["running"] is True
    assert body["scored"] == COUNT
    assert body["warm_points"] == 1
    worker.release()
    assert client_as(viewer).get("/api/v1/anomalies/status").json()["running"] is False


def test_it_drops_events_after_a_year(worker):
    values = calm()
    values[-1] += 9
    commit("rack-a.inlet_c", values)
    worker.turn(now=NOW)
    assert events_drop_old() == 0
    assert events_drop_old(now=NOW + KEEP_EVENTS + timedelta(days=1)) == 1


@pytest.mark.parametrize("path", ["anomalies/", "anomalies/scores"])
def test_it_lists_over_rest(worker, path, client_as, viewer, django_assert_num_queries):
    values = calm()
    values[-1] += 9
    commit("rack-a.inlet_c", values)
    worker.turn(now=NOW)
    client = client_as(viewer)
    with django_assert_num_queries(4):  # session, user, count, rows
        body = client.get(f"/api/v1/{path}?asset=rack-a").json()
    assert [row["point"] for row in body["results"]] == ["rack-a.inlet_c"]
    assert client.get(f"/api/v1/{path}?asset=rack-b").json()["results"] == []
    assert Client().get(f"/api/v1/{path}").status_code in (401, 403)


def test_it_refuses_a_window_that_ends_before_it_starts(client_as, viewer):
    answer = client_as(viewer).get(
        "/api/v1/anomalies/?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z"
    )
    assert answer.status_code == 400
    assert "not before" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_it_runs_in_one_process_at_a_time(small_facility, tmp_path, settings):
    import threading

    settings.DATA_DIR = tmp_path
    first, second = Worker(owner="first"), Worker(owner="second")
    assert first.claim() and not second.claim()
    stop = threading.Event()

    def work():
        first.run(stop)
        connection.close()

    done = threading.Thread(target=work)
    done.start()
    try:
        for _ in range(100):
            if AnomalyWorker.objects.filter(owner="first", scored_until__isnull=False).exists():
                break
            stop.wait(0.05)
        assert AnomalyWorker.objects.get(pk=1).points > 0
        assert not second.claim()
    finally:
        stop.set()
        done.join(10)
    assert (tmp_path / "anomaly" / "state.npz").exists()
    assert second.claim()


@pytest.mark.parametrize("name", ["anomalyevent", "anomalyworker"])
def test_it_shows_admins_what_it_found_and_lets_nobody_type_it(worker, client_as, admin, name):
    values = calm()
    values[-1] += 9
    commit("rack-a.inlet_c", values)
    worker.turn(now=NOW)
    client = client_as(admin)
    assert client.get(f"/admin/facilities/{name}/").status_code == 200
    assert client.get(f"/admin/facilities/{name}/add/").status_code == 403
