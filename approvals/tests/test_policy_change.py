"""The policy changes append-only, with a note, proof of who it is, and a second person where it gets
weaker.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from approvals.models import AuditEntry, PolicyChange, PolicyVersion
from approvals.outside.access import agent_issue
from approvals.policy.default import DOCUMENT

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _facility(demo_facility: None, operator: Any, viewer: Any) -> None:
    """People who could sign."""


def stronger() -> dict[str, Any]:
    doc = copy.deepcopy(DOCUMENT)
    doc["rules"][1]["require"]["reason"] = True
    return doc


def weaker() -> dict[str, Any]:
    doc = copy.deepcopy(DOCUMENT)
    doc["rules"][2]["require"] = {"signatures": 1}
    return doc


def save(client: Client, document: Any, base: int = 1, **more: Any) -> tuple[int, dict[str, Any]]:
    body = {
        "document": document,
        "note": "after the review",
        "base_number": base,
        "password": PASSWORD,
        **more,
    }
    return post(client, "/api/v1/policy", body)


def post(client: Client, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = client.post(path, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def test_it_puts_a_stricter_policy_in_force_at_once(
    client_as: SignIn, supervisor: Any, admin: Any
) -> None:
    status, body = save(client_as(supervisor), stronger())
    assert (status, body["version"]["number"], body["waiting"]) == (201, 2, None)
    now = client_as(supervisor).get("/api/v1/policy").json()
    assert (now["number"], now["document"], now["made_by"]) == (2, stronger(), "supervisor")
    assert now["changes"] == ["rule “Medium risk”: reason not said → yes"]
    entry = AuditEntry.objects.get(event="policy.changed")
    assert entry.payload["changes"] == now["changes"]
    assert (entry.actor, entry.object, entry.payload["digest"]) == (
        "supervisor",
        "policy:2",
        now["digest"],
    )
    assert PASSWORD not in json.dumps(list(AuditEntry.objects.values_list("payload", flat=True)))


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"password": ""}, 403, "reauthentication_required"),
        ({"password": "guess"}, 403, "reauthentication_failed"),
        ({"note": "  x "}, 400, "reason_required"),
        ({"base_number": 2}, 409, "policy_changed"),
        ({"document": DOCUMENT}, 409, "unchanged"),
        (
            {"document": {"rules": [{"name": "a", "require": {"signatures": 0}}]}},
            400,
            "invalid_policy",
        ),
    ],
)
def test_it_refuses_and_records_it(
    client_as: SignIn, supervisor: Any, change: dict[str, Any], status: int, code: str
) -> None:
    answered, body = save(client_as(supervisor), change.pop("document", stronger()), **change)
    assert (answered, body["code"]) == (status, code)
    assert PolicyVersion.objects.count() == 1
    assert AuditEntry.objects.get(event="policy.denied").payload["code"] == code


def test_it_is_changed_by_those_only_who_may(
    client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
) -> None:
    for person in (viewer, operator):
        assert save(client_as(person), stronger())[0] == 403
        assert post(client_as(person), "/api/v1/policy/check", {"document": DOCUMENT})[0] == 403
        body = {"document": DOCUMENT, "days": 3}
        assert post(client_as(person), "/api/v1/policy/simulate", body)[0] == 403
        for path in ("policy", "policy/versions", "policy/versions/1", "policy/changes"):
            assert client_as(person).get(f"/api/v1/{path}").status_code == 200
    for path in ("policy", "policy/versions", "policy/changes", "policy/windows"):
        assert Client().get(f"/api/v1/{path}").status_code in (401, 403)
    assert save(Client(), stronger())[0] in (401, 403)
    assert PolicyVersion.objects.count() == 1


def test_it_is_out_of_reach_for_an_outside_agent(client_as: SignIn, supervisor: Any) -> None:
    agent = Client(headers={"Authorization": f"Bearer {agent_issue(name='planner').token}"})
    for password in ("", PASSWORD):
        status, body = save(agent, weaker(), password=password)
        assert (status, body["code"]) == (403, "not_allowed")
    now = timezone.now().isoformat()
    window = {"name": "w", "kind": "maintenance", "reason": "x", "starts_at": now}
    body = {**window, "ends_at": "2027-01-01T00:00:00Z"}
    assert post(agent, "/api/v1/policy/windows", body)[0] == 403
    change = save(client_as(supervisor), stronger())[1]
    assert change["version"]["number"] == 2
    path = "/api/v1/policy/versions/1/restore"
    assert post(agent, path, {"base_number": 2, "password": PASSWORD})[0] == 403
    assert PolicyVersion.objects.count() == 2


class TestSecondPerson:
    def test_it_waits_for_another_when_it_gets_weaker(
        self, client_as: SignIn, operator: Any, supervisor: Any, admin: Any
    ) -> None:
        status, body = save(client_as(supervisor), weaker())
        change = body["waiting"]["id"]
        assert (status, body["version"]) == (202, None)
        assert {w["what"] for w in body["waiting"]["weaker"]} == {
            "signatures 2 → 1",
            "distinct roles 2 → 0",
            "reason yes → no",
            "reauthenticate yes → no",
        }
        path = f"/api/v1/policy/changes/{change}/decide"
        yes = {"accept": True, "password": PASSWORD}
        assert post(client_as(supervisor), path, yes)[1]["code"] == "own_change"
        assert post(client_as(operator), path, yes)[0] == 403
        assert post(client_as(admin), path, {"accept": True})[1]["code"] == (
            "reauthentication_required"
        )
        assert PolicyVersion.objects.count() == 1
        status, body = post(client_as(admin), path, yes)
        assert (status, body["version"]["number"]) == (201, 2)
        entry = AuditEntry.objects.get(event="policy.changed")
        assert (entry.actor, entry.payload["second_person"]) == ("supervisor", "admin")
        assert post(client_as(admin), path, yes)[1]["code"] in ("policy_changed", "already_decided")
        assert PolicyVersion.objects.count() == 2

    def test_it_can_be_refused_or_withdrawn_but_not_accepted_later(
        self, client_as: SignIn, supervisor: Any, admin: Any
    ) -> None:
        ids = [save(client_as(supervisor), weaker())[1]["waiting"]["id"] for _ in range(2)]
        paths = [f"/api/v1/policy/changes/{pk}/decide" for pk in ids]
        assert post(client_as(admin), paths[0], {"accept": False})[1]["code"] == "reason_required"
        no = {"accept": False, "comment": "too weak"}
        assert post(client_as(admin), paths[0], no)[1]["waiting"]["verdict"] == "refused"
        mine = post(client_as(supervisor), paths[1], {"accept": False})
        assert mine[1]["waiting"]["verdict"] == "withdrawn"
        for path in paths:
            yes = {"accept": True, "password": PASSWORD}
            assert post(client_as(admin), path, yes)[1]["code"] == "already_decided"
        assert PolicyVersion.objects.count() == 1

    def test_it_does_not_accept_a_change_of_an_older_policy(
        self, client_as: SignIn, supervisor: Any, admin: Any
    ) -> None:
        change = save(client_as(supervisor), weaker())[1]["waiting"]["id"]
        assert save(client_as(admin), stronger())[0] == 201
        yes = {"accept": True, "password": PASSWORD}
        path = f"/api/v1/policy/changes/{change}/decide"
        status, body = post(client_as(admin), path, yes)
        assert (status, body["code"], body["in_force"]) == (409, "policy_changed", 2)
        assert PolicyChange.objects.get(pk=change).verdict == ""

    def test_it_needs_no_second_person_where_there_is_none(
        self, client_as: SignIn, supervisor: Any
    ) -> None:
        assert save(client_as(supervisor), weaker())[0] == 201
        assert AuditEntry.objects.get(event="policy.changed").payload["weaker"]

    def test_it_holds_in_the_database(self, client_as: SignIn, supervisor: Any, admin: Any) -> None:
        change = save(client_as(supervisor), weaker())[1]["waiting"]["id"]
        rows = PolicyChange.objects.filter(pk=change)
        for wrong in (
            {"verdict": "accepted", "decided_by": supervisor, "decided_at": timezone.now()},
            {"document": DOCUMENT},
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                rows.update(**wrong)
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.delete()
        attempts: list[dict[str, Any]] = [{"note": "other"}, {"document": {}}]
        for attempt in attempts:
            with pytest.raises(DatabaseError), transaction.atomic():
                PolicyVersion.objects.update(**attempt)


def test_it_restores_an_old_version_as_a_new_one(
    client_as: SignIn, supervisor: Any, admin: Any
) -> None:
    save(client_as(supervisor), stronger())
    body = {"base_number": 2, "password": PASSWORD}
    status, found = post(client_as(admin), "/api/v1/policy/versions/1/restore", body)
    assert (status, found["waiting"]["note"]) == (202, "back to policy 1")
    path = f"/api/v1/policy/changes/{found['waiting']['id']}/decide"
    yes = {"accept": True, "password": PASSWORD}
    assert post(client_as(supervisor), path, yes)[1]["version"]["number"] == 3
    assert PolicyVersion.objects.get(pk=3).document == DOCUMENT
    assert post(client_as(admin), "/api/v1/policy/versions/9/restore", body)[0] == 404


def test_it_checks_a_draft_without_storing_it(
    client_as: SignIn, supervisor: Any, admin: Any
) -> None:
    client = client_as(supervisor)
    status, found = post(client, "/api/v1/policy/check", {"document": weaker()})
    assert (status, found["problems"], found["needs_second_person"]) == (200, [], True)
    assert found["changes"] and found["weaker"]
    wrong = {"document": {"rules": [{"name": "a", "deny": True}]}}
    status, found = post(client, "/api/v1/policy/check", wrong)
    assert status == 200
    assert found["problems"][0]["where"] == "rules[0].reason"
    assert PolicyVersion.objects.count() == 1
