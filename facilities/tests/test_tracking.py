"""The followed twin: snapshots in, residual readings, rows and findings out; restarts; access."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.test import Client

from facilities.models import (
    Alarm,
    Asset,
    LatestReading,
    Point,
    Reading,
    Source,
    TwinAccuracy,
    TwinFinding,
    TwinTracker,
)
from facilities.snapshots import Snapshot, SnapshotValue
from facilities.tracking import live, stored
from facilities.tracking.accuracy import Hours, accuracy_store
from facilities.tracking.costs import costs_store
from facilities.tracking.findings import findings_store
from facilities.tracking.worker import LEASE, Worker
from facilities.twin.estimate.fitness import Score
from facilities.twin.estimate.maintenance import Finding
from facilities.twin.estimate.read import read_specs
from facilities.twin.read import read_site
from facilities.twin.tests.plants import Plant

pytestmark = pytest.mark.django_db
SITE = read_site()
SPECS, _ = read_specs(SITE)
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
PATHS = (
    "/twin/",
    "/api/v1/twin/state",
    "/api/v1/twin/accuracy",
    "/api/v1/twin/findings",
    "/api/v1/twin/sensors",
)


@pytest.fixture(scope="module")
def said() -> list[dict[str, float]]:
    """What a plant's instruments said, every 10 s for 40 s."""
    plant = Plant(SITE, SPECS, dt_s=10.0, biases={"rack-1-03.inlet_c": 1.0})
    return [{t: v for t, (v, _) in readings.items()} for _, readings in plant.run(1 / 90)]


def shot(at: datetime, values: dict[str, float], *, quality: int = 1) -> Snapshot:
    return Snapshot(
        at,
        "complete",
        True,
        0.1,
        {
            tag: SnapshotValue(tag, tag.rpartition(".")[0], tag.rpartition(".")[2], "", at, value,
                               quality, 0.5, False)
            for tag, value in values.items()
        },
        None,
    )  # fmt: skip


@pytest.fixture
def worker(demo_facility: None) -> Worker:
    made = Worker(owner="me")
    assert made.claim()
    made.load()
    return made


def follow(worker: Worker, said: list[dict[str, float]], *, start: datetime = NOW) -> None:
    for number, values in enumerate(said):
        assert worker.turn(shot=shot(start + timedelta(seconds=10 * number), values)) is not None


def test_it_writes_residuals_back_as_readings(worker, said):
    follow(worker, said)
    point = Point.objects.get(tag="rack-1-03.inlet_c_residual")
    assert point.source is not None
    assert (point.unit, point.verified, point.source.name) == ("K", True, "twin")
    assert point.sampling_interval_s is None
    assert Reading.objects.filter(point=point).count() == len(said)
    latest = LatestReading.objects.get(point=point)
    assert latest.ts == NOW + timedelta(seconds=10 * (len(said) - 1))
    sigma = LatestReading.objects.get(point__tag="rack-1-03.inlet_c_residual_sigma")
    assert sigma.value > 0
    made = Point.objects.filter(quantity__endswith="_residual").count()
    assert 200 <= made <= 320
    assert not Point.objects.filter(tag="srv-01-gpu-0.power_w_residual").exists()
    assert Source.objects.filter(name="twin").count() == 1


def test_it_keeps_the_state_for_those_who_ask(worker, said):
    follow(worker, said, start=datetime.now(UTC) - timedelta(seconds=45))
    found = live.current()
    assert found.followed
    assert found.state.members == 1
    assert found.drive.members == 1
    assert found.at == TwinTracker.objects.get().at
    measured = said[-1]["rack-1-03.power_w"]
    values = found.twin.values(found.state, found.drive)
    row = found.twin.site.locate("rack-1-03").row
    assert values["rack", "power_w"][0, row] == pytest.approx(measured, rel=0.05)
    before = found.state.thermal.inlet_c.copy()
    found.twin.step(found.state, found.drive, 5.0)
    assert (live.current().state.thermal.inlet_c == before).all()


def test_it_knows_a_trip_that_came_after_the_last_turn(worker, said):
    """The agent asks seconds after an alarm; doing nothing then includes the trip."""
    follow(worker, said, start=datetime.now(UTC) - timedelta(seconds=45))
    assert live.current().drive["crac", "tripped"][0, 1] == 0.0
    now = datetime.now(UTC)
    for tag, value in (("crac-2.fault", 1.0), ("crac-1.fan_speed_sp_pct", 85.0)):
        point = Point.objects.get(tag=tag)
        LatestReading.objects.update_or_create(
            point=point, defaults={"ts": now, "value": value, "received_at": now, "quality": 1}
        )
    drive = live.current().drive
    assert drive["crac", "tripped"][0].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert drive["crac", "fan_speed_sp_pct"][0, 0] == 85.0


