"""Derived points: value, time and flag of their inputs; cycles; chains; repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.exceptions import ValidationError

from facilities.converters.derived import Value, compute, evaluate_derived
from facilities.converters.derived_feed import Feed
from facilities.converters.derived_graph import derived_save, order_of
from facilities.converters.expression import parse_expression
from facilities.ingest.internal import InternalReading, make_partitions, store_internal
from facilities.ingest.points import point_table
from facilities.models import Alarm, AlarmRule, DerivedPoint, LatestReading, Point, Reading

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).replace(microsecond=0)


def read(tag: str, value: float, *, seconds_ago: float = 10, quality: int = 1) -> None:
    ts = NOW - timedelta(seconds=seconds_ago)
    point = Point.objects.get(tag=tag)
    reading = InternalReading(point.pk, round(ts.timestamp() * 1e6), value, quality)
    make_partitions([reading])
    store_internal([reading])


def derive(tag: str, expression: str, **fields) -> DerivedPoint:
    point = Point.objects.get(tag=tag)
    return derived_save(derived=DerivedPoint(point=point, expression=expression, **fields))


@pytest.fixture
def pue(small_facility) -> DerivedPoint:
    return derive("room-1.pue", "{room-1.facility_power_w} / {room-1.it_power_w}")


def test_it_computes_when_inputs_arrive(pue):
    assert evaluate_derived() == 0
    assert "no input has a value" in DerivedPoint.objects.get().problem
    read("room-1.it_power_w", 1000, seconds_ago=12)
    read("room-1.facility_power_w", 1500, seconds_ago=10)
    assert evaluate_derived() == 1
    found = LatestReading.objects.get(point=pue.point)
    assert (found.value, found.quality) == (1.5, 1)
    assert found.ts == NOW - timedelta(seconds=10)
    assert DerivedPoint.objects.get().problem == ""
    assert evaluate_derived() == 0


def test_it_replaces_the_result_when_a_later_input_has_the_same_time(pue):
    read("room-1.it_power_w", 1000, seconds_ago=12)
    read("room-1.facility_power_w", 1500, seconds_ago=10)
    evaluate_derived()
    read("room-1.it_power_w", 750, seconds_ago=10)
    assert evaluate_derived() == 1
    assert Reading.objects.get(point=pue.point).value == 2.0
    assert LatestReading.objects.get(point=pue.point).value == 2.0


@pytest.mark.parametrize(
    ("flag", "seconds_ago", "expected"),
    [(1, 10, 1), (3, 10, 3), (4, 10, 4), (2, 10, 2), (9, 10, 9), (1, 200, 3), (4, 200, 4)],
)
def test_it_takes_the_worst_flag_and_doubts_old_inputs(pue, flag, seconds_ago, expected):
    read("room-1.it_power_w", 1000, seconds_ago=seconds_ago, quality=flag)
    read("room-1.facility_power_w", 1500, seconds_ago=5)
    evaluate_derived()
    assert LatestReading.objects.get(point=pue.point).quality == expected


def test_it_fails_what_is_out_of_the_points_own_range(pue):
    read("room-1.it_power_w", 1)
    read("room-1.facility_power_w", 1500)
    evaluate_derived()
    assert LatestReading.objects.get(point=pue.point).quality == 4


def test_it_follows_chains_in_one_run_and_raises_alarms(small_facility):
    derive("room-1.it_power_w", "sum({rack-*.power_w})")
    derive("room-1.pue", "{room-1.facility_power_w} / {room-1.it_power_w}")
    AlarmRule.objects.create(
        name="PUE",
        point=Point.objects.get(tag="room-1.pue"),
        comparator="above",
        raise_level=1.9,
        clear_level=1.8,
        severity="high",
    )
    read("rack-a.power_w", 400)
    read("rack-b.power_w", 600)
    read("room-1.facility_power_w", 2000)
    assert evaluate_derived() == 2
    assert LatestReading.objects.get(point__tag="room-1.pue").value == 2.0
    assert Alarm.objects.get().value == 2.0


def test_it_says_what_stands_in_the_way(pue):
    read("room-1.it_power_w", 0)
    read("room-1.facility_power_w", 1500)
    assert evaluate_derived() == 0
    assert DerivedPoint.objects.get().problem == "it divides by zero"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("{room-1.pue} + 1", "depend on itself: room-1.pue → room-1.pue"),
        ("{rack-z.power_w}", "rack-z.power_w is not in the data list"),
        ("sum({nothing-*.power_w})", "no point fits"),
        ("{room-1.it_power_w} +", "not an expression"),
    ],
)
def test_it_refuses_what_has_no_meaning(small_facility, expression, message):
    with pytest.raises(ValidationError) as error:
        derive("room-1.pue", expression)
    assert message in str(error.value)


def test_it_refuses_a_circle_through_others(small_facility):
    derive("room-1.pue", "{room-1.it_power_w} + 1")
    with pytest.raises(ValidationError) as error:
        derive("room-1.it_power_w", "{room-1.pue} * 2")
    assert "depend on itself" in str(error.value)


def test_it_costs_few_queries_when_nothing_changed(pue, django_assert_num_queries):
    read("room-1.it_power_w", 1000)
    read("room-1.facility_power_w", 1500)
    evaluate_derived()
    with django_assert_num_queries(2):
        evaluate_derived()


def test_it_orders_inputs_first():
    assert order_of({"c": ["b"], "b": ["a", "x"], "a": []}).index("a") == 0
    with pytest.raises(ValueError, match="→"):
        order_of({"a": ["b"], "b": ["a"]})


def test_it_has_the_time_of_the_newest_input():
    made = compute(
        parse_expression("{a.x} + {b.x}"),
        {"a.x": Value(5, 1.0, 1), "b.x": Value(9, 2.0, 1)},
        max_age_s=60,
    )
    assert made == Value(9, 3.0, 1)


def test_it_computes_from_what_is_committed_though_it_is_not_noted_as_latest_yet(pue):
    read("room-1.it_power_w", 1000, seconds_ago=20)
    read("room-1.facility_power_w", 1500, seconds_ago=20)
    ts = NOW - timedelta(seconds=10)
    for tag, value in (("room-1.it_power_w", 500), ("room-1.facility_power_w", 1500)):
        Reading.objects.bulk_create(
            [Reading(point=Point.objects.get(tag=tag), ts=ts, value=value, received_at=NOW)]
        )
    it_power = Point.objects.get(tag="room-1.it_power_w")
    # One input arrives in this task; the other was committed with it and is read, not guessed.
    values = [[it_power.pk, round(ts.timestamp() * 1e6), 500.0, 1]]
    assert evaluate_derived(values=values) == 1
    found = LatestReading.objects.get(point=pue.point)
    assert (found.value, found.ts) == (3.0, ts)
    assert evaluate_derived(values=values) == 0


def test_it_computes_only_what_the_inputs_feed_and_what_follows_from_that(small_facility):
    derive("room-1.it_power_w", "sum({rack-*.power_w})")
    derive("room-1.pue", "2 * {room-1.it_power_w} / {room-1.it_power_w}")
    derive("crac-a.supply_c", "{rack-b.inlet_c} - 1")
    read("rack-a.power_w", 1000)
    read("rack-b.power_w", 500)
    read("rack-b.inlet_c", 21)
    rack = Point.objects.get(tag="rack-a.power_w")
    stamp = round((NOW - timedelta(seconds=10)).timestamp() * 1e6)
    assert evaluate_derived(values=[[rack.pk, stamp, 1000.0, 1]]) == 2
    assert not LatestReading.objects.filter(point__tag="crac-a.supply_c").exists()
    other = Point.objects.get(tag="rack-a.inlet_c")
    assert evaluate_derived(values=[[other.pk, stamp, 20.0, 1]]) == 0
    assert evaluate_derived() == 1


def test_it_picks_the_readings_that_feed_something(pue, django_assert_num_queries):
    columns = point_table(None)
    tags = ["room-1.it_power_w", "rack-a.inlet_c"]
    ids = np.array([Point.objects.get(tag=tag).pk for tag in tags])
    rows = columns.rows_of(ids)
    stamps, values, flags = np.array([1, 2]), np.array([5.0, 6.0]), np.array([1, 1], np.uint8)
    feed = Feed()
    with django_assert_num_queries(1):
        assert feed.pick(columns, rows, stamps, values, flags) == [[int(ids[0]), 1, 5.0, 1]]
    with django_assert_num_queries(0):
        feed.pick(columns, rows, stamps, values, flags)
    pue.delete()
    assert Feed().pick(columns, rows, stamps, values, flags) == []
