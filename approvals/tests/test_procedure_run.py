"""Numbered procedures: steps in order, holds for people, conditions between steps."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import execution
from approvals.execution import holds
from approvals.execution.steps import StepsError, steps_of
from approvals.models import AssetLease, AuditEntry, Execution, Outcome, Proposal
from approvals.services.stops import execution_stop
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import FAN, events, fans, keys, last_note, made, signed

pytestmark = pytest.mark.django_db


def step(n: str, writes: list[dict[str, Any]] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
    return {"n": n, "title": f"Step {n}", "text": "Do it.", "writes": writes, **more}


def procedure(*steps: dict[str, Any], **more: Any) -> Proposal:
    writes = [write for each in steps for write in each["writes"]]
    return made(writes, steps=steps, kind="run_procedure", target="crac-1", **more)


def _release(client: Any, proposal: Proposal, n: str, **body: Any) -> Any:
    return client.post(
        f"/api/v1/proposals/{proposal.pk}/holds/{n}/release",
        {"digest": proposal.digest, **body},
        content_type="application/json",
    )


def _values(plant: PlantProcess, proposal: Proposal) -> list[float]:
    mine = keys(plant.writes(), proposal)
    return [w["value"] for w in plant.writes() if w["key"] in mine]


def test_it_writes_step_by_step_and_waits_for_people_between(
    operator: Any,
    supervisor: Any,
    admin: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
) -> None:
    proposal = signed(
        procedure(
            step("1", fans(71.0)),
            step("2", hold="operator"),
            step("3", fans(72.0, first=2), hold="second_person"),
        ),
        operator,
    )
    assert "step 2 waits" in execution.execute(proposal_id=proposal.pk).detail
    assert _values(plant, proposal) == [71.0]
    assert "step 2 waits" in execution.execute(proposal_id=proposal.pk).detail
    done = Execution.objects.get(proposal=proposal)
    assert done.fence == 1, "what waits for people is not taken on"
    assert [(h["step"], h["kind"], h["released_at"]) for h in done.holds] == [
        ("2", "operator", None)
    ]
    assert AssetLease.objects.get(asset="crac-1").holder_id == proposal.pk, "leases are kept"

    answer = _release(client_as(operator), proposal, "2", note="Valve is open.")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["execution"]["holds"][0]["note"] == "Valve is open."
    assert "step 3 waits for a second person" in execution.execute(proposal_id=proposal.pk).detail

    refused = _release(client_as(operator), proposal, "3")
    assert (refused.status_code, refused.json()["code"]) == (403, "same_person")
    assert _release(client_as(supervisor), proposal, "3").status_code == 200
    assert _values(plant, proposal) == [71.0]
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    assert _values(plant, proposal) == [71.0, 72.0]
    done.refresh_from_db()
    assert [row["state"] for row in done.steps] == ["done", "done", "done"]
    trail = events(proposal)
    assert trail.count("hold.reached") == trail.count("hold.released") == 2
    assert trail.count("step.done") == 3


def test_it_does_not_let_the_requester_be_the_second_person(
    operator: Any, supervisor: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = signed(
        procedure(step("1", fans(71.0), hold="second_person"), requested_by=supervisor), operator
    )
    execution.execute(proposal_id=proposal.pk)
    refused = _release(client_as(supervisor), proposal, "1")
    assert (refused.status_code, refused.json()["code"]) == (403, "same_person")
    assert AuditEntry.objects.filter(event="hold.denied", actor="supervisor").exists()
    assert _values(plant, proposal) == []


def test_it_releases_only_a_hold_that_was_reached_for_the_digest_on_the_screen(
    operator: Any,
    supervisor: Any,
    viewer: Any,
    client: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
) -> None:
    proposal = signed(
        procedure(step("1", fans(71.0), hold="operator"), step("2", fans(72.0))), operator
    )
    person = client_as(supervisor)
    assert _release(person, proposal, "1").json()["code"] == "not_holding"
    execution.execute(proposal_id=proposal.pk)
    assert _release(person, proposal, "2").json()["code"] == "not_holding"
    assert _release(person, proposal, "1", digest="f" * 64).json()["code"] == "digest_mismatch"
    assert _release(client_as(viewer), proposal, "1").status_code == 403
    assert _release(client, proposal, "1").status_code in (401, 403)
    assert Execution.objects.get().holds[0]["released_at"] is None
    assert _release(person, proposal, "1").status_code == 200
    assert _release(person, proposal, "1").json()["code"] == "already_released"


def test_it_asks_who_releases_to_prove_it_again_where_the_proposal_says_so(
    operator: Any, supervisor: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = procedure(
        step("1", fans(71.0), hold="operator"),
        requirement={"signatures": 1, "reauthenticate": True},
    )
    from approvals.services import proposal_approve

    proposal_approve(
        proposal_id=proposal.pk,
        user=operator,
        digest=proposal.digest,
        password="correct-horse-battery",
    )
    execution.execute(proposal_id=proposal.pk)
    person = client_as(supervisor)
    assert _release(person, proposal, "1").json()["code"] == "reauthentication_required"
    assert _release(person, proposal, "1", password="wrong").status_code == 403
    assert Execution.objects.get().holds[0]["released_at"] is None
    assert _release(person, proposal, "1", password="correct-horse-battery").status_code == 200
    assert Execution.objects.get().holds[0]["reauthenticated"] == "password"


def test_it_ends_safely_when_nobody_releases_in_time(
    operator: Any,
    supervisor: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(holds, "HOLD_S", 0.0)
    proposal = signed(
        procedure(step("1", fans(71.0)), step("2", fans(72.0), hold="operator")), operator
    )
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    assert _release(client_as(supervisor), proposal, "2").json()["code"] == "overdue"
    done = execution.execute(proposal_id=proposal.pk)
    assert done.outcome == Outcome.FAILED
    assert "the hold before step 2 was not released" in done.detail
    assert "Already written: crac-1.fan_speed_sp_pct" in done.detail
    assert _values(plant, proposal) == [71.0]
    assert not AssetLease.objects.exclude(holder=None).exists()


def test_it_can_be_stopped_while_it_holds(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = signed(
        procedure(step("1", fans(71.0)), step("2", fans(72.0), hold="operator")), operator
    )
    execution.execute(proposal_id=proposal.pk)
    execution_stop(proposal_id=proposal.pk, user=operator, reason="Not today.")
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.STOPPED
    assert _values(plant, proposal) == [71.0]


class TestConditions:
    TAG = "crac-1.running"

    def _proposal(self, operator: Any, wait_s: float) -> Proposal:
        condition = {"tag": self.TAG, "op": ">=", "value": 1, "why": "it must turn"}
        return signed(
            procedure(
                step("1", fans(71.0), confirm=[condition], wait_s=wait_s),
                step("2", fans(72.0, first=2)),
            ),
            operator,
        )

    def test_it_goes_on_when_a_new_reading_says_so(
        self, operator: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = self._proposal(operator, 60.0)
        waits = execution.execute(proposal_id=proposal.pk)
        assert (waits.outcome, waits.again_s) == ("", 2.0)
        assert "has no reading" in waits.detail, "the one from before the write says nothing"
        assert _values(plant, proposal) == [71.0]
        set_values({self.TAG: 1.0})
        assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
        assert _values(plant, proposal) == [71.0, 72.0]

    def test_it_stops_when_it_does_not_come_true_in_time(
        self, operator: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = self._proposal(operator, 0.001)
        execution.execute(proposal_id=proposal.pk)
        set_values({self.TAG: 0.0})
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.FAILED
        assert "crac-1.running: expected >= 1, actual 0" in done.detail
        assert "Not written: crac-2.fan_speed_sp_pct" in done.detail
        assert _values(plant, proposal) == [71.0]
        assert Execution.objects.get(proposal=proposal).steps[0]["state"] == "failed"
        assert "step.failed" in events(proposal)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step("1", fans(99.0))], "which the proposal's writes do not"),
        ([step("1", fans(70.0)), step("2", fans(71.0))], "which the proposal's writes do not"),
        ([step("1")], "the steps write 0 setpoint"),
        ([step("1", fans(70.0), hold="nobody")], "no hold of kind 'nobody'"),
        ([step("1", fans(70.0)), step("1")], "the same number"),
    ],
)
def test_it_writes_nothing_when_steps_and_writes_disagree(
    operator: Any,
    plant: PlantProcess,
    set_values: SetValues,
    steps: list[dict[str, Any]],
    said: str,
) -> None:
    proposal = signed(made(fans(70.0), steps=steps, kind="run_procedure"), operator)
    with pytest.raises(StepsError, match=said):
        steps_of(proposal)
    before = plant.writes()
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.REFUSED
    assert plant.writes() == before


def test_it_gives_every_hold_a_deadline(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = signed(procedure(step("1", fans(70.0), hold="operator")), operator)
    execution.execute(proposal_id=proposal.pk)
    [row] = Execution.objects.get(proposal=proposal).holds
    left = datetime.fromisoformat(row["due_at"]) - timezone.now()
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    assert FAN.format(1) not in [w["tag"] for w in plant.writes() if w["key"].startswith("x")]


def test_it_goes_back_to_the_operators_when_the_procedure_is_no_longer_in_force(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    cite = {"document": "eop-crac-01", "revision": 3, "sha256": "0" * 64}
    proposal = signed(procedure(step("1", fans(71.0), cite=cite)), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    proposal.refresh_from_db()
    assert (proposal.state, proposal.round) == ("pending", 2)
    assert "eop-crac-01" in last_note(proposal).lower()
    assert _values(plant, proposal) == []
