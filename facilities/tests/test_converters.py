"""From foreign series to points: rules, units, texts, stale markers, what is refused and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.converters import convert, convert_current
from facilities.converters.document import DocumentError, read_document
from facilities.converters.keys import distinct, key_problem, parse_key, snake, tag
from facilities.converters.units import UnitError, conversion, ucum
from facilities.ingest.points import point_table
from facilities.ingest.samples import STALE_BITS, Samples, is_stale, samples_of
from facilities.models import Converter, Point, Source
from facilities.services.sources import source_create
from facilities.tags import ASSET_TAG, QUANTITY

pytestmark = pytest.mark.django_db


class Sender(NamedTuple):
    source_id: int
    auto_register: bool = False


@pytest.fixture
def source(small_facility) -> Source:
    return source_create(name="agent").source


def with_rules(source: Source, text: str) -> Sender:
    Converter.objects.update_or_create(source=source, defaults={"document": text})
    return Sender(source.pk, source.auto_register)


def said(*rows: tuple[str, float], texts: dict[int, str] | None = None) -> Samples:
    samples = samples_of([(key, 1_000_000 + i, value) for i, (key, value) in enumerate(rows)])
    samples.text = texts or {}
    return samples


def values(sender: Sender, samples: Samples) -> dict[str, float]:
    columns, batch = convert_current(sender, samples)
    return {columns.tags[row]: value for row, value in zip(batch.row, batch.value, strict=True)}


def codes(sender: Sender, samples: Samples) -> list[tuple[int, str]]:
    return [(r.index, r.code) for r in convert_current(sender, samples)[1].rejected]


def test_it_takes_an_exact_tag_before_any_rule(source):
    sender = with_rules(source, "rules: [{series: '*', drop: true}]")
    assert values(sender, said(("rack-a.inlet_c", 22.5), ("other", 1))) == {"rack-a.inlet_c": 22.5}


def test_it_maps_by_labels_groups_and_filters(source):
    sender = with_rules(
        source,
        """
        rules:
          - series: "ipmi.*"
            match: {server: "bmc-(?P<rack>[ab])", name: "Inlet.*"}
            point: "rack-{rack}.inlet_c"
          - series: /(?P<what>[A-Z]+)_Temp/
            point: "rack-{what|lower}.inlet_c"
        """,
    )
    samples = said(
        ('ipmi.value{name="Inlet Temp",server="bmc-a"}', 21.0),
        ('ipmi.value{name="Outlet",server="bmc-b"}', 31.0),
        ("B_Temp", 23.0),
    )
    assert values(sender, samples) == {"rack-a.inlet_c": 21.0, "rack-b.inlet_c": 23.0}
    assert codes(sender, samples) == [(1, "unknown_point")]


def test_it_scales_then_converts_the_unit(source):
    sender = with_rules(
        source,
        """
        rules:
          - {series: raw, point: rack-a.inlet_c, scale: 0.1, offset: 32, unit: "[degF]"}
          - {series: kelvin, point: rack-b.inlet_c, unit: K}
        """,
    )
    found = values(sender, said(("raw", 360.0), ("kelvin", 300.0)))
    assert found["rack-a.inlet_c"] == pytest.approx(20.0)  # 36 + 32 = 68 °F
    assert found["rack-b.inlet_c"] == pytest.approx(26.85)


def test_it_takes_the_unit_that_the_format_carries(source):
    sender = with_rules(source, "rules: [{series: t, point: rack-a.inlet_c}]")
    samples = said(("t", 300.15))
    samples.hints = {"t": "K"}
    assert values(sender, samples)["rack-a.inlet_c"] == pytest.approx(27.0)


def test_it_names_both_units_when_they_do_not_fit(source):
    sender = with_rules(source, "rules: [{series: t, point: rack-a.inlet_c, unit: W}]")
    (rejected,) = convert_current(sender, said(("t", 1.0)))[1].rejected
    assert rejected.code == "bad_unit"
    assert "W cannot be converted to Cel" in rejected.detail
    assert rejected.raw == "t 1.0 1000000"


def test_it_gives_texts_their_numbers(source):
    Point.objects.filter(tag="crac-a.running").update(enum={"0": "Stopped", "1": "Running"})
    sender = with_rules(
        source,
        """
        rules:
          - {series: health, point: crac-a.fault, values: {ok: 0, critical: 1, "7": 9}, other: 5}
          - {series: strict, point: crac-a.fault, values: {ok: 0}}
        """,
    )
    samples = said(
        ("health", np.nan),
        ("health", np.nan),
        ("health", 7.0),
        ("crac-a.running", np.nan),
        ("crac-a.running", np.nan),
        ("strict", np.nan),
        texts={0: "OK", 1: "who knows", 3: "running", 4: "sideways", 5: "bad"},
    )
    _columns, batch = convert_current(sender, samples)
    assert list(zip(batch.index.tolist(), batch.value.tolist(), strict=True)) == [
        (0, 0.0),
        (1, 5.0),
        (2, 9.0),
        (3, 1.0),
    ]
    assert [(r.index, r.code) for r in batch.rejected] == [(4, "bad_value"), (5, "bad_value")]
    assert "'sideways'" in batch.rejected[0].detail


def test_it_keeps_a_stale_marker_bit_for_bit_through_scaling(source):
    sender = with_rules(source, "rules: [{series: t, point: rack-a.inlet_c, scale: 2, offset: 1}]")
    samples = said(("t", 1.0), ("t", 0.0))
    samples.value.view(np.uint64)[1] = STALE_BITS
    _, batch = convert_current(sender, samples)
    assert batch.value[0] == 3.0
    assert is_stale(batch.value).tolist() == [False, True]


def test_it_drops_what_a_rule_drops_without_a_rejection(source):
    sender = with_rules(source, "rules: [{series: 'go_*', drop: true}]")
    _columns, batch = convert_current(sender, said(("go_gc", 1.0), ("x", 1.0)))
    assert len(batch) == 0
    assert [r.index for r in batch.rejected] == [1]


def test_it_says_which_label_a_series_lacks(source):
    sender = with_rules(source, "rules: [{series: t, point: '{host}.inlet_c'}]")
    (rejected,) = convert_current(sender, said(("t", 1.0)))[1].rejected
    assert rejected.code == "bad_mapping"
    assert "'host'" in rejected.detail


def test_it_uses_a_changed_rule_at_once(source):
    sender = with_rules(source, "rules: [{series: t, point: rack-a.inlet_c}]")
    assert values(sender, said(("t", 5.0))) == {"rack-a.inlet_c": 5.0}
    with_rules(source, "rules: [{series: t, point: rack-b.inlet_c}]")
    assert values(sender, said(("t", 5.0))) == {"rack-b.inlet_c": 5.0}


def test_it_asks_the_database_only_the_first_time(source, django_assert_num_queries):
    sender = with_rules(source, "rules: [{series: t, point: rack-a.inlet_c, scale: 2}]")
    columns = point_table(None)
    with django_assert_num_queries(2):  # converter, registered series
        convert(sender, said(("t", 5.0), ("rack-b.inlet_c", 5.0)), columns)
    with django_assert_num_queries(0):
        convert(sender, said(("t", 6.0), ("rack-b.inlet_c", 5.0)), columns)


def test_it_gives_up_on_a_pattern_that_never_ends(source):
    sender = with_rules(source, "rules: [{series: '/(a+)+b/', point: rack-a.inlet_c}]")
    assert codes(sender, said(("a" * 400, 1.0))) == [(0, "unknown_point")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "not YAML"),
        ("- 1", "must be a mapping"),
        ("rules: 5", "must be a list"),
        ("ruels: []", "unknown key 'ruels'"),
        ("rules: [{point: a.b}]", "series is missing"),
        ("rules: [{series: x}]", "point is missing"),
        ("rules: [{series: x, point: nothing}]", "'nothing' is no tag"),
        ("rules: [{series: x, point: '{a|upper}.b'}]", "unknown filter 'upper'"),
        ("rules: [{series: x, point: '{a'}]", "expected '}'"),
        ("rules: [{series: x, point: a.b, unit: furlong}]", "no UCUM code"),
        ("rules: [{series: x, point: a.b, scale: 0}]", "scale 0"),
        ("rules: [{series: x, point: a.b, scale: much}]", "must be a number"),
        ("rules: [{series: '/(/', point: a.b}]", "no regular expression"),
        ("rules: [{series: x, point: a.b, counter: 5}]", "counter must be true"),
        ("rules: [{series: x, point: a.b, drop: true}]", "contradict"),
        ("rules: [{series: x, point: a.b, values: [1]}]", "values must be a mapping"),
    ],
)
def test_it_names_what_is_wrong_with_a_document(text, message):
    with pytest.raises(DocumentError) as error:
        read_document(text)
    assert message in str(error.value)


def test_it_takes_labels_apart_as_prometheus_writes_them():
    key = parse_key(r'up{instance="a\"b\\c\nd",job="x,y"}')
    assert key.name == "up"
    assert key.labels == {"instance": 'a"b\\c\nd', "job": "x,y"}
    assert parse_key("plain{broken").name == "plain{broken"


@given(st.text(max_size=700))
@settings(max_examples=200, deadline=None)
def test_it_makes_safe_names_of_anything(text):
    for name, pattern in ((snake(text), QUANTITY), (tag(text), ASSET_TAG)):
        assert not name or pattern.match(name)
    assert QUANTITY.match(distinct(snake(text) or "x", text, 60))
    parse_key(text)
    key_problem(text)


@given(st.floats(-1e6, 1e6), st.sampled_from([("Cel", "[degF]"), ("kW", "W"), ("L/s", "m3/h")]))
@settings(deadline=None)
def test_it_converts_there_and_back(value, units):
    there, back = conversion(*units), conversion(*reversed(units))
    assert (value * there.scale + there.offset) * back.scale + back.offset == pytest.approx(
        value, abs=1e-6
    )


def test_it_knows_units_by_their_agents_spelling():
    assert ucum("degrees_c") == "Cel"
    assert ucum("{packets}") == "1"
    assert conversion("rpm", "Hz").scale == pytest.approx(1 / 60)
    with pytest.raises(UnitError, match="not linear"):
        conversion("dB", "1")
