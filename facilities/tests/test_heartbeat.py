"""A silent source: its point, its alarm, and its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from facilities.models import Alarm, LatestReading, Point, Source
from facilities.services.heartbeat import heartbeat_beat
from facilities.services.sources import source_create, source_revoke, source_rotate, source_update

pytestmark = pytest.mark.django_db


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
