"""A silent source: its point, its alarm, and its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from facilities.alarms import engine, reporting
from facilities.models import Alarm, AlarmRule, LatestReading, Point, Source
from facilities.services.heartbeat import heartbeat_beat
from facilities.services.sources import source_create, source_revoke, source_rotate, source_update

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _waited_for_nobody():
    reporting.forget()


@pytest.fixture
def source(small_facility) -> Source:
    return source_create(name="BMS gateway", heartbeat_timeout_s=60).source


def heard(source: Source, seconds_ago: float) -> None:
    Source.objects.filter(pk=source.pk).update(
        last_seen_at=timezone.now() - timedelta(seconds=seconds_ago)
    )


def test_it_raises_one_alarm_for_a_silent_source_and_clears_it(source):
    heard(source, 5)
    assert heartbeat_beat() == 0
    assert not Alarm.objects.exists()
    heard(source, 90)
    assert heartbeat_beat() == 1
    alarm = Alarm.objects.get()
    assert (alarm.point.tag, alarm.severity) == ("source-BMS-gateway.silent", "high")
    assert heartbeat_beat() == 1
    heard(source, 1)
    assert heartbeat_beat() == 0
    assert Alarm.objects.get().cleared_at is not None


def test_it_counts_a_source_that_was_never_heard_from_its_creation(source):
    assert heartbeat_beat() == 0
    Source.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    assert heartbeat_beat() == 1


def test_it_leaves_sources_without_a_heartbeat_alone(small_facility, django_assert_num_queries):
    source_create(name="quiet")
    with django_assert_num_queries(1):
        assert heartbeat_beat() == 0
    assert not Point.objects.filter(quantity="silent").exists()


def test_it_writes_only_what_changed_or_is_due(source):
    heard(source, 5)
    heartbeat_beat()
    first = LatestReading.objects.get().ts
    heartbeat_beat()
    assert LatestReading.objects.get().ts == first


def test_it_keeps_two_sources_of_one_spelling_apart(source):
    source_create(name="BMS-gateway", heartbeat_timeout_s=60)
    heartbeat_beat()
    assert Point.objects.filter(quantity="silent").count() == 2


def test_it_rotates_and_revokes(source):
    old = source.token_hash
    issued = source_rotate(source_id=source.pk)
    assert issued.source.token_hash != old
    source_revoke(source_id=source.pk)
    source.refresh_from_db()
    assert not source.active
    assert source.token_hash != issued.source.token_hash


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"allowed_networks": ["10.0.0.1/8"]}, "has host bits set"),
        ({"allowed_networks": "10.0.0.0/8"}, "networks are a list"),
        ({"heartbeat_timeout_s": 1}, "greater than or equal to 10"),
        ({"max_readings_per_s": 0}, "greater than or equal to 1"),
        ({"name": "tab\t"}, "printable"),
    ],
)
def test_it_refuses_settings_that_make_no_sense(source, fields, message):
    with pytest.raises(ValidationError) as error:
        source_update(source_id=source.pk, **fields)
    assert message in str(error.value)


@pytest.fixture
def three_silent_points(source) -> list[Point]:
    """Points of the source, with a rule on their silence, last read ten minutes ago."""
    AlarmRule.objects.create(
        name="Silent point",
        kind="staleness",
        asset_kind="rack",
        quantity="inlet_c",
        comparator="above",
        raise_level=15,
        clear_level=5,
        severity="high",
    )
    Point.objects.filter(asset__tag__in=["rack-a", "rack-b"]).update(source=source)
    points = list(Point.objects.filter(quantity="inlet_c"))
    for point in points:
        LatestReading.objects.create(
            point=point,
            ts=timezone.now() - timedelta(minutes=10),
            value=20,
            received_at=timezone.now(),
        )
    heard(source, 600)
    return points


def test_it_tells_one_alarm_after_a_restart_however_many_points_are_silent(
    source, three_silent_points
):
    # Beat runs the sweep first: the points wait for their source's own word.
    engine.sweep()
    assert not Alarm.objects.exists()
    heartbeat_beat()
    engine.sweep()
    head = Alarm.objects.get(suppressed=False)
    assert head.point.quantity == "silent"
    hidden = Alarm.objects.filter(suppressed=True)
    assert {alarm.point for alarm in hidden} == set(three_silent_points)
    assert {alarm.root_id for alarm in hidden} == {head.pk}
    # It speaks again: all of it is over.
    heard(source, 1)
    for point in three_silent_points:
        LatestReading.objects.filter(point=point).update(ts=timezone.now())
    heartbeat_beat()
    engine.sweep()
    assert not Alarm.objects.filter(cleared_at__isnull=True).exists()


def test_it_tells_of_a_single_silent_point_while_its_source_speaks(source, three_silent_points):
    heard(source, 1)
    heartbeat_beat()
    engine.sweep()
    assert Alarm.objects.filter(suppressed=False).count() == len(three_silent_points)


def test_it_waits_no_longer_than_a_minute_for_a_heartbeat_that_does_not_beat(
    source, three_silent_points, monkeypatch
):
    engine.sweep()
    assert not Alarm.objects.exists()
    monkeypatch.setattr(reporting, "HELD_AT_MOST_S", 0.0)
    engine.sweep()
    assert Alarm.objects.count() == len(three_silent_points)
