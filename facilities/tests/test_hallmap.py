"""The hall map's data: plan, frames, happenings, incidents, and who may see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from facilities import partitions
from facilities.hallmap import events
from facilities.hallmap.events import MapEvent, register_events
from facilities.hallmap.frames import MAX_FRAMES, frames, runs, wanted_points
from facilities.hallmap.incidents import LEAD_IN, incidents
from facilities.hallmap.layers import keys_of
from facilities.hallmap.plan import hall_plan
from facilities.models import (
    Alarm,
    AlarmEvent,
    AlarmRule,
    Hall,
    LatestReading,
    Point,
    Reading,
    RollupMark,
)
from facilities.rollups import job

T = datetime(2026, 3, 1, 12, tzinfo=UTC)


def store(tag: str, ts: datetime, value: float, quality: int = 1) -> None:
    partitions.ensure_partitions([ts.date()])
    point = Point.objects.get(tag=tag)
    Reading(point=point, ts=ts, value=value, quality=quality, received_at=ts).save(
        force_insert=True
    )
    minute = ts.replace(second=0, microsecond=0)
    RollupMark.objects.create(level=1, start=minute, point_ids=[point.pk], marked_at=ts)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": ts, "value": value, "quality": quality, "received_at": ts}
    )


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def room() -> Hall:
    return Hall.objects.get(slug="room-1")


def of(*tags: str) -> list:
    points = wanted_points(room().pk, keys_of(["heat"]))
    return [point for point in points if point.tag in tags] if tags else points


@pytest.mark.django_db
def test_it_draws_the_plan_with_what_feeds_and_cools(demo_facility, django_assert_num_queries):
    with django_assert_num_queries(5):
        plan = hall_plan("hall-1")
    units = {unit.tag: unit for unit in plan.units}
    rack = units["rack-1-03"]
    assert (rack.x_m, rack.y_m, rack.rated) == (4.8, 3.0, 45000)
    assert {"pdu-a1", "pdu-b1"} <= set(rack.feeds)
    assert "crac-1" in rack.cools
    assert rack.holds == 4
    # Cold aisles lie along the walls where the CRACs stand, the hot aisle between the rows.
    assert (rack.front, units["rack-2-03"].front) == (-1, 1)
    left, right = units["pdu-a1"].x_m, units["pdu-b1"].x_m
    assert left is not None
    assert right is not None
    assert left < 3.2 < 8.8 < right
    assert units["pdu-a1"].y_m == 3.0
    assert len(plan.lines) >= 8
    line = next(line for line in plan.lines if line.tag == "link-leaf-2-spine-1")
    assert line.racks == ("rack-1-04", "rack-1-08")
    behind = [unit.kind for unit in plan.behind]
    assert behind == sorted(behind, key=[*dict.fromkeys(behind)].index)
    assert {"chiller", "ups", "pump", "utility"} <= set(behind)


@pytest.mark.django_db
def test_it_holds_a_reading_until_it_is_too_old(small_facility, django_assert_num_queries):
    for second, value in ((-1, 20.04), (4, 21), (40, 25)):
        store("rack-a.inlet_c", at(second), value)
    store("rack-b.inlet_c", at(9), 30, quality=4)
    points = of("rack-a.inlet_c", "rack-b.inlet_c", "rack-a.power_w")
    with django_assert_num_queries(1):
        found = frames(points, start=T, end=at(50), step_s=10)
    # A point sampled every 2 s stands for 10 s; between 14 and 40 s nobody knows.
    assert found.values["rack-a.inlet_c"] == [20.0, 21.0, None, None, 25.0, 25.0]
    assert found.values["rack-b.inlet_c"] == [None, 30.0, None, None, None, None]
    assert found.values["rack-a.power_w"] == [None] * 6
    assert found.flags == {"rack-b.inlet_c": [[1, 1, 4]]}


@pytest.mark.django_db
def test_it_takes_the_reading_of_that_very_moment_but_none_of_the_future(small_facility):
    store("rack-a.inlet_c", at(10), 22)
    found = frames(of("rack-a.inlet_c"), start=T, end=at(20), step_s=10)
    assert found.values["rack-a.inlet_c"] == [None, 22.0, 22.0]


@pytest.mark.django_db
def test_it_takes_long_steps_from_the_minutes_and_shows_the_worst_state(
    small_facility, django_assert_num_queries
):
    for minute in range(6):
        store("rack-a.inlet_c", at(60 * minute + 5), 20 + minute)
        store("rack-a.inlet_c", at(60 * minute + 35), 22 + minute)
        store("crac-a.running", at(60 * minute + 5), 1)
    store("crac-a.running", at(130), 0)
    points = of("rack-a.inlet_c", "crac-a.running")
    for summed_up in (False, True):
        if summed_up:
            job.run(now=at(900))
            assert not RollupMark.objects.filter(level=1).exists()
        with django_assert_num_queries(2):
            found = frames(points, start=T, end=at(359), step_s=120)
        assert found.source == "minutes"
        assert found.values["rack-a.inlet_c"] == [21.5, 23.5, 25.5]
        assert found.values["crac-a.running"] == [1.0, 0.0, 1.0]


@pytest.mark.django_db
def test_it_refuses_more_than_one_answer_holds(small_facility):
    with pytest.raises(ValueError, match=r"361\d? frames .* step_s 10"):
        frames(of(), start=T, end=at(3610), step_s=1)
    with pytest.raises(ValueError, match="not before end"):
        frames(of(), start=T, end=T, step_s=1)
    assert frames(of(), start=T, end=at(MAX_FRAMES - 1), step_s=1).count == MAX_FRAMES


@given(st.lists(st.sampled_from([1, 2, 3, 4, 9]), min_size=1, max_size=40))
def test_it_packs_flags_into_runs_that_unpack_to_the_same(flags):
    unpacked = [1] * len(flags)
    for first, length, flag in runs(np.array(flags)):
        unpacked[first : first + length] = [flag] * length
        assert flag != 1
    assert unpacked == flags


def alarm(tag: str, raised: datetime, *, root: Alarm | None = None, **more) -> Alarm:
    point = Point.objects.get(tag=tag)
    rule = AlarmRule.objects.filter(severity=more.pop("severity", "high"))[0]
    return Alarm.objects.create(
        **{
            "point": point,
            "rule": rule,
            "severity": rule.severity,
            "message": "too warm",
            "value": 28,
            "peak_value": 28,
            "raised_at": raised,
            "root": root,
            "suppressed": root is not None,
            **more,
        }
    )


@pytest.mark.django_db
def test_it_tells_what_happened_and_asks_the_rooms_above(
    small_facility, operator, django_assert_num_queries
):
    first = alarm("rack-a.inlet_c", at(30), cleared_at=at(90))
    AlarmEvent.objects.create(alarm=first, at=at(30), event="raised")
    AlarmEvent.objects.create(alarm=first, at=at(60), event="acknowledged", actor=operator)
    alarm("rack-b.inlet_c", at(500))
    register_events("test", lambda start, end: [MapEvent(at(70), "approved", "crac-a", "signed")])
    try:
        hall_id = room().pk
        # Alarms, their events, two for setpoints, two of approvals' provider, places of assets.
        with django_assert_num_queries(7):
            found = events.happenings(hall_id=hall_id, start=T, end=at(100))
    finally:
        events._providers.pop("test")
    assert [span.point for span in found.alarms] == ["rack-a.inlet_c"]
    assert found.alarms[0].group == first.pk
    assert [(event.kind, event.asset) for event in found.events] == [
        ("raised", "rack-a"),
        ("acknowledged", "rack-a"),
        ("approved", "crac-a"),
    ]
    assert "by operator" in found.events[1].text
    # It was active before the period began: it is on the map from its first frame.
    assert len(events.happenings(hall_id=room().pk, start=at(80), end=at(85)).alarms) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("summed_up", [False, True])
def test_it_finds_setpoint_changes_in_the_readings(small_facility, summed_up):
    begin = timezone.now() - timedelta(seconds=170) if not summed_up else T
    for second in range(0, 160, 20):
        value = 18 if second < 70 else 21
        store("crac-a.supply_sp_c", begin + timedelta(seconds=second), value)
    if summed_up:
        job.run(now=at(3600))
    found = events.setpoint_changes(
        hall_id=room().pk, start=begin, end=begin + timedelta(seconds=165)
    )
    assert [event.text for event in found] == ["crac-a.supply_sp_c: 18 °C → 21 °C"]
    assert found[0].at == begin + timedelta(seconds=80)


@pytest.mark.django_db
def test_it_makes_a_group_of_alarms_a_period_to_play(small_facility, django_assert_num_queries):
    head = alarm("crac-a.fault", at(0), cleared_at=at(400))
    alarm("rack-a.inlet_c", at(60), root=head, cleared_at=at(500), severity="critical")
    hall_id = room().pk
    with django_assert_num_queries(2):
        (found,) = incidents(hall_id=hall_id)
    assert (found.id, found.alarms, found.severity) == (head.pk, 2, "critical")
    assert found.start == at(0) - LEAD_IN
    assert found.end == at(500) + timedelta(minutes=3)


ENDPOINTS = ("plan", "frames?start=1772366400&end=1772366460&step_s=10", "events", "incidents")


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_answers_every_role_and_no_stranger(small_facility, request, client_as, role):
    client = client_as(request.getfixturevalue(role))
    for path in ENDPOINTS:
        assert client.get(f"/api/v1/halls/room-1/{path}").status_code == 200, path
        assert Client().get(f"/api/v1/halls/room-1/{path}").status_code in (401, 403)
    page = client.get("/hall/room-1/")
    assert page.status_code == 200
    assert b"rack-a" in page.content
    assert client.get("/hall/").url == "/hall/room-1/"
    assert Client().get("/hall/room-1/").status_code == 302


@pytest.mark.django_db
def test_it_refuses_what_it_does_not_know(small_facility, viewer, client_as):
    client = client_as(viewer)
    assert client.get("/hall/nowhere/").status_code == 404
    assert client.get("/hall/a%00b/").status_code == 404
    assert client.get("/api/v1/halls/nowhere/plan").status_code == 404
    wrong = client.get("/api/v1/halls/room-1/frames?layers=smell")
    assert wrong.status_code == 400
    assert "heat, air, power, network" in wrong.json()["detail"]
    assert client.get("/api/v1/halls/room-1/frames?step_s=1").status_code == 400


@pytest.mark.django_db
def test_it_reads_frames_and_page_with_a_fixed_number_of_queries(
    small_facility, viewer, client_as, django_assert_max_num_queries
):
    client = client_as(viewer)
    with django_assert_max_num_queries(5):  # session, user, hall, points, readings
        client.get("/api/v1/halls/room-1/frames")
    with django_assert_max_num_queries(12):
        client.get("/hall/room-1/")


@pytest.mark.django_db
def test_it_says_that_no_hall_is_loaded(viewer, client_as):
    page = client_as(viewer).get("/hall/")
    assert page.status_code == 200
    assert b"load_facility" in page.content
