"""Accounts, roles and the console in the trail: who did it, and no secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from approvals.audit import audit_append, audit_verify
from approvals.models import AuditEntry
from approvals.signing.throttle import (
    FROM_EVERYWHERE,
    FROM_ONE_PLACE,
    WITHIN,
    login_closed_until,
)
from approvals.tests.conftest import PASSWORD
from ops_platform.models import User
from ops_platform.roles import sync_roles

pytestmark = pytest.mark.django_db


def told(prefix: str, **only: Any) -> list[tuple[str, str, str, dict[str, Any]]]:
    found = AuditEntry.objects.filter(event__startswith=prefix, **only).order_by("seq")
    return [(e.event, e.actor, e.object, e.payload) for e in found]


def test_it_names_who_changed_an_account_in_the_console(
    client_as: Any, admin: Any, operator: Any
) -> None:
    console, page = client_as(admin), f"/admin/ops_platform/user/{operator.pk}/change/"
    supervisor = Group.objects.get(name="supervisor")
    form = {
        "username": "operator", "is_active": "on", "groups": [supervisor.pk],
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip
    assert console.post(page, form).status_code == 302
    assert told("role.changed", actor="admin") == [
        ("role.changed", "admin", "user:operator", {"removed": ["operator"]}),
        ("role.changed", "admin", "user:operator", {"added": ["supervisor"]}),
    ]
    [(event, actor, obj, payload)] = told("console.")
    assert (event, actor, obj) == ("console.changed", "admin", f"ops_platform.user:{operator.pk}")
    assert "Groups" in str(payload["what"])
    new = {"password1": "a-new-long-phrase", "password2": "a-new-long-phrase"}
    answer = console.post(f"/admin/ops_platform/user/{operator.pk}/password/", new)
    assert answer.status_code == 302
    assert told("password.changed") == [("password.changed", "admin", "user:operator", {})]
    everything = str([e.content() for e in AuditEntry.objects.all()])
    assert "a-new-long-phrase" not in everything and operator.password not in everything
    assert audit_verify().ok


def test_it_names_who_changed_what_a_role_may_do(client_as: Any, admin: Any, viewer: Any) -> None:
    group = Group.objects.get(name="viewer")
    decide = Permission.objects.get(codename="decide_proposal")
    console = client_as(admin)
    page = f"/admin/auth/group/{group.pk}/change/"
    assert console.post(page, {"name": "viewer", "permissions": [decide.pk]}).status_code == 302
    name = {"added": ["approvals.decide_proposal"]}
    assert told("role.permissions") == [("role.permissions", "admin", "role:viewer", name)]
    sync_roles()  # the next migrate takes it away again, and that is on record too
    assert told("role.permissions", actor="system") == [
        ("role.permissions", "system", "role:viewer", {"removed": name["added"]})
    ]
    decide.group_set.clear()
    taken = {e[2] for e in told("role.permissions", payload__removed=name["added"])}
    assert taken >= {"role:operator", "role:supervisor", "role:admin"}


def test_it_names_who_made_and_deleted_accounts(client_as: Any, admin: Any) -> None:
    console = client_as(admin)
    form = {
        "username": "zoe", "password1": "a-new-long-phrase", "password2": "a-new-long-phrase",
        "usable_password": "true",
    }  # fmt: skip
    assert console.post("/admin/ops_platform/user/add/", form).status_code == 302
    assert told("account.created", object="user:zoe")[0][1] == "admin"
    others = [User.objects.create_user(f"temp-{n}") for n in range(2)]
    picked = {"action": "delete_selected", "_selected_action": [u.pk for u in others]}
    listed = console.post("/admin/ops_platform/user/", picked)
    assert listed.status_code == 200 and not told("console.deleted"), "asked, not yet confirmed"
    assert console.post("/admin/ops_platform/user/", {**picked, "post": "yes"}).status_code == 302
    assert not User.objects.filter(username__startswith="temp").exists()
    assert {e[1:3] for e in told("account.deleted")} == {
        ("admin", "user:temp-0"), ("admin", "user:temp-1"),
    }  # fmt: skip
    assert [(e[1], e[3]["name"]) for e in told("console.deleted")] == [
        ("admin", "temp-0"), ("admin", "temp-1"),
    ]  # fmt: skip


def test_it_says_system_where_nobody_is_signed_in(operator: Any) -> None:
    operator.groups.clear()
    assert told("role.changed")[-1] == (
        "role.changed", "system", "user:operator", {"removed": ["operator"]},
    )  # fmt: skip
    operator.username = "op"
    operator.is_staff = True
    operator.save()
    assert [e[3] for e in told("account.changed", object="user:op")] == [
        {"field": "is_staff", "value": True},
        {"field": "username", "value": "operator"},
    ]


def test_it_forgets_the_person_when_the_request_is_answered(client_as: Any, admin: Any) -> None:
    from approvals.acting import acting_name

    assert client_as(admin).get("/approvals/").status_code == 200
    assert acting_name() == "system"


class TestGuessing:
    """At both log-in pages; the name is closed, not the whole door."""

    def guess(self, name: str, password: str = "guess", address: str = "10.0.0.9") -> Any:
        form = {"username": name, "password": password}
        return Client(REMOTE_ADDR=address).post("/login/", form)

    def test_it_closes_a_name_that_is_guessed_at_and_says_until_when(self, operator: Any) -> None:
        for _ in range(FROM_ONE_PLACE):
            assert b"correct username and password" in self.guess("operator").content
        for _ in range(3):
            said = self.guess("operator", PASSWORD)
            assert said.status_code == 200 and b"next try is possible at" in said.content
        console = Client(REMOTE_ADDR="10.0.0.9")
        form = {"username": "operator", "password": PASSWORD, "next": "/admin/"}
        assert console.post("/admin/login/", form).status_code == 200
        counts = {name: len(told(name)) for name in ("login.failed", "login.throttled")}
        assert counts == {"login.failed": FROM_ONE_PLACE, "login.throttled": 4}
        assert self.guess("operator", PASSWORD, "10.0.0.10").status_code == 302, "from elsewhere"

    def test_it_opens_again_and_counts_from_the_last_success(
        self, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(2):
            for _ in range(FROM_ONE_PLACE - 1):
                self.guess("operator")
            assert self.guess("operator", PASSWORD).status_code == 302
        for _ in range(FROM_ONE_PLACE):
            self.guess("operator")
        assert self.guess("operator", PASSWORD).status_code == 200
        later = timezone.now() + WITHIN
        monkeypatch.setattr("approvals.signing.throttle.timezone.now", lambda: later)
        assert login_closed_until(name="operator", address="10.0.0.9") is None

    def test_it_closes_a_name_that_is_guessed_at_from_many_places(self, operator: Any) -> None:
        for n in range(FROM_EVERYWHERE):
            payload = {"address": f"10.0.{n}.1"}
            audit_append(event="login.failed", actor="operator", payload=payload)
        assert login_closed_until(name="operator", address="10.1.1.1") is not None
        assert login_closed_until(name="supervisor", address="10.1.1.1") is None
        assert login_closed_until(name="a\x00b", address="") is None
