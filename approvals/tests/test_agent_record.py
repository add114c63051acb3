"""What the agent concluded can be drawn again from its record, and ends within its budget."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from approvals.agent import investigate
from approvals.agent.replay import RecordError, replay
from approvals.agent.world import Budget
from approvals.models import Investigation, Proposal
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from approvals.tests.test_agent import (
    WARM,
    _crac_2_alarm,
    _hot_alarm,
    few_procedures,
    no_engine,
)
from facilities.models import LatestReading

__all__ = ["few_procedures", "no_engine"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_engine", "few_procedures")]


def _looked(set_values: SetValues) -> Investigation:
    set_values(CRAC_2_DOWN | WARM)
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    return Investigation.objects.get()


def test_it_draws_the_same_conclusion_without_the_world(set_values: SetValues) -> None:
    looked = _looked(set_values)
    LatestReading.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rag_passage")
    assert replay(looked.record) == []
    with connection.execute_wrapper(_no_queries):
        assert replay(looked.record) == []


def _no_queries(*_: Any) -> None:
    raise AssertionError("a replay asked the database")


def test_it_says_what_differs_when_the_record_was_changed(set_values: SetValues) -> None:
    record = _looked(set_values).record
    forged = json.loads(json.dumps(record))
    forged["verdict"]["hypotheses"][0]["asset"] = "crac-1"
    assert replay(forged) == [".hypotheses[0].asset: 'crac-1', drawn again 'crac-2'"]
    forged = json.loads(json.dumps(record))
    situation = forged["answers"][0]["answer"]["situation"]
    situation["values"]["crac-4.fault"][0] = 1.0
    situation["units"] = [
        {**u, "fault": u["fault"] or u["tag"] == "crac-4"} for u in situation["units"]
    ]
    assert replay(forged) != []


def test_the_command_reports_and_fails_on_a_difference(set_values: SetValues) -> None:
    looked = _looked(set_values)
    out = io.StringIO()
    call_command("replay_investigation", looked.pk, stdout=out)
    assert "the same conclusion" in out.getvalue()
    looked.record["verdict"]["text"] = "Proposed: something else."
    looked.save(update_fields=["record"])
    with pytest.raises(CommandError, match="1 of 1 differ"):
        call_command("replay_investigation", looked.pk, stdout=io.StringIO())
    with pytest.raises(CommandError, match="no investigation that has ended is called"):
        call_command("replay_investigation", 4711)
    with pytest.raises(RecordError):
        replay({})


def test_it_replays_what_ended_without_a_proposal(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN | WARM)
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    assert investigate(alarm_id=_hot_alarm().pk) == "attached"
    for looked in Investigation.objects.all():
        assert replay(looked.record) == []


def test_it_ends_with_what_it_has_when_its_budget_is_spent(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    alarm = _crac_2_alarm()
    assert investigate(alarm_id=alarm.pk, budget=Budget(steps=4)) == "none"
    looked = Investigation.objects.get()
    assert "stopped early: the budget of 4 steps is spent" in looked.conclusion
    assert looked.budget_spent
    assert looked.hypotheses[0]["asset"] == "crac-2"
    assert replay(looked.record) == []
    skipped = [step for step in looked.timeline if step["output"].get("skipped")]
    assert {step["step"] for step in skipped} == {"retrieve"}


def test_a_spent_budget_is_part_of_the_case_that_is_signed(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    alarm = _crac_2_alarm()
    investigate(alarm_id=alarm.pk, budget=Budget(steps=5))
    proposal = Proposal.objects.get()
    assert any("stopped early" in text for text in proposal.case["uncertainty"])
    assert proposal.prediction == {"problem": "the twin was not asked"}
    assert proposal.computed_digest() == proposal.digest


def test_the_case_names_cause_counter_evidence_and_what_would_change_it(
    set_values: SetValues,
) -> None:
    looked = _looked(set_values)
    proposal = Proposal.objects.get()
    case = proposal.case
    assert case["cause"]["asset"] == "crac-2"
    assert case["hypotheses"] == looked.hypotheses
    shares = [h["likelihood"] for h in case["hypotheses"]]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
    assert "crac-2.fault = 1" in case["hypotheses"][0]["evidence"]
    assert any("crac-2.fault clears" in text for text in case["would_change"])
    assert any("for 2 min" in text for text in case["would_change"])
    assert case["confidence"]["word"] in ("high", "moderate", "low", "unproven")
    assert proposal.payload()["case"] == case


def test_the_page_shows_every_tool_call_and_the_causes(
    set_values: SetValues, viewer: Any, client_as: Any
) -> None:
    looked = _looked(set_values)
    page = client_as(viewer).get(f"/approvals/investigations/{looked.pk}/").content.decode()
    for step in looked.timeline:
        assert step["title"] in page
    assert "CRAC 2 has stopped" in page
    assert "Do nothing" in page
    assert "crac-2.fault = 1" in page
    body = client_as(viewer).get(f"/api/v1/investigations/{looked.pk}/").json()
    assert body["hypotheses"][0]["asset"] == "crac-2"
    assert [s["step"] for s in body["timeline"]] == [s["step"] for s in looked.timeline]
    assert "record" not in body
