"""Policy, windows, who-signs and propose pages as every role and as a stranger."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.canonical import digest_of
from approvals.models import ChangeWindow, PolicyChange, PolicyVersion
from approvals.policy.default import DOCUMENT

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
PATHS = [
    "/approvals/policy/",
    "/approvals/policy/who/",
    "/approvals/propose/",
    "/approvals/windows/",
]


@pytest.fixture
def full(demo_facility: None, supervisor: Any) -> None:
    """Versions, a change that waits, windows of both kinds, one of them cancelled."""
    now = timezone.now()
    for number in (2, 3, 4):
        doc = copy.deepcopy(DOCUMENT)
        doc["rules"][3]["limits"]["per_hour"] = 120 - number
        PolicyVersion.objects.create(
            number=number,
            document=doc,
            digest=digest_of(doc),
            note=f"<b>note {number}</b>",
            made_by=supervisor,
            made_at=now,
        )
    PolicyChange.objects.create(
        base=4,
        document=DOCUMENT,
        digest=digest_of(DOCUMENT),
        note="back",
        weaker=[{"what": "per hour 116 → 120", "example": "set fan speed on crac-1"}],
        made_by=supervisor,
        made_at=now,
    )
    for kind in ("freeze", "maintenance"):
        for days in (0, 3):
            ChangeWindow.objects.create(
                name=f"{kind} <i>{days}</i>",
                kind=kind,
                starts_at=now - timedelta(hours=1),
                ends_at=now + timedelta(days=days, hours=2),
                weekly={"days": [0, 1], "from": "22:00", "to": "02:00", "zone": "Europe/Berlin"}
                if days
                else {},
                match={"halls": ["hall-1"]},
                reason="why",
                made_by=supervisor,
                made_at=now,
                cancelled_by=supervisor if days else None,
                cancelled_at=now if days else None,
            )


@pytest.mark.parametrize("path", PATHS)
def test_it_shows_every_page_to_every_role(
    path: str,
    full: None,
    client_as: SignIn,
    viewer: Any,
    operator: Any,
    supervisor: Any,
    admin: Any,
) -> None:
    for person in (viewer, operator, supervisor, admin):
        answer = client_as(person).get(path)
        assert answer.status_code == 200
        assert "<b>note" not in answer.content.decode()
        assert "<i>0" not in answer.content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_it_sends_a_stranger_to_the_log_in(path: str, db: None) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


def test_it_gives_forms_only_to_who_may_use_them(
    full: None, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
) -> None:
    def has(person: Any, path: str, mark: str) -> bool:
        return mark in client_as(person).get(path).content.decode()

    marks = {
        "/approvals/policy/": 'id="save"',
        "/approvals/windows/": 'id="plan"',
    }
    for path, mark in marks.items():
        assert [has(who, path, mark) for who in (viewer, operator, supervisor)] == [
            False,
            False,
            True,
        ]
    assert not has(operator, "/approvals/windows/", "data-cancel")
    assert [has(who, "/approvals/propose/", 'id="send"') for who in (viewer, operator)] == [
        False,
        True,
    ]


def test_it_lets_the_author_withdraw_and_another_accept(
    full: None, client_as: SignIn, supervisor: Any, admin: Any
) -> None:
    own = client_as(supervisor).get("/approvals/policy/").content.decode()
    assert 'name="refuse">Withdraw' in own and 'name="accept"' not in own
    assert 'name="accept"' in client_as(admin).get("/approvals/policy/").content.decode()


def test_it_gives_the_editor_the_policy_in_force(
    full: None, client_as: SignIn, supervisor: Any
) -> None:
    html = client_as(supervisor).get("/approvals/policy/").content.decode()
    text = html.split('id="policy-data" type="application/json">')[1].split("</script>")[0]
    data = json.loads(text)
    assert (data["number"], data["may_change"]) == (4, True)
    assert data["document"]["rules"][3]["limits"]["per_hour"] == 116
    assert data["sentences"][2].startswith("high risk: two signatures")
    assert "per hour 117 → 116" in html


@pytest.mark.parametrize(("path", "most"), [("/approvals/policy/", 12), ("/approvals/windows/", 9)])
def test_it_asks_the_database_a_fixed_number_of_times(
    path: str,
    most: int,
    full: None,
    client_as: SignIn,
    supervisor: Any,
    django_assert_max_num_queries: Any,
) -> None:
    client = client_as(supervisor)
    with django_assert_max_num_queries(most):
        client.get(path)


@pytest.mark.parametrize("model", ["policyversion", "policychange", "changewindow"])
def test_it_shows_the_rows_in_the_console_read_only(
    model: str, full: None, client_as: SignIn, admin: Any
) -> None:
    client = client_as(admin)
    path = f"/admin/approvals/{model}/"
    assert client.get(path).status_code == 200
    assert client.get(path + "add/").status_code == 403
