"""Written procedures as steps: what their texts set and verify, and nothing that they do not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from approvals.blast import blast_radius
from approvals.catalogue import KINDS, Action
from approvals.catalogue.procedures import (
    Found,
    Passed,
    prerequisites_read,
    step_read,
    steps_read,
)
from approvals.errors import InvalidActionError
from approvals.tests.catalogue_kit import XID, Site
from approvals.tests.test_agent import procedures  # noqa: F401 - fixture

PROCEDURES = sorted((Path(__file__).parents[2] / "rag" / "procedures").glob("*.md"))
CHANGEOVER = {"document": "mop-chw-03", "revision": 1}
KIND = KINDS["run_procedure"]


def _passages(text: str) -> list[Passed]:
    """The sections of a procedure's file as the knowledge base cuts them."""
    made = []
    for part in re.split(r"\n(?=#{2,3} )", text):
        heading, _, body = part.partition("\n")
        section = heading.strip("# ").strip()
        number = re.match(r"Step (\d+)", section)
        made.append(Passed(1, section, int(number[1]) if number else None, "p-1", body.strip()))
    return made


def _step(text: str, section: str = "Step 1 — Do it") -> Any:
    return step_read(1, [Passed(1, section, 1, "p-1", text)])


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("Set `chwp-2.run_cmd` to 1.", [("chwp-2.run_cmd", 1.0)]),
        (
            "Set `crac-4.fan_speed_sp_pct` to 70 % and `crac-4.supply_sp_c` to 18 °C.",
            [("crac-4.fan_speed_sp_pct", 70.0), ("crac-4.supply_sp_c", 18.0)],
        ),
        ("Remove the lock and set `crac-3.run_cmd` to 1.", [("crac-3.run_cmd", 1.0)]),
        ("Only when it has not started. Set `chwp-2.run_cmd` to 1.", []),
        ("If the pump stands, set `chwp-2.run_cmd` to 1.", []),
        ("Do not set `chwp-1.run_cmd` to 1.", []),
        ("Never set `chwp-1.run_cmd` to 1 by remote.", []),
        ("Set the cap to 60, for example `rack-1-03.load_cap_pct` to 60.", []),
        ("Set `a-1.run_cmd` to 1 or `a-2.run_cmd` to 1.", []),
        ("The sequence sets `chwp-2.run_cmd` to 1 by itself.", []),
        ("Watch `chwp-2.flow_lps` rise to 12 L/s.", []),
        ("Set `cdu-1.run_cmd` to 0, wait, then set `cdu-1.run_cmd` to 1.", []),
        ("Wait.\n\n**Warning:** set `chwp-2.run_cmd` to 1 never twice.", []),
        ("Wait.\n\n**Verify:** somebody set `chwp-2.run_cmd` to 1.", []),
    ],
)
def test_it_takes_plain_orders_only(text: str, orders: list[tuple[str, float]]) -> None:
    assert [(o.tag, o.value) for o in _step(text).orders] == orders


@pytest.mark.parametrize(
    ("verify", "found", "blind"),
    [
        ("`a-1.running` = 1 within 20 seconds.", [("a-1.running", "==", 1.0)], False),
        ("`a-1.flow_lps` rises above 10 L/s.", [("a-1.flow_lps", ">", 10.0)], False),
        ("`a-1.supply_c` stays below 11.5 °C.", [("a-1.supply_c", "<", 11.5)], False),
        (
            "`a-1.flow_lps` is 12 L/s ± 0.5 L/s.",
            [("a-1.flow_lps", ">=", 11.5), ("a-1.flow_lps", "<=", 12.5)],
            False,
        ),
        (
            "`a-1.flow_lps` is between 7 and 8 L/s within 20 seconds.",
            [("a-1.flow_lps", ">=", 7.0), ("a-1.flow_lps", "<=", 8.0)],
            False,
        ),
        ("no `a-1.inlet_c` is above 27 °C.", [], True),
        ("no `rack-*.inlet_c` is above 27 °C.", [], True),
        ("`a-1.load_pct` rises to about 70 %.", [], True),
        ("`a-1.running` = 1 or `a-2.running` = 1.", [], True),
        ("`a-1.running` = 1 and `a-1.noise` sounds right.", [("a-1.running", "==", 1.0)], True),
        ("the log names the unit.", [], True),
    ],
)
def test_it_holds_what_is_one_point_against_one_figure(
    verify: str, found: list[tuple[str, str, float]], blind: bool
) -> None:
    step = _step(f"Set `a-1.run_cmd` to 1.\n\n**Verify:** {verify}")
    assert [(c.tag, c.op, c.value) for c in step.confirm] == found
    assert step.blind is blind


