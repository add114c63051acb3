"""The catalogue as people and programs read it: the list, its document, the procedures it cites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from approvals.catalogue import KINDS, Action
from approvals.catalogue.command import Command
from approvals.tests.catalogue_kit import Site

pytestmark = pytest.mark.django_db
ASKED = [kind for kind in KINDS.values() if not kind.is_internal]


@pytest.fixture
def site(demo_facility: None) -> Site:
    return Site()


class TestList:
    def test_it_lists_every_kind_with_targets_and_schemas(
        self, site: Site, client_as: Any, viewer: Any
    ) -> None:
        rows = {row["name"]: row for row in client_as(viewer).get("/api/v1/actions/").json()}
        assert set(rows) == {kind.name for kind in ASKED}
        without = {name for name, row in rows.items() if not row["targets"]}
        assert without == {"run_procedure"}  # no procedure is in force here
        tags = {name: [t["tag"] for t in row["targets"]] for name, row in rows.items()}
        assert tags["start_standby_unit"] == ["cdu-1", "chiller-1", "chiller-2", "chwp-1", "chwp-2",
                                              "tower-1"]  # fmt: skip
        assert tags["transfer_ups_to_bypass"] == ["ups-a", "ups-b"]
        assert len(tags["drain_node"]) == 16
        assert len(tags["set_gpu_power_cap"]) == 128 + 16
        assert all(len(set(mine)) == len(mine) for mine in tags.values())
        for row in rows.values():
            for target in row["targets"]:
                Draft202012Validator.check_schema(target["schema"])

    def test_it_can_be_narrowed(self, site: Site, client_as: Any, viewer: Any) -> None:
        [row] = client_as(viewer).get("/api/v1/actions/?kind=set_damper&target=crac-2").json()
        assert [target["tag"] for target in row["targets"]] == ["crac-2"]
        assert row["targets"][0]["schema"]["properties"]["damper_pct"]["x-unit"] == "%"
        assert client_as(viewer).get("/api/v1/actions/?kind=nothing").json() == []

    def test_it_takes_a_fixed_number_of_queries(
        self, site: Site, client_as: Any, viewer: Any, django_assert_num_queries: Any
    ) -> None:
        client = client_as(viewer)
        # session, user, halls, then the hall: assets, limits, connections, values, procedures
        with django_assert_num_queries(8):
            client.get("/api/v1/actions/")

    def test_a_stranger_sees_none(self, client: Any, db: None) -> None:
        assert client.get("/api/v1/actions/").status_code in (401, 403)


def test_the_document_names_every_kind() -> None:
    text = (Path(__file__).parents[2] / "docs" / "actions.md").read_text()
    assert {name for name in KINDS if f"`{name}`" not in text} == set()


def test_a_step_of_some_procedure_instructs_every_kind_that_the_agent_may_offer() -> None:
    """Without a step the agent proposes nothing: a kind that offers must find one."""
    headings = [
        line.removeprefix("### ")
        for path in (Path(__file__).parents[2] / "rag" / "procedures").glob("*.md")
        for line in path.read_text().splitlines()
        if line.startswith("### Step")
    ]
    offering = {k for k in ASKED if type(k).candidates is not Command.candidates}
    without = {k.name for k in offering if not any(map(k.instructed_by, headings))}
    assert without == {"run_procedure"}  # a person's choice
    wrong = "Step 3 — Open the damper before the unit starts"
    closing = Action("set_damper", "crac-2", {"damper_pct": 0.0})
    assert not KINDS["set_damper"].instructed_by(wrong, closing)
    assert not KINDS["start_standby_unit"].instructed_by(wrong)