def test_it_falls_back_to_the_newest_readings(demo_facility, said):
    now = datetime.now(UTC)
    ids = dict(Point.objects.values_list("tag", "pk"))
    LatestReading.objects.bulk_create(
        LatestReading(point_id=ids[tag], ts=now, value=value, received_at=now)
        for tag, value in said[-1].items()
        if tag in ids
    )
    found = live.current()
    assert not found.followed
    assert found.fitness == {}
    row = found.twin.site.locate("rack-1-03").row
    inlet = found.twin.values(found.state, found.drive)["rack", "inlet_c"][0, row]
    assert inlet == pytest.approx(said[-1]["rack-1-03.inlet_c"], abs=1.5)


def test_it_takes_up_after_a_restart_what_was_learnt(worker, said):
    follow(worker, said[:2])
    worker.save()
    other = Worker(owner="me")
    other.load()
    assert worker.tracker is not None
    assert other.tracker is not None
    mine, theirs = worker.tracker.to_arrays(), other.tracker.to_arrays()
    learnt = [name for name in mine if name.startswith("filter/")]
    assert learnt
    assert all((mine[name] == theirs[name]).all() for name in learnt)
    update = other.turn(shot=shot(NOW + timedelta(minutes=5), said[-1]))
    assert update is not None
    assert update.restarted
    assert TwinTracker.objects.get().started_at == NOW + timedelta(minutes=5)


def test_it_learns_anew_when_what_was_stored_is_broken(worker, said):
    follow(worker, said[:2])
    TwinTracker.objects.update(memory=b"no archive", model_version=stored.VERSION)
    other = Worker(owner="me")
    other.load()
    assert other.turn(shot=shot(NOW + timedelta(minutes=5), said[-1])) is not None


def test_it_does_not_take_a_state_of_another_site(worker, said):
    follow(worker, said[:2], start=datetime.now(UTC) - timedelta(seconds=20))
    twin = live.bare_twin()
    arrays = TwinTracker.objects.get().arrays
    assert arrays is not None
    assert stored.unpack(bytes(arrays), twin) is not None
    Asset.objects.get(tag="link-leaf-1-spine-1").delete()
    assert not live.current().followed


def test_it_uses_no_flagged_reading(worker, said):
    follow(worker, said[:3])
    bad = said[3] | {"rack-1-03.inlet_c": 60.0}
    values = shot(NOW + timedelta(seconds=30), bad)
    values.values["rack-1-03.inlet_c"] = values.values["rack-1-03.inlet_c"]._replace(quality=4)
    update = worker.turn(shot=values)
    assert update is not None
    assert "rack-1-03.inlet_c" not in {p.tag for p in update.points}
    assert worker.turn(shot=values) is None  # the same moment again brings nothing


def test_it_is_followed_by_one_process_only(demo_facility):
    one, two = Worker(owner="one"), Worker(owner="two")
    assert one.claim()
    assert not two.claim()
    assert one.claim()
    later = datetime.now(UTC) + LEASE + timedelta(seconds=1)
    assert two.claim(now=later)
    assert not one.claim(now=later)


def test_it_states_accuracy_by_hour(worker):
    hours, score = Hours(), Score()
    score.add("rack.inlet_c", np.array([20.0, 22.0]), np.array([20.5, 22.0]))
    nothing = Score()
    assert not hours.add(at=NOW, step=score, free=nothing)
    assert not TwinAccuracy.objects.exists()
    again = Hours(hours.to_json())
    assert again.add(at=NOW + timedelta(hours=1), step=nothing, free=nothing)
    row = TwinAccuracy.objects.get()
    assert (row.quantity, row.horizon, row.samples, row.passed) == ("rack.inlet_c", "step", 2, True)
    assert row.cv_rmse_pct == pytest.approx(100 * (0.125**0.5) / 21)
    assert again.fitness()["rack.inlet_c"]["rmse"] == pytest.approx(0.125**0.5)
    assert accuracy_store(hour=row.hour, scores={"step": score}) == 1  # in place of the old row
    assert TwinAccuracy.objects.count() == 1