@pytest.mark.parametrize(
    ("text", "hold"),
    [
        ("Set `a-1.run_cmd` to 1.", ""),
        ("Vacuum the filter chamber.", "operator"),
        ("Remove the lock and set `a-1.run_cmd` to 1.", "operator"),
        ("Set `a-1.run_cmd` to 0.\n\n**Hold point:** not before a-2 shows flow.", "operator"),
        (
            "Set `a-1.run_cmd` to 0.\n\n**Hold point:** the shift supervisor signs.",
            "second_person",
        ),
    ],
)
def test_it_stops_where_people_are_needed(text: str, hold: str) -> None:
    assert _step(text).hold == hold


@given(st.text(max_size=300), st.text(max_size=60))
def test_it_reads_any_text_without_failing(text: str, heading: str) -> None:
    pieces = [Passed(1, heading, 1, "p-1", text), Passed(2, "Prerequisites", None, "p-2", text)]
    [step] = steps_read(pieces)
    assert step.hold or step.orders
    prerequisites_read(pieces)


@given(
    tag=st.from_regex(r"[a-z]{2,6}-[0-9]\.[a-z_]{3,12}", fullmatch=True),
    value=st.decimals(min_value=0, max_value=999, places=1),
)
def test_it_takes_the_figure_as_it_is_written(tag: str, value: Any) -> None:
    step = _step(f"Set `{tag}` to {value}.\n\n**Verify:** `{tag}` = {value} within 10 seconds.")
    assert step.orders == (Found(tag, "=", float(value)),)
    assert step.confirm == (Found(tag, "==", float(value)),)
    assert step.wait_s == 10


@pytest.mark.parametrize("path", PROCEDURES, ids=lambda path: path.stem)
def test_it_reads_every_procedure_of_the_demo_site(path: Path) -> None:
    """Steps in order; and no order stands in a step that depends on something."""
    steps = steps_read(_passages(path.read_text()))
    assert [step.n for step in steps] == list(range(1, len(steps) + 1))
    for step in steps:
        assert step.title
        assert not step.orders or not re.match(r"(?i)only (when|if)|when |if ", step.text)


