"""The stop button and the hold of the whole gate, as every role."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals import execution, selectors
from approvals.execution import run as runner
from approvals.execution.claim import claim
from approvals.models import AssetLease, AuditEntry, Execution, GateHold, Outcome, Proposal
from approvals.services.stops import execution_stop, gate_hold, gate_resume
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import events, fans, keys, last_note, made, signed

pytestmark = pytest.mark.django_db


def _stop(client: Any, proposal: Proposal, reason: str = "Somebody is in the aisle.") -> Any:
    return client.post(
        f"/api/v1/proposals/{proposal.pk}/stop", {"reason": reason}, content_type="application/json"
    )


class TestStop:
    def test_it_rejects_what_is_approved_and_not_begun(
        self, operator: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = signed(made(fans(70.0)), operator)
        before = plant.writes()
        answer = _stop(client_as(operator), proposal)
        assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
        assert "Somebody is in the aisle" in last_note(proposal)
        assert execution.execute(proposal_id=proposal.pk).outcome == ""
        assert plant.writes() == before

    def test_it_sends_nothing_more_of_what_is_under_way(
        self,
        operator: Any,
        client_as: Any,
        plant: PlantProcess,
        set_values: SetValues,
        monkeypatch: Any,
    ) -> None:
        proposal = signed(made(fans(71.0, 72.0, 73.0)), operator)
        real, client = runner.send, client_as(operator)

        def somebody_stops(order: Any, *, obj: str, **_: Any) -> Any:
            result = real(order, obj=obj)
            if order.tag.startswith("crac-2"):
                assert _stop(client, proposal).status_code == 200
            return result

        monkeypatch.setattr(runner, "send", somebody_stops)
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.STOPPED
        assert "operator stopped it (Somebody is in the aisle.)" in done.detail
        assert "Already written: crac-1.fan_speed_sp_pct, crac-2.fan_speed_sp_pct" in done.detail
        assert "Not written: crac-3.fan_speed_sp_pct" in done.detail
        proposal.refresh_from_db()
        assert proposal.state == "failed"
        assert len(keys(plant.writes(), proposal)) == 2
        assert not AssetLease.objects.exclude(holder=None).exists()
        assert "execution.stop_requested" in events(proposal)

    def test_it_does_not_send_again_what_a_dead_worker_had_on_the_wire(
        self, operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
    ) -> None:
        proposal = signed(made(fans(74.0)), operator)
        begun = claim(proposal.pk).run
        assert begun is not None
        begun.note_write(0, "write.sent", state="sending", sent_at="2026-01-01T00:00:00Z")
        execution_stop(proposal_id=proposal.pk, user=operator, reason="Stop.")
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.UNKNOWN, "nobody knows whether it arrived"
        assert keys(plant.writes(), proposal) == []
        assert execution.reconcile(proposal_id=proposal.pk) == Outcome.FAILED
        assert keys(plant.writes(), proposal) == []

    @pytest.mark.parametrize("state", ["pending", "succeeded"])
    def test_it_stops_only_what_is_under_way(
        self,
        operator: Any,
        client_as: Any,
        plant: PlantProcess,
        set_values: SetValues,
        state: str,
    ) -> None:
        proposal = made(fans(75.0))
        if state == "succeeded":
            signed(proposal, operator)
            execution.execute(proposal_id=proposal.pk)
        answer = _stop(client_as(operator), proposal)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_under_way")

    def test_it_asks_why_and_stops_once(
        self, operator: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = signed(made(fans(76.0)), operator)
        assert claim(proposal.pk).run is not None
        client = client_as(operator)
        assert _stop(client, proposal, "  ").json()["code"] == "reason_required"
        assert _stop(client, proposal).status_code == 200
        assert _stop(client, proposal).json()["code"] == "already_stopped"
        assert client.post("/api/v1/proposals/999999/stop", {"reason": "x"}).status_code == 404

    def test_it_is_not_for_viewers_and_strangers(
        self, operator: Any, viewer: Any, client: Any, client_as: Any, set_values: SetValues
    ) -> None:
        proposal = signed(made(fans(77.0)), operator)
        assert _stop(client_as(viewer), proposal).status_code == 403
        assert _stop(client, proposal).status_code in (401, 403)
        proposal.refresh_from_db()
        assert proposal.state == "approved"
        entry = AuditEntry.objects.get(event="execution.stop_denied")
        assert (entry.actor, entry.payload["status"]) == ("viewer", 403)


class TestGateHold:
    URL = "/api/v1/gate/hold"

    def _hold(self, client: Any, reason: str = "Fire alarm in hall 1.") -> Any:
        return client.post(self.URL, {"reason": reason}, content_type="application/json")

    def test_it_claims_nothing_while_it_is_held(
        self, operator: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = signed(made(fans(78.0)), operator)
        before = plant.writes()
        client = client_as(operator)
        answer = self._hold(client)
        assert (answer.status_code, answer.json()["held"]) == (201, True)
        assert execution.execute(proposal_id=proposal.pk).outcome == ""
        assert plant.writes() == before
        assert "Fire alarm in hall 1" in execution.waiting_sentence(proposal=proposal)
        hold = selectors.gate_hold_now()
        assert hold is not None
        assert hold.made_by == operator
        assert client.delete(self.URL).json()["held"] is False
        assert selectors.gate_hold_now() is None
        assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
        trail = AuditEntry.objects.filter(object="gate").order_by("seq")
        assert list(trail.values_list("event", flat=True)) == ["gate.held", "gate.resumed"]

    def test_it_sends_nothing_more_in_the_middle_and_goes_on_afterwards(
        self, operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
    ) -> None:
        proposal = signed(made(fans(79.0, 80.0)), operator)
        real = runner.send

        def somebody_holds(order: Any, *, obj: str, **_: Any) -> Any:
            result = real(order, obj=obj)
            if not GateHold.objects.exists():
                gate_hold(user=operator, reason="Wait.")
            return result

        monkeypatch.setattr(runner, "send", somebody_holds)
        for _ in range(2):
            assert execution.execute(proposal_id=proposal.pk).outcome == ""
            assert len(keys(plant.writes(), proposal)) == 1
        proposal.refresh_from_db()
        assert proposal.state == "executing"
        gate_resume(user=operator)
        assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
        assert len(keys(plant.writes(), proposal)) == 2

    def test_it_does_not_go_on_after_a_long_break(
        self, operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
    ) -> None:
        proposal = signed(made(fans(81.0)), operator)
        assert claim(proposal.pk).run is not None
        monkeypatch.setattr(runner, "RESUME_WITHIN_S", 0.0)
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.REFUSED
        assert "no longer the one that was signed for" in done.detail
        assert keys(plant.writes(), proposal) == []

    def test_it_looks_at_the_plant_again_before_it_goes_on_untouched(
        self, make_proposal: Any, operator: Any, plant: PlantProcess, set_values: SetValues
    ) -> None:
        proposal = signed(make_proposal(), operator)
        assert claim(proposal.pk).run is not None
        set_values({"crac-4.fault": 1.0})
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.REFUSED
        assert "crac-4.fault: expected < 1, actual 1" in done.detail
        assert keys(plant.writes(), proposal) == []

    def test_it_is_held_once_and_says_by_whom(
        self, operator: Any, supervisor: Any, client_as: Any
    ) -> None:
        assert self._hold(client_as(operator), " ").json()["code"] == "reason_required"
        assert client_as(operator).delete(self.URL).json()["code"] == "not_held"
        assert self._hold(client_as(operator)).status_code == 201
        again = self._hold(client_as(supervisor))
        assert (again.status_code, again.json()["code"]) == (409, "already_held")
        assert "operator" in again.json()["detail"]
        assert GateHold.objects.count() == 1

    def test_it_is_for_operators_and_visible_to_everybody(
        self, viewer: Any, client: Any, client_as: Any
    ) -> None:
        looking = client_as(viewer)
        assert looking.get(self.URL).json() == {"held": False, "hold": None, "under_way": []}
        assert self._hold(looking).status_code == 403
        assert looking.delete(self.URL).status_code == 403
        assert client.get(self.URL).status_code in (401, 403)
        assert self._hold(client).status_code in (401, 403)
        assert not GateHold.objects.exists()
        assert AuditEntry.objects.filter(event="gate.denied", actor="viewer").count() == 2

    def test_it_tells_what_is_on_the_wire(
        self, operator: Any, client_as: Any, set_values: SetValues
    ) -> None:
        proposal = signed(made(fans(82.0)), operator)
        begun = claim(proposal.pk).run
        assert begun is not None
        begun.note_write(0, "write.sent", state="sending")
        assert self._hold(client_as(operator)).json()["under_way"] == [proposal.pk]

    def test_it_cannot_be_forged_by_raw_sql(self, operator: Any, sql: Any) -> None:
        hold = gate_hold(user=operator, reason="Wait.")
        for change in ("reason = 'nothing'", "made_at = now()"):
            with pytest.raises(IntegrityError, match="only be lifted"), transaction.atomic():
                sql(f"UPDATE approvals_gatehold SET {change} WHERE id = %s", hold.pk)
        with pytest.raises(IntegrityError), transaction.atomic():
            sql("DELETE FROM approvals_gatehold")
        assert Execution.objects.count() == 0
