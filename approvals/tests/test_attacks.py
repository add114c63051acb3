"""The state machine attacked through REST: as every role, a stranger and an agent. (Many at once:
`test_attacks_at_once.py`.)

Each attack ends with the same question: what do the rows of decisions and transitions say?
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from approvals.audit import audit_verify
from approvals.models import AuditEntry, ChangeWindow, Decision, Proposal
from approvals.outside.access import agent_issue
from approvals.services import proposal_expire_due, proposal_move
from approvals.tests.attack_kit import FULL, HIGH, SignIn, approve, path_of, post
from approvals.tests.conftest import MakeProposal
from ops_platform.roles import assign_role


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
