"""One person alone, in an emergency: what it waives, what it never waives, and who looks after."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from approvals.errors import ConflictError, NotAllowedError, ReasonRequiredError
from approvals.models import AuditEntry, BreakGlass, ChangeWindow, Decision, Proposal
from approvals.services import break_glass_review, proposal_approve
from approvals.services.break_glass import break_glass_remind
from approvals.services.signatures import signatures_hold
from approvals.signing import ReauthenticationRequiredError
from approvals.tests.conftest import PASSWORD, MakeProposal
from ops_platform.roles import assign_role

pytestmark = pytest.mark.django_db
WHY = "Row 1 is at 38 °C and nobody else answers the phone."
HIGH = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})


def alone(proposal: Proposal, user: Any, **changes: Any) -> Proposal:
    given = {"reason": WHY, "password": PASSWORD, **changes}
    return proposal_approve(
        proposal_id=proposal.pk, user=user, digest=proposal.digest, break_glass=True, **given
    )


@pytest.fixture
def used(make_proposal: MakeProposal, supervisor: Any) -> BreakGlass:
    alone(make_proposal(*HIGH), supervisor)
    return BreakGlass.objects.get()


class TestSignAlone:
    def test_it_approves_and_leaves_something_to_review(
        self, make_proposal: MakeProposal, supervisor: Any
    ) -> None:
        signed = alone(make_proposal(*HIGH), supervisor)
        assert signed.state == "approved"
        assert signatures_hold(signed) == ""
        decision = Decision.objects.get()
        assert (decision.is_break_glass, decision.reauthenticated) == (True, "password")
        made = BreakGlass.objects.get()
        assert "one more signature, by an operator or an admin" in made.waived[0]
        assert (made.reviews_needed, made.due_at) == (2, decision.at + timedelta(hours=24))
        entry = AuditEntry.objects.get(event="break_glass.used")
        assert (entry.actor, entry.payload["reason"]) == ("supervisor", WHY)

    def test_it_waives_a_freeze(
        self, make_proposal: MakeProposal, supervisor: Any, admin: Any
    ) -> None:
        proposal = make_proposal()
        now = timezone.now()
        ChangeWindow.objects.create(
            name="Black Friday", kind="freeze", starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(hours=1), reason="sales", made_by=admin, made_at=now,
        )  # fmt: skip
        with pytest.raises(ConflictError) as refused:
            proposal_approve(proposal_id=proposal.pk, user=supervisor, digest=proposal.digest)
        assert refused.value.code == "denied"
        [denial] = refused.value.extra["denials"]
        assert denial["code"] == "freeze" and denial["until"] == refused.value.extra["until"]
        assert alone(proposal, supervisor).state == "approved"
        assert "Black Friday" in BreakGlass.objects.get().waived[0]

    def test_it_never_waives_what_a_rule_denies(
        self, make_proposal: MakeProposal, supervisor: Any, ask_for: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        ask_for(deny=True, reason="The hall is being rebuilt.")
        with pytest.raises(ConflictError, match="rebuilt") as refused:
            alone(proposal, supervisor)
        assert refused.value.code == "denied"
        assert not Decision.objects.exists()

    def test_it_never_waives_that_somebody_else_asked(
        self, make_proposal: MakeProposal, supervisor: Any
    ) -> None:
        proposal = make_proposal(*HIGH, requested_by=supervisor)
        with pytest.raises(NotAllowedError) as refused:
            alone(proposal, supervisor)
        assert refused.value.code == "own_proposal"

    def test_it_is_not_for_operators(self, make_proposal: MakeProposal, operator: Any) -> None:
        with pytest.raises(NotAllowedError, match="break_glass"):
            alone(make_proposal(*HIGH), operator)

    @pytest.mark.parametrize("reason", ["", "hot", "x" * 19, " " * 40])
    def test_it_needs_a_sentence(
        self, make_proposal: MakeProposal, supervisor: Any, reason: str
    ) -> None:
        with pytest.raises(ReasonRequiredError, match="20 letters"):
            alone(make_proposal(*HIGH), supervisor, reason=reason)

    @pytest.mark.parametrize("password", ["", "guess"])
    def test_it_needs_a_proof_of_identity(
        self, make_proposal: MakeProposal, supervisor: Any, password: str
    ) -> None:
        with pytest.raises(ReauthenticationRequiredError):
            alone(make_proposal(*HIGH), supervisor, password=password)
        assert not BreakGlass.objects.exists()

    def test_it_is_refused_where_an_ordinary_signature_does(
        self, make_proposal: MakeProposal, supervisor: Any
    ) -> None:
        with pytest.raises(ConflictError) as refused:
            alone(make_proposal(), supervisor)
        assert refused.value.code == "break_glass_not_needed"

    def test_it_is_off_where_the_policy_says_so(
        self, make_proposal: MakeProposal, supervisor: Any, ask_for: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        off = {"enabled": False, "reviews": 2, "review_within_h": 24}
        ask_for(part={"break_glass": off}, signatures=2)
        with pytest.raises(NotAllowedError) as refused:
            alone(proposal, supervisor)
        assert refused.value.code == "break_glass_off"

    def test_it_does_not_hold_once_the_signer_lost_the_right(
        self, used: BreakGlass, supervisor: Any
    ) -> None:
        assign_role(supervisor, "operator")
        proposal = Proposal.objects.get(pk=used.decision.proposal_id)
        assert "may not do so any more" in signatures_hold(proposal)


class TestReview:
    def test_it_closes_with_the_last_review_that_is_needed(
        self, used: BreakGlass, admin: Any, person: Any
    ) -> None:
        def review(user: Any, verdict: str = "justified") -> BreakGlass:
            return break_glass_review(
                break_glass_id=used.pk, user=user, verdict=verdict, comment="log read"
            )

        assert review(admin).closed_at is None
        with pytest.raises(ConflictError) as twice:
            review(admin)
        assert twice.value.code == "already_reviewed"
        assert review(person("supervisor", "second"), "not_justified").closed_at is not None
        closed = AuditEntry.objects.get(event="break_glass.closed")
        assert closed.payload["verdicts"] == ["justified", "not_justified"]

    def test_it_keeps_the_signer_and_operators_off(
        self, used: BreakGlass, supervisor: Any, operator: Any
    ) -> None:
        for user, code in ((supervisor, "own_emergency"), (operator, "not_allowed")):
            with pytest.raises(NotAllowedError) as refused:
                break_glass_review(
                    break_glass_id=used.pk, user=user, verdict="justified", comment="fine"
                )
            assert refused.value.code == code
        assert AuditEntry.objects.filter(event="break_glass.review_denied").count() == 2

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM approvals_breakglass",
            "UPDATE approvals_breakglass SET closed_at = now()",
            "UPDATE approvals_breakglass SET reviews_needed = 0",
            "UPDATE approvals_breakglass SET due_at = due_at + interval '1 day'",
            "INSERT INTO approvals_breakglassreview (break_glass_id, reviewer_id, verdict, comment, at)"
            " SELECT b.id, d.user_id, 'justified', 'x', now() FROM approvals_breakglass b"
            " JOIN approvals_decision d ON d.id = b.decision_id",
        ],
    )
    def test_it_cannot_be_put_aside_by_raw_sql(
        self, used: BreakGlass, sql: Any, statement: str
    ) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            sql(statement)

    def test_it_reminds_once_of_what_is_late(
        self, used: BreakGlass, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert break_glass_remind() == 0
        later = timezone.now() + timedelta(hours=25)
        monkeypatch.setattr("approvals.services.break_glass.timezone.now", lambda: later)
        assert [break_glass_remind(), break_glass_remind()] == [1, 0]
        assert AuditEntry.objects.get(event="break_glass.overdue").payload["missing"] == 2


class TestDoors:
    def test_it_is_reviewed_over_rest(self, used: BreakGlass, client_as: Any, admin: Any) -> None:
        body = json.dumps({"verdict": "justified", "comment": "The log shows 38 °C."})
        path = f"/api/v1/break-glass/{used.pk}/review"
        answer = client_as(admin).post(path, body, content_type="application/json")
        assert answer.status_code == 200
        assert answer.json()["reviews"][0]["reviewer"] == "admin"
        refused = Client().post(path, body, content_type="application/json")
        assert refused.status_code in (401, 403)

    def test_it_lists_with_a_fixed_number_of_queries(
        self,
        used: BreakGlass,
        make_proposal: MakeProposal,
        client_as: Any,
        viewer: Any,
        admin: Any,
        django_assert_num_queries: Any,
    ) -> None:
        for number in (4, 5):
            alone(make_proposal("shed_rack_load", f"rack-1-0{number}", HIGH[2]), admin)
        client = client_as(viewer)
        with django_assert_num_queries(5):  # session, user, count, rows, reviews
            assert client.get("/api/v1/break-glass/").json()["count"] == 3

    def test_it_has_a_page_for_everybody_and_a_form_for_reviewers(
        self, used: BreakGlass, client_as: Any, viewer: Any, supervisor: Any, admin: Any
    ) -> None:
        assert Client().get("/approvals/reviews/").status_code == 302
        pages = {
            user.username: client_as(user).get("/approvals/reviews/").content.decode()
            for user in (viewer, supervisor, admin)
        }
        assert all(WHY in page for page in pages.values())
        assert [name for name, page in pages.items() if "data-review=" in page] == ["admin"]
