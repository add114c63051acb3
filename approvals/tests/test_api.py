"""REST as every role and as a stranger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from approvals.models import AuditEntry, Proposal
from approvals.tests.conftest import MakeProposal, SetValues

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
READS = ["/api/v1/proposals/", "/api/v1/actions/", "/api/v1/audit/", "/api/v1/audit/verify"]
ASK = {
    "kind": "set_fan_speed",
    "target": "crac-1",
    "params": {"fan_speed_pct": 85},
    "rationale": "row 1 is warm",
}


def _post(client: Client, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = client.post(path, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


@pytest.mark.parametrize("path", READS)
def test_it_lets_every_role_read(
    path: str,
    make_proposal: MakeProposal,
    client_as: SignIn,
    viewer: Any,
    operator: Any,
    supervisor: Any,
    admin: Any,
) -> None:
    make_proposal()
    for person in (viewer, operator, supervisor, admin):
        assert client_as(person).get(path).status_code == 200


@pytest.mark.parametrize("path", [*READS, "/api/v1/proposals/1/"])
def test_it_refuses_a_stranger(path: str, db: None) -> None:
    answer = Client().get(path)
    assert answer.status_code in (401, 403)
    assert set(answer.json()) == {"code", "detail"}


@pytest.mark.parametrize("verb", ["", "1/approve", "1/reject"])
def test_it_refuses_a_strangers_wish(verb: str, db: None) -> None:
    status, body = _post(Client(), f"/api/v1/proposals/{verb}", {"digest": "x", "reason": "y"})
    assert status in (401, 403)
    assert set(body) == {"code", "detail"}


def test_it_needs_the_csrf_token(make_proposal: MakeProposal, operator: Any) -> None:
    proposal = make_proposal()
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    body = {"digest": proposal.digest}
    status, _ = _post(client, f"/api/v1/proposals/{proposal.pk}/approve", body)
    assert status == 403
    assert Proposal.objects.get(pk=proposal.pk).state == "pending"


class TestDecide:
    def test_it_approves_for_an_operator(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any
    ) -> None:
        proposal = make_proposal()
        path = f"/api/v1/proposals/{proposal.pk}/approve"
        status, body = _post(client_as(operator), path, {"digest": proposal.digest})
        assert (status, body["state"]) == (200, "approved")
        assert body["decisions"][0]["user"] == "operator"
        status, body = _post(client_as(operator), path, {"digest": proposal.digest})
        assert (status, body["code"]) == (409, "already_decided")

    def test_it_refuses_a_viewer(
        self, make_proposal: MakeProposal, client_as: SignIn, viewer: Any
    ) -> None:
        proposal = make_proposal()
        for verb, body in (("approve", {"digest": proposal.digest}), ("reject", {"reason": "no"})):
            status, said = _post(client_as(viewer), f"/api/v1/proposals/{proposal.pk}/{verb}", body)
            assert (status, said["code"]) == (403, "not_allowed")

    def test_it_shows_both_digests_on_a_mismatch(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any
    ) -> None:
        proposal = make_proposal()
        status, body = _post(
            client_as(operator), f"/api/v1/proposals/{proposal.pk}/approve", {"digest": "0" * 64}
        )
        assert (status, body["code"]) == (409, "digest_mismatch")
        assert (body["expected"], body["given"]) == (proposal.digest, "0" * 64)

    def test_it_needs_two_roles_for_high_risk(
        self,
        make_proposal: MakeProposal,
        client_as: SignIn,
        operator: Any,
        supervisor: Any,
    ) -> None:
        proposal = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
        path, body = f"/api/v1/proposals/{proposal.pk}/approve", {"digest": proposal.digest}
        status, said = _post(client_as(operator), path, body)
        assert (status, said["code"]) == (400, "reason_required")
        status, said = _post(client_as(operator), path, {**body, "reason": "hot"})
        assert (status, said["code"]) == (403, "reauthentication_required")
        body = {**body, "reason": "hot", "password": "correct-horse-battery"}
        status, said = _post(client_as(operator), path, body)
        assert (status, said["state"]) == (200, "pending")
        signatures = said["signatures"]
        assert (signatures["have"], signatures["need"]) == (1, 2)
        assert signatures["roles_missing"] == ["supervisor", "admin"]
        assert [s["user"] for s in signatures["signed_by"]] == ["operator"]
        status, said = _post(client_as(supervisor), path, body)
        assert (status, said["state"]) == (200, "approved")
        assert said["execute_before"] > said["state_changed_at"]

    def test_it_rejects_with_a_reason_only(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any
    ) -> None:
        path = f"/api/v1/proposals/{make_proposal().pk}/reject"
        assert _post(client_as(operator), path, {})[0] == 400
        status, body = _post(client_as(operator), path, {"reason": "wrong unit"})
        assert (status, body["state"]) == (200, "rejected")

    def test_it_answers_404_for_what_is_not_there(self, client_as: SignIn, operator: Any) -> None:
        status, body = _post(client_as(operator), "/api/v1/proposals/9/approve", {"digest": "x"})
        assert (status, body["code"]) == (404, "not_found")


class TestRequest:
    def test_it_makes_a_proposal_its_author_cannot_sign(
        self, set_values: SetValues, client_as: SignIn, operator: Any
    ) -> None:
        client = client_as(operator)
        status, body = _post(client, "/api/v1/proposals/", ASK)
        assert (status, body["author"], body["state"]) == (201, "operator", "pending")
        status, said = _post(
            client, f"/api/v1/proposals/{body['id']}/approve", {"digest": body["digest"]}
        )
        assert (status, said["code"]) == (403, "own_proposal")

    def test_it_refuses_a_viewer(
        self, set_values: SetValues, client_as: SignIn, viewer: Any
    ) -> None:
        assert _post(client_as(viewer), "/api/v1/proposals/", ASK)[0] == 403

    def test_it_points_to_an_equal_one_that_is_open(
        self, set_values: SetValues, client_as: SignIn, operator: Any
    ) -> None:
        first = _post(client_as(operator), "/api/v1/proposals/", ASK)[1]
        status, body = _post(client_as(operator), "/api/v1/proposals/", ASK)
        assert (status, body["code"], body["proposal"]) == (409, "already_open", first["id"])

    @pytest.mark.parametrize(
        "body", [{}, {**ASK, "params": [1]}, {**ASK, "rationale": ""}, {**ASK, "kind": "x" * 41}]
    )
    def test_it_refuses_a_malformed_body(
        self, set_values: SetValues, client_as: SignIn, operator: Any, body: dict[str, Any]
    ) -> None:
        status, said = _post(client_as(operator), "/api/v1/proposals/", body)
        assert (status, said["code"]) == (400, "invalid")


class TestRead:
    def test_it_lists_with_a_fixed_number_of_queries(
        self,
        make_proposal: MakeProposal,
        client_as: SignIn,
        viewer: Any,
        django_assert_num_queries: Any,
    ) -> None:
        make_proposal()
        make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        make_proposal("set_fan_speed", "crac-3", {"fan_speed_pct": 85.0})
        client = client_as(viewer)
        # session, user, count, rows, decisions, transitions, revisions
        with django_assert_num_queries(7):
            assert client.get("/api/v1/proposals/").json()["count"] == 3

    def test_it_filters_by_state(
        self, make_proposal: MakeProposal, client_as: SignIn, viewer: Any
    ) -> None:
        make_proposal()
        client = client_as(viewer)
        assert client.get("/api/v1/proposals/?state=pending").json()["count"] == 1
        assert client.get("/api/v1/proposals/?state=expired").json()["count"] == 0
        assert client.get("/api/v1/proposals/?state=nonsense").status_code == 400

    def test_it_shows_the_catalogue_with_the_points_limits(
        self, set_values: SetValues, client_as: SignIn, viewer: Any
    ) -> None:
        actions = {a["name"]: a for a in client_as(viewer).get("/api/v1/actions/").json()}
        assert {
            "start_standby_crac",
            "set_fan_speed",
            "set_supply_setpoint",
            "shed_rack_load",
        } <= set(actions)
        assert "roll_back" not in actions, "nobody asks for it by name"
        target = next(t for t in actions["set_fan_speed"]["targets"] if t["tag"] == "crac-1")
        limits = target["schema"]["properties"]["fan_speed_pct"]
        assert (limits["minimum"], limits["maximum"], limits["x-unit"]) == (30, 100, "%")

    def test_it_filters_the_trail(
        self, make_proposal: MakeProposal, client_as: SignIn, viewer: Any
    ) -> None:
        proposal = make_proposal()
        client = client_as(viewer)
        found = client.get(f"/api/v1/audit/?object=proposal:{proposal.pk}").json()["results"]
        assert [e["event"] for e in found] == [
            "proposal.pending",
            "proposal.simulated",
            "proposal.created",
        ]
        assert client.get("/api/v1/audit/?event=decision.").json()["count"] == 0

        def count(**wanted: str) -> int:
            return int(client.get("/api/v1/audit/", wanted).json()["count"])

        everything = count()
        assert count(text="CRAC 2 REPORTS") == 1
        assert count(text="no such words") == 0
        middle = AuditEntry.objects.get(event="proposal.simulated").at.isoformat()
        assert 0 < count(until=middle) == everything - count(since=middle)
        for wrong in ("since=yesterday", "text=a%00b", "actor=%00"):
            assert client.get(f"/api/v1/audit/?{wrong}").status_code == 400
        assert client.get("/api/v1/audit/verify").json()["ok"] is True
