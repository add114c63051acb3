"""The data list as a file: round trip, preview, all or nothing, problems that name both sides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities.datalist import (
    ImportProblems,
    StalePlan,
    export_csv,
    export_yaml,
    import_apply,
    import_plan,
)
from facilities.models import Asset, Point
from facilities.services.sources import source_create

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_facility")]
EXPORTS = {"csv": export_csv, "yaml": export_yaml}


def everything():
    return Point.objects.select_related("asset", "source").order_by("tag")


def facts() -> list[Any]:
    return list(
        Point.objects.order_by("tag").values(
            "tag", "name", "quantity", "unit", "min_value", "max_value", "precision", "enum",
            "owner", "haystack", "verified", "writable", "write_min", "write_max", "source__name",
        )
    )  # fmt: skip


@pytest.mark.parametrize("format", ["csv", "yaml"])
def test_it_reads_back_what_it_wrote_without_a_change(format):
    plan = import_plan(EXPORTS[format](everything()), format=format)
    assert (plan.changes, plan.unchanged) == ([], Point.objects.count())


@pytest.mark.parametrize("format", ["csv", "yaml"])
def test_it_makes_the_same_points_again(format):
    source_create(name="bms")
    import_apply("tag,source,owner\nrack-a.inlet_c,bms,night shift\n", format="csv")
    before, text = facts(), EXPORTS[format](everything())
    Point.objects.all().delete()
    plan = import_apply(text, format=format)
    assert plan.created == len(before)
    assert facts() == before


PRINTABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40
).filter(lambda text: text == text.strip())


@given(
    name=PRINTABLE,
    owner=PRINTABLE,
    low=st.floats(-1e12, 0, allow_subnormal=False),
    high=st.floats(1e-9, 1e12),
    enum=st.dictionaries(st.integers(-9, 9).map(str), PRINTABLE, max_size=3),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_survives_the_round_trip_whatever_people_write(name, owner, low, high, enum):
    Point.objects.filter(tag="rack-a.inlet_c").update(
        name=name, owner=owner, min_value=low, max_value=high, enum=enum or None
    )
    for format, export in EXPORTS.items():
        plan = import_plan(export(everything()), format=format)
        assert plan.changes == []


def test_it_protects_spreadsheets_from_formulas():
    Point.objects.filter(tag="rack-a.inlet_c").update(name="=HYPERLINK(1)", owner="'quoted")
    text = export_csv(everything())
    assert ",'=HYPERLINK(1)," in text
    assert import_plan(text, format="csv").changes == []


def test_it_shows_each_change_before_it_writes():
    text = "tag,unit,max_value\nrack-a.inlet_c,K,400\nrack-b.inlet_c,Cel,70\n"
    plan = import_plan(text, format="csv")
    (change,) = plan.changes
    assert change == ("rack-a.inlet_c", False, [("unit", "Cel", "K"), ("max_value", 70.0, 400.0)])
    assert plan.unchanged == 1
    assert Point.objects.get(tag="rack-a.inlet_c").unit == "Cel"
    import_apply(text, format="csv", digest=plan.digest)
    assert Point.objects.get(tag="rack-a.inlet_c").unit == "K"


def test_it_refuses_to_apply_what_was_not_shown():
    text = "tag,owner\nrack-a.inlet_c,me\n"
    plan = import_plan(text, format="csv")
    Point.objects.filter(tag="rack-a.inlet_c").update(owner="somebody else")
    with pytest.raises(StalePlan, match="look at the new preview"):
        import_apply(text, format="csv", digest=plan.digest)
    assert Point.objects.get(tag="rack-a.inlet_c").owner == "somebody else"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tag,unit\nrack-z.x_c,Cel\n", "asset rack-z is not in the facility"),
        ("tag,unit\nrack-a.inlet_c,furlongs\n", "no UCUM code"),
        ("tag,max_value\nrack-a.inlet_c,-50\n", "is not below the upper limit -50"),
        ("tag,max_value\nrack-a.inlet_c,warm\n", "line 2: max_value must be a number"),
        ("tag,max_value\nrack-a.inlet_c,inf\n", "finite"),
        ("tag,asset\nrack-a.inlet_c,rack-b\n", "belongs to asset rack-a, not to rack-b"),
        ("tag,source\nrack-a.inlet_c,ghost\n", "there is no source 'ghost'"),
        ("tag\nrack-a.inlet_c\nrack-a.inlet_c\n", "named in line 2 already"),
        ("tag,colour\nrack-a.inlet_c,red\n", "unknown column 'colour'"),
        ("unit\nCel\n", "tag is missing"),
        ("tag,unit\nrack-a.inlet_c\n", "line 2: has not as many cells"),
        ("tag,enum\nrack-a.inlet_c,{\n", "enum must be like"),
        ("tag,writable\nrack-a.inlet_c,true\n", "needs both write limits"),
        ("tag,verified\nrack-a.inlet_c,perhaps\n", "must be true or false"),
    ],
)
def test_it_names_both_sides_of_a_contradiction_and_changes_nothing(text, message):
    before = facts()
    with pytest.raises(ImportProblems) as error:
        import_apply(text, format="csv")
    assert message in str(error.value)
    assert facts() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("points: [", "not YAML"), ("[]", "must be a mapping"), ("points: [1]", "list of points")],
)
def test_it_says_what_a_yaml_file_lacks(text, message):
    with pytest.raises(ImportProblems, match=message):
        import_plan(text, format="yaml")


def test_it_creates_a_point_on_an_asset_that_exists(supervisor):
    text = "tag,unit,verified\nrack-a.outlet_c,Cel,true\n"
    plan = import_apply(text, format="csv", user=supervisor)
    assert plan.created == 1
    point = Point.objects.get(tag="rack-a.outlet_c")
    assert point.asset == Asset.objects.get(tag="rack-a")
    assert (point.verified_by, point.quantity) == (supervisor, "outlet_c")


def test_it_costs_the_same_queries_for_any_size(django_assert_num_queries):
    text = export_csv(everything())
    with django_assert_num_queries(3):
        import_plan(text, format="csv")
