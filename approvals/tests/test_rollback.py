"""Undoing what was written: an ordinary proposal with a signature of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from approvals.errors import ConflictError, NotAllowedError, NotFoundError
from approvals.models import AuditEntry, Effect, Execution, Proposal
from approvals.services import proposal_approve, proposal_move
from approvals.services.rollback import (
    can_roll_back,
    proposal_rollback,
    rollback_by_policy,
    rollback_settle,
    rollbacks_propose,
    undoing_of,
)
from approvals.tests.conftest import MakeProposal, SetValues
from approvals.tests.courses import written

FAN = "crac-1.fan_speed_sp_pct"


@pytest.fixture
def raised(make_proposal: MakeProposal, operator: Any, set_values: SetValues) -> Proposal:
    """The fan of crac-1 was raised from 70 to 85 %, and the plant shows it."""
    proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    found = written(proposal, operator, previous={FAN: 70.0})
    set_values({FAN: 85.0})
    return found


def test_it_makes_a_proposal_that_writes_the_old_value_back(
    raised: Proposal, operator: Any
) -> None:
    made = proposal_rollback(proposal_id=raised.pk, user=operator)
    assert (made.kind, made.state, made.risk) == ("roll_back", "pending", raised.risk)
    assert [(w["tag"], w["value"]) for w in made.writes] == [(FAN, 70.0)]
    assert made.rolls_back_id == raised.pk
    assert made.payload()["rolls_back"] == raised.pk
    assert f"Undoes #{raised.pk}" in made.rationale
    assert {key: made.preconditions[0][key] for key in ("tag", "op", "value")} == {
        "tag": FAN,
        "op": "==",
        "value": 85.0,
    }
    assert (made.expected_effect["direction"], made.expected_effect["threshold"]) == ("below", 77.5)
    assert made.digest == made.computed_digest()


def test_who_asked_does_not_sign_it(raised: Proposal, operator: Any, supervisor: Any) -> None:
    made = proposal_rollback(proposal_id=raised.pk, user=operator)
    with pytest.raises(NotAllowedError, match="somebody else"):
        proposal_approve(proposal_id=made.pk, user=operator, digest=made.digest)
    signed = proposal_approve(proposal_id=made.pk, user=supervisor, digest=made.digest)
    assert signed.state == "approved"


def test_it_settles_what_it_undid(raised: Proposal, operator: Any, supervisor: Any) -> None:
    made = proposal_rollback(proposal_id=raised.pk, user=operator)
    done = written(made, supervisor, previous={FAN: 85.0})
    rollback_settle(proposal=done)
    raised.refresh_from_db()
    assert raised.state == "rolled_back"
    effect = Effect.objects.get(proposal=raised)
    assert effect.verdict == "cannot_tell"
    assert f"undone by #{made.pk} before there was a verdict" in effect.detail
    rollback_settle(proposal=done)  # again is nothing
    assert raised.transitions.filter(to_state="rolled_back").count() == 1


def test_one_at_a_time(raised: Proposal, operator: Any, supervisor: Any) -> None:
    made = proposal_rollback(proposal_id=raised.pk, user=operator)
    with pytest.raises(ConflictError) as refused:
        proposal_rollback(proposal_id=raised.pk, user=supervisor)
    assert (refused.value.code, refused.value.extra["proposal"]) == ("already_open", made.pk)


def test_what_somebody_changed_since_is_left_alone(
    raised: Proposal, operator: Any, set_values: SetValues
) -> None:
    set_values({FAN: 90.0})
    with pytest.raises(ConflictError, match="somebody changed it since") as refused:
        proposal_rollback(proposal_id=raised.pk, user=operator)
    assert refused.value.code == "changed_since"
    assert AuditEntry.objects.filter(event="rollback.denied").count() == 1


def test_what_is_back_already_is_nothing_to_undo(
    raised: Proposal, operator: Any, set_values: SetValues
) -> None:
    set_values({FAN: 70.0})
    with pytest.raises(ConflictError, match="is 70 again already") as refused:
        proposal_rollback(proposal_id=raised.pk, user=operator)
    assert refused.value.code == "nothing_to_undo"


def test_what_was_never_written_cannot_be_undone(
    make_proposal: MakeProposal, operator: Any
) -> None:
    proposal = make_proposal()
    with pytest.raises(ConflictError, match="only what was written"):
        proposal_rollback(proposal_id=proposal.pk, user=operator)
    with pytest.raises(NotFoundError):
        proposal_rollback(proposal_id=proposal.pk + 1, user=operator)
    assert not can_roll_back(proposal)


def test_a_failed_one_offers_what_reached_the_plant(
    make_proposal: MakeProposal, operator: Any, set_values: SetValues
) -> None:
    proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    nothing = written(proposal, operator, succeed=False, states=("failed",))
    assert not can_roll_back(nothing)
    with pytest.raises(ConflictError, match="nothing to undo"):
        proposal_rollback(proposal_id=nothing.pk, user=operator)


def test_a_viewer_may_not(raised: Proposal, viewer: Any) -> None:
    with pytest.raises(NotAllowedError, match="may not make proposals"):
        proposal_rollback(proposal_id=raised.pk, user=viewer)


class TestPolicy:
    """The signed requirement says `propose`: what did not help is put up for undoing."""

    @pytest.fixture
    def failed(
        self,
        make_proposal: MakeProposal,
        operator: Any,
        set_values: SetValues,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Proposal:
        from approvals.policy.evaluate import requirement_for
        from approvals.services import proposals

        def proposing(**asked: Any) -> Any:
            from dataclasses import replace

            return replace(requirement_for(**asked), rollback="propose")

        monkeypatch.setattr(proposals, "requirement_for", proposing)
        proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        found = written(
            proposal, operator, previous={FAN: 70.0}, succeed=False, states=("applied",)
        )
        set_values({FAN: 85.0})
        return found

    def test_it_is_proposed_once(self, failed: Proposal) -> None:
        assert rollbacks_propose() == 1
        made = Proposal.objects.get(rolls_back=failed)
        assert (made.author, made.state) == ("agent", "pending")
        assert "The policy asks for it." in made.rationale
        assert rollbacks_propose() == 0
        assert rollback_by_policy(proposal_id=failed.pk, verdict="failed") is None

    def test_what_cannot_be_told_is_no_reason(self, failed: Proposal) -> None:
        assert rollback_by_policy(proposal_id=failed.pk, verdict="cannot_tell") is None
        assert rollback_by_policy(proposal_id=failed.pk, verdict="verified") is None

    def test_it_is_not_without_the_policy(self, raised: Proposal) -> None:
        Effect.objects.update(verdict="no_effect", measured_at=timezone.now())
        proposal_move(proposal_id=raised.pk, source="succeeded", target="no_effect", actor="meter")
        assert rollbacks_propose() == 0

    def test_old_ones_are_left(self, failed: Proposal) -> None:
        Proposal.objects.filter(pk=failed.pk).update(
            state_changed_at=timezone.now() - timedelta(hours=2)
        )
        assert rollbacks_propose() == 0


class TestApi:
    @pytest.mark.parametrize(
        ("name", "status"), [("viewer", 403), ("operator", 201), ("supervisor", 201)]
    )
    def test_who_may_ask(
        self,
        raised: Proposal,
        client_as: Any,
        name: str,
        status: int,
        request: pytest.FixtureRequest,
    ) -> None:
        client = client_as(request.getfixturevalue(name))
        answer = client.post(f"/api/v1/proposals/{raised.pk}/rollback")
        assert answer.status_code == status, answer.content
        if status == 201:
            assert answer.json()["rolls_back"] == raised.pk

    def test_a_stranger_may_not(self, raised: Proposal, client: Any) -> None:
        assert client.post(f"/api/v1/proposals/{raised.pk}/rollback").status_code in (401, 403)
        assert not Proposal.objects.filter(rolls_back=raised).exists()

    def test_nobody_asks_for_it_by_name(
        self, raised: Proposal, client_as: Any, operator: Any
    ) -> None:
        body = {
            "kind": "roll_back",
            "target": "crac-1",
            "params": {"of": raised.pk, "writes": [{"tag": FAN, "value": 20.0, "from": 85.0}]},
            "rationale": "forged",
        }
        answer = client_as(operator).post(
            "/api/v1/proposals/", body, content_type="application/json"
        )
        assert answer.status_code == 400, answer.content
        names = {a["name"] for a in client_as(operator).get("/api/v1/actions/").json()}
        assert "roll_back" not in names

    def test_the_page_offers_the_button(
        self, raised: Proposal, client_as: Any, operator: Any, viewer: Any
    ) -> None:
        url = f"/approvals/{raised.pk}/"
        assert "data-roll-back" in client_as(operator).get(url).content.decode()
        assert "data-roll-back>" not in client_as(viewer).get(url).content.decode()


writes = st.lists(
    st.tuples(
        st.sampled_from(["a.x", "b.x", "c.x"]),
        st.floats(0, 100).map(lambda v: round(v, 1)),
        st.one_of(st.none(), st.floats(0, 100).map(lambda v: round(v, 1))),
        st.sampled_from(["applied", "planned", "failed"]),
    ),
    max_size=8,
)


@given(rows=writes)
def test_undoing_brings_back_what_was_there_before_the_first_write(rows: Any) -> None:
    """Replaying the writes and then the undoing leaves every undone point as it began."""
    executed = [
        {"tag": tag, "value": value, "previous": previous, "state": state}
        for tag, value, previous, state in rows
    ]
    proposal = Proposal(expected_effect={})
    proposal.execution = Execution(writes=executed)
    undoing = undoing_of(proposal, {})
    applied = [row for row in executed if row["state"] == "applied"]
    touched = {row["tag"] for row in applied}
    for undo in undoing.writes:
        mine = [row for row in applied if row["tag"] == undo.tag]
        assert (undo.value, undo.written) == (mine[0]["previous"], mine[-1]["value"])
    assert {undo.tag for undo in undoing.writes} <= touched
    assert len({undo.tag for undo in undoing.writes}) == len(undoing.writes)