def found_one(**changes: object) -> Finding:
    values = {
        "what": "filter", "asset": "crac-3", "point": "crac-3.filter_dp_pa",
        "parameter": "filter resistance", "unit": "times clean", "value": 1.6, "sigma": 0.02,
        "slope_per_h": 0.1, "slope_sigma_per_h": 0.01, "level": 3.0, "lead_s": 50_000.0,
        "lead_low_s": 40_000.0, "lead_high_s": None, "confidence": 0.999, "text": "It fouls.",
    } | changes  # fmt: skip
    return Finding(**values)  # type: ignore[arg-type]


def test_it_opens_renews_and_closes_findings_and_operators_hear_of_them(demo_facility):
    assert findings_store(found=[found_one()], at=NOW) == (1, 0)
    row = TwinFinding.objects.get()
    assert row.expected_at == NOW + timedelta(seconds=50_000)
    assert row.latest_at is None
    assert row.point is not None
    assert row.point.tag == "crac-3.filter_dp_pa"
    alarm = Alarm.objects.get(point__tag="crac-3.maintenance_due")
    assert alarm.rule.name == "Maintenance due (CRAC)"
    assert alarm.cleared_at is None
    later = NOW + timedelta(minutes=5)
    assert findings_store(found=[found_one(value=1.7)], at=later) == (0, 0)
    row.refresh_from_db()
    assert (row.value, row.found_at, row.last_at) == (1.7, NOW, later)
    assert findings_store(found=[], at=later + timedelta(hours=4)) == (0, 1)
    row.refresh_from_db()
    assert row.closed_at is not None
    alarm.refresh_from_db()
    assert alarm.cleared_at is not None


def test_it_ignores_findings_of_equipment_that_is_gone(demo_facility):
    assert findings_store(found=[found_one(asset="crac-99")], at=NOW) == (0, 0)


@pytest.mark.parametrize("path", PATHS)
def test_it_is_for_people_who_are_signed_in(
    path: str, viewer, operator, supervisor, client_as: Callable[..., Client]
) -> None:
    assert Client().get(path).status_code in (302, 401, 403)
    for user in (viewer, operator, supervisor):
        assert client_as(user).get(path).status_code == 200


def test_it_needs_few_queries(
    worker, said, viewer, client_as: Callable[..., Client], django_assert_max_num_queries
) -> None:
    follow(worker, said[:2])
    findings_store(found=[found_one(), found_one(asset="crac-1")], at=NOW)
    client = client_as(viewer)
    for path, queries in zip(PATHS, (6, 3, 4, 5, 3), strict=True):
        with django_assert_max_num_queries(queries):
            assert client.get(path).status_code == 200


def test_it_answers_with_what_it_knows(worker, said, viewer, client_as):
    follow(worker, said)
    findings_store(found=[found_one()], at=NOW)
    client = client_as(viewer)
    state = client.get("/api/v1/twin/state?limit=5").json()
    assert len(state["points"]) == 5
    assert state["turns"] == len(said)
    assert abs(state["points"][0]["z"]) >= abs(state["points"][-1]["z"])
    sensors = client.get("/api/v1/twin/sensors").json()
    assert {"crac-1.supply_c", "rack-1-01.inlet_c"} <= {g["tag"] for g in sensors["gaps"]}
    accuracy = client.get("/api/v1/twin/accuracy?quantity=rack.inlet_c").json()
    assert [q["quantity"] for q in accuracy["quantities"]] == ["rack.inlet_c"]
    listed = client.get("/api/v1/twin/findings?asset=crac-3").json()["results"]
    assert [f["what"] for f in listed] == ["filter"]
    assert client.get("/api/v1/twin/findings?open=false").json()["results"] == []
    page = client.get("/twin/").content.decode()
    assert "crac-3" in page and "It fouls." in page and "rack.inlet_c" in page
    assert client.get("/api/v1/twin/state?limit=x").status_code == 400


def test_it_shows_an_empty_page_before_anything_was_followed(viewer, client_as):
    page = client_as(viewer).get("/twin/").content.decode()
    assert "not begun" in page and "Nothing was judged yet" in page
    assert client_as(viewer).get("/api/v1/twin/state").json()["following"] is False


def test_it_simulates_what_slow_sensors_cost(worker, said):
    follow(worker, said[:2])
    found = costs_store(tracker=worker.tracker)
    lost = found["incidents"]["cooling lost"]
    assert len(lost) == 16
    assert any(row["late_s"] and row["late_s"] > 0 for row in lost)
    assert TwinTracker.objects.get().costs_at is not None
