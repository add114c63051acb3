"""Who would have to sign, before asking; and what another policy would have changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.models import ChangeWindow, Decision, Proposal
from approvals.policy.check import document_problems
from approvals.policy.clock import Span
from approvals.policy.compare import rule_words, weakens
from approvals.policy.default import DOCUMENT
from approvals.policy.document import policy_of
from approvals.policy.evaluate import freeze_overtakes, subject_of_proposal
from approvals.policy.requirement import Requirement, role_of
from approvals.policy.simulate import _Past, policy_simulate
from approvals.policy.windows import Window
from approvals.tests.conftest import MakeProposal, SetValues

pytestmark = pytest.mark.django_db
SignIn = Callable[[Any], Client]
SHED = {"kind": "shed_rack_load", "target": "rack-1-03", "params": {"load_cap_pct": 70}}
FAN = {"kind": "set_fan_speed", "target": "crac-1", "params": {"fan_speed_pct": 85}}


def preview(client: Client, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(
        "/api/v1/policy/preview", json.dumps(body, default=str), content_type="application/json"
    )
    return answer.status_code, answer.json()


def test_it_names_who_would_have_to_sign(
    set_values: SetValues,
    client_as: SignIn,
    viewer: Any,
    operator: Any,
    supervisor: Any,
    admin: Any,
) -> None:
    gone = type(operator).objects.create_user("gone", is_active=False)
    gone.groups.set(operator.groups.all())
    status, found = preview(client_as(viewer), **SHED)
    assert status == 200
    assert [(one["username"], one["role"]) for one in found["people"]] == [
        ("admin", "admin"),
        ("operator", "operator"),
        ("supervisor", "supervisor"),
    ]
    assert found["sentence"].startswith("Two signatures from two different roles")
    assert found["requirement"]["because"][0].startswith("High risk:")
    assert (found["risk"], found["problem"]) == ("high", "")
    # Whoever asks cannot sign it.
    mine = preview(client_as(operator), **FAN)[1]
    assert [one["username"] for one in mine["people"]] == ["admin", "supervisor"]
    assert mine["barriers"] == {"propose": [], "approve": [], "execute": []}
    assert mine["writes"] == [{"tag": "crac-1.fan_speed_sp_pct", "value": 85.0}]
    assert all(condition["ok"] for condition in mine["preconditions"])
    assert not Proposal.objects.exists()


def test_it_says_what_stands_in_the_way_at_the_time_asked_for(
    set_values: SetValues, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    now = timezone.now()
    ChangeWindow.objects.create(
        name="Quarter end",
        kind="freeze",
        starts_at=now + timedelta(hours=1),
        ends_at=now + timedelta(hours=3),
        match={"kinds": ["set_fan_speed"]},
        reason="books",
        made_by=supervisor,
        made_at=now,
    )
    client = client_as(operator)
    assert preview(client, **FAN)[1]["barriers"]["approve"] == []
    later = preview(client, **FAN, at=now + timedelta(hours=2))[1]
    [denial] = later["barriers"]["approve"]
    assert denial["code"] == "freeze" and "Quarter end" in denial["sentence"]
    assert later["barriers"]["propose"] == []


def test_it_says_when_too_few_people_could_sign(
    set_values: SetValues, client_as: SignIn, operator: Any, supervisor: Any
) -> None:
    found = preview(client_as(operator), **SHED)[1]
    assert found["problem"] == "needs 2 people, 1 could sign"


def test_it_asks_the_twin_for_those_who_may_propose(
    set_values: SetValues, client_as: SignIn, viewer: Any, operator: Any
) -> None:
    assert preview(client_as(viewer), **FAN, with_prediction=True)[0] == 403
    status, found = preview(client_as(operator), **FAN, with_prediction=True)
    assert status == 200
    assert "problem" in found["prediction"]


@pytest.mark.parametrize(
    "wrong",
    [
        {**FAN, "kind": "fly"},
        {**FAN, "target": "crac-99"},
        {**FAN, "params": {"fan_speed_pct": 300}},
        {"kind": "set_fan_speed"},
    ],
)
def test_it_refuses_what_could_not_be_asked_for(
    set_values: SetValues, client_as: SignIn, operator: Any, wrong: dict[str, Any]
) -> None:
    assert preview(client_as(operator), **wrong)[0] == 400


def test_it_refuses_a_stranger(db: None) -> None:
    assert preview(Client(), **FAN)[0] in (401, 403)


class TestSimulation:
    def sign(self, proposal: Proposal, *people: Any) -> None:
        for person in people:
            Decision.objects.create(
                proposal=proposal,
                user=person,
                verdict="approve",
                digest=proposal.digest,
                role=role_of(person),
                at=timezone.now(),
            )

    def test_it_counts_what_another_policy_would_have_changed(
        self, make_proposal: MakeProposal, operator: Any, supervisor: Any
    ) -> None:
        crac = make_proposal()
        fan = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        shed = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
        self.sign(crac, operator)
        self.sign(fan, operator)
        doc = copy.deepcopy(DOCUMENT)
        doc["rules"] += [
            {
                "name": "Cooling by two",
                "match": {"targets": ["crac-4"]},
                "require": {"signatures": 2},
            },
            {"name": "No fans", "match": {"kinds": ["set_fan_speed"]}, "deny": True, "reason": "x"},
        ]
        doc["rules"][2]["require"] = {"signatures": 1}
        found = policy_simulate(document=doc, days=7)
        assert (found.looked_at, found.is_cut) == (3, False)
        by_id = {case.proposal: case for case in found.cases}
        assert by_id[crac.pk].change == "stricter"
        assert "No fans" in by_id[fan.pk].denied_by[0]
        assert (by_id[shed.pk].change, by_id[shed.pk].now.signatures) == ("looser", 1)
        assert found.counts == {
            "stricter": 1,
            "looser": 1,
            "too_few_signatures": 0,
            "denied": 1,
            "freed": 0,
            "same": 0,
        }
        assert found.by_rule == {"Cooling by two": 1, "No fans": 1}

    def test_it_finds_nothing_for_the_policy_in_force(
        self, make_proposal: MakeProposal, operator: Any
    ) -> None:
        self.sign(make_proposal(), operator)
        found = policy_simulate(document=DOCUMENT, days=7)
        assert (found.cases, found.counts["same"]) == ([], 1)

    def test_it_asks_the_database_a_fixed_number_of_times(
        self, make_proposal: MakeProposal, operator: Any, django_assert_max_num_queries: Any
    ) -> None:
        for target in ("crac-1", "crac-3"):
            self.sign(make_proposal("set_fan_speed", target, {"fan_speed_pct": 85.0}), operator)
        self.sign(make_proposal(), operator)
        with django_assert_max_num_queries(6):
            assert policy_simulate(document=DOCUMENT, days=7).looked_at == 3

    def test_it_answers_over_rest(
        self, make_proposal: MakeProposal, client_as: SignIn, operator: Any, supervisor: Any
    ) -> None:
        make_proposal()
        doc = copy.deepcopy(DOCUMENT)
        doc["rules"][1]["require"]["signatures"] = 2
        answer = client_as(supervisor).post(
            "/api/v1/policy/simulate",
            json.dumps({"document": doc, "days": 2}),
            content_type="application/json",
        )
        assert answer.status_code == 200
        [case] = answer.json()["cases"]
        assert (case["was"]["signatures"], case["now"]["signatures"]) == (1, 2)
        bad = client_as(supervisor).post(
            "/api/v1/policy/simulate",
            json.dumps({"document": {"rules": []}}),
            content_type="application/json",
        )
        assert bad.json()["code"] == "invalid_policy"


class TestFreezeUnderWay:
    def freeze(self, by: Any, **match: Any) -> ChangeWindow:
        now = timezone.now()
        return ChangeWindow.objects.create(
            name="Quarter end", kind="freeze", starts_at=now - timedelta(minutes=1),
            ends_at=now + timedelta(hours=3), match=match, reason="books", made_by=by, made_at=now,
        )  # fmt: skip

    def test_it_holds_what_has_begun_unless_signed_and_present_policy_let_it_finish(
        self, make_proposal: MakeProposal, supervisor: Any, ask_for: Any
    ) -> None:
        shipped = make_proposal()
        now = timezone.now()
        assert freeze_overtakes(proposal=shipped, at=now) is None, "nothing is frozen"
        self.freeze(supervisor)
        held = freeze_overtakes(proposal=shipped, at=now)
        assert held is not None and "Quarter end" in held.sentence and held.until is not None
        ask_for(on_freeze="finish")
        assert freeze_overtakes(proposal=shipped, at=now) is not None, "signed as: hold"
        finishing = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        assert finishing.requirement["on_freeze"] == "finish"
        assert freeze_overtakes(proposal=finishing, at=now) is None
        ask_for(on_freeze="hold")
        assert freeze_overtakes(proposal=finishing, at=now) is not None, "the policy of now: hold"

    def test_it_holds_only_what_the_freeze_covers(
        self, make_proposal: MakeProposal, supervisor: Any
    ) -> None:
        self.freeze(supervisor, kinds=["set_fan_speed"])
        assert freeze_overtakes(proposal=make_proposal(), at=timezone.now()) is None

    def test_it_calls_finishing_weaker_and_says_it_in_words(self, demo_facility: None) -> None:
        doc = copy.deepcopy(DOCUMENT)
        doc["rules"][1]["require"]["on_freeze"] = "finish"
        assert not any(p.is_error for p in document_problems(doc, now=timezone.now()))
        old, new = policy_of(DOCUMENT, 1), policy_of(doc, 2)
        assert {w.what for w in weakens(old, new, timezone.now())} == {"on freeze hold → finish"}
        assert weakens(new, old, timezone.now()) == []
        assert "goes on when a freeze begins under way" in rule_words(doc["rules"][1])
        doc["rules"][1]["require"]["on_freeze"] = "pray"
        assert document_problems(doc, now=timezone.now())[0].is_error

    def test_it_simulates_what_a_freeze_would_have_held(
        self, make_proposal: MakeProposal, supervisor: Any
    ) -> None:
        proposal = make_proposal()
        row = self.freeze(supervisor)
        start = row.starts_at
        past = _Past(windows=[replace(Window.of(row), made_at=start)], executed=[])
        subject = subject_of_proposal(proposal)
        during = Span(start - timedelta(minutes=1), start + timedelta(minutes=1))
        after = Span(start + timedelta(minutes=1), start + timedelta(minutes=2))
        hold, finish = Requirement(), Requirement(on_freeze="finish")
        [sentence] = past.overtaken(hold, subject, during)
        assert "“Quarter end” began at" in sentence and "would have waited" in sentence
        assert past.overtaken(finish, subject, during) == []
        assert past.overtaken(hold, subject, after) == [], (
            "it stood already: it was not let through"
        )
