"""Link attributes and redundancy groups of the facility file."""

from __future__ import annotations

from pathlib import Path

import pytest

from facilities.loader import FacilityFileError, load_facility
from facilities.models import AssetLink, RedundancyGroup

from .conftest import SMALL

pytestmark = pytest.mark.django_db

LINK = (
    "  - {kind: network, source: srv-01, target: srv-02, "
    "attributes: {medium: optic, layer: l3, private: true, capacity_gbps: 100}}\n"
)
GROUP = (
    "redundancy_groups:\n  - {name: inlets, points: [rack-a.inlet_c, rack-b.inlet_c], "
    "tolerance: 0.5, reference: rack-a.inlet_c}\n"
)


def file_with(tmp_path: Path, *, link: str = LINK, group: str = GROUP) -> Path:
    text = SMALL.read_text().replace("alarm_rules:", f"{link}{group}alarm_rules:")
    path = tmp_path / "facility.yaml"
    path.write_text(text)
    return path


def test_it_loads_attributes_and_groups_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    path = file_with(tmp_path)
    load_facility(path=path)
    link = AssetLink.objects.get(kind="network")
    assert link.attributes == {
        "medium": "optic", "layer": "l3", "private": True, "capacity_gbps": 100,
    }  # fmt: skip
    group = RedundancyGroup.objects.get()
    assert group.reference is not None
    assert (group.reference.tag, group.tolerance, group.points.count()) == (
        "rack-a.inlet_c",
        0.5,
        2,
    )
    again = load_facility(path=path)
    assert (again.created, again.updated) == (0, 0)


def test_it_follows_changes_and_prunes_when_told(tmp_path: Path) -> None:
    load_facility(path=file_with(tmp_path))
    changed = file_with(
        tmp_path,
        link=LINK.replace("optic", "copper"),
        group=GROUP.replace("0.5", "0.7").replace(", reference: rack-a.inlet_c", ""),
    )
    assert load_facility(path=changed).updated == 2
    assert AssetLink.objects.get(kind="network").attributes["medium"] == "copper"
    group = RedundancyGroup.objects.get()
    assert (group.tolerance, group.reference) == (0.7, None)
    without = file_with(tmp_path, group="")
    assert load_facility(path=without).extra["redundancy groups"] == ["inlets"]
    load_facility(path=without, prune=True)
    assert not RedundancyGroup.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("optic", "string", "medium 'string' is not one of copper, optic, wireless"),
        ("private: true", "private: maybe", "private must be true or false"),
        ("capacity_gbps: 100", "capacity_gbps: -1", "capacity_gbps must be a number above 0"),
        ("rack-b.inlet_c]", "rack-c.inlet_c]", "point 'rack-c.inlet_c' is not in the file"),
        ("rack-b.inlet_c]", "rack-b.power_w]", "units differ"),
        (", rack-b.inlet_c]", "]", "at least two points"),
        ("reference: rack-a.inlet_c", "reference: crac-a.supply_c", "is not one of its points"),
        ("tolerance: 0.5", "tolerance: 0", "must be above 0"),
    ],
)
def test_it_refuses_what_cannot_be(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = file_with(tmp_path, link=LINK.replace(old, new), group=GROUP.replace(old, new))
    with pytest.raises(FacilityFileError, match=said.replace("[", r"\[")):
        load_facility(path=path)
    assert not RedundancyGroup.objects.exists()
