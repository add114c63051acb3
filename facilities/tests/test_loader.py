"""Facility files: idempotent, all errors at once with their lines, nothing half-loaded."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities.loader import FacilityFileError, load_facility
from facilities.models import AlarmRule, Asset, AssetLink, LatestReading, Point, Rack, Site

from .conftest import SMALL

pytestmark = pytest.mark.django_db
DEMO = Path(__file__).parent.parent / "demo" / "facility.yaml"


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = SMALL.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "facility.yaml"
    path.write_text(text)
    return path


def problems(path: Path) -> str:
    with pytest.raises(FacilityFileError) as caught:
        load_facility(path=path)
    assert not Site.objects.exists()
    return str(caught.value)


def line_of(path: Path, text: str) -> int:
    return next(i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_it_loads_the_demo_facility():
    report = load_facility(path=DEMO)
    assert report.updated == 0
    assert Point.objects.count() > 600
    assert Rack.objects.count() == 16
    assert Asset.objects.filter(kind="rack").count() == 16
    assert Asset.objects.filter(kind="gpu").count() == 128
    gpu = Asset.objects.get(tag="srv-05-gpu-3")
    assert (str(gpu.parent), str(gpu.rack)) == ("srv-05", "rack-1-04")
    point = Point.objects.get(tag="crac-1.fan_speed_sp_pct")
    assert (point.write_min, point.write_max, point.unit) == (30, 100, "%")
    for row in [
        *Point.objects.select_related("asset"),
        *AlarmRule.objects.all(),
        *Rack.objects.all(),
    ]:
        row.full_clean()


def test_it_changes_nothing_when_loaded_again():
    first = load_facility(path=DEMO)
    again = load_facility(path=DEMO)
    assert (again.created, again.updated, again.pruned) == (0, 0, 0)
    assert again.unchanged == first.created
    assert again.extra == {}


def test_it_makes_an_asset_for_each_rack_and_hall(small_facility):
    assert set(Asset.objects.filter(kind__in=("rack", "hall")).values_list("tag", flat=True)) == {
        "rack-a",
        "rack-b",
        "room-1",
    }
    assert Point.objects.get(tag="rack-a.inlet_c").name == "Rack 1-01 inlet temperature"


def test_it_updates_by_tag_and_keeps_what_the_file_no_longer_names(tmp_path, small_facility):
    path = edited(
        tmp_path,
        ("range: [-10, 70]", "range: [-20, 80]"),
        (
            "    - {quantity: power_w, name: Power, unit: W, range: [0, 10000], precision: 10, sampling_s: 2}\n",
            "",
        ),
    )
    report = load_facility(path=path)
    assert (report.created, report.updated) == (0, 2)
    assert report.extra == {"points": ["rack-a.power_w", "rack-b.power_w"]}
    assert Point.objects.get(tag="rack-a.inlet_c").max_value == 80


def test_it_prunes_when_told(tmp_path, push, client_as):
    push(("rack-b.power_w", 5000.0), ("rack-a.power_w", 5000.0))
    path = edited(
        tmp_path,
        (
            "  - {tag: rack-b, hall: room-1, row: 1, position: 2, x_m: 3, y_m: 2, rated_w: 8000}\n",
            "",
        ),
        ("  - {kind: cooling, source: crac-a, target: rack-b}\n", ""),
    )
    assert load_facility(path=path, prune=True).pruned > 0
    assert list(Rack.objects.values_list("tag", flat=True)) == ["rack-a"]
    assert not Point.objects.filter(asset__tag="rack-b").exists()
    assert LatestReading.objects.count() == 1
    assert AssetLink.objects.count() == 1


def test_it_swaps_two_racks(tmp_path, small_facility):
    path = edited(
        tmp_path,
        ("position: 1, x_m: 2", "position: 9, x_m: 2"),
        ("position: 2, x_m: 3", "position: 1, x_m: 3"),
        ("position: 9, x_m: 2", "position: 2, x_m: 2"),
    )
    load_facility(path=path)
    assert dict(Rack.objects.values_list("tag", "position")) == {"rack-a": 2, "rack-b": 1}


def test_it_names_the_line_and_both_sides(tmp_path):
    path = edited(tmp_path, ("write: [14, 24]", "write: [14, 90]"))
    line = line_of(path, "supply_sp_c")
    assert problems(path) == (
        f"line {line}: point crac.supply_sp_c: write limit 90 is above its range 5…40 Cel "
        f"(line {line})"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x_m: 3,", "x_m: 30,", "rack rack-b: x_m 30 is outside hall room-1, 0…6 m (line 3)"),
        ("hall: room-1, row: 1, position: 2", "hall: room-9, row: 1, position: 2", "hall 'room-9' is not in the file; it has room-1"),  # noqa: E501
        ("position: 2, x_m: 3", "position: 1, x_m: 3", "has the place of rack rack-a (line 5)"),
        ("tag: rack-b", "tag: rack-a", "rack rack-a: the tag is used on line 5 already"),
        ("kind: crac, hall: room-1", "kind: toaster, hall: room-1", "kind 'toaster'"),
        ("clear: 26", "clear: 28", "clear 28 is above its raise level 27"),
        ("above: 27", "above: 90", "raise level 90 is outside the range -10…70 Cel of inlet_c"),
        ("point: crac-a.fault", "point: crac-a.smell", "quantity of asset crac-a 'smell'"),
        ("kind: rack, quantity: inlet_c, above: 27", "quantity: inlet_c, above: 27", "either a point, or a kind and a quantity"),  # noqa: E501
        ("above: 27, ", "above: 27, below: 3, ", "either above or below"),
        ("target: rack-a", "target: rack-x", "target asset 'rack-x' is not in the file"),
        ("source: crac-a, target: rack-a", "source: rack-a, target: rack-a", "are the same asset"),
        ("timezone: Europe/Berlin", "timezone: Mars/Crater", "'Mars/Crater' is not a time zone"),
        ("precision: 10,", "precision: -1,", "precision -1 must be above 0"),
        ("writable: true, ", "", "but the point is not writable"),
        (", write: [14, 24]", "", "is writable; add write: [low, high]"),
        ("rated_w: 8000}\npoint", "rated_w: lots}\npoint", "rated_w must be a number, not 'lots'"),
        ("row: 1, position: 1", "row: -1, position: 1", "whole number from 0 to 32767, not -1"),
        ("parent: srv-01", "parent: srv-01-gpu-0", "asset srv-01-gpu-0 is above itself"),
        ("n: [1, 3]", "n: [1, 99999]", "stands for more than 10000 entries"),
        ("n: [1, 3], ", "", "{n} needs n: [first, last]"),
        ("severity: high, message: The", "severity: huge, message: The", "severity 'huge'"),
        ("name: Room 1", "naem: Room 1", "unknown key 'naem'"),
        ("tag: crac-a", "tag: crac/a", "asset 'crac/a': a tag is letters"),
        ("unit: Cel, range: [-10, 60]", "unit: CelCelCelCelCelCelCelCel, range: [-10, 60]", "at most 20 characters"),
        ("links:", "links: none\nlonks:", "links must be a list"),
        ("{slug: lab-1, name: Lab 1,", "{slug: lab-1, slug: lab-2, name: Lab 1,", "line 1: not readable as YAML"),
        ("point_templates:", "point_templates: [", "not readable as YAML"),
    ],
)  # fmt: skip
def test_it_refuses_contradictions(tmp_path, old, new, expected):
    text = problems(edited(tmp_path, (old, new)))
    assert expected in text
    assert text.startswith("line ")


def test_it_reports_every_problem_of_a_file(tmp_path):
    path = edited(tmp_path, ("x_m: 3,", "x_m: 30,"), ("clear: 26", "clear: 28"))
    lines = problems(path).splitlines()
    assert [line.split(":")[0] for line in lines] == ["line 6", "line 28"]
    path = edited(tmp_path, ("x_m: 3,", "x_m: wide,"), ("n: [1, 3]", "n: 3"))
    assert len(problems(path).splitlines()) == 2


def test_it_refuses_an_asset_of_another_site(tmp_path, small_facility):
    path = edited(tmp_path, ("slug: lab-1", "slug: lab-2"))
    with pytest.raises(FacilityFileError, match="belongs to site lab-1 already, not to lab-2"):
        load_facility(path=path)
    assert list(Site.objects.values_list("slug", flat=True)) == ["lab-1"]


def test_it_tells_by_command(tmp_path):
    out = StringIO()
    call_command("load_facility", str(SMALL), stdout=out)
    assert "created" in out.getvalue()
    with pytest.raises(CommandError, match="1 problem, nothing changed"):
        call_command("load_facility", str(edited(tmp_path, ("x_m: 3,", "x_m: 30,"))))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("load_facility", str(tmp_path / "missing.yaml"))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "site",
                    "halls",
                    "racks",
                    "point_templates",
                    "assets",
                    "links",
                    "alarm_rules",
                    "tag",
                    "name",
                    "kind",
                    "n",
                    "crac",
                    "quantity",
                    "points",
                    "range",
                    "slug",
                    "above",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk)
def test_it_never_fails_in_another_way(tmp_path, data):
    from ruamel.yaml import YAML

    path = tmp_path / "junk.yaml"
    with path.open("w") as file:
        YAML().dump(data, file)
    with pytest.raises(FacilityFileError):
        load_facility(path=path)
