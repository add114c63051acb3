"""No way between states but the legal ones, in Python and in SQL."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.errors import ConflictError
from approvals.models import AuditEntry, Decision, Proposal, ProposalTransition
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
@given(wishes=st.lists(st.integers(0, 3 * len(STATES)), min_size=1, max_size=10))
def test_it_moves_along_legal_pairs_only_whatever_is_asked(
    make_proposal: MakeProposal, operator: Any, wishes: list[int]
) -> None:
    """Any state is asked for, and every other time one that is legal, so that all are reached."""
    with transaction.atomic():
        proposal = make_proposal()
        for number in wishes:
            row = Proposal.objects.get(pk=proposal.pk)
            state = row.state
            after = sorted(target for source, target in LEGAL_TRANSITIONS if source == state)
            wish = (
                after[number % len(after)] if number % 2 and after else STATES[number % len(STATES)]
            )
            signed = row.decisions.filter(round=row.round).exists()
            if state == "pending" and not signed and number % 3:
                sign(row, operator)
                signed = True
            legal = (state, wish) in LEGAL_TRANSITIONS and (wish != "approved" or signed)
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


def sign(proposal: Proposal, user: Any, **changes: Any) -> Decision:
    """A signature as a row, past every rule of Python's."""
    facts = {"digest": proposal.digest, "round": proposal.round, "role": "operator", **changes}
    return Decision.objects.create(
        proposal=proposal, user_id=user.pk, verdict="approve", at=timezone.now(), **facts
    )


def raw_sign(sql: Any, proposal: Proposal, user: Any, **changes: Any) -> None:
    facts = {
        "proposal_id": proposal.pk, "user_id": user.pk, "verdict": "approve", "reason": "",
        "digest": proposal.digest, "round": proposal.round, "role": "operator",
        "reauthenticated": "", "is_break_glass": False, "at": timezone.now(), **changes,
    }  # fmt: skip
    marks = ", ".join(["%s"] * len(facts))
    sql(f"INSERT INTO approvals_decision ({', '.join(facts)}) VALUES ({marks})", *facts.values())


ILLEGAL_FROM_PENDING = sorted(
    state for state in STATES if ("pending", state) not in LEGAL_TRANSITIONS and state != "pending"
)


