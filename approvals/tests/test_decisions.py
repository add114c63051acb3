"""Who may sign what, when, and that exactly one of two wins."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection

from approvals.errors import ConflictError, NotAllowedError, ReasonRequiredError
from approvals.models import AuditEntry, Decision, Proposal, ProposalTransition
from approvals.services import (
    proposal_approve,
    proposal_expire_due,
    proposal_reject,
    proposal_request,
)
from approvals.services.signatures import signatures_hold, signatures_of
from approvals.signing import ReauthenticationRequiredError
from approvals.tests.conftest import PASSWORD, MakeProposal, SetValues
from ops_platform.roles import assign_role


def _denials() -> list[str]:
    return [e.payload["code"] for e in AuditEntry.objects.filter(event="decision.denied")]


@pytest.mark.django_db
class TestApprove:
    def test_it_signs_exactly_the_digest_that_was_read(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal()
        signed = proposal_approve(
            proposal_id=proposal.pk, user=operator, digest=proposal.digest, reason="agreed"
        )
        assert signed.state == "approved"
        decision = Decision.objects.get(proposal=proposal)
        assert (decision.user_id, decision.digest, decision.reason) == (
            operator.pk,
            proposal.digest,
            "agreed",
        )
        assert AuditEntry.objects.filter(event="decision.approve", actor="operator").exists()

    @pytest.mark.parametrize("digest", ["", "0" * 64, "not a digest"])
    def test_it_refuses_another_digest_and_shows_both(
        self, make_proposal: MakeProposal, operator: Any, digest: str
    ) -> None:
        proposal = make_proposal()
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=operator, digest=digest)
        assert refused.value.code == "digest_mismatch"
        assert refused.value.extra == {"expected": proposal.digest, "given": digest}
        assert _denials() == ["digest_mismatch"]
        assert Proposal.objects.get(pk=proposal.pk).state == "pending"

    def test_it_refuses_a_payload_that_was_changed_behind_its_digest(
        self, make_proposal: MakeProposal, operator: Any, sql: Any
    ) -> None:
        proposal = make_proposal()
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("ALTER TABLE approvals_proposal DISABLE TRIGGER approvals_proposal_guard")
        sql(
            "UPDATE approvals_proposal SET writes = %s WHERE id = %s",
            '[{"tag": "crac-1.run_cmd", "value": 0}]',
            proposal.pk,
        )
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        assert refused.value.code == "payload_altered"

    def test_it_refuses_the_requester(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal(requested_by=operator)
        with pytest.raises(NotAllowedError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        assert refused.value.code == "own_proposal"
        proposal_approve(proposal_id=proposal.pk, user=supervisor, digest=proposal.digest)
        assert Proposal.objects.get(pk=proposal.pk).state == "approved"

    def test_it_refuses_a_viewer(self, make_proposal: MakeProposal, viewer: Any) -> None:
        proposal = make_proposal()
        with pytest.raises(NotAllowedError):
            proposal_approve(proposal_id=proposal.pk, user=viewer, digest=proposal.digest)
        assert _denials() == ["not_allowed"]

    def test_it_needs_two_people_of_two_roles_a_reason_and_a_proof_for_high_risk(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any, person: Any
    ) -> None:
        proposal = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})

        def sign(user: Any, **given: Any) -> Proposal:
            return proposal_approve(
                proposal_id=proposal.pk, user=user, digest=proposal.digest, **given
            )

        with pytest.raises(ReasonRequiredError):
            sign(operator, password=PASSWORD)
        with pytest.raises(ReauthenticationRequiredError) as refused:
            sign(operator, reason="hot")
        assert refused.value.code == "reauthentication_required"
        with pytest.raises(ReauthenticationRequiredError) as refused:
            sign(operator, reason="hot", password="guess")
        assert refused.value.code == "reauthentication_failed"
        assert not Decision.objects.exists()

        signed = sign(operator, reason="hot", password=PASSWORD)
        assert (signed.state, signed.execute_before) == ("pending", None)
        said = signatures_of(signed)
        assert (said["have"], said["need"]) == (1, 2)
        assert said["roles_missing"] == ["supervisor", "admin"]
        with pytest.raises(ConflictError) as twice:
            sign(operator, reason="hot", password=PASSWORD)
        assert twice.value.code == "already_signed"
        with pytest.raises(NotAllowedError) as another:
            sign(person("operator", "second"), reason="hot", password=PASSWORD)
        assert another.value.code == "another_role"

        signed = sign(supervisor, reason="agreed", password=PASSWORD)
        assert signed.state == "approved"
        assert signed.execute_before is not None
        decisions = Decision.objects.filter(proposal=proposal)
        assert [(d.role, d.reauthenticated) for d in decisions] == [
            ("operator", "password"),
            ("supervisor", "password"),
        ]
        assert signatures_hold(signed) == ""

    def test_it_counts_a_signature_only_while_its_signer_may_sign(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any, person: Any
    ) -> None:
        proposal = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
        second = person("operator", "second")

        def sign(user: Any) -> Proposal:
            return proposal_approve(
                proposal_id=proposal.pk,
                user=user,
                digest=proposal.digest,
                reason="hot",
                password=PASSWORD,
            )

        sign(operator)
        operator.is_active = False
        operator.save()
        assert sign(supervisor).state == "pending", "one of the two signatures has lapsed"
        assert sign(second).state == "approved"
        proposal.refresh_from_db()
        assert signatures_hold(proposal) == ""
        assign_role(supervisor, "operator")
        assert "signed as supervisor and is operator now" in signatures_hold(
            Proposal.objects.get(pk=proposal.pk)
        )

    def test_it_does_not_hold_when_the_policy_asks_for_more_since(
        self, make_proposal: MakeProposal, operator: Any, ask_for: Any
    ) -> None:
        proposal = make_proposal()
        proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        proposal.refresh_from_db()
        assert signatures_hold(proposal) == ""
        ask_for(signatures=2)
        assert signatures_hold(proposal).startswith("1 of 2 signatures")

    def test_it_refuses_an_expired_proposal_even_before_the_sweep(
        self, make_proposal: MakeProposal, operator: Any, settings: Any
    ) -> None:
        settings.PROPOSAL_TTL_S = -1
        proposal = make_proposal()
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        assert refused.value.code == "expired"
        assert proposal_expire_due() == 1
        assert proposal_expire_due() == 0
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        assert refused.value.code == "expired"

    def test_it_refuses_a_second_decision(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal()
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="wrong unit")
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=supervisor, digest=proposal.digest)
        assert refused.value.code == "already_decided"
        assert "by operator" in refused.value.detail

    def test_it_follows_a_permission_that_is_taken_away(
        self, make_proposal: MakeProposal, operator: Any, django_user_model: Any
    ) -> None:
        proposal = make_proposal()
        permission = Permission.objects.get(codename="decide_proposal")
        for group in operator.groups.all():
            group.permissions.remove(permission)
        again = django_user_model.objects.get(pk=operator.pk)
        with pytest.raises(NotAllowedError):
            proposal_approve(proposal_id=proposal.pk, user=again, digest=proposal.digest)


@pytest.mark.django_db
class TestReject:
    def test_it_needs_a_reason(self, make_proposal: MakeProposal, operator: Any) -> None:
        proposal = make_proposal()
        with pytest.raises(ReasonRequiredError):
            proposal_reject(proposal_id=proposal.pk, user=operator, reason="  ")
        assert _denials() == ["reason_required"]
        assert proposal_reject(proposal_id=proposal.pk, user=operator, reason="no").state == (
            "rejected"
        )

    def test_it_lets_the_requester_take_back_an_own_proposal(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal(requested_by=operator)
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="not needed any more")
        assert Proposal.objects.get(pk=proposal.pk).state == "rejected"


@pytest.mark.django_db
class TestRequest:
    def _ask(self, user: Any, **changes: Any) -> Proposal:
        wish = {
            "kind": "set_fan_speed",
            "target": "crac-1",
            "params": {"fan_speed_pct": 85},
            "rationale": "row 1 is warm",
        }
        return proposal_request(user=user, **{**wish, **changes})

    def test_it_makes_a_pending_proposal(self, set_values: SetValues, operator: Any) -> None:
        proposal = self._ask(operator)
        assert proposal.state == "pending"
        assert proposal.writes == [{"tag": "crac-1.fan_speed_sp_pct", "value": 85.0}]
        assert proposal.author == "operator"
        assert proposal.digest == proposal.computed_digest()

    def test_it_refuses_a_viewer(self, set_values: SetValues, viewer: Any) -> None:
        with pytest.raises(NotAllowedError):
            self._ask(viewer)
        assert AuditEntry.objects.filter(event="proposal.denied", actor="viewer").exists()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"kind": "open_damper"}, "not in the catalogue"),
            ({"target": "crac-77"}, "is not an asset"),
            ({"target": "rack-1-03"}, "acts on a crac"),
            ({"params": {}}, "required"),
            ({"params": {"fan_speed_pct": 101}}, "maximum"),
            ({"params": {"fan_speed_pct": 10}}, "minimum"),
            ({"params": {"fan_speed_pct": "85"}}, "not of type"),
            ({"params": {"fan_speed_pct": 85, "also": 1}}, "Additional properties"),
        ],
    )
    def test_it_refuses_what_the_catalogue_does_not_allow(
        self, set_values: SetValues, operator: Any, changes: dict[str, Any], said: str
    ) -> None:
        from approvals.errors import InvalidActionError

        with pytest.raises(InvalidActionError, match=said):
            self._ask(operator, **changes)
        assert not Proposal.objects.exists()

    def test_it_refuses_when_a_precondition_fails_now(
        self, set_values: SetValues, operator: Any
    ) -> None:
        set_values({"crac-1.fault": 1.0})
        with pytest.raises(ConflictError) as refused:
            self._ask(operator)
        assert refused.value.code == "precondition_failed"
        assert "crac-1.fault: expected < 1, actual 1" in refused.value.detail


@pytest.mark.django_db(transaction=True)
def test_it_lets_exactly_one_of_many_concurrent_approvals_win(
    make_proposal: MakeProposal, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    start, results = threading.Barrier(6), []

    def sign(user: Any) -> None:
        start.wait()
        try:
            proposal_approve(proposal_id=proposal.pk, user=user, digest=proposal.digest)
            results.append("won")
        except ConflictError as error:
            results.append(error.code)
        finally:
            connection.close()

    people = [operator, supervisor, operator, supervisor, operator, supervisor]
    threads = [threading.Thread(target=sign, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["already_decided"] * 5 + ["won"]
    assert Decision.objects.filter(proposal=proposal).count() == 1
    moves = ProposalTransition.objects.filter(proposal=proposal, to_state="approved")
    assert moves.count() == 1
    assert len(_denials()) == 5
