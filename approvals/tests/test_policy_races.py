"""Limits and versions hold when many try at once, on a real database with real threads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from approvals.canonical import digest_of
from approvals.errors import ConflictError
from approvals.models import Decision, Execution, PolicyVersion, Proposal
from approvals.policy.default import DOCUMENT
from approvals.policy.evaluate import denials, subject_of_proposal
from approvals.services.policy import policy_change
from approvals.services.transitions import proposal_move
from approvals.tests.conftest import MakeProposal

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 6


def at_once(work: Callable[[int], Any], number: int) -> list[Any]:
    """Run `work(0..number)` in threads that start together."""
    gate = Barrier(number)

    def one(index: int) -> Any:
        try:
            gate.wait(10)
            return work(index)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def test_it_lets_no_more_through_than_the_limit_when_all_claim_at_once(
    make_proposal: MakeProposal, operator: Any
) -> None:
    doc = copy.deepcopy(DOCUMENT)
    doc["rules"].append({"name": "two an hour", "limits": {"per_hour": 2}})
    PolicyVersion.objects.create(
        number=2, document=doc, digest=digest_of(doc), made_at=timezone.now()
    )
    asked = [
        make_proposal("set_fan_speed", target, {"fan_speed_pct": 85.0})
        for target in ("crac-1", "crac-3")
    ]
    asked += [
        make_proposal("set_supply_setpoint", target, {"supply_c": 17.0})
        for target in ("crac-1", "crac-3")
    ]
    asked.append(make_proposal())
    for proposal in asked:
        Decision.objects.create(
            proposal=proposal,
            user=operator,
            verdict="approve",
            digest=proposal.digest,
            role="operator",
            at=timezone.now(),
        )
        proposal_move(proposal_id=proposal.pk, source="pending", target="approved", user=operator)

    def claim(index: int) -> bool:
        with transaction.atomic():
            proposal = Proposal.objects.select_for_update(no_key=True).get(pk=asked[index].pk)
            subject = subject_of_proposal(proposal)
            if denials(subject=subject, at=timezone.now(), step="execute"):
                return False
            proposal_move(proposal_id=proposal.pk, source="approved", target="executing")
            Execution.objects.create(
                proposal=proposal,
                idempotency_key=f"race-{proposal.pk}",
                digest=proposal.digest,
                writes=[{**write, "state": "planned"} for write in proposal.writes],
                started_at=timezone.now(),
            )
            return True

    assert at_once(claim, len(asked)).count(True) == 2
    assert Execution.objects.count() == 2


def test_it_makes_one_version_of_many_changes_at_once(
    demo_facility: None, operator: Any, supervisor: Any
) -> None:
    def change(index: int) -> str:
        doc = copy.deepcopy(DOCUMENT)
        doc["rules"].append({"name": f"rule {index}", "limits": {"per_hour": 60 + index}})
        try:
            policy_change(
                user=supervisor,
                document=doc,
                note="at once",
                base_number=1,
                password="correct-horse-battery",
            )
        except ConflictError as error:
            return error.code
        return "made"

    answers = at_once(change, THREADS)
    assert sorted(answers) == ["made"] + ["policy_changed"] * (THREADS - 1)
    assert list(PolicyVersion.objects.values_list("number", flat=True)) == [2, 1]


def test_it_has_the_shipped_policy_in_an_emptied_database(supervisor: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE approvals_policyversion CASCADE")
    doc = copy.deepcopy(DOCUMENT)
    doc["rules"][1]["require"]["reason"] = True
    policy_change(
        user=supervisor,
        document=doc,
        note="first change",
        base_number=1,
        password="correct-horse-battery",
    )
    assert list(PolicyVersion.objects.values_list("number", flat=True)) == [2, 1]
