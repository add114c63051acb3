"""The state machine attacked through REST by many at the same moment, on real connections."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.test import Client

from approvals.audit import audit_verify
from approvals.models import Decision, Execution, Proposal
from approvals.outside.access import agent_issue
from approvals.tests.attack_kit import HIGH, Answer, SignIn, approve, at_once, path_of, post
from approvals.tests.conftest import MakeProposal


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_it_lets_one_signature_in_where_one_is_asked_for(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal()
        clients = [client_as(user) for user in (operator, supervisor) * 3]
        answers = at_once(*(lambda c=c: approve(c, proposal, password="") for c in clients))
        assert Counter(a.status for a in answers) == {200: 1, 409: 5}
        assert Decision.objects.count() == 1 and path_of(proposal) == ["approved"]

    def test_it_never_makes_two_of_one_persons_two_clicks(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        clients = [client_as(operator) for _ in range(4)]
        answers = at_once(*(lambda c=c: approve(c, proposal) for c in clients))
        assert Counter(a.code for a in answers) == {"": 1, "already_signed": 3}
        assert Decision.objects.count() == 1 and path_of(proposal) == []

    def test_it_approves_once_when_both_sign_at_once(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        clients = [client_as(operator), client_as(supervisor)]
        answers = at_once(*(lambda c=c: approve(c, proposal) for c in clients))
        assert [a.status for a in answers] == [200, 200]
        assert Decision.objects.count() == 2 and path_of(proposal) == ["approved"]
        assert audit_verify().ok

    def test_it_takes_two_roles_whoever_comes_first(
        self, make_proposal: MakeProposal, client_as: SignIn, person: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        people = [person("operator", f"operator-{n}") for n in range(3)]
        clients = [client_as(user) for user in (*people, supervisor)]
        at_once(*(lambda c=c: approve(c, proposal) for c in clients))
        roles = sorted(Decision.objects.values_list("role", flat=True))
        assert roles == ["operator", "supervisor"] and path_of(proposal) == ["approved"]

    def test_it_ends_once_whatever_is_asked_at_once(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        one, two, three = client_as(operator), client_as(supervisor), client_as(operator)
        at = f"proposals/{proposal.pk}"
        change = {"digest": proposal.digest, "params": {"fan_speed_pct": 95}}
        answers = at_once(
            lambda: approve(one, proposal, password=""),
            lambda: post(two, f"{at}/reject", {"reason": "no"}),
            lambda: post(three, f"{at}/revise", change),
        )
        assert Counter(a.status >= 400 for a in answers) == {False: 1, True: 2}
        assert len(path_of(proposal)) == 1

    def test_it_leaves_nothing_to_execute_when_all_was_refused(
        self, make_proposal: MakeProposal, client_as: SignIn, viewer: Any, operator: Any
    ) -> None:
        proposal = make_proposal(requested_by=operator)
        clients = [client_as(user) for user in (viewer, operator, viewer, operator)]
        answers = at_once(*(lambda c=c: approve(c, proposal) for c in clients))
        assert {a.status for a in answers} == {403}
        assert not Decision.objects.exists() and not Execution.objects.exists()

    def test_it_gives_an_agent_its_share_and_no_more(self, set_values: Any) -> None:
        set_values({})
        token = agent_issue(name="scout", proposals_per_hour=1).token
        wish = {"kind": "set_fan_speed", "params": {"fan_speed_pct": 85.0}, "rationale": "hot"}

        def ask(tag: str) -> Answer:
            client = Client(headers={"Authorization": f"Bearer {token}"})
            return post(client, "proposals/", {**wish, "target": tag})

        answers = at_once(*(lambda tag=f"crac-{n}": ask(tag) for n in (1, 2, 3)))
        assert Counter(a.status for a in answers) == {201: 1, 429: 2}
        assert Proposal.objects.count() == 1
