"""Pages as every role and as a stranger: all may look, buttons only for who may press them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from approvals.cards import NEEDS_YOU, UNDER_WAY, WAITS, card_for
from approvals.models import AgentAccess, DriverBinding, GateHold, Proposal
from approvals.queue import queue_groups
from approvals.selectors import proposals
from approvals.services import proposal_approve, proposal_reject
from approvals.tests.conftest import MakeProposal

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
RISKY = ("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
FAN = ("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
PATHS = [
    "/approvals/",
    "/approvals/activity",
    "/approvals/gate",
    "/approvals/{pk}/",
    "/approvals/{pk}/card",
    "/approvals/{pk}/card?open=1",
    "/approvals/{pk}/blast",
    "/approvals/notifications/",
    "/audit/",
    "/audit/?event=proposal.&page=2",
    "/audit/?text=crac-4&since=2020-01-01T00:00",
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
    missing = ("/approvals/99/", "/approvals/99/card", "/approvals/99/blast")
    for path in (*missing, "/approvals/investigations/99/"):
        assert client_as(viewer).get(path).status_code == 404


def _html(client: Client, proposal: Proposal, query: str = "") -> str:
    return client.get(f"/approvals/{proposal.pk}/card{query}").content.decode()


def _buttons(client: Client, proposal: Proposal) -> set[str]:
    html = _html(client, proposal)
    return {verb for verb in ("approve", "reject") if f'data-decide="{verb}"' in html}


def test_it_gives_buttons_only_to_who_may_press_them(
    make_proposal: MakeProposal, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    assert _buttons(client_as(viewer), proposal) == set()
    assert _buttons(client_as(operator), proposal) == {"approve", "reject"}
    own = make_proposal(*FAN, operator)
    assert _buttons(client_as(operator), own) == {"reject"}
    assert _buttons(client_as(supervisor), own) == {"approve", "reject"}


def test_it_says_who_is_still_needed_and_asks_whom_it_helps(
    make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    risky = make_proposal(*RISKY)
    html = _html(client_as(operator), risky)
    assert "data-reason-required" in html
    assert "data-reauthenticate" in html
    assert "2 signatures: operator or above" in html
    proposal_approve(
        proposal_id=risky.pk,
        user=operator,
        digest=risky.digest,
        reason="checked",
        password="correct-horse-battery",
    )
    signed = proposals().get(pk=risky.pk)
    card = card_for(proposal=signed, user=operator)
    assert (card.group, card.dots) == (WAITS, [True, False])
    assert card.still_needed == "one more signature: supervisor or admin"
    assert card_for(proposal=signed, user=supervisor).group == NEEDS_YOU


def test_it_offers_the_emergency_to_who_may_break_the_glass(
    make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    risky = make_proposal(*RISKY)
    glass = 'data-decide="break_glass"'
    assert glass not in _html(client_as(operator), risky, "?open=1")
    assert glass in _html(client_as(supervisor), risky, "?open=1")
    plain = make_proposal()
    assert glass not in _html(client_as(supervisor), plain, "?open=1")  # one signature is enough


def test_it_groups_by_what_is_asked_of_the_person_most_urgent_first(
    make_proposal: MakeProposal, operator: Any, forced: Any
) -> None:
    late, soon = make_proposal(), make_proposal(*FAN)
    own = make_proposal("set_fan_speed", "crac-3", {"fan_speed_pct": 85.0}, operator)
    now = timezone.now()
    forced(soon.pk, expires_at=now + timedelta(seconds=30))
    running = make_proposal("set_fan_speed", "crac-2", {"fan_speed_pct": 75.0})
    forced(running.pk, state="executing")
    groups, is_cut = queue_groups(user=operator)
    shown = {group.name: [card.proposal.pk for card in group.cards] for group in groups}
    assert shown[NEEDS_YOU] == [soon.pk, late.pk]
    assert (shown[WAITS], shown[UNDER_WAY]) == ([own.pk], [running.pk])
    assert not is_cut


def test_it_escapes_what_people_wrote(
    make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    proposal = make_proposal()
    proposal_reject(proposal_id=proposal.pk, user=operator, reason="<script>alert(1)</script>")
    for path in (f"/approvals/{proposal.pk}/", "/approvals/", "/audit/", "/approvals/history/"):
        html = client_as(supervisor).get(path).content.decode()
        assert "<script>alert" not in html


def test_it_shows_what_is_unsure_and_what_speaks_against_it(
    make_proposal: MakeProposal, client_as: SignIn, operator: Any, forced: Any
) -> None:
    proposal = make_proposal()
    forced(
        proposal.pk,
        case={
            "confidence": "likely",
            "uncertainty": ["the sensor of rack 4 is old"],
            "counter_evidence": ["inlet did not rise"],
            "would_change": "if crac-2.fault clears",
            "hypotheses": [{"cause": "lost unit", "asset": "crac-2", "likelihood": 0.8}],
        },
    )
    html = _html(client_as(operator), proposal, "?open=1")
    for words in ("likely", "rack 4 is old", "inlet did not rise", "crac-2.fault clears", "80 %"):
        assert words in html


def test_it_says_that_the_gate_is_stopped(
    make_proposal: MakeProposal, client_as: SignIn, viewer: Any, operator: Any
) -> None:
    GateHold.objects.create(reason="smoke in hall 1", made_by=operator, made_at=timezone.now())
    for path in ("/approvals/", "/approvals/gate", f"/approvals/{make_proposal().pk}/"):
        html = client_as(viewer).get(path).content.decode()
        assert "smoke in hall 1" in html
        assert 'data-gate="resume"' not in html
    assert 'data-gate="resume"' in client_as(operator).get("/approvals/gate").content.decode()


def test_it_draws_what_the_action_reaches(
    make_proposal: MakeProposal, client_as: SignIn, viewer: Any
) -> None:
    risky = make_proposal(*RISKY)
    drawn = client_as(viewer).get(f"/approvals/{risky.pk}/blast").json()
    assert drawn["plan"]["slug"] == "hall-1"
    assert drawn["acted"] == ["rack-1-03"]
    assert "rack-1-03" in {unit["tag"] for unit in drawn["plan"]["units"]}


def test_it_lists_the_queue_with_a_fixed_number_of_queries(
    make_proposal: MakeProposal,
    client_as: SignIn,
    operator: Any,
    django_assert_max_num_queries: Any,
) -> None:
    make_proposal()
    client = client_as(operator)
    with django_assert_max_num_queries(14) as few:
        client.get("/approvals/")
    make_proposal(*FAN)
    make_proposal("set_fan_speed", "crac-3", {"fan_speed_pct": 85.0})
    make_proposal(*RISKY)
    with django_assert_max_num_queries(len(few)):
        client.get("/approvals/")


def test_it_draws_two_hundred_open_proposals_in_bounded_queries_and_size(
    make_proposal: MakeProposal,
    client_as: SignIn,
    operator: Any,
    forced: Any,
    django_assert_max_num_queries: Any,
) -> None:
    first = make_proposal()
    copies: list[Proposal] = []
    for number in range(200):
        copy = Proposal.objects.get(pk=first.pk)
        copy.pk, copy.target, copy.state = None, f"crac-{number + 10}", "draft"
        copy.digest = copy.computed_digest()
        copies.append(copy)
    forced(*(copy.pk for copy in Proposal.objects.bulk_create(copies)), state="pending")
    client = client_as(operator)
    with django_assert_max_num_queries(14):
        html = client.get("/approvals/").content.decode()
    assert len(re.findall(r'<article class="proposal"', html)) == 201
    assert len(html) < 800_000


EVIDENCE = [
    model
    for model in apps.get_app_config("approvals").get_models()
    if model not in (DriverBinding, AgentAccess)
]


@pytest.mark.parametrize("model", EVIDENCE)
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
