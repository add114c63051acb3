"""Recorded but told to nobody: shelves, chattering, maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from facilities.alarms import announce, duty, engine, services
from facilities.models import (
    Alarm,
    AlarmEvent,
    AlarmPolicy,
    AlarmRule,
    Asset,
    LatestReading,
    MaintenanceWindow,
    Point,
    Shelf,
)

pytestmark = pytest.mark.django_db
TAG = "crac-a.fault"


@pytest.fixture
def start(small_facility) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=30)


def read(value: float, at: datetime, tag: str = TAG) -> engine.Evaluation:
    point = Point.objects.get(tag=tag)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": at, "value": value, "quality": 1, "received_at": at}
    )
    return engine.evaluate(point_ids=[point.pk], now=at)


def flap(start: datetime, times: int, *, gap_s: float = 10) -> datetime:
    at = start
    for _ in range(times):
        read(1, at)
        read(0, at + timedelta(seconds=gap_s / 2))
        at += timedelta(seconds=gap_s)
    return at


def told(at: datetime) -> list[int]:
    return announce.audible(Alarm.objects.values_list("pk", flat=True), at)


class TestChattering:
    def test_it_shelves_the_third_within_a_minute_and_counts_the_rest(self, start):
        at = flap(start, 2)
        assert not Shelf.objects.exists()
        at = flap(at, 4)
        shelf = Shelf.objects.get()
        assert shelf.automatic
        assert shelf.reason == "chattering: raised 3 times within 60 s"
        assert Alarm.objects.count() == 3
        last = Alarm.objects.latest("raised_at")
        assert last.occurrences == 4
        read(1, at)
        assert told(at) == []
        assert Alarm.objects.get(cleared_at=None).pk == last.pk

    def test_it_tells_an_alarm_that_is_still_there_when_the_shelf_runs_out(self, start):
        at = flap(start, 3)
        read(1, at)
        later = at + timedelta(seconds=AlarmPolicy().chatter_shelve_s + 1)
        assert duty.tick(now=later).unshelved == 1
        assert told(later) == [Alarm.objects.get(cleared_at=None).pk]
        assert not Shelf.objects.exists()

    def test_it_leaves_a_slow_alarm_alone(self, start):
        flap(start, 6, gap_s=40)
        assert not Shelf.objects.exists()
        assert Alarm.objects.count() == 6

    @pytest.mark.parametrize("change", [{"safety": True}, {"severity": "critical"}])
    def test_it_never_shelves_what_is_too_grave(self, start, change):
        AlarmRule.objects.filter(name="CRAC fault").update(**change)
        flap(start, 5)
        assert not Shelf.objects.exists()

    def test_it_shelves_critical_ones_if_the_policy_says_so(self, start):
        AlarmPolicy(chatter_shelves_critical=True).save()
        AlarmRule.objects.filter(name="CRAC fault").update(severity="critical")
        flap(start, 3)
        assert Shelf.objects.exists()

    def test_it_sees_excursions_inside_one_evaluation(self, start):
        point = Point.objects.get(tag=TAG)
        values = [
            [point.pk, round((start.timestamp() + second) * 1e6), float(second % 2), 1]
            for second in range(6)
        ]
        assert engine.evaluate(point_ids=[], values=values, now=start) == (3, 2, 0)
        assert Shelf.objects.exists()


class TestShelf:
    def test_an_operator_shelves_and_it_tells_nobody_until_then(self, start, operator):
        read(1, start)
        alarm = Alarm.objects.get()
        assert told(start) == [alarm.pk]
        services.alarm_shelve(alarm_id=alarm.pk, user=operator, seconds=3600, reason="known")
        now = timezone.now()
        assert told(now) == []
        assert told(now + timedelta(seconds=3700)) == [alarm.pk]
        back = services.alarm_unshelve(alarm_id=alarm.pk, user=operator, note="fixed")
        assert back.shelved_until is None
        assert told(now) == [alarm.pk]
        assert list(AlarmEvent.objects.values_list("event", flat=True)) == [
            "raised",
            "shelved",
            "unshelved",
        ]

    def test_it_holds_the_next_excursion_too(self, start, operator):
        read(1, start)
        first = Alarm.objects.get()
        services.alarm_shelve(alarm_id=first.pk, user=operator, seconds=3600, reason="known")
        now = timezone.now()
        read(0, now)
        read(1, now + timedelta(seconds=5))
        assert Alarm.objects.get(cleared_at=None).pk == first.pk
        assert told(now + timedelta(seconds=6)) == []

    def test_it_refuses_too_long_and_what_protects_people(self, start, operator):
        read(1, start)
        pk = Alarm.objects.get().pk
        with pytest.raises(ValidationError, match="480 min"):
            services.alarm_shelve(alarm_id=pk, user=operator, seconds=9 * 3600, reason="x")
        AlarmRule.objects.update(safety=True)
        with pytest.raises(ValidationError, match="protects people"):
            services.alarm_shelve(alarm_id=pk, user=operator, seconds=600, reason="x")


class TestWindow:
    def window(self, start: datetime, **more) -> MaintenanceWindow:
        return MaintenanceWindow.objects.create(
            starts_at=start - timedelta(minutes=1),
            ends_at=start + timedelta(minutes=10),
            reason="belt change",
            **more,
        )

    @pytest.mark.parametrize(
        "scope", [{"asset": "crac-a"}, {"hall": "room-1"}, {"asset_kind": "crac"}]
    )
    def test_it_records_marks_and_tells_when_the_window_is_over(self, start, scope):
        asset = Asset.objects.select_related("hall").get(tag="crac-a")
        real = {"asset": asset, "hall": asset.hall, "asset_kind": "crac"}
        window = self.window(start, **{key: real[key] for key in scope})
        read(1, start)
        alarm = Alarm.objects.get()
        assert alarm.maintenance == window
        assert told(start) == []
        assert told(window.ends_at) == [alarm.pk]

    def test_it_covers_what_is_inside_the_asset_and_nothing_else(self, start):
        self.window(start, asset=Asset.objects.get(tag="srv-01"))
        read(1, start)
        assert Alarm.objects.get().maintenance is None
        MaintenanceWindow.objects.all().delete()
        self.window(start, asset_kind="rack")
        read(40, start, tag="rack-a.inlet_c")
        assert Alarm.objects.get(point__tag="rack-a.inlet_c").maintenance is not None

    def test_it_lets_safety_alarms_through_unless_it_covers_them(self, start):
        AlarmRule.objects.filter(name="CRAC fault").update(safety=True)
        self.window(start, asset_kind="crac")
        read(1, start)
        assert told(start) == [Alarm.objects.get().pk]
        read(0, start + timedelta(seconds=60))
        self.window(start, asset_kind="crac", covers_safety=True)
        read(1, start + timedelta(seconds=120))
        assert told(start + timedelta(seconds=120)) == []

    def test_it_does_not_reach_alarms_raised_before_or_after(self, start):
        self.window(start + timedelta(minutes=5), asset_kind="crac")
        read(1, start)
        assert Alarm.objects.get().maintenance is None

    def test_it_needs_a_scope_and_a_length(self, start):
        with pytest.raises(ValidationError, match="names an asset"):
            self.window(start).clean()
        with pytest.raises(ValidationError, match="not after the start"):
            MaintenanceWindow(asset_kind="crac", starts_at=start, ends_at=start).clean()