@pytest.mark.parametrize("target", ILLEGAL_FROM_PENDING)
def test_it_refuses_an_illegal_state_by_raw_sql(
    make_proposal: MakeProposal, sql: Any, target: str
) -> None:
    proposal = make_proposal()
    with pytest.raises(IntegrityError, match="cannot go from pending"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = %s WHERE id = %s", target, proposal.pk)


def test_it_refuses_a_legal_state_without_its_transition_row(
    make_proposal: MakeProposal, sql: Any
) -> None:
    proposal = make_proposal()
    with pytest.raises(IntegrityError, match="newest transition row"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = 'rejected' WHERE id = %s", proposal.pk)
        sql("SET CONSTRAINTS ALL IMMEDIATE")


HIGH = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
PROVEN = {"reason": "row 1 is hot", "reauthenticated": "password"}


@pytest.mark.parametrize(
    ("second", "enough"),
    [
        (None, False),
        ({**PROVEN, "role": "operator"}, False),  # two people of one role
        ({**PROVEN, "role": "viewer"}, False),
        ({**PROVEN, "role": ""}, False),
        ({"role": "supervisor", "reauthenticated": "password"}, False),  # no reason
        ({"role": "supervisor", "reason": "row 1 is hot"}, False),  # no proof of identity
        ({**PROVEN, "role": "supervisor"}, True),
    ],
)
def test_it_approves_by_raw_sql_only_what_has_the_signatures_it_asks_for(
    make_proposal: MakeProposal, sql: Any, operator: Any, supervisor: Any, second: Any, enough: bool
) -> None:
    proposal = make_proposal(*HIGH)
    raw_sign(sql, proposal, operator, **PROVEN)
    if second is not None:
        raw_sign(sql, proposal, supervisor, **second)
    if enough:
        proposal_move(proposal_id=proposal.pk, source="pending", target="approved")
        return
    update = "UPDATE approvals_proposal SET state = 'approved' WHERE id = %s"
    with pytest.raises(IntegrityError, match="has not the signatures"), transaction.atomic():
        sql(update, proposal.pk)


def test_it_wants_the_row_to_be_reviewed_with_an_emergency(
    make_proposal: MakeProposal, sql: Any, supervisor: Any
) -> None:
    proposal = make_proposal(*HIGH)
    with pytest.raises(IntegrityError, match="no row to be reviewed"), transaction.atomic():
        raw_sign(sql, proposal, supervisor, role="supervisor", is_break_glass=True)
        sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_it_voids_signatures_when_a_proposal_comes_back(
    make_proposal: MakeProposal, sql: Any, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    sign(proposal, operator)
    proposal_move(proposal_id=proposal.pk, source="pending", target="approved")
    proposal_move(proposal_id=proposal.pk, source="approved", target="pending")
    proposal.refresh_from_db()
    assert (proposal.round, proposal.execute_before) == (2, None)
    with pytest.raises(IntegrityError, match="has not the signatures"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = 'approved' WHERE id = %s", proposal.pk)
    with pytest.raises(IntegrityError, match="is for round 1"), transaction.atomic():
        raw_sign(sql, proposal, supervisor, round=1)
    sign(proposal, operator)  # the same person may sign the new round
    proposal_move(proposal_id=proposal.pk, source="pending", target="approved")


def test_it_decides_only_while_pending(
    make_proposal: MakeProposal, sql: Any, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    sign(proposal, operator)
    proposal_move(proposal_id=proposal.pk, source="pending", target="approved")
    with pytest.raises(IntegrityError, match="only a pending proposal"), transaction.atomic():
        raw_sign(sql, proposal, supervisor)


def test_it_refuses_a_proposal_that_is_born_approved(make_proposal: MakeProposal, sql: Any) -> None:
    proposal = make_proposal()
    fields = Proposal._meta.concrete_fields
    columns = [f'"{f.column}"' for f in fields if f.column not in ("id", "state")]
    names = ", ".join(columns)
    with pytest.raises(IntegrityError, match="starts as draft"), transaction.atomic():
        sql(
            f"INSERT INTO approvals_proposal ({names}, state) "
            f"SELECT {names.replace(chr(34) + 'target' + chr(34), chr(39) + 'crac-9' + chr(39), 1)}, 'approved' "
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
    with pytest.raises(IntegrityError, match="has not the signatures"), transaction.atomic():
        proposal_move(proposal_id=proposal.pk, source="pending", target="approved")
    # Even with the guard of the proposal switched off, the execution's own guard asks again.
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("ALTER TABLE approvals_proposal DISABLE TRIGGER USER")
    sql("UPDATE approvals_proposal SET state = 'executing' WHERE id = %s", proposal.pk)
    with pytest.raises(IntegrityError, match="no approval for digest"), transaction.atomic():
        insert()


def test_it_refuses_a_decision_for_another_digest_or_by_the_requester(
    make_proposal: MakeProposal, operator: Any, sql: Any
) -> None:
    proposal = make_proposal(requested_by=operator)
    with pytest.raises(IntegrityError, match="carries digest"), transaction.atomic():
        raw_sign(sql, proposal, operator, digest="f" * 64)
    with pytest.raises(IntegrityError, match="cannot approve it"), transaction.atomic():
        raw_sign(sql, proposal, operator)


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
    assert [e for (e,) in events.order_by("seq")] == [
        "proposal.created",
        "proposal.simulated",
        "proposal.pending",
    ]


def test_it_rolls_back_without_a_trace(make_proposal: MakeProposal) -> None:
    before = AuditEntry.objects.count()
    with pytest.raises(RuntimeError), transaction.atomic():
        make_proposal()
        raise RuntimeError
    assert AuditEntry.objects.count() == before
    assert connection.in_atomic_block
