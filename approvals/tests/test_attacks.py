"""The state machine attacked through REST: as every role, a stranger and an agent, many at once.

Each attack ends with the same question: what do the rows of decisions and transitions say?
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from approvals.audit import audit_verify
from approvals.models import AuditEntry, ChangeWindow, Decision, Execution, Proposal
from approvals.outside.access import agent_issue
from approvals.services import proposal_expire_due, proposal_move
from approvals.tests.conftest import PASSWORD, MakeProposal
from ops_platform.roles import assign_role

SignIn = Callable[[Any], Client]
HIGH = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
FULL = {"reason": "row 1 is hot", "password": PASSWORD}


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


def post(client: Client, path: str, body: Any) -> Answer:
    answer = client.post(f"/api/v1/{path}", json.dumps(body), content_type="application/json")
    return Answer(answer.status_code, answer.json())


def approve(client: Client, proposal: Proposal, **body: Any) -> Answer:
    return post(
        client, f"proposals/{proposal.pk}/approve", {"digest": proposal.digest, **FULL, **body}
    )


def path_of(proposal: Proposal) -> list[str]:
    """The states it went through, by its transition rows; they and the field agree."""
    moves = list(proposal.transitions.order_by("id").values_list("from_state", "to_state"))
    path = ["draft", *(target for _, target in moves)]
    assert [source for source, _ in moves] == path[:-1]
    assert Proposal.objects.get(pk=proposal.pk).state == path[-1]
    return path[3:]


def at_once(*acts: Callable[[], Answer]) -> list[Answer]:
    """Everything at the same moment, each on a connection of its own."""
    start, answers, errors = threading.Barrier(len(acts)), [], []

    def run(act: Callable[[], Answer]) -> None:
        try:
            start.wait(30)
            answers.append(act())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(answers) == len(acts)
    return answers


@pytest.fixture
def agent_client(db: None) -> Client:
    return Client(headers={"Authorization": f"Bearer {agent_issue(name='scout').token}"})


@pytest.mark.django_db
class TestWho:
    @pytest.mark.parametrize("verb", ["approve", "reject", "revise", "stop"])
    def test_it_refuses_strangers_viewers_and_agents(
        self,
        make_proposal: MakeProposal,
        client_as: SignIn,
        viewer: Any,
        agent_client: Client,
        verb: str,
    ) -> None:
        proposal = make_proposal()
        body = {**FULL, "digest": proposal.digest, "params": {}, "break_glass": True}
        for client in (Client(), client_as(viewer), agent_client):
            assert post(client, f"proposals/{proposal.pk}/{verb}", body).status in (401, 403)
        assert path_of(proposal) == [] and not Decision.objects.exists()

    def test_it_refuses_a_request_from_another_site(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal()
        client = Client(enforce_csrf_checks=True)
        client.force_login(operator)
        for verb in ("approve", "reject", "revise"):
            sent = post(client, f"proposals/{proposal.pk}/{verb}", {"digest": proposal.digest})
            assert sent.status == 403
        assert path_of(proposal) == []

    def test_it_refuses_the_requester_in_every_way(
        self, make_proposal: MakeProposal, client_as: SignIn, supervisor: Any
    ) -> None:
        proposal = make_proposal(*HIGH, requested_by=supervisor)
        client = client_as(supervisor)
        for body in ({}, {"break_glass": True, "reason": "Row 1 burns and nobody answers."}):
            assert approve(client, proposal, **body).code == "own_proposal"
        made = post(
            client,
            f"proposals/{proposal.pk}/revise",
            {**FULL, "digest": proposal.digest, "params": {"load_cap_pct": 71}, "approve": True},
        )
        assert (made.status, made.body["state"]) == (201, "pending")
        revision = Proposal.objects.get(pk=made.body["id"])
        assert approve(client, revision).code == "own_proposal"
        assert not Decision.objects.exists()

    def test_it_refuses_the_requester_at_the_database_too(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        proposal = make_proposal(requested_by=operator)
        with pytest.raises(IntegrityError, match="cannot approve it"), transaction.atomic():
            Decision.objects.create(
                proposal=proposal, user=operator, verdict="approve", digest=proposal.digest,
                role="operator", at=timezone.now(),
            )  # fmt: skip

    def test_it_takes_no_second_signature_of_one_person_under_another_role(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        assert approve(client_as(operator), proposal).body["state"] == "pending"
        assign_role(operator, "supervisor")
        again = approve(client_as(operator), proposal)
        assert (again.status, again.code) == (409, "already_signed")
        glass = approve(
            client_as(operator), proposal, break_glass=True, reason="I was promoted just now, so."
        )
        assert glass.code == "already_signed"
        assert Decision.objects.count() == 1 and path_of(proposal) == []

    def test_it_does_not_count_somebody_who_was_switched_off_since(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        approve(client_as(operator), proposal)
        operator.is_active = False
        operator.save()
        assert approve(client_as(supervisor), proposal).body["state"] == "pending"
        assert approve(client_as(operator), proposal).status in (401, 403)


@pytest.mark.django_db
class TestWhat:
    @pytest.mark.parametrize("forged", ["", "0" * 64, "other", "upper", "sql"])
    def test_it_refuses_a_forged_digest(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, forged: str
    ) -> None:
        proposal = make_proposal()
        other = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        digest = {
            "other": other.digest,
            "upper": proposal.digest.upper(),
            "sql": "' OR digest <> '",
        }.get(forged, forged)
        said = approve(client_as(operator), proposal, digest=digest)
        assert said.code in ("digest_mismatch", "invalid")
        assert path_of(proposal) == [] and not Decision.objects.exists()

    @pytest.mark.parametrize(
        "column",
        ["writes", "params", "steps", "blast_radius", "requirement", '"case"', "prediction"],
    )
    def test_it_refuses_an_edited_payload_at_the_database(
        self, make_proposal: MakeProposal, sql: Any, column: str
    ) -> None:
        proposal = make_proposal()
        with pytest.raises(IntegrityError, match="cannot change"), transaction.atomic():
            sql(
                f"UPDATE approvals_proposal SET {column} = '[{{}}]' WHERE id = %s",
                proposal.pk,
            )

    def test_it_refuses_a_payload_that_was_edited_past_the_triggers(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, sql: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("ALTER TABLE approvals_proposal DISABLE TRIGGER USER")
        sql(
            "UPDATE approvals_proposal SET requirement = requirement || '{\"signatures\": 1}'"
            " WHERE id = %s",
            proposal.pk,
        )
        sql("ALTER TABLE approvals_proposal ENABLE TRIGGER USER")
        assert approve(client_as(operator), proposal).code == "payload_altered"

    def test_it_refuses_to_sign_what_was_replaced(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        body = {"digest": proposal.digest, "params": {"fan_speed_pct": 95}}
        made = post(client_as(operator), f"proposals/{proposal.pk}/revise", body).body
        said = approve(client_as(supervisor), proposal)
        assert (said.code, said.body["revision"]) == ("superseded", made["id"])
        with_old = post(
            client_as(supervisor), f"proposals/{made['id']}/approve", {"digest": proposal.digest}
        )
        assert with_old.code == "digest_mismatch"

    @pytest.mark.parametrize(
        "body",
        [
            [], "x", 1, {}, {"digest": None}, {"digest": {"$ne": ""}}, {"digest": ["a"]},
            {"digest": "x" * 200}, {"digest": "a\x00b"}, {"digest": "a", "reason": "\ud800"},
            {"digest": "a", "reason": "x" * 5000}, {"digest": "a", "break_glass": "maybe"},
        ],
    )  # fmt: skip
    def test_it_answers_malformed_bodies_with_a_sentence(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, body: Any
    ) -> None:
        proposal = make_proposal()
        said = post(client_as(operator), f"proposals/{proposal.pk}/approve", body)
        assert said.status in (400, 409) and {"code", "detail"} <= set(said.body)
        assert path_of(proposal) == []

    @pytest.mark.parametrize("value", ["a\x00b", "\ud800", 10**400, [[[]]], None, True])
    def test_it_takes_any_nonsense_as_parameters(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, value: Any
    ) -> None:
        proposal = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        ask = {"kind": "set_fan_speed", "target": "crac-3", "rationale": "x"}
        for path, body in (
            (f"proposals/{proposal.pk}/revise", {"digest": proposal.digest}),
            ("proposals/", ask),
        ):
            said = post(client_as(operator), path, {**body, "params": {"fan_speed_pct": value}})
            assert said.status == 400, said
        assert Proposal.objects.count() == 1 and path_of(proposal) == []


@pytest.mark.django_db
class TestWhen:
    def test_it_refuses_after_expiry_also_when_the_row_still_waits(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, settings: Any, sql: Any
    ) -> None:
        settings.PROPOSAL_TTL_S = -1
        proposal = make_proposal()
        assert approve(client_as(operator), proposal).code == "expired"
        with pytest.raises(IntegrityError), transaction.atomic():
            Decision.objects.create(
                proposal=proposal, user=operator, verdict="approve", digest=proposal.digest,
                role="operator", at=timezone.now(),
            )  # fmt: skip
            sql("UPDATE approvals_proposal SET state = 'approved' WHERE id = %s", proposal.pk)
        assert proposal_expire_due() == 1
        assert approve(client_as(operator), proposal).code == "expired"
        assert path_of(proposal) == ["expired"]

    def test_it_refuses_during_a_freeze_and_says_until_when(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, admin: Any
    ) -> None:
        proposal, now = make_proposal(), timezone.now()
        ChangeWindow.objects.create(
            name="Quarter end", kind="freeze", starts_at=now - timedelta(minutes=1),
            ends_at=now + timedelta(hours=3), reason="closing", made_by=admin, made_at=now,
        )  # fmt: skip
        said = approve(client_as(operator), proposal)
        assert (said.status, said.code) == (409, "denied")
        assert "Quarter end" in said.body["detail"] and said.body["until"]
        glass = approve(
            client_as(operator), proposal, break_glass=True, reason="But I really need to do this."
        )
        assert glass.code == "not_allowed"
        rejected = post(
            client_as(operator), f"proposals/{proposal.pk}/reject", {"reason": "frozen"}
        )
        assert rejected.status == 200, "saying no is always possible"

    def test_it_refuses_the_same_request_sent_again(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        proposal, client = make_proposal(*HIGH), client_as(operator)
        assert approve(client, proposal).status == 200
        assert approve(client, proposal).code == "already_signed"
        assert approve(client_as(supervisor), proposal).body["state"] == "approved"
        for again in (approve(client, proposal), approve(client_as(supervisor), proposal)):
            assert again.code == "already_decided"
        assert Decision.objects.count() == 2 and path_of(proposal) == ["approved"]

    @pytest.mark.parametrize("ended", ["rejected", "expired", "superseded"])
    def test_it_never_comes_back_from_an_end(
        self,
        make_proposal: MakeProposal,
        client_as: SignIn,
        operator: Any,
        sql: Any,
        ended: str,
    ) -> None:
        proposal = make_proposal()
        proposal_move(proposal_id=proposal.pk, source="pending", target=ended)
        assert approve(client_as(operator), proposal).status == 409
        with pytest.raises(IntegrityError, match="cannot go from"), transaction.atomic():
            sql("UPDATE approvals_proposal SET state = 'pending' WHERE id = %s", proposal.pk)
        assert path_of(proposal) == [ended]


@pytest.mark.django_db
class TestTrail:
    def test_it_moves_nothing_that_it_cannot_record(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, sql: Any
    ) -> None:
        """Fail closed: without an audit entry there is no decision and no move."""
        proposal, client = make_proposal(), client_as(operator)
        sql(
            "CREATE FUNCTION pg_temp.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'disk full'; END $$"
        )
        sql(
            "CREATE TRIGGER full_disk BEFORE INSERT ON approvals_auditentry FOR EACH ROW "
            "WHEN (starts_with(NEW.event, 'decision.')) EXECUTE FUNCTION pg_temp.full()"
        )
        with pytest.raises(DatabaseError, match="disk full"), transaction.atomic():
            approve(client, proposal)
        sql("DROP TRIGGER full_disk ON approvals_auditentry")
        assert path_of(proposal) == [] and not Decision.objects.exists()

    def test_it_records_every_refusal(
        self, make_proposal: MakeProposal, client_as: SignIn, viewer: Any, operator: Any
    ) -> None:
        proposal = make_proposal(*HIGH)
        approve(client_as(viewer), proposal)
        approve(client_as(operator), proposal, digest="0" * 64)
        approve(client_as(operator), proposal, reason="")
        approve(client_as(operator), proposal, password="")
        approve(client_as(operator), proposal, password="guess")
        found = AuditEntry.objects.filter(event="decision.denied").order_by("seq")
        assert [(e.actor, e.payload["code"]) for e in found] == [
            ("viewer", "not_allowed"),
            ("operator", "digest_mismatch"),
            ("operator", "reason_required"),
            ("operator", "reauthentication_required"),
            ("operator", "reauthentication_failed"),
        ]
        assert "guess" not in json.dumps([e.content() for e in AuditEntry.objects.all()])
        assert audit_verify().ok


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
