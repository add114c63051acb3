"""Unknown series become unverified points where a source may; bounded, safe, the same each time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities.converters import convert_current
from facilities.converters.keys import parse_key
from facilities.converters.suggest import guess, identity
from facilities.ingest.samples import samples_of
from facilities.models import Asset, Converter, Point, Source, SourceSeries
from facilities.models.asset import AssetKind
from facilities.services.sources import source_create
from facilities.tags import POINT_TAG

pytestmark = pytest.mark.django_db


class Sender(NamedTuple):
    source_id: int
    auto_register: bool = True


@pytest.fixture
def source(db) -> Source:
    return source_create(name="Rack agent", auto_register=True).source


def take(source: Source, *keys: str, hints: dict[str, str] | None = None):
    samples = samples_of([(key, 1_000_000 + i, 20.0 + i) for i, key in enumerate(keys)])
    samples.hints = hints or {}
    return convert_current(Sender(source.pk, source.auto_register), samples)


def test_it_registers_a_native_tag_as_it_is(source):
    columns, batch = take(source, "rig-7.temp_c")
    assert columns.tags[batch.row[0]] == "rig-7.temp_c"
    point = Point.objects.get()
    assert (point.verified, point.auto_registered, point.source) == (False, True, source)
    assert (point.unit, point.brick_class) == ("Cel", "Temperature_Sensor")
    assert point.asset.kind == AssetKind.OTHER


def test_it_uses_the_asset_that_a_label_names(source, small_facility):
    take(source, 'redfish.power_watts{host="telegraf",name="PSU 1",source="srv-01"}')
    point = Point.objects.get(auto_registered=True)
    assert point.tag == "srv-01.redfish_power_watts_psu_1"
    assert (point.unit, point.asset.kind) == ("W", "server")


def test_it_gives_what_names_no_equipment_to_the_sources_own_asset(source):
    take(source, "room temperature")
    assert Point.objects.get().tag == "source-Rack-agent.room_temperature"
    source.refresh_from_db()
    assert source.asset.kind == AssetKind.SOURCE


def test_it_takes_the_unit_of_the_format_and_stays_right_when_a_person_changes_it(source):
    key = 'x_value{host="a"}'
    take(source, key, hints={key: "kW"})
    assert Point.objects.get().unit == "kW"
    Point.objects.update(unit="W")
    _, batch = take(source, key, hints={key: "kW"})
    assert batch.value.tolist() == [20_000.0]


def test_it_makes_the_same_point_every_time_and_one_for_passing_labels(source):
    keys = [f'gpu_temp{{gpu="0",host="n1",pod="p{i}",state="s"}}' for i in range(3)]
    for key in keys:
        take(source, key)
    take(source, *keys)
    assert Point.objects.count() == 1
    assert SourceSeries.objects.count() == 3


def test_it_keeps_different_series_apart_when_their_names_collide(source):
    columns, batch = take(source, 'Temp{host="a",x="1 2"}', 'temp{host="a",x="1_2"}')
    tags = {columns.tags[row] for row in batch.row}
    assert len(tags) == 2
    assert all(POINT_TAG.match(tag) for tag in tags)


def test_it_stops_at_the_sources_limit_and_says_so(source):
    Source.objects.update(auto_register_limit=2)
    _, batch = take(source, *(f"rig.t{i}_c" for i in range(5)))
    assert len(batch) == 2
    assert "raise auto_register_limit" in batch.rejected[0].detail
    assert Point.objects.count() == 2
    Source.objects.update(auto_register_limit=4)
    assert len(take(source, *(f"rig.t{i}_c" for i in range(5)))[1]) == 4


def test_it_does_not_ask_again_for_what_it_refused(source, django_assert_num_queries):
    columns, _ = take(source, "bad\x07name", "rig.a_c")
    samples = samples_of([("bad\x07name", 1, 1.0)])
    with django_assert_num_queries(0):
        convert_current(Sender(source.pk), samples, columns)


@pytest.mark.parametrize("key", ["a\x00b", "tab\there", "‮evil", "x" * 600, "   ", "\ud800"])
def test_it_refuses_names_that_nobody_could_see(source, key):
    _, batch = take(source, key)
    assert [r.code for r in batch.rejected] == ["bad_series"]
    assert not Point.objects.exists()


def test_it_waits_for_a_number(source):
    samples = samples_of([("rig.state", 1, np.nan)])
    samples.text = {0: "on"}
    _, batch = convert_current(Sender(source.pk), samples)
    assert len(batch.rejected) == 1
    assert not Point.objects.exists()


def test_it_registers_what_a_rule_names_with_what_the_rule_knows(source, small_facility):
    Converter.objects.create(
        source=source,
        document="rules: [{series: t, point: rack-a.outlet_c, unit: K, suggest: "
        "{unit: Cel, range: [-10, 90], class: Temperature_Sensor, interval_s: 10}}]",
    )
    samples = samples_of([("t", 1, 300.15)])
    columns, batch = convert_current(Sender(source.pk), samples)
    assert columns.tags[batch.row[0]] == "rack-a.outlet_c"
    assert batch.value[0] == pytest.approx(27.0)
    point = Point.objects.get(tag="rack-a.outlet_c")
    assert (point.max_value, point.sampling_interval_s) == (90, 10)
    assert not SourceSeries.objects.exists()


def test_it_registers_nothing_for_a_source_that_may_not(source):
    source.auto_register = False
    _, batch = take(source, "rig.a_c")
    assert [r.code for r in batch.rejected] == ["unknown_point"]


@given(st.lists(st.text(min_size=1, max_size=80), max_size=8))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_survives_any_names(source, keys):
    take(source, *keys)
    for point in Point.objects.select_related("asset"):
        point.full_clean()
    for asset in Asset.objects.all():
        asset.full_clean()


def test_it_suggests_units_by_name():
    assert guess("pdu_power_kw").unit == "kW"
    assert guess("fan_rpm").unit == "/min"
    assert guess("anything", "By").unit == "By"
    assert guess("anything", "a description").unit == ""
    assert identity(parse_key('up{instance="10.0.0.5:9100",job="x"}')) == ("10-0-0-5", "up")


def test_it_takes_the_first_push_of_an_unknown_point(push, token):
    Source.objects.update(auto_register=True)
    response = push(("rig-9.temp_c", 21.0), ("bad\x07name", 1.0))
    assert response.json()["accepted"] == 1
    assert [r["code"] for r in response.json()["rejected"]] == ["bad_series"]
    assert not Point.objects.get(tag="rig-9.temp_c").verified
