"""From signature to plant: once, only while the world still fits, and measured afterwards."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals import execution
from approvals.effects import effect_measure
from approvals.models import AuditEntry, Effect, Execution, Proposal
from approvals.services import (
    proposal_approve,
    proposal_expire_due,
    proposal_reject,
    proposal_request,
)
from approvals.tasks import execute_proposal, measure_effect
from approvals.tests.conftest import CRAC_2_DOWN, MakeProposal, PlantProcess, SetValues

pytestmark = pytest.mark.django_db


def _signed(make_proposal: MakeProposal, operator: Any) -> Proposal:
    proposal = make_proposal()
    return proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)


def _events(proposal: Proposal) -> list[str]:
    found = AuditEntry.objects.filter(object=f"proposal:{proposal.pk}").order_by("seq")
    return list(found.values_list("event", flat=True))


def test_it_writes_what_was_signed_and_nothing_else(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess
) -> None:
    before = len(plant.writes())
    proposal = _signed(make_proposal, operator)
    assert execute_proposal(proposal.pk) == "succeeded"
    written = plant.writes()[before:]
    assert [(w["tag"], w["value"]) for w in written] == [("crac-4.run_cmd", 1.0)]
    done = Execution.objects.get(proposal=proposal)
    assert written[0]["key"] == f"{done.idempotency_key}:0"
    assert done.writes[0]["state"] == "applied"
    assert done.writes[0]["response"]["applied"] is True
    assert [c["ok"] for c in done.preconditions] == [True] * len(proposal.preconditions)
    assert _events(proposal) == [
        "proposal.created",
        "proposal.pending",
        "proposal.approved",
        "decision.approve",
        "proposal.executing",
        "write.sent",
        "write.applied",
        "proposal.succeeded",
    ]


def test_it_writes_nothing_when_rejected_expired_or_unsigned(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess, settings: Any
) -> None:
    before = plant.writes()
    pending = make_proposal()
    assert execute_proposal(pending.pk) == ""
    proposal_reject(proposal_id=pending.pk, user=operator, reason="no")
    assert execute_proposal(pending.pk) == ""
    settings.PROPOSAL_TTL_S = -1
    late = make_proposal()
    proposal_expire_due()
    assert execute_proposal(late.pk) == ""
    assert plant.writes() == before
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"crac-4.fault": 1.0}, "crac-4.fault: expected < 1, actual 1"),
        ({"crac-4.running": 1.0}, "crac-4.running: expected < 1, actual 1"),
        ({"crac-2.fault": 0.0}, "crac-2.fault: expected >= 1, actual 0"),
        ({"chwp-1.running": 0.0}, "chwp-1.running: expected >= 1, actual 0"),
    ],
)
def test_it_writes_nothing_when_the_plant_changed_since(
    make_proposal: MakeProposal,
    set_values: SetValues,
    operator: Any,
    plant: PlantProcess,
    changed: dict[str, float],
    said: str,
) -> None:
    before = plant.writes()
    proposal = _signed(make_proposal, operator)
    set_values(changed)
    assert execute_proposal(proposal.pk) == "refused"
    assert plant.writes() == before
    assert Proposal.objects.get(pk=proposal.pk).state == "failed"
    assert said in Execution.objects.get(proposal=proposal).detail


def test_it_writes_nothing_on_stale_readings(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess
) -> None:
    from facilities.models import LatestReading

    before = plant.writes()
    proposal = _signed(make_proposal, operator)
    LatestReading.objects.update(ts=timezone.now() - timedelta(minutes=5))
    assert execute_proposal(proposal.pk) == "refused"
    assert plant.writes() == before
    assert "is 300 s old" in Execution.objects.get(proposal=proposal).detail


def test_it_fails_with_a_clear_sentence_when_the_plant_is_away(
    make_proposal: MakeProposal, operator: Any, settings: Any
) -> None:
    settings.PLANT_URL, settings.PLANT_TOKEN = "http://127.0.0.1:9", "x"
    proposal = _signed(make_proposal, operator)
    assert execute_proposal(proposal.pk) == "failed"
    done = Execution.objects.get(proposal=proposal)
    assert "cannot be reached" in done.detail
    assert "nothing was written" in done.detail
    assert done.writes[0]["maybe_applied"] is False
    assert not Effect.objects.exists()


def test_it_fails_with_the_plants_own_words_when_refused(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess, settings: Any
) -> None:
    settings.PLANT_TOKEN = "wrong"
    proposal = _signed(make_proposal, operator)
    assert execute_proposal(proposal.pk) == "failed"
    assert "refused crac-4.run_cmd = 1 with 401" in Execution.objects.get(proposal=proposal).detail


def test_it_resumes_with_the_same_key_after_a_death_between_write_and_note(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess, monkeypatch: Any
) -> None:
    before = len(plant.writes())
    proposal = _signed(make_proposal, operator)
    real = execution.send

    def dies_after_writing(order: Any) -> None:
        real(order)
        raise SystemExit("killed")

    monkeypatch.setattr(execution, "send", dies_after_writing)
    with pytest.raises(SystemExit):
        execution.execute(proposal_id=proposal.pk)
    assert Execution.objects.get(proposal=proposal).writes[0]["state"] == "sending"
    monkeypatch.setattr(execution, "send", real)
    assert execute_proposal(proposal.pk) == "succeeded"
    assert len(plant.writes()) == before + 1
    assert Execution.objects.get(proposal=proposal).writes[0]["duplicate"] is True


@pytest.mark.django_db(transaction=True)
def test_it_writes_once_when_the_task_runs_three_times_at_once(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess
) -> None:
    before = len(plant.writes())
    proposal = _signed(make_proposal, operator)
    start, outcomes = threading.Barrier(3), []

    def work() -> None:
        start.wait()
        try:
            outcomes.append(execution.execute(proposal_id=proposal.pk).outcome)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["", "", "succeeded"]
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    assert len(plant.writes()) == before + 1
    assert Execution.objects.filter(proposal=proposal).count() == 1


class TestEffect:
    def _written(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, inlet_c: float
    ) -> Effect:
        set_values({"rack-1-03.inlet_c": inlet_c})
        proposal = _signed(make_proposal, operator)
        assert execute_proposal(proposal.pk) == "succeeded"
        effect = Effect.objects.get(proposal=proposal)
        assert (effect.tag, effect.before) == ("rack-1-03.inlet_c", inlet_c)
        return effect

    def _end_window(self, effect: Effect) -> None:
        Effect.objects.filter(pk=effect.pk).update(started_at=timezone.now() - timedelta(hours=1))

    def test_it_is_verified_as_soon_as_the_inlet_is_back(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, plant: PlantProcess
    ) -> None:
        effect = self._written(make_proposal, operator, set_values, 29.0)
        set_values({"rack-1-03.inlet_c": 28.1, "crac-4.running": 1.0})
        assert effect_measure(proposal_id=effect.proposal_id).verdict == ""
        set_values({"rack-1-03.inlet_c": 26.4})
        assert measure_effect(effect.proposal_id) == "verified"
        effect.refresh_from_db()
        assert (effect.before, effect.after, effect.verdict) == (29.0, 26.4, "verified")
        assert Proposal.objects.get(pk=effect.proposal_id).state == "verified"
        assert _events(effect.proposal)[-1] == "effect.verified"

    def test_its_verdict_compares_measured_with_predicted(
        self, set_values: SetValues, operator: Any, supervisor: Any, plant: PlantProcess
    ) -> None:
        set_values({**CRAC_2_DOWN, "rack-1-03.inlet_c": 29.0})
        proposal = proposal_request(
            user=operator, kind="start_standby_crac", target="crac-4", params={}, rationale="Hot."
        )
        assert proposal.prediction["tag"] == "rack-1-03.inlet_c"
        proposal_approve(proposal_id=proposal.pk, user=supervisor, digest=proposal.digest)
        assert execute_proposal(proposal.pk) == "succeeded"
        set_values({"rack-1-03.inlet_c": 22.1, "crac-4.running": 1.0})
        found = effect_measure(proposal_id=proposal.pk)
        assert found.verdict == "verified"
        assert "the twin predicted" in found.detail
        assert "measured 22.1 is" in found.detail
        assert Effect.objects.get(proposal=proposal).detail == found.detail

    def test_it_has_no_effect_when_the_window_ends_warm(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, plant: PlantProcess
    ) -> None:
        effect = self._written(make_proposal, operator, set_values, 29.0)
        set_values({"rack-1-03.inlet_c": 29.5, "crac-4.running": 1.0})
        self._end_window(effect)
        assert measure_effect(effect.proposal_id) == "no_effect"
        effect.refresh_from_db()
        assert "rack-1-03.inlet_c is 29.5, not below 27" in effect.detail
        assert Proposal.objects.get(pk=effect.proposal_id).state == "no_effect"

    def test_it_has_no_effect_when_the_unit_never_ran(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, plant: PlantProcess
    ) -> None:
        effect = self._written(make_proposal, operator, set_values, 29.0)
        set_values({"rack-1-03.inlet_c": 26.0})
        self._end_window(effect)
        assert measure_effect(effect.proposal_id) == "no_effect"
        effect.refresh_from_db()
        assert "crac-4.running: expected >= 1, actual 0" in effect.detail

    def test_it_waits_for_the_window_when_the_inlet_was_fine_before(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, plant: PlantProcess
    ) -> None:
        effect = self._written(make_proposal, operator, set_values, 25.0)
        set_values({"rack-1-03.inlet_c": 25.5, "crac-4.running": 1.0})
        assert measure_effect(effect.proposal_id) == ""
        self._end_window(effect)
        assert measure_effect(effect.proposal_id) == "verified"
        effect.refresh_from_db()
        assert "stayed below 27" in effect.detail

    def test_it_does_not_take_silence_for_success(
        self, make_proposal: MakeProposal, operator: Any, set_values: SetValues, plant: PlantProcess
    ) -> None:
        from facilities.models import LatestReading

        effect = self._written(make_proposal, operator, set_values, 29.0)
        set_values({"crac-4.running": 1.0})
        long_ago = timezone.now() - timedelta(hours=2)
        LatestReading.objects.filter(point__tag=effect.tag).update(ts=long_ago, value=20.0)
        self._end_window(effect)
        assert measure_effect(effect.proposal_id) == "no_effect"
        effect.refresh_from_db()
        assert "sent no reading since the write" in effect.detail
