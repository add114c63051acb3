"""Whether people are left for signatures, second-person holds and reviews, before anybody asks."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from approvals.chat_tool import _lacking
from approvals.policy.document import BreakGlassTerms
from approvals.policy.requirement import Requirement
from approvals.policy.staffing import second_person_holds, shortages
from approvals.tests.conftest import MakeProposal
from approvals.tests.test_agent import procedures  # noqa: F401 - fixture
from ops_platform.management.commands.prepare import FIRST_PEOPLE

pytestmark = pytest.mark.django_db
HIGH = Requirement(signatures=2, distinct_roles=2, reason=True, reauthenticate=True)
TERMS = BreakGlassTerms(enabled=True, reviews=2, review_within_h=24)
FOUR = {name: role for name, role in FIRST_PEOPLE.items() if not name.endswith("-2")}


def steps(*numbers: str) -> list[dict[str, Any]]:
    return [{"n": n, "hold": "second_person" if n in numbers else "operator"} for n in "123456789"]


def codes(asker: Any, *holds: str, emergency: BreakGlassTerms | None = TERMS) -> set[str]:
    found = shortages(
        requirement=HIGH, risk="high", steps=steps(*holds), without=[asker.pk], emergency=emergency
    )
    assert all(one.text for one in found)
    return {one.code for one in found}


def test_it_has_too_few_people_with_four_accounts_and_enough_as_seeded(person: Any) -> None:
    """EOP-CRAC-01 has two holds of a second person, as many as any procedure that can be run."""
    people = {name: person(role, name) for name, role in FOUR.items()}
    for asker in (people["operator"], people["supervisor"]):
        assert codes(asker, "4") == {"holds", "reviews"}
    for name, role in FIRST_PEOPLE.items():
        people.setdefault(name, None)
        people[name] = people[name] or person(role, name)
    for name in ("operator", "operator-2", "supervisor", "supervisor-2", "admin"):
        assert codes(people[name], "4", "8") == set(), name
    assert codes(people["operator"], "4", "6", "8") == {"holds"}


def test_it_agrees_with_the_gate_about_who_is_left(person: Any) -> None:
    """For every asker and pair of signers of the seeded people somebody can release each hold."""
    people = [person(role, name) for name, role in FIRST_PEOPLE.items() if role != "viewer"]
    for asker in people:
        others = [one for one in people if one != asker]
        for pair in combinations(others, 2):
            assert len([one for one in others if one not in pair]) >= 2


def test_it_says_what_to_do(person: Any) -> None:
    alone = person("operator", "olga")
    found = shortages(requirement=HIGH, risk="high", without=[alone.pk])
    assert [one.code for one in found] == ["signatures"]
    assert "needs 2 people, 0 could sign" in found[0].text
    assert "create_operator NAME --role ROLE" in found[0].text
    off = TERMS._replace(enabled=False)
    assert codes(alone, emergency=off) == {"signatures"}
    assert second_person_holds(steps("2", "7")) == ["2", "7"]


def test_it_warns_in_the_preview_and_in_the_answer_of_the_chat(
    make_proposal: MakeProposal, client_as: Any, person: Any
) -> None:
    olga = person("operator", "olga")
    asked = {"kind": "shed_rack_load", "target": "rack-1-03", "params": {"load_cap_pct": 70}}
    answer = client_as(olga).post(
        "/api/v1/policy/preview", json.dumps(asked), content_type="application/json"
    )
    assert answer.status_code == 200
    [sentence] = answer.json()["warnings"]
    assert "nobody is left to sign it" in sentence
    made = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0}, requested_by=olga)
    assert "But nobody is left to sign it" in _lacking(made, olga)
    person("supervisor", "sam")
    person("operator", "otto")
    assert _lacking(made, olga) == ""


@pytest.mark.usefixtures("procedures")
def test_it_refuses_a_procedure_that_would_stop_half_way(
    demo_facility: None, person: Any, operator: Any, supervisor: Any
) -> None:
    """One signs, another confirms the hold: with one person besides who asks nobody is left."""
    from approvals.catalogue import Action
    from approvals.errors import ConflictError
    from approvals.services.proposals import refuse_unstaffed
    from approvals.tests.catalogue_kit import Site

    situation = Site().situation(procedures=True)
    found = next(p for p in situation.procedures if p.document == "mop-crac-04")
    params = {"document": found.document, "revision": found.revision}
    action = Action("run_procedure", found.assets[0], params)
    with pytest.raises(ConflictError, match="nobody would be left to confirm step") as refused:
        refuse_unstaffed(action, situation, without=[operator.pk])
    assert refused.value.code == "nobody_left" and "supervisor" in refused.value.detail
    person("operator", "operator-2")
    refuse_unstaffed(action, situation, without=[operator.pk])
