"""The chat tool: a person's words become a proposal, never an action."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.chat_tool import match, run
from approvals.models import Proposal
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from rag.chat import tools as chat_tools
from rag.chat.tools import ToolRefused


@pytest.mark.parametrize(
    ("said", "kind", "target", "params"),
    [
        ("propose start standby crac-4", "start_standby_crac", "crac-4", {}),
        ("Please propose to start CRAC 4", "start_standby_crac", "crac-4", {}),
        (
            "/propose fan speed of crac-1 to 85 %",
            "set_fan_speed",
            "crac-1",
            {"fan_speed_pct": 85.0},
        ),
        (
            "propose supply setpoint of crac-3 to 16,5 °C",
            "set_supply_setpoint",
            "crac-3",
            {"supply_c": 16.5},
        ),
        (
            "propose load cap of rack-1-03 at 70 %",
            "shed_rack_load",
            "rack-1-03",
            {"load_cap_pct": 70.0},
        ),
    ],
)
def test_it_reads_a_wish(said: str, kind: str, target: str, params: dict[str, float]) -> None:
    wish = match(said)
    assert wish is not None
    assert (wish["kind"], wish["target"], wish["params"]) == (kind, target, params)


@pytest.mark.parametrize(
    "said", ["What does EOP-CRAC-01 propose?", "start crac-4", "", "who may propose actions?"]
)
def test_it_leaves_questions_alone(said: str) -> None:
    assert match(said) is None


def test_it_takes_the_reason_from_the_sentence() -> None:
    wish = match("propose start crac-4 because CRAC 2 is down")
    assert wish is not None
    assert wish["rationale"] == "CRAC 2 is down"


@pytest.mark.django_db
def test_it_makes_a_proposal_that_waits(set_values: SetValues, operator: Any) -> None:
    set_values(CRAC_2_DOWN)
    found = chat_tools.find("propose start standby crac-4 because CRAC 2 is down")
    assert found is not None
    tool, arguments = found
    said = chat_tools.run(tool, user=operator, arguments=arguments)
    proposal = Proposal.objects.get()
    assert (proposal.state, proposal.requested_by_id) == ("pending", operator.pk)
    assert said["url"] == f"/approvals/{proposal.pk}/"


@pytest.mark.django_db
def test_it_refuses_a_viewer(set_values: SetValues, viewer: Any) -> None:
    found = chat_tools.find("propose start standby crac-4")
    assert found is not None
    with pytest.raises(ToolRefused):
        chat_tools.run(found[0], user=viewer, arguments=found[1])
    assert not Proposal.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("propose something nice", "which action"),
        ("propose fan speed to 80 %", "on which equipment"),
        ("propose fan speed of crac-1 to 500 %", "maximum"),
        ("propose fan speed of crac-1", "required"),
    ],
)
def test_it_says_what_is_missing(
    set_values: SetValues, operator: Any, said: str, because: str
) -> None:
    wish = match(said)
    assert wish is not None
    with pytest.raises(ToolRefused, match=because):
        run(operator, wish)
