"""Pages as every role and as a stranger: all may look, buttons only for who may press them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from approvals.models import (
    AuditEntry,
    Decision,
    Effect,
    Execution,
    Investigation,
    Proposal,
    ProposalTransition,
)
from approvals.tests.conftest import MakeProposal

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
PATHS = [
    "/approvals/",
    "/approvals/activity",
    "/approvals/{pk}/",
    "/approvals/{pk}/card",
    "/audit/",
    "/audit/?event=proposal.&page=2",
]


@pytest.mark.parametrize("path", PATHS)
def test_it_shows_every_page_to_every_role(
    path: str,
    make_proposal: MakeProposal,
    client_as: SignIn,
    viewer: Any,
    operator: Any,
    supervisor: Any,
    admin: Any,
) -> None:
    path = path.format(pk=make_proposal().pk)
    for person in (viewer, operator, supervisor, admin):
        assert client_as(person).get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_it_sends_a_stranger_to_the_log_in(path: str, db: None) -> None:
    answer = Client().get(path.format(pk=1))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


def test_it_answers_404_for_what_is_not_there(client_as: SignIn, viewer: Any) -> None:
    for path in ("/approvals/99/", "/approvals/99/card", "/approvals/investigations/99/"):
        assert client_as(viewer).get(path).status_code == 404


def _buttons(client: Client, proposal: Proposal) -> set[str]:
    html = client.get(f"/approvals/{proposal.pk}/card").content.decode()
    return {verb for verb in ("approve", "reject") if f'data-decide="{verb}"' in html}


def test_it_gives_buttons_only_to_who_may_press_them(
    make_proposal: MakeProposal, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    assert _buttons(client_as(viewer), proposal) == set()
    assert _buttons(client_as(operator), proposal) == {"approve", "reject"}
    risky = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
    assert _buttons(client_as(operator), risky) == {"reject"}
    assert _buttons(client_as(supervisor), risky) == {"approve", "reject"}
    own = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0}, operator)
    assert _buttons(client_as(operator), own) == {"reject"}


def test_it_escapes_what_people_wrote(
    make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    from approvals.services import proposal_reject

    proposal = make_proposal()
    proposal_reject(proposal_id=proposal.pk, user=operator, reason="<script>alert(1)</script>")
    for path in (f"/approvals/{proposal.pk}/", "/approvals/", "/audit/"):
        html = client_as(supervisor).get(path).content.decode()
        assert "<script>alert" not in html


def test_it_lists_the_queue_with_a_fixed_number_of_queries(
    make_proposal: MakeProposal,
    client_as: SignIn,
    operator: Any,
    django_assert_max_num_queries: Any,
) -> None:
    make_proposal()
    make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    make_proposal("set_fan_speed", "crac-3", {"fan_speed_pct": 85.0})
    client = client_as(operator)
    with django_assert_max_num_queries(9):
        client.get("/approvals/")


@pytest.mark.parametrize(
    "model",
    [Proposal, ProposalTransition, Decision, Execution, Effect, Investigation, AuditEntry],
)
def test_it_shows_every_model_in_the_console_read_only(
    model: Any, make_proposal: MakeProposal, client_as: SignIn, admin: Any, operator: Any
) -> None:
    make_proposal()
    path = f"/admin/approvals/{model._meta.model_name}/"
    client = client_as(admin)
    assert client.get(path).status_code == 200
    assert client.get(path + "add/").status_code == 403
    assert client_as(operator).get(path).status_code == 302
    row = model.objects.first()
    if row is not None:
        answer = client.get(f"{path}{row.pk}/change/")
        assert answer.status_code == 200
        assert 'name="_save"' not in answer.content.decode()
        assert client.post(f"{path}{row.pk}/delete/").status_code == 403
