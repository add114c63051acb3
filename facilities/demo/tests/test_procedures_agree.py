"""The procedures name only points, assets and alarms that the facility file has."""

import fnmatch
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from facilities.demo.plant.faults import FAULTS
from facilities.demo.plant.points import FacilitySpec

FOLDER = Path(__file__).resolve().parents[3] / "rag" / "procedures"
FILES = sorted(FOLDER.glob("*.md"))
SECTIONS = [
    "Purpose",
    "Roles",
    "Prerequisites",
    "Steps",
    "Back-out",
    "Abort criteria",
    "Sign-off",
]
MAX_PASSAGE_WORDS = 200
TAG = re.compile(r"`([a-zA-Z0-9*-]+\.[a-z_]+)`")
ASSET = re.compile(
    r"\b(?:rack-\d-\d\d|crac-\d|chiller-\d|chwp-\d|ups-[a-z]|pdu-[a-z]\d|gen-\d|utility-\d|"
    r"srv-\d\d(?:-gpu-\d)?|leaf-\d(?!-spine)|(?<!-)spine-\d|link-leaf-\d-spine-\d|leak-\d|fire-\d|"
    r"hall-\d)\b"
)


@dataclass(frozen=True)
class Procedure:
    meta: dict[str, Any]
    sections: dict[str, str]
    text: str

    @property
    def steps(self) -> list[str]:
        return re.split(r"(?m)^### ", self.sections["Steps"])[1:]


@cache
def read(path: Path) -> Procedure:
    _, front, body = path.read_text().split("---\n", 2)
    parts = re.split(r"(?m)^## ", body)[1:]
    sections = {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in parts}
    return Procedure(meta=YAML(typ="safe").load(front), sections=sections, text=body)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def test_it_has_at_least_sixteen_procedures_of_each_kind() -> None:
    kinds = {read(path).meta["kind"] for path in FILES}
    assert len(FILES) >= 16 and kinds == {"sop", "mop", "eop"}


def test_it_has_complete_front_matter(path: Path, facility: FacilitySpec) -> None:
    meta = read(path).meta
    assert meta["id"] == path.stem
    assert path.stem.lower().startswith(meta["kind"])
    assert isinstance(meta["revision"], int) and meta["effective"].year >= 2026
    assert meta["risk"] in {"low", "medium", "high"}
    assert meta["title"] and meta["owner"] and meta["approver"]
    assert set(meta["assets"]) <= {asset.tag for asset in facility.assets}
    assert set(meta["alarms"]) <= {rule["name"] for rule in facility.rules}


def test_it_has_every_section_in_order(path: Path) -> None:
    assert list(read(path).sections) == SECTIONS


def test_it_numbers_its_steps_and_verifies_each(path: Path) -> None:
    for number, step in enumerate(read(path).steps, start=1):
        assert re.match(rf"Step {number} — [A-Z]", step), step[:60]
        assert step.count("**Verify:**") == 1, step[:60]
        assert len(step.split()) <= MAX_PASSAGE_WORDS, step[:60]


def test_it_names_equipment_in_every_step(path: Path) -> None:
    for step in read(path).steps:
        named = ASSET.search(step) or TAG.search(step)
        equipment = re.search(r"fire panel|procedure|alarm|log|permit|scheduler|GPU", step)
        assert named or equipment, step[:80]


def test_it_mentions_only_points_that_exist(path: Path, facility: FacilitySpec) -> None:
    tags = [point.tag for point in facility.points]
    for tag in TAG.findall(read(path).text):
        if tag.endswith(".md"):
            continue
        pattern = re.sub(r"-(?:NN|N|K)(?=[-.])", "-*", tag)
        assert fnmatch.filter(tags, pattern), f"{path.name}: no point is called {tag}"


def test_it_mentions_only_assets_that_exist(path: Path, facility: FacilitySpec) -> None:
    known = {asset.tag for asset in facility.assets}
    assert set(ASSET.findall(read(path).text)) <= known


def test_it_refers_only_to_procedures_that_exist(path: Path) -> None:
    known = {file.stem for file in FILES}
    text = read(path).text
    assert set(re.findall(r"\b(?:EOP|MOP|SOP)-[A-Z]+-\d\d\b", text)) <= known


def test_it_has_a_procedure_for_every_fault() -> None:
    by_id = {read(path).meta["id"]: read(path) for path in FILES}
    for fault in FAULTS.values():
        if not fault.alarms:  # a failed instrument: the quality page answers it
            continue
        answered = by_id[fault.procedure].meta["alarms"]
        assert set(fault.alarms) & set(answered), fault.name


def test_it_writes_only_setpoints_within_their_limits(path: Path, facility: FacilitySpec) -> None:
    """`tag` to VALUE, or `tag` = VALUE, of a writable point stays inside the controller's limits."""
    for tag, number in re.findall(r"`([a-z0-9.*_-]+)` (?:to|=) (\d+(?:\.\d+)?)", read(path).text):
        point = facility.point(tag)
        if point is not None and point.writable:
            assert point.write_min <= float(number) <= point.write_max, (path.name, tag, number)