@pytest.mark.django_db
@pytest.mark.usefixtures("procedures")
class TestInForce:
    @pytest.fixture
    def site(self, demo_facility: None) -> Site:
        return Site()

    def test_it_carries_out_the_changeover_in_order(self, site: Site) -> None:
        situation = site.situation(procedures=True)
        action = Action("run_procedure", "chwp-1", CHANGEOVER)
        steps = KIND.steps(action, situation)
        assert [step["n"] for step in steps] == [1, 2, 3, 4, 5]
        assert [(w["tag"], w["value"]) for step in steps for w in step["writes"]] == [
            ("chwp-2.run_cmd", 1.0), ("chwp-1.run_cmd", 0.0),
            ("chiller-2.run_cmd", 1.0), ("chiller-1.run_cmd", 0.0),
        ]  # fmt: skip
        assert [w.as_dict() for w in KIND.writes(action, situation)] == [
            write for step in steps for write in step["writes"]
        ]
        assert [step["hold"] for step in steps] == ["", "operator", "", "", "operator"]
        assert steps[0]["confirm"][0] == {
            "tag": "chwp-2.flow_lps", "op": ">=", "value": 7.0, "why": "MOP-CHW-03 step 1 verifies it"
        }  # fmt: skip
        cited = steps[1]["cite"]
        assert (cited["document"], cited["revision"], cited["step"]) == ("mop-chw-03", 1, "2")
        assert len(cited["sha256"]) == 64
        assert KIND.risk_of(action, situation) == "medium"
        assert {c.tag for c in KIND.conditions(action, situation)} == {
            "leak-1.wet", "chiller-1.supply_c", "chiller-2.supply_sp_c", "crac-4.fault",
        }  # fmt: skip
        assert [w.tag for w in KIND.effect(action, situation).rollback] == [
            "chiller-1.run_cmd", "chiller-2.run_cmd", "chwp-1.run_cmd", "chwp-2.run_cmd",
        ]  # fmt: skip
        reach = blast_radius(
            action=action, writes=KIND.writes(action, situation), situation=situation
        )
        assert reach["assets"] == ["chiller-1", "chiller-2", "chwp-1", "chwp-2"]
        assert len(reach["racks"]) == 16

    def test_it_leaves_to_people_what_no_point_tells(self, site: Site) -> None:
        """A verification on a point without a reading makes the next step hold."""
        situation = site.situation({"chwp-2.flow_lps": None}, procedures=True)
        action = Action("run_procedure", "chiller-2", CHANGEOVER)
        steps = KIND.steps(action, situation)
        assert [c["tag"] for c in steps[0]["confirm"]] == ["chwp-2.running"]
        assert steps[1]["hold_why"] == "verify step 1 with your own eyes"

    def test_it_tells_when_what_was_signed_is_no_longer_in_force(
        self, site: Site, django_assert_num_queries: Any
    ) -> None:
        from approvals.procedures import not_in_force
        from rag.models import Document, Revision

        steps = KIND.steps(
            Action("run_procedure", "chwp-1", CHANGEOVER), site.situation(procedures=True)
        )
        with django_assert_num_queries(1):
            assert not_in_force(steps) == ""
        with django_assert_num_queries(0):
            assert not_in_force([]) == ""
        revision = Revision.objects.filter(document__slug="mop-chw-03")
        revision.update(sha256="0" * 64)
        assert "propose it again" in not_in_force(steps)
        revision.update(number=2)
        assert "revision 2 is in force now" in not_in_force(steps)
        Document.objects.filter(slug="mop-chw-03").update(withdrawn_at=timezone.now())
        assert not_in_force(steps) == "MOP-CHW-03 revision 1 is no longer in force"

    def test_it_neither_reads_back_nor_restores_a_reset(self, site: Site) -> None:
        situation = site.situation(XID, procedures=True)
        found = next(p for p in situation.procedures if p.document == "eop-gpu-03")
        params = {"document": found.document, "revision": found.revision}
        action = Action("run_procedure", "srv-11", params)
        writes = [w.as_dict() for w in KIND.writes(action, situation)]
        assert {"tag": "srv-11.reset_cmd", "value": 1.0, "read_back": False} in writes
        assert writes == [w for step in KIND.steps(action, situation) for w in step["writes"]]
        assert sorted(w.tag for w in KIND.effect(action, situation).rollback) == [
            "srv-11.cordoned",
            "srv-11.in_service",
        ]

    def test_it_refuses_another_revision(self, site: Site) -> None:
        situation = site.situation(procedures=True)
        with pytest.raises(InvalidActionError, match="revision 2 is not in force: revision 1 is"):
            KIND.writes(Action("run_procedure", "chwp-1", {**CHANGEOVER, "revision": 2}), situation)
        with pytest.raises(InvalidActionError, match="none of it is"):
            KIND.steps(
                Action("run_procedure", "chwp-1", {"document": "x", "revision": 1}), situation
            )

    def test_it_refuses_what_leaves_the_limits(self, site: Site) -> None:
        from facilities.models import Point

        Point.objects.filter(tag="chwp-2.run_cmd").update(writable=False)
        situation = site.situation(procedures=True)
        with pytest.raises(InvalidActionError, match=r"chwp-2\.run_cmd is not writable"):
            KIND.steps(Action("run_procedure", "chwp-1", CHANGEOVER), situation)
        assert "chwp-1" not in {
            t.tag for t in KIND.targets(situation) if _offers(t.tag, "mop-chw-03", situation)
        }

    def test_it_reads_only_what_is_in_force_and_clean(
        self, site: Site, django_assert_num_queries: Any
    ) -> None:
        from approvals.procedures import procedures_in_force
        from rag.models import Revision

        before = {p.document for p in procedures_in_force()}
        with django_assert_num_queries(1):
            procedures_in_force()
        assert {"mop-chw-03", "eop-crac-01"} <= before
        found = Revision.objects.filter(document__slug="mop-chw-03")
        found.update(flags=[{"code": "hidden_text", "detail": "white on white"}])
        assert before - {p.document for p in procedures_in_force()} == {"mop-chw-03"}


def _offers(target: str, document: str, situation: Any) -> bool:
    return document in KIND.schema(target, situation)["properties"]["document"]["enum"]
