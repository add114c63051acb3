"""Edit and approve: the revision is a proposal of its own, the original stays as it was."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals.errors import ConflictError, GateError, InvalidActionError, NotAllowedError
from approvals.models import AuditEntry, Decision, Investigation, Proposal
from approvals.services import proposal_approve, proposal_revise
from approvals.services.signatures import signatures_hold
from approvals.tests.conftest import PASSWORD, MakeProposal, SetValues

FAN = ("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
HIGH = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})


def revise(proposal: Proposal, user: Any, params: dict[str, Any], **more: Any) -> Proposal:
    return proposal_revise(
        proposal_id=proposal.pk, user=user, digest=proposal.digest, params=params, **more
    )


@pytest.mark.django_db
class TestRevise:
    def test_it_makes_a_new_proposal_and_keeps_the_first(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        first = make_proposal(*FAN)
        before = first.payload()
        seen = Investigation.objects.create(
            trigger="request", started_at=timezone.now(), proposal=first, outcome="proposed"
        )
        made = revise(first, operator, {"fan_speed_pct": 95}, rationale="85 % is not enough")
        assert (made.state, made.revises_id, made.revision) == ("pending", first.pk, 2)
        assert made.edited_by_id == operator.pk and made.requested_by_id is None
        assert made.writes == [{"tag": "crac-1.fan_speed_sp_pct", "value": 95.0}]
        assert made.digest == made.computed_digest() != first.digest
        assert made.citations == first.citations and made.prediction
        first.refresh_from_db()
        assert first.state == "superseded"
        assert first.payload() == before and first.computed_digest() == first.digest
        assert "operator changed" in first.transitions.get(to_state="superseded").note
        entry = AuditEntry.objects.get(event="proposal.revised")
        assert (entry.payload["before"], entry.payload["after"]) == (
            {"fan_speed_pct": 85},
            {"fan_speed_pct": 95},
        )
        seen.refresh_from_db()
        assert seen.proposal_id == made.pk

    def test_it_keeps_the_reason_for_the_action_as_a_precondition(
        self, make_proposal: MakeProposal, set_values: SetValues, operator: Any
    ) -> None:
        from approvals.catalogue import Action, Condition
        from approvals.services.proposals import ProposalDraft, proposal_create
        from approvals.situations import situation_read

        make_proposal("set_fan_speed", "crac-3", {"fan_speed_pct": 85.0})  # CRAC 2 is down then
        situation = situation_read(hall="hall-1")
        lost = Condition("crac-2.fault", ">=", 1.0, "CRAC 2 has failed")
        grounded = Action("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0}, (lost,))
        first = proposal_create(
            draft=ProposalDraft(action=grounded, rationale="CRAC 2 is lost."), situation=situation
        )
        made = revise(first, operator, {"fan_speed_pct": 99})
        assert lost.as_dict() in made.preconditions
        set_values({"crac-2.fault": 0.0})  # the reason has gone: so has the action
        with pytest.raises(ConflictError) as refused:
            revise(made, operator, {"fan_speed_pct": 90})
        assert refused.value.code == "precondition_failed"

    def test_it_signs_at_once_where_an_editor_may(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        first = make_proposal(*FAN)
        assert first.requirement["editor_may_sign"]
        made = revise(first, operator, {"fan_speed_pct": 95}, approve=True, reason="more air")
        assert made.state == "approved"
        assert Decision.objects.get().digest == made.digest
        assert signatures_hold(made) == ""

    def test_it_waits_for_somebody_else_where_an_editor_may_not(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        first = make_proposal(*HIGH)
        made = revise(first, operator, {"load_cap_pct": 80}, approve=True, reason="less")
        assert made.state == "pending" and not Decision.objects.exists()
        with pytest.raises(NotAllowedError) as refused:
            proposal_approve(
                proposal_id=made.pk, user=operator, digest=made.digest, reason="less",
                password=PASSWORD,
            )  # fmt: skip
        assert refused.value.code == "own_edit"

    def test_it_voids_the_signatures_of_the_first(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any, person: Any
    ) -> None:
        first = make_proposal(*HIGH)
        proposal_approve(
            proposal_id=first.pk, user=operator, digest=first.digest, reason="hot",
            password=PASSWORD,
        )  # fmt: skip
        made = revise(first, person("operator", "second"), {"load_cap_pct": 80})
        signed = proposal_approve(
            proposal_id=made.pk, user=supervisor, digest=made.digest, reason="hot",
            password=PASSWORD,
        )  # fmt: skip
        assert signed.state == "pending", "the first one's signature is for another digest"

    def test_it_keeps_the_requester_off_the_revision_too(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        first = make_proposal(*FAN, requested_by=operator)
        made = revise(first, operator, {"fan_speed_pct": 95}, approve=True)
        assert (made.state, made.requested_by_id) == ("pending", operator.pk)
        other = revise(made, supervisor, {"fan_speed_pct": 90}, approve=True)
        assert (other.state, other.requested_by_id) == ("approved", operator.pk)
        assert other.revision == 3

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"fan_speed_pct": 101}, "maximum"),
            ({}, "required"),
            ({"fan_speed_pct": 95, "also": 1}, "Additional properties"),
            ({"fan_speed_pct": "95"}, "not of type"),
        ],
    )
    def test_it_checks_the_parameters_like_new_ones(
        self, make_proposal: MakeProposal, operator: Any, params: dict[str, Any], said: str
    ) -> None:
        first = make_proposal(*FAN)
        with pytest.raises(InvalidActionError, match=said):
            revise(first, operator, params)
        assert Proposal.objects.get().state == "pending"
        assert AuditEntry.objects.get(event="decision.denied").payload["verdict"] == "revise"

    def test_it_checks_the_world_and_the_policy_again(
        self, make_proposal: MakeProposal, set_values: SetValues, operator: Any, ask_for: Any
    ) -> None:
        first = make_proposal(*FAN)
        set_values({"crac-1.fault": 1.0})
        with pytest.raises(ConflictError) as refused:
            revise(first, operator, {"fan_speed_pct": 95})
        assert refused.value.code == "precondition_failed"
        set_values({"crac-1.fault": 0.0})
        ask_for(deny=True, reason="Fans stay as they are.")
        with pytest.raises(ConflictError, match="Fans stay") as denied:
            revise(first, operator, {"fan_speed_pct": 95})
        assert denied.value.code == "denied"
        assert Proposal.objects.get().state == "pending"

    def test_it_refuses_what_changes_nothing_and_another_digest(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        first = make_proposal(*FAN)
        with pytest.raises(ConflictError) as same:
            revise(first, operator, {"fan_speed_pct": 85})
        assert same.value.code == "unchanged"
        with pytest.raises(ConflictError) as other:
            proposal_revise(
                proposal_id=first.pk, user=operator, digest="0" * 64, params={"fan_speed_pct": 95}
            )
        assert other.value.code == "digest_mismatch"

    def test_it_refuses_a_viewer(self, make_proposal: MakeProposal, viewer: Any) -> None:
        with pytest.raises(NotAllowedError):
            revise(make_proposal(*FAN), viewer, {"fan_speed_pct": 95})

    def test_it_leaves_the_first_waiting_when_the_signature_is_refused(
        self, make_proposal: MakeProposal, operator: Any, ask_for: Any
    ) -> None:
        first = make_proposal(*FAN)
        ask_for(reauthenticate=True)
        with pytest.raises(GateError) as refused:
            revise(first, operator, {"fan_speed_pct": 95}, approve=True)
        assert refused.value.code == "reauthentication_required"
        assert Proposal.objects.get().state == "pending"
        made = revise(first, operator, {"fan_speed_pct": 95}, approve=True, password=PASSWORD)
        assert made.state == "approved"


@pytest.mark.django_db
def test_it_is_revised_over_rest(
    make_proposal: MakeProposal, client_as: Any, operator: Any, supervisor: Any
) -> None:
    first = make_proposal(*FAN)
    body = {"digest": first.digest, "params": {"fan_speed_pct": 95}, "rationale": "more air"}

    def post(path: str, sent: dict[str, Any]) -> Any:
        return client_as(operator).post(path, json.dumps(sent), content_type="application/json")

    answer = post(f"/api/v1/proposals/{first.pk}/revise", body)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["revises"], made["revision"], made["edited_by"]) == (first.pk, 2, "operator")
    old = client_as(operator).get(f"/api/v1/proposals/{first.pk}/").json()
    assert (old["state"], old["superseded_by"]) == ("superseded", made["id"])
    late = post(f"/api/v1/proposals/{first.pk}/approve", {"digest": first.digest}).json()
    assert (late["code"], late["revision"]) == ("superseded", made["id"])


@pytest.mark.django_db(transaction=True)
def test_it_lets_one_of_several_editors_and_signers_win(
    make_proposal: MakeProposal, operator: Any, supervisor: Any, person: Any
) -> None:
    first = make_proposal(*FAN)
    people = [operator, supervisor, person("operator", "second"), person("operator", "third")]
    start, said = threading.Barrier(4), []

    def act(number: int, user: Any) -> None:
        start.wait()
        try:
            if number % 2:
                proposal_approve(proposal_id=first.pk, user=user, digest=first.digest)
                said.append("signed")
            else:
                revise(first, user, {"fan_speed_pct": 90.0 + number})
                said.append("revised")
        except ConflictError as error:
            said.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=pair) for pair in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    won = [word for word in said if word in ("signed", "revised")]
    assert len(won) == 1, said
    assert set(said) - set(won) <= {"already_decided", "superseded"}
    states = list(Proposal.objects.order_by("pk").values_list("state", flat=True))
    assert states == (["approved"] if won == ["signed"] else ["superseded", "pending"])
