"""Alarms from readings: raise, clear, acknowledge; one per point and rule whatever happens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from facilities.alarms import engine
from facilities.alarms.services import alarm_acknowledge
from facilities.models import Alarm, AlarmEvent, AlarmRule, LatestReading, Point, RuleState
from facilities.signals import alarm_raised
from facilities.tasks import evaluate_points, sweep_alarms

pytestmark = pytest.mark.django_db


def read(tag: str, value: float, seconds_ago: float = 0, quality: int = 1) -> int:
    point = Point.objects.get(tag=tag)
    ts = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    LatestReading.objects.update_or_create(
        point=point, defaults={"ts": ts, "value": value, "quality": quality, "received_at": ts}
    )
    return point.pk


def events() -> list[str]:
    return list(AlarmEvent.objects.values_list("event", flat=True))


def test_it_raises_after_the_delay_and_clears_at_the_clear_level(small_facility):
    pk = read("rack-a.inlet_c", 28, seconds_ago=30)
    assert engine.evaluate(point_ids=[pk]) == (0, 0, 1)
    assert engine.evaluate(point_ids=[pk]) == (0, 0, 0)
    read("rack-a.inlet_c", 28.5, seconds_ago=19)
    assert engine.evaluate(point_ids=[pk]) == (1, 0, 0)
    assert not RuleState.objects.exists()
    alarm = Alarm.objects.get()
    assert (alarm.severity, alarm.value, alarm.state) == ("high", 28.5, "active_unacknowledged")
    read("rack-a.inlet_c", 29.5, seconds_ago=10)
    engine.evaluate(point_ids=[pk])
    read("rack-a.inlet_c", 26.5, seconds_ago=5)
    assert engine.evaluate(point_ids=[pk]) == (0, 0, 0)
    read("rack-a.inlet_c", 26.0, seconds_ago=1)
    assert engine.evaluate(point_ids=[pk]) == (0, 1, 0)
    alarm.refresh_from_db()
    assert (alarm.peak_value, alarm.state) == (29.5, "cleared_unacknowledged")
    assert events() == ["raised", "cleared"]


def test_it_raises_each_rule_of_a_point(small_facility):
    pk = read("rack-a.inlet_c", 33, seconds_ago=20)
    engine.evaluate(point_ids=[pk])
    read("rack-a.inlet_c", 33, seconds_ago=1)
    engine.evaluate(point_ids=[pk])
    assert set(Alarm.objects.values_list("severity", flat=True)) == {"high", "critical"}


def test_it_forgets_a_condition_that_went_away(small_facility):
    pk = read("rack-a.inlet_c", 28, seconds_ago=30)
    engine.evaluate(point_ids=[pk])
    read("rack-a.inlet_c", 25, seconds_ago=20)
    engine.evaluate(point_ids=[pk])
    assert not RuleState.objects.exists()
    assert not Alarm.objects.exists()


def test_it_works_by_task_and_by_sweep(small_facility):
    pk = read("crac-a.fault", 1)
    evaluate_points.apply(args=([pk],))
    assert Alarm.objects.filter(cleared_at=None).count() == 1
    read("crac-a.fault", 0)
    sweep_alarms.apply()
    assert not Alarm.objects.filter(cleared_at=None).exists()


def test_it_ignores_bad_quality_and_disabled_rules(small_facility):
    pk = read("crac-a.fault", 1, quality=4)
    engine.evaluate(point_ids=[pk])
    read("crac-a.fault", 1)
    AlarmRule.objects.update(enabled=False)
    engine.evaluate()
    assert not Alarm.objects.exists()


def test_it_clears_alarms_of_a_rule_that_was_switched_off(small_facility):
    engine.evaluate(point_ids=[read("crac-a.fault", 1)])
    AlarmRule.objects.update(enabled=False)
    assert engine.sweep().cleared == 1
    assert AlarmEvent.objects.latest("pk").note == "the rule was switched off"


def test_it_costs_four_queries_when_nothing_changes(small_facility, django_assert_num_queries):
    pk = read("rack-a.inlet_c", 22)
    engine.evaluate(point_ids=[pk])
    with django_assert_num_queries(4):
        engine.evaluate(point_ids=[pk])


def test_it_costs_one_query_for_points_without_rules(small_facility, django_assert_num_queries):
    pk = read("rack-a.power_w", 5000)
    engine.evaluate(point_ids=[pk])
    with django_assert_num_queries(1):
        engine.evaluate(point_ids=[pk])


def test_it_acknowledges_once(small_facility, operator, supervisor):
    engine.evaluate(point_ids=[read("crac-a.fault", 1)])
    pk = Alarm.objects.get().pk
    first = alarm_acknowledge(alarm_id=pk, user=operator, note="on my way")
    second = alarm_acknowledge(alarm_id=pk, user=supervisor)
    assert (first.changed, second.changed) == (True, False)
    assert second.alarm.acknowledged_by == operator
    assert events() == ["raised", "acknowledged"]
    assert AlarmEvent.objects.latest("pk").note == "on my way"


def test_it_tells_the_signal_after_the_commit(small_facility, django_capture_on_commit_callbacks):
    heard = []

    def listen(sender, alarm_id, **kwargs):
        heard.append(alarm_id)

    alarm_raised.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            engine.evaluate(point_ids=[read("crac-a.fault", 1)])
            assert heard == []
    finally:
        alarm_raised.disconnect(listen)
    assert heard == [Alarm.objects.get().pk]


@pytest.mark.django_db(transaction=True)
def test_it_raises_one_alarm_under_concurrent_evaluation(small_facility):
    pks = [read("crac-a.fault", 1), read("rack-a.inlet_c", 40), read("rack-b.inlet_c", 40)]
    barrier, results = threading.Barrier(6), []

    def work(order):
        try:
            barrier.wait()
            for _ in range(5):
                results.append(engine.evaluate(point_ids=order))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(pks[:: (-1) ** i],)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 30
    assert sum(result.raised for result in results) == 3
    assert Alarm.objects.count() == 3
    assert AlarmEvent.objects.count() == 3
