"""What became of a proposal becomes a report, and a released one speaks up at the next alarm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from approvals.agent import investigate
from approvals.agent.experience import experience_sentence
from approvals.effects import effect_measure
from approvals.models import Effect, Proposal
from approvals.outcome import outcomes_submit
from approvals.services import (
    proposal_expire_due,
    proposal_reject,
)
from approvals.services.revisions import proposal_revise
from approvals.services.rollback import proposal_rollback, rollback_settle
from approvals.tests.conftest import CRAC_2_DOWN, MakeProposal, SetValues
from approvals.tests.courses import course_write, written
from facilities.models import Alarm, AlarmRule, Point
from rag.models import OutcomeReport


def _verified(
    make_proposal: MakeProposal, operator: Any, set_values: SetValues, *, after: float = 26.4
) -> Proposal:
    """A proposal that was signed, written and measured, without a plant."""
    set_values({"rack-1-03.inlet_c": 29.1})
    proposal = make_proposal()
    wrote = timezone.now() - timedelta(seconds=512)
    written(proposal, operator, wrote=wrote, previous={"crac-4.run_cmd": 0.0})
    Effect.objects.update(window_s=600)
    course_write({"rack-1-03.inlet_c": lambda s: 29.1 if s <= 0 else after}, wrote=wrote)
    set_values({"crac-4.running": 1.0})
    assert effect_measure(proposal_id=proposal.pk).verdict == "verified"
    return Proposal.objects.get(pk=proposal.pk)


def test_a_verified_proposal_is_written_down_from_its_records(
    make_proposal: MakeProposal, operator: Any, set_values: SetValues
) -> None:
    proposal = _verified(make_proposal, operator, set_values)
    assert outcomes_submit() == 1
    assert outcomes_submit() == 0

    report = OutcomeReport.objects.get()
    assert (report.reference, report.state) == (f"proposal-{proposal.pk}", "draft")
    assert report.title == "Outcome: Start standby CRAC 4 (effect verified)"
    assert report.url == f"/approvals/{proposal.pk}/"
    for line in (
        "> CRAC 2 reports a fault.",
        "Instructed by EOP-CRAC-01 step 4, revision 3.",
        "- Approved by operator at ",
        "“go”",
        "- `crac-4.run_cmd` = 1: applied at ",
        "- Before: 29.1 °C",
        "- After: 26.4 °C, 512 s after the write",
        "Verdict: verified.",
        "- By the writes, measured less control: -2.7 K (90 % interval -",
        "not a procedure",
    ):
        assert line in report.body, line
    facts = report.facts
    assert (facts["kind"], facts["target_kind"], facts["written"]) == (
        "start_standby_crac",
        "crac",
        True,
    )
    assert (facts["before"], facts["after"], round(facts["seconds"])) == (29.1, 26.4, 512)
    assert (facts["direction"], facts["threshold"]) == ("below", 27.0)


def test_a_rejection_is_written_down_too(make_proposal: MakeProposal, supervisor: Any) -> None:
    first = make_proposal()
    proposal_reject(
        proposal_id=first.pk, user=supervisor, reason="Filter [is](http://x) being changed"
    )
    make_proposal()
    assert outcomes_submit() == 1
    body = OutcomeReport.objects.get().body
    assert "Rejected by supervisor" in body
    assert "Filter \\[is\\](http://x) being changed" in body
    assert "Nothing was written to the plant." in body
    assert "Nothing was measured" in body


def test_an_expired_proposal_is_written_down_too(
    make_proposal: MakeProposal, settings: Any
) -> None:
    settings.PROPOSAL_TTL_S = 0
    make_proposal()
    assert proposal_expire_due() == 1
    assert outcomes_submit() == 1
    report = OutcomeReport.objects.get()
    assert report.title == "Outcome: Start standby CRAC 4 (expired undecided)"
    assert "Nobody decided before it expired" in report.body


def test_what_is_rolled_back_after_its_report_has_a_second_one(
    make_proposal: MakeProposal, operator: Any, supervisor: Any, set_values: SetValues
) -> None:
    proposal = _verified(make_proposal, operator, set_values)
    assert outcomes_submit() == 1
    set_values({"crac-4.run_cmd": 1.0})
    made = proposal_rollback(proposal_id=proposal.pk, user=operator)
    rollback_settle(proposal=written(made, supervisor))
    assert outcomes_submit() == 1
    report = OutcomeReport.objects.get(reference=f"proposal-{proposal.pk}-rolled-back")
    assert report.title.endswith("(rolled back)")
    assert f"#{made.pk}." in report.body.split("- Rolled back: undone by")[1].splitlines()[0]
    assert (report.facts["state"], report.facts["written"]) == ("rolled_back", True)


def test_what_cannot_be_told_is_written_down_as_such(
    make_proposal: MakeProposal, operator: Any, set_values: SetValues
) -> None:
    proposal = make_proposal()
    written(proposal, operator, wrote=timezone.now() - timedelta(seconds=512))
    set_values({"crac-4.running": 1.0})
    assert effect_measure(proposal_id=proposal.pk).verdict == "cannot_tell"
    assert outcomes_submit() == 1
    report = OutcomeReport.objects.get()
    assert report.title.endswith("(effect cannot be told)")
    assert "Verdict: cannot be told." in report.body


def test_a_replaced_one_names_the_other(
    make_proposal: MakeProposal, operator: Any, supervisor: Any
) -> None:
    first = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    new = proposal_revise(
        proposal_id=first.pk,
        user=supervisor,
        digest=first.digest,
        params={"fan_speed_pct": 80.0},
        rationale="Less is enough.",
    )
    assert outcomes_submit() == 1
    report = OutcomeReport.objects.get(reference=f"proposal-{first.pk}")
    assert report.title.endswith("(replaced)")
    assert f"- Replaced by proposal {new.pk}." in report.body


@pytest.fixture
def procedures(db: None) -> None:
    """The one procedure that this alarm needs, in force for full-text search."""
    from rag.intake.importing import collection_get_or_create, document_import
    from rag.models import Revision, RevisionState

    path = Path(__file__).parents[2] / "rag" / "procedures" / "EOP-CRAC-01.md"
    shelf = collection_get_or_create(slug="procedures")
    document_import(data=path.read_bytes(), source_path=path.name, collection=shelf, kind="eop")
    Revision.objects.update(state=RevisionState.READY)


def _raise_crac_alarm() -> Alarm:
    rule = AlarmRule.objects.get(name="CRAC fault")
    return Alarm.objects.create(
        point=Point.objects.get(tag="crac-2.fault"),
        rule=rule,
        severity=rule.severity,
        message=rule.message,
        value=1.0,
        peak_value=1.0,
        raised_at=timezone.now(),
    )


def test_a_released_report_is_shown_with_the_next_proposal_of_its_kind(
    make_proposal: MakeProposal,
    operator: Any,
    supervisor: Any,
    set_values: SetValues,
    procedures: None,
    settings: Any,
    client_as: Any,
) -> None:
    from rag.growth.reports import report_release, report_withdraw
    from rag.models import Revision, RevisionState

    settings.LLM_URLS = settings.EMBED_URLS = ["http://127.0.0.1:9"]
    _verified(make_proposal, operator, set_values)
    outcomes_submit()
    set_values({**CRAC_2_DOWN, "crac-4.running": 0.0, "rack-1-03.inlet_c": 28.6})

    report = OutcomeReport.objects.get()
    report_release(report_id=report.pk, user=supervisor, note="Watch row 1 as well")
    Revision.objects.update(state=RevisionState.READY)
    assert investigate(alarm_id=_raise_crac_alarm().pk) == "proposed"

    proposal = Proposal.objects.get(state="pending")
    [experience] = [item for item in proposal.evidence if item["kind"] == "experience"]
    assert experience["text"] == "1 of 1 time this brought the inlet below 27 °C within 9 min."
    assert experience["count"] == 1
    [cited] = experience["reports"]
    assert (cited["reference"], cited["note"]) == (report.reference, "Watch row 1 as well")
    assert proposal.digest == proposal.computed_digest()
    assert all(c["kind"] != "report" for c in proposal.citations)
    page = client_as(operator).get(f"/approvals/{proposal.pk}/").content.decode()
    assert "Experience, not a procedure" in page
    assert "1 of 1 time this brought the inlet below" in page

    proposal_reject(proposal_id=proposal.pk, user=supervisor, reason="Only a drill")
    report_withdraw(report_id=report.pk, user=supervisor, reason="Wrong")
    Alarm.objects.update(cleared_at=timezone.now())
    assert investigate(alarm_id=_raise_crac_alarm().pk) == "proposed"
    latest = Proposal.objects.get(state="pending")
    assert not [item for item in latest.evidence if item["kind"] == "experience"]


def test_open_proposals_have_no_report(make_proposal: MakeProposal) -> None:
    make_proposal()
    assert outcomes_submit() == 0
    assert not OutcomeReport.objects.exists()


def _fact(**changes: Any) -> dict[str, Any]:
    return {
        "state": "verified",
        "written": True,
        "tag": "rack-1-03.inlet_c",
        "direction": "below",
        "threshold": 27.0,
        "unit": "Cel",
        "seconds": 300.0,
        **changes,
    }


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ([_fact()], "1 of 1 time this brought the inlet below 27 °C within 5 min."),
        (
            [_fact(), _fact(seconds=512.0), _fact(), _fact(state="no_effect")],
            "3 of 4 times this brought the inlet below 27 °C within 9 min; once it had no effect.",
        ),
        ([_fact(seconds=90.0)], "1 of 1 time this brought the inlet below 27 °C within 90 s."),
        (
            [_fact(state="no_effect", seconds=600.0)],
            "0 of 1 time this brought the inlet below 27 °C; once it had no effect.",
        ),
        (
            [_fact(), _fact(threshold=25.0)],
            "2 of 2 times this reached what it promised within 5 min.",
        ),
        (
            [_fact(state="rejected", written=False, seconds=None)] * 2,
            "2 times it was rejected.",
        ),
    ],
)
def test_experience_in_one_sentence(facts: list[dict[str, Any]], sentence: str) -> None:
    assert experience_sentence(facts) == sentence
