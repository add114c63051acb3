"""What people opened, how long they took, and what is said of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from approvals.errors import InvalidActionError, NotFoundError
from approvals.honesty import look_note, opened_s
from approvals.honesty.figures import (
    LEAST,
    Made,
    Share,
    decisions_since,
    figures_of,
    share_of,
    team_figures,
    times_of,
)
from approvals.models import Decision, ProposalLook
from approvals.services import proposal_approve, proposal_reject
from approvals.tests.conftest import MakeProposal


class TestLooks:
    def test_it_remembers_what_was_opened_in_order(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal()
        for what in ("seen", "chart", "step", "chart"):
            look = look_note(proposal_id=proposal.pk, user=operator, what=what)
        assert look.opened == ["chart", "step"]
        assert look.opened_at is not None and look.seen_at <= look.opened_at
        assert ProposalLook.objects.count() == 1

    def test_seeing_the_card_is_not_opening_it(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal()
        look_note(proposal_id=proposal.pk, user=operator, what="seen")
        assert opened_s(proposal=proposal, user=operator) is None
        look_note(proposal_id=proposal.pk, user=operator, what="prediction")
        found = opened_s(proposal=proposal, user=operator)
        assert found is not None and 0 <= found < 5

    def test_it_refuses_what_is_not_there(self, make_proposal: MakeProposal, operator: Any) -> None:
        with pytest.raises(NotFoundError):
            look_note(proposal_id=0, user=operator, what="seen")
        with pytest.raises(InvalidActionError, match="cannot be opened"):
            look_note(proposal_id=make_proposal().pk, user=operator, what="the door")

    def test_the_decision_says_how_long_before_it_was_opened(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal()
        look_note(proposal_id=proposal.pk, user=operator, what="details")
        ProposalLook.objects.update(opened_at=timezone.now() - timedelta(seconds=40))
        proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        found = Decision.objects.get().opened_s
        assert found is not None and 40 <= found < 45

    @pytest.mark.parametrize(
        ("what", "status"), [("seen", 204), ("chart", 204), ("nothing", 400), (None, 400)]
    )
    def test_over_rest(
        self, make_proposal: MakeProposal, client_as: Any, viewer: Any, what: Any, status: int
    ) -> None:
        answer = client_as(viewer).post(
            f"/api/v1/proposals/{make_proposal().pk}/looks",
            {} if what is None else {"what": what},
            content_type="application/json",
        )
        assert answer.status_code == status

    def test_a_stranger_leaves_no_look(self, make_proposal: MakeProposal, client: Any) -> None:
        path = f"/api/v1/proposals/{make_proposal().pk}/looks"
        answer = client.post(path, {"what": "seen"}, content_type="application/json")
        assert answer.status_code in (401, 403)
        assert not ProposalLook.objects.exists()


def made(count: int, **more: Any) -> list[Made]:
    facts: dict[str, Any] = {
        "name": "ann",
        "approve": True,
        "seconds": 30.0,
        "opened": True,
        "state": "verified",
        "is_drill": False,
        **more,
    }
    return [Made(**facts) for _ in range(count)]


class TestFigures:
    def test_too_few_are_not_summed_up(self) -> None:
        found = figures_of("ann", made(LEAST - 1))
        assert found.decided == LEAST - 1
        assert found.approved == Share(LEAST - 1, LEAST - 1, None, None, None)
        assert found.decision_s.median_s is None

    def test_it_counts_what_was_not_looked_at(self) -> None:
        rows = [*made(6, opened=False, seconds=4.0), *made(4), *made(2, approve=False)]
        found = figures_of("ann", rows)
        assert (found.approved.count, found.approved.of) == (10, 12)
        assert (found.unopened.count, found.unopened.of) == (6, 10)
        assert (found.quick.count, found.quick.of) == (6, 10)

    def test_what_did_not_help_counts_only_what_was_told(self) -> None:
        rows = [
            *made(3, state="verified"),
            *made(2, state="no_effect"),
            *made(1, state="rolled_back"),
            *made(4, state="cannot_tell"),
            *made(2, state="executing"),
        ]
        found = figures_of("ann", rows).went_wrong
        assert (found.count, found.of) == (3, 6)

    def test_drills_are_counted_apart(self) -> None:
        rows = [*made(5), *made(4, is_drill=True, approve=False), *made(1, is_drill=True)]
        found = figures_of("ann", rows)
        assert found.decided == 5
        assert (found.drills.count, found.drills.of) == (4, 5)

    def test_the_interval_is_wilsons(self) -> None:
        """Hand-worked: 8 of 10 is 0.490 to 0.943 (Newcombe 1998, table I)."""
        found = share_of(8, 10)
        assert found.low == pytest.approx(0.4902, abs=5e-4)
        assert found.high == pytest.approx(0.9433, abs=5e-4)

    @given(of=st.integers(LEAST, 500), data=st.data())
    def test_a_share_lies_inside_its_interval(self, of: int, data: st.DataObject) -> None:
        found = share_of(data.draw(st.integers(0, of)), of)
        assert found.low is not None and found.share is not None and found.high is not None
        assert 0 <= found.low <= found.share + 1e-9 and found.share - 1e-9 <= found.high <= 1

    @given(rows=st.lists(st.floats(0, 1e5), min_size=LEAST, max_size=60))
    def test_quartiles_are_in_order(self, rows: list[float]) -> None:
        found = times_of(rows)
        assert found.low_s is not None and found.median_s is not None and found.high_s is not None
        assert min(rows) - 1e-6 <= found.low_s <= found.median_s <= found.high_s <= max(rows) + 1e-6

    def test_it_takes_the_time_since_the_card_was_seen(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal()
        look_note(proposal_id=proposal.pk, user=operator, what="seen")
        later = timezone.now() + timedelta(seconds=7)
        ProposalLook.objects.update(seen_at=later)
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="no")
        [one] = decisions_since(timezone.now() - timedelta(days=1))
        assert (one.name, one.approve, one.seconds, one.opened) == ("operator", False, 0.0, False)

    def test_an_unrevealed_drill_shows_nowhere(
        self, make_proposal: MakeProposal, operator: Any, sql: Any
    ) -> None:
        """Two of two: the first signature on a drill does not reveal it, nor do the figures."""
        from approvals.models import Drill, Proposal

        proposal = make_proposal()
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("ALTER TABLE approvals_proposal DISABLE TRIGGER approvals_proposal_guard")
        Proposal.objects.filter(pk=proposal.pk).update(is_drill=True)
        Drill.objects.create(proposal=proposal, flaw="bad", planted_at=timezone.now())
        Decision.objects.create(
            proposal=proposal, user=operator, verdict="approve", digest=proposal.digest,
            role="operator", at=timezone.now(),
        )  # fmt: skip
        assert decisions_since(timezone.now() - timedelta(days=1)) == []


class TestPage:
    @pytest.fixture
    def decided(self, make_proposal: MakeProposal, operator: Any, supervisor: Any) -> None:
        for number in range(6):
            proposal = make_proposal()
            user = operator if number < 5 else supervisor
            proposal_reject(proposal_id=proposal.pk, user=user, reason="no")

    @pytest.mark.parametrize("name", ["viewer", "operator", "supervisor"])
    def test_everybody_signed_in_sees_the_team(
        self, decided: None, client_as: Any, name: str, request: pytest.FixtureRequest
    ) -> None:
        user = request.getfixturevalue(name)
        page = client_as(user).get("/approvals/team/").content.decode()
        assert "operator" in page and "too few to say" in page
        assert ('class="own"' in page) == (name != "viewer")
        body = client_as(user).get("/api/v1/team/").json()
        assert [one["name"] for one in body["people"]] == ["operator", "supervisor"]
        assert body["team"]["approved"] == {
            "count": 0,
            "of": 6,
            "share": 0.0,
            "low": 0.0,
            "high": pytest.approx(0.39, abs=0.01),
        }

    def test_a_stranger_is_sent_to_the_door(self, client: Any, db: None) -> None:
        assert client.get("/approvals/team/").status_code == 302
        assert client.get("/api/v1/team/").status_code in (401, 403)

    def test_an_empty_team_is_said_to_be(self, client_as: Any, operator: Any) -> None:
        page = client_as(operator).get("/approvals/team/").content.decode()
        assert "Nobody has decided anything" in page

    def test_its_queries_do_not_grow(self, decided: None) -> None:
        with CaptureQueriesContext(connection) as asked:
            team_figures()
        assert len(asked) == 1
