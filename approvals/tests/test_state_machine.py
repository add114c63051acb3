"""No way between states but the legal ones, in Python and in SQL."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.errors import ConflictError
from approvals.models import AuditEntry, Proposal, ProposalTransition
from approvals.services import proposal_move
from approvals.states import LEGAL_TRANSITIONS, OPEN_STATES, ProposalState
from approvals.tests.conftest import MakeProposal

STATES = ProposalState.values

pytestmark = pytest.mark.django_db


def test_it_has_the_same_legal_pairs_in_python_and_in_the_database(sql: Any) -> None:
    for source in STATES:
        for target in STATES:
            legal = sql("SELECT approvals_legal_transition(%s, %s)", source, target)[0][0]
            assert legal == ((source, target) in LEGAL_TRANSITIONS), f"{source} → {target}"


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wishes=st.lists(st.sampled_from(STATES), min_size=1, max_size=6))
def test_it_moves_along_legal_pairs_only_whatever_is_asked(
    make_proposal: MakeProposal, wishes: list[str]
) -> None:
    with transaction.atomic():
        proposal = make_proposal()
        for wish in wishes:
            state = Proposal.objects.get(pk=proposal.pk).state
            legal = (state, wish) in LEGAL_TRANSITIONS
            try:
                with transaction.atomic():
                    proposal_move(proposal_id=proposal.pk, source=state, target=wish)
                assert legal, f"{state} → {wish} was accepted"
            except (IntegrityError, ConflictError):
                assert not legal, f"{state} → {wish} was refused"
        path = list(
            ProposalTransition.objects.filter(proposal=proposal).values_list(
                "from_state", "to_state"
            )
        )
        assert all(step in LEGAL_TRANSITIONS for step in path)
        assert all(before[1] == after[0] for before, after in pairwise(path))
        assert Proposal.objects.get(pk=proposal.pk).state == path[-1][1]
        transaction.set_rollback(True)


@pytest.mark.parametrize("target", sorted(set(STATES) - {"approved", "rejected", "expired"}))
def test_it_refuses_an_illegal_state_by_raw_sql(
    make_proposal: MakeProposal, sql: Any, target: str
) -> None:
    proposal = make_proposal()
    if target == "pending":
        return  # not a change
    with pytest.raises(IntegrityError, match="cannot go from pending"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = %s WHERE id = %s", target, proposal.pk)


def test_it_refuses_a_legal_state_without_its_transition_row(
    make_proposal: MakeProposal, sql: Any
) -> None:
    proposal = make_proposal()
    with pytest.raises(IntegrityError, match="newest transition row"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = 'approved' WHERE id = %s", proposal.pk)
        sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_it_refuses_a_proposal_that_is_born_approved(make_proposal: MakeProposal, sql: Any) -> None:
    proposal = make_proposal()
    fields = Proposal._meta.concrete_fields
    columns = [str(f.column) for f in fields if f.column not in ("id", "state")]
    names = ", ".join(columns)
    with pytest.raises(IntegrityError, match="starts as draft"), transaction.atomic():
        sql(
            f"INSERT INTO approvals_proposal ({names}, state) "
            f"SELECT {names.replace('target', chr(39) + 'crac-9' + chr(39), 1)}, 'approved' "
            "FROM approvals_proposal WHERE id = %s",
            proposal.pk,
        )


@pytest.mark.parametrize(
    "change",
    [
        "params = '{\"fan_speed_pct\": 100}'",
        "writes = '[]'",
        "target = 'crac-3'",
        "risk = 'low'",
        "digest = repeat('a', 64)",
        "expires_at = expires_at + interval '1 day'",
        "rationale = 'because'",
    ],
)
def test_it_refuses_to_change_the_payload_by_raw_sql(
    make_proposal: MakeProposal, sql: Any, change: str
) -> None:
    proposal = make_proposal()
    with pytest.raises(IntegrityError, match="payload"), transaction.atomic():
        sql(f"UPDATE approvals_proposal SET {change} WHERE id = %s", proposal.pk)


@pytest.mark.parametrize("table", ["approvals_proposal", "approvals_proposaltransition"])
def test_it_refuses_to_delete_evidence(make_proposal: MakeProposal, sql: Any, table: str) -> None:
    make_proposal()
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(f"DELETE FROM {table}")


def test_it_refuses_an_execution_without_a_signature(make_proposal: MakeProposal, sql: Any) -> None:
    proposal = make_proposal()

    def insert() -> None:
        sql(
            "INSERT INTO approvals_execution (proposal_id, idempotency_key, digest, preconditions,"
            " writes, started_at, outcome, detail) VALUES (%s, 'forged', %s, '[]', '[]', now(),"
            " '', '')",
            proposal.pk,
            proposal.digest,
        )

    with pytest.raises(IntegrityError, match="only an executing proposal"), transaction.atomic():
        insert()
    for source, target in (("pending", "approved"), ("approved", "executing")):
        proposal_move(proposal_id=proposal.pk, source=source, target=target)
    with pytest.raises(IntegrityError, match="no approval for digest"), transaction.atomic():
        insert()


def test_it_refuses_a_decision_for_another_digest_or_by_the_requester(
    make_proposal: MakeProposal, operator: Any, sql: Any
) -> None:
    proposal = make_proposal(requested_by=operator)

    def decide(digest: str) -> None:
        sql(
            "INSERT INTO approvals_decision (proposal_id, user_id, verdict, reason, digest, at) "
            "VALUES (%s, %s, 'approve', '', %s, now())",
            proposal.pk,
            operator.pk,
            digest,
        )

    with pytest.raises(IntegrityError, match="carries digest"), transaction.atomic():
        decide("f" * 64)
    with pytest.raises(IntegrityError, match="cannot approve it"), transaction.atomic():
        decide(proposal.digest)


def test_it_keeps_one_open_proposal_per_kind_and_target(make_proposal: MakeProposal) -> None:
    first = make_proposal()
    with pytest.raises(ConflictError) as refused:
        make_proposal()
    assert refused.value.code == "already_open"
    assert refused.value.extra["proposal"] == first.pk
    assert Proposal.objects.filter(state__in=OPEN_STATES).count() == 1


def test_it_writes_every_move_to_the_trail(make_proposal: MakeProposal) -> None:
    proposal = make_proposal()
    events = AuditEntry.objects.filter(object=f"proposal:{proposal.pk}").values_list("event")
    assert [e for (e,) in events.order_by("seq")] == ["proposal.created", "proposal.pending"]


def test_it_rolls_back_without_a_trace(make_proposal: MakeProposal) -> None:
    before = AuditEntry.objects.count()
    with pytest.raises(RuntimeError), transaction.atomic():
        make_proposal()
        raise RuntimeError
    assert AuditEntry.objects.count() == before
    assert connection.in_atomic_block
