"""From signature to plant: once, only while the world still fits, and measured afterwards."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from approvals import execution
from approvals.catalogue import KINDS
from approvals.execution import run
from approvals.models import ChangeWindow, Effect, Execution, Proposal
from approvals.services import (
    proposal_approve,
    proposal_expire_due,
    proposal_move,
    proposal_reject,
)
from approvals.tasks import execute_proposal
from approvals.tests.conftest import (
    CRAC_2_DOWN,
    HEALTHY,
    MakeProposal,
    PlantProcess,
    SetValues,
)
from approvals.tests.execution_kit import events, fans, keys, last_note, made, signed

pytestmark = pytest.mark.django_db


def _signed(make_proposal: MakeProposal, operator: Any) -> Proposal:
    proposal = make_proposal()
    return proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)


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
    assert events(proposal) == [
        "proposal.created",
        "proposal.simulated",
        "proposal.pending",
        "decision.approve",
        "proposal.approved",
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
def test_it_goes_back_to_the_operators_when_the_plant_changed_since(
    make_proposal: MakeProposal,
    set_values: SetValues,
    operator: Any,
    supervisor: Any,
    plant: PlantProcess,
    changed: dict[str, float],
    said: str,
) -> None:
    before = plant.writes()
    proposal = _signed(make_proposal, operator)
    set_values(changed)
    assert execute_proposal(proposal.pk) == ""
    proposal.refresh_from_db()
    assert (proposal.state, proposal.round) == ("pending", 2)
    assert said in last_note(proposal)
    assert "execution.returned" in events(proposal)
    assert execute_proposal(proposal.pk) == "", "the old signature is void"
    set_values({**HEALTHY, **CRAC_2_DOWN})
    proposal_approve(proposal_id=proposal.pk, user=supervisor, digest=proposal.digest)
    assert plant.writes() == before
    assert execute_proposal(proposal.pk) == "succeeded"
    assert len(plant.writes()) == len(before) + 1


def test_it_goes_back_to_the_operators_on_stale_readings(
    make_proposal: MakeProposal, operator: Any, plant: PlantProcess
) -> None:
    from facilities.models import LatestReading

    before = plant.writes()
    proposal = _signed(make_proposal, operator)
    LatestReading.objects.update(ts=timezone.now() - timedelta(minutes=5))
    assert execute_proposal(proposal.pk) == ""
    proposal.refresh_from_db()
    assert proposal.state == "pending"
    assert "is 300 s old" in last_note(proposal)
    assert plant.writes() == before


class TestClaim:
    def test_it_expires_when_the_deadline_has_passed(
        self, make_proposal: MakeProposal, operator: Any, plant: PlantProcess
    ) -> None:
        before = plant.writes()
        proposal = _signed(make_proposal, operator)
        assert proposal.execute_before is not None
        Proposal.objects.filter(pk=proposal.pk).update(
            execute_before=timezone.now() - timedelta(seconds=1)
        )
        assert execute_proposal(proposal.pk) == ""
        proposal.refresh_from_db()
        assert proposal.state == "expired"
        assert plant.writes() == before

    def test_it_goes_back_when_a_signer_lost_the_account(
        self, make_proposal: MakeProposal, operator: Any, plant: PlantProcess
    ) -> None:
        before = plant.writes()
        proposal = _signed(make_proposal, operator)
        type(operator).objects.filter(pk=operator.pk).update(is_active=False)
        assert execute_proposal(proposal.pk) == ""
        proposal.refresh_from_db()
        assert proposal.state == "pending"
        assert "operator" in last_note(proposal)
        assert plant.writes() == before

    @pytest.mark.parametrize(("minutes", "state"), [(5, "approved"), (300, "pending")])
    def test_it_waits_for_a_freeze_that_ends_in_time_and_goes_back_for_another(
        self,
        make_proposal: MakeProposal,
        operator: Any,
        plant: PlantProcess,
        minutes: int,
        state: str,
    ) -> None:
        before = plant.writes()
        proposal = _signed(make_proposal, operator)
        now = timezone.now()
        ChangeWindow.objects.create(
            name="Quarter end", kind="freeze", starts_at=now - timedelta(minutes=1),
            ends_at=now + timedelta(minutes=minutes), reason="books", made_by=operator, made_at=now,
        )  # fmt: skip
        for _ in range(3):
            execute_proposal(proposal.pk)
        proposal.refresh_from_db()
        assert (proposal.state, plant.writes()) == (state, before)
        waits = execution.waiting_sentence(proposal=proposal)
        assert ("Quarter end" in waits) is (state == "approved")
        assert events(proposal).count("execution.waiting") == (state == "approved")

    def test_it_executes_an_emergency_in_a_freeze_and_says_what_was_waived(
        self, make_proposal: MakeProposal, supervisor: Any, operator: Any, plant: PlantProcess
    ) -> None:
        proposal, now = make_proposal(), timezone.now()
        ChangeWindow.objects.create(
            name="Quarter end", kind="freeze", starts_at=now - timedelta(minutes=1),
            ends_at=now + timedelta(hours=5), reason="books", made_by=operator, made_at=now,
        )  # fmt: skip
        proposal_approve(
            proposal_id=proposal.pk,
            user=supervisor,
            digest=proposal.digest,
            reason="The hall is on fire and nobody else is here.",
            password="correct-horse-battery",
            break_glass=True,
        )
        assert execute_proposal(proposal.pk) == "succeeded"
        assert len(keys(plant.writes(), proposal)) == 1

    def test_it_waits_until_the_target_has_cooled_down(
        self, make_proposal: MakeProposal, operator: Any, plant: PlantProcess, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(KINDS["set_fan_speed"], "cool_down_s", 600.0, raising=False)
        first = signed(made(fans(81.0)), operator)
        assert execute_proposal(first.pk) == "succeeded"
        proposal_move(proposal_id=first.pk, source="succeeded", target="verified")
        second = signed(made(fans(82.0)), operator)
        assert execute_proposal(second.pk) == ""
        second.refresh_from_db()
        assert second.state == "approved"
        assert f"crac-1 was changed by proposal {first.pk}" in execution.waiting_sentence(
            proposal=second
        )
        monkeypatch.setattr(KINDS["set_fan_speed"], "cool_down_s", 0.0, raising=False)
        assert execute_proposal(second.pk) == "succeeded"

    def test_it_never_executes_a_drill(self, operator: Any, plant: PlantProcess, db: None) -> None:
        before = plant.writes()
        drill = made(fans(83.0), is_drill=True)
        proposal_approve(proposal_id=drill.pk, user=operator, digest=drill.digest)
        assert execute_proposal(drill.pk) == ""
        assert plant.writes() == before
        assert not Execution.objects.exists()

    def test_it_refuses_orders_that_were_not_signed_by_raw_sql(
        self, operator: Any, plant: PlantProcess, set_values: SetValues, sql: Any
    ) -> None:
        proposal = signed(made(fans(84.0)), operator)
        proposal_move(proposal_id=proposal.pk, source="approved", target="executing")
        foreign = '[{"tag": "rack-1-01.load_cap_pct", "value": 40, "key": "k:0"}]'
        insert = (
            "INSERT INTO approvals_execution (proposal_id, idempotency_key, digest, preconditions,"
            " writes, fence, holds, steps, stop_reason, started_at, outcome, detail) VALUES"
            " (%s, 'forged', %s, '[]', %s, 0, '[]', '[]', '', now(), '', '')"
        )
        with (
            pytest.raises(IntegrityError, match="not those that were signed"),
            transaction.atomic(),
        ):
            sql(insert, proposal.pk, proposal.digest, foreign)

    def test_it_refuses_to_change_orders_keys_or_a_finished_execution_by_raw_sql(
        self, operator: Any, plant: PlantProcess, set_values: SetValues, sql: Any
    ) -> None:
        proposal = signed(made(fans(85.0)), operator)
        assert execute_proposal(proposal.pk) == "succeeded"
        where = " WHERE proposal_id = %s"
        for change, said in (
            ("writes = jsonb_set(writes, '{0,value}', '99')", "what was signed"),
            ("writes = jsonb_set(writes, '{0,key}', '\"x\"')", "what was signed"),
            ("writes = jsonb_set(writes, '{0,state}', '\"failed\"')", "has finished"),
            ("outcome = 'failed'", "has finished"),
            ("confirmed_at = now(), detail = 'x'", "has finished"),
        ):
            with pytest.raises(IntegrityError, match=said), transaction.atomic():
                sql(f"UPDATE approvals_execution SET {change}{where}", proposal.pk)


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
    real = run.send

    def dies_after_writing(order: Any, *, obj: str, **_: Any) -> None:
        real(order, obj=obj)
        raise SystemExit("killed")

    monkeypatch.setattr(run, "send", dies_after_writing)
    with pytest.raises(SystemExit):
        execution.execute(proposal_id=proposal.pk)
    assert Execution.objects.get(proposal=proposal).writes[0]["state"] == "sending"
    monkeypatch.setattr(run, "send", real)
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
