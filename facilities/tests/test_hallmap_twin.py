"""The twin on the hall map: what comes, and what it makes of what was."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from facilities import partitions
from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import read_facility
from facilities.hallmap.ahead import HORIZON_S, prediction
from facilities.hallmap.replay import LONGEST_S, replay
from facilities.models import Hall, LatestReading, Point, Reading

LASTED_S = 120
EVERY_S = 10


@pytest.fixture
def measured(demo_facility) -> tuple[Hall, datetime]:
    """The demo hall after two minutes of readings of the demo plant; CRAC 2 trips after one."""
    facility = read_facility()
    plant = Plant(facility)
    end = timezone.now()
    start = end - timedelta(seconds=LASTED_S)
    partitions.ensure_partitions([start.date(), end.date()])
    ids = dict(Point.objects.values_list("tag", "pk"))
    rows = []
    for _ in range(200):
        plant.step(1.0, at=start)
    for second in range(LASTED_S + 1):
        if second == 60:
            plant.conditions.crac_tripped[1] = True
        plant.step(1.0, at=start + timedelta(seconds=second))
        if second % EVERY_S:
            continue
        at = start + timedelta(seconds=second)
        for (kind, quantity), values in plant.values().items():
            for asset, value in zip(facility.of_kind(kind), values, strict=True):
                pk = ids.get(f"{asset.tag}.{quantity}")
                if pk is not None:
                    rows.append((pk, at, float(value)))
    Reading.objects.bulk_create(
        [Reading(point_id=pk, ts=at, value=value, received_at=at) for pk, at, value in rows]
    )
    newest = {pk: (at, value) for pk, at, value in rows}
    LatestReading.objects.bulk_create(
        [
            LatestReading(point_id=pk, ts=at, value=value, received_at=at)
            for pk, (at, value) in newest.items()
        ]
    )
    return Hall.objects.get(slug="hall-1"), start


@pytest.mark.django_db
def test_it_continues_the_measured_frames_into_the_next_half_hour(measured):
    hall, _ = measured
    found = prediction(hall, step_s=60)
    assert found["source"] == "twin"
    assert found["count"] == HORIZON_S // 60 + 1
    inlet = found["values"]["rack-1-03.inlet_c"]
    latest = LatestReading.objects.get(point__tag="rack-1-03.inlet_c").value
    assert inlet[0] == pytest.approx(latest, abs=1.0)
    # CRAC 2 is down: without anybody acting it stays warmer than the 20 °C of a healthy hall.
    assert 23 < inlet[10] < 45
    assert found["values"]["crac-2.airflow_m3s"][5] == pytest.approx(0, abs=0.3)
    assert found["values"]["crac-1.airflow_m3s"][5] > 2
    assert found["closure"] < 0.001
    assert prediction(hall, step_s=60) == found  # cached: no second run


@pytest.mark.django_db
def test_it_replays_the_past_with_what_was_commanded_and_reported(measured, viewer, client_as):
    hall, start = measured
    end = start + timedelta(seconds=LASTED_S)
    found = replay(hall, start=start, end=end, step_s=EVERY_S)
    assert found["count"] == LASTED_S // EVERY_S + 1
    ts = [start + timedelta(seconds=EVERY_S * n) for n in range(found["count"])]
    own = found["values"]["rack-1-04.inlet_c"]
    measured_c = dict(
        Reading.objects.filter(point__tag="rack-1-04.inlet_c").values_list("ts", "value")
    )
    assert own[0] == pytest.approx(measured_c[ts[0]], abs=0.6)
    # The trip was reported, so the twin's air warms too, though it was told no temperature.
    assert found["values"]["crac-2.airflow_m3s"][-1] < 0.3
    assert own[-1] > own[5] + 0.3
    assert own[-1] == pytest.approx(measured_c[ts[-1]], abs=2.0)
    assert found["closure"] < 0.001
    with pytest.raises(ValueError, match=str(LONGEST_S)):
        replay(hall, start=start - timedelta(hours=3), end=start, step_s=60)
    client = client_as(viewer)
    wrong = client.get(
        "/api/v1/halls/hall-1/replay", {"start": start.timestamp() - 9000, "step_s": 60}
    )
    assert wrong.status_code == 400
    assert "shorter time" in wrong.json()["detail"]
    for path in ("prediction", f"replay?start={start.timestamp()}&step_s=30"):
        assert client.get(f"/api/v1/halls/hall-1/{path}").status_code == 200, path
        assert Client().get(f"/api/v1/halls/hall-1/{path}").status_code in (401, 403)


@pytest.mark.django_db
def test_it_says_why_there_is_no_twin(small_facility, viewer, client_as):
    answer = client_as(viewer).get("/api/v1/halls/room-1/prediction")
    if answer.status_code == 200:  # a site this small can be simulated after all
        assert answer.json()["values"]
    else:
        assert (answer.status_code, answer.json()["code"]) == (409, "no_twin")
