"""What the policy asks for and denies: every rule that matches, the strictest wins."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.models import PolicyVersion
from approvals.policy.check import document_problems
from approvals.policy.compare import changes_between, weakens
from approvals.policy.default import DOCUMENT
from approvals.policy.document import policy_now, policy_of
from approvals.policy.evaluate import (
    denials,
    denials_of,
    requirement_for,
    requirement_under,
    subject_of_proposal,
)
from approvals.policy.history import Change
from approvals.policy.requirement import STRICTEST, Requirement, Subject, stricter
from approvals.tests.conftest import MakeProposal

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday


def subject(**changes: Any) -> Subject:
    given_ = {
        "kind": "shed_rack_load",
        "target": "rack-1-03",
        "target_kind": "rack",
        "hall": "hall-1",
        "risk": "high",
        "author": "agent",
        "blast_radius": {},
        **changes,
    }
    return Subject(**given_)


def document(*rules: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DOCUMENT), "rules": list(rules), **parts}


def asked(doc: dict[str, Any], at: datetime = NOON, **changes: Any) -> Requirement:
    return requirement_under(policy=policy_of(doc, 7), subject=subject(**changes), at=at)


def refused(doc: dict[str, Any], at: datetime = NOON, step: str = "approve", **more: Any) -> Any:
    changes = more.pop("changes", [])
    return denials_of(
        policy=policy_of(doc, 7),
        windows=[],
        history=lambda: changes,
        subject=subject(**more),
        at=at,
        step=step,
    )


def test_it_comes_with_two_roles_for_high_risk() -> None:
    version = PolicyVersion.objects.get()
    assert (version.number, version.document, version.made_by) == (1, DOCUMENT, None)
    high = requirement_for(subject=subject(), at=NOON)
    assert (high.signatures, high.distinct_roles, high.reason, high.reauthenticate) == (
        2,
        2,
        True,
        True,
    )
    assert (high.policy, high.editor_may_sign) == (1, False)
    assert high.because == (
        "High risk: two signatures from two different roles, a reason, password or code again",
    )
    medium = requirement_for(subject=subject(risk="medium"), at=NOON)
    assert (medium.signatures, medium.least_role, medium.editor_may_sign) == (1, "operator", False)
    assert requirement_for(subject=subject(risk="low"), at=NOON).editor_may_sign is True
    assert denials(subject=subject(), at=NOON, step="execute") == []


def test_it_takes_the_strictest_of_all_rules_that_match() -> None:
    doc = document(
        {"name": "a", "require": {"editor_may_sign": True, "approval_valid_s": 600}},
        {
            "name": "b",
            "match": {"targets": ["rack-1-*"]},
            "require": {"distinct_roles": 3, "editor_may_sign": False, "approval_valid_s": 900},
        },
        {"name": "c", "match": {"halls": ["hall-2"]}, "require": {"signatures": 5}},
        {"name": "d", "match": {"authors": ["person"]}, "require": {"least_role": "admin"}},
    )
    found = asked(doc)
    assert (found.signatures, found.distinct_roles) == (3, 3)
    assert (found.editor_may_sign, found.approval_valid_s, found.least_role) == (
        False,
        600,
        "operator",
    )
    assert [words.partition(":")[0] for words in found.because] == ["a", "b"]
    assert asked(doc, target="rack-2-01").editor_may_sign is True


def test_it_reads_times_in_the_zone_of_the_rule() -> None:
    doc = document(
        {
            "name": "night",
            "match": {"weekdays": [4], "from": "22:00", "to": "06:00", "zone": "Europe/Berlin"},
            "require": {"signatures": 2},
        }
    )
    friday = datetime(2026, 11, 20, tzinfo=UTC)
    need = {hour: asked(doc, at=friday + timedelta(hours=hour)).signatures for hour in range(48)}
    # 22:00 in Berlin is 21:00 UTC; the span that began on Friday ends on Saturday at 05:00 UTC.
    assert [hour for hour, people in need.items() if people == 2] == list(range(21, 29))


class TestDenials:
    def test_it_denies_by_rule_and_no_signature_waives_it(self) -> None:
        doc = document(
            {"name": "no shed", "match": {"kinds": ["shed_rack_load"]}, "deny": True, "reason": "x"}
        )
        for step in ("propose", "approve", "execute"):
            [found] = refused(doc, step=step)
            assert (found.code, found.until, found.can_break_glass) == ("denied", None, False)
            assert "no shed" in found.sentence
        assert refused(doc, kind="set_fan_speed") == []

    def test_it_lets_people_propose_what_is_forbidden_for_some_hours(self) -> None:
        match = {"from": "08:00", "to": "18:00", "zone": "UTC"}
        doc = document({"name": "day", "match": match, "deny": True, "reason": "people are there"})
        [found] = refused(doc)
        assert found.until == datetime(2026, 11, 18, 18, tzinfo=UTC)
        assert "until Wed 18 Nov 2026 18:00 UTC" in found.sentence
        assert refused(doc, step="propose") == []
        assert refused(doc, at=NOON.replace(hour=18)) == []

    def test_it_limits_what_is_reached(self) -> None:
        doc = document(
            {"name": "small", "limits": {"max_racks": 2, "max_gpus": 8, "max_it_kw": 40}}
        )
        wide = {"racks": ["rack-1-01", "rack-1-02", "rack-1-03"], "gpus": 8, "it_w": 41_000}
        found = refused(doc, blast_radius=wide)
        assert [d.code for d in found] == ["blast_radius", "blast_radius"]
        assert "3 racks, at most 2" in found[0].sentence
        assert "41 kW" in found[1].sentence
        assert refused(doc, blast_radius=wide, step="propose") == []
        off = {**doc, "break_glass": {"enabled": False}}
        assert len(refused(off, blast_radius=wide, step="propose")) == 2

    def test_it_counts_the_executions_of_the_hour(self) -> None:
        doc = document(
            {
                "name": "rate",
                "match": {"risks": ["high"]},
                "limits": {"per_hour": 3, "per_target_per_hour": 2},
            }
        )

        def ran(minutes: float, **changes: Any) -> Change:
            about = subject(proposal_id=int(minutes * 10), **changes)
            return Change(about, "verified", NOON - timedelta(minutes=minutes))

        two = [ran(10), ran(50)]
        [found] = refused(doc, changes=two)
        assert (found.code, found.until) == ("rate_limit", NOON + timedelta(minutes=10))
        assert found.can_break_glass
        other: dict[str, Any] = {"target": "rack-2-01"}
        assert refused(doc, changes=two, **other) == []
        three = [*two, ran(20, target="rack-1-04")]
        assert [d.code for d in refused(doc, changes=three, **other)] == ["rate_limit"]
        # What another rule covers, what is an hour old, and itself do not count.
        for not_counted in (ran(20, risk="low"), ran(60), ran(61)):
            assert refused(doc, changes=[*two, not_counted], **other) == []
        assert refused(doc, changes=two, proposal_id=100) == []

    def test_it_does_not_let_two_approved_ones_wait_for_each_other(self) -> None:
        doc = document({"name": "one by one", "limits": {"open_at_once": 1}})
        approved = Change(subject(proposal_id=3, target="rack-2-01"), "approved", None)
        assert [d.code for d in refused(doc, changes=[approved])] == ["open_at_once"]
        assert refused(doc, changes=[approved], step="execute") == []
        writing = approved._replace(state="executing", started_at=NOON)
        [found] = refused(doc, changes=[writing], step="execute")
        assert "#3 on rack-2-01" in found.sentence

    def test_it_asks_the_database_at_most_six_times(
        self, make_proposal: MakeProposal, django_assert_max_num_queries: Any
    ) -> None:
        doc = document(
            *DOCUMENT["rules"], {"name": "more", "limits": {"open_at_once": 9, "max_racks": 1}}
        )
        PolicyVersion.objects.create(number=2, document=doc, digest="x", made_at=timezone.now())
        about = subject_of_proposal(make_proposal())
        assert (about.kind, about.target_kind, about.hall) == (
            "start_standby_crac",
            "crac",
            "hall-1",
        )
        with django_assert_max_num_queries(6):
            denials(subject=about, at=timezone.now(), step="execute")


def _problems(doc: Any) -> list[tuple[str, str]]:
    return [(p.where, p.text) for p in document_problems(doc, now=NOON) if p.is_error]


class TestDocument:
    @pytest.mark.parametrize(
        ("rule", "where", "text"),
        [
            ({"require": {"signatures": 0}}, "rules[0].require.signatures", "minimum of 1"),
            ({"require": {"signatures": True}}, "rules[0].require.signatures", "integer"),
            ({"require": {"sigs": 2}}, "rules[0].require", "unknown field sigs"),
            (
                {"match": {"kinds": ["fly"]}, "deny": True, "reason": "x"},
                "rules[0].match.kinds",
                "fly",
            ),
            (
                {"match": {"halls": ["h"]}, "deny": True, "reason": "x"},
                "rules[0].match.halls",
                "'h'",
            ),
            ({"match": {"weekdays": [7]}}, "rules[0].match.weekdays[0]", "maximum of 6"),
            ({"match": {"from": "08:00"}, "deny": True, "reason": "x"}, "rules[0].match", "both"),
            (
                {"match": {"zone": "Mars/Base"}, "deny": True, "reason": "x"},
                "rules[0].match.zone",
                "Mars/Base",
            ),
            ({"match": {"risks": ["low"]}, "deny": True}, "rules[0].reason", "why"),
            ({}, "rules[0]", "nothing"),
            (
                {"require": {"least_role": "supervisor", "distinct_roles": 3}},
                "rules[0].require.distinct_roles",
                "do not exist",
            ),
            ({"deny": True, "reason": "closed"}, "rules", "nobody could work"),
        ],
    )
    def test_it_says_what_is_wrong_and_where(
        self, demo_facility: None, rule: dict[str, Any], where: str, text: str
    ) -> None:
        [(found_where, found_text)] = _problems(document({"name": "r", **rule}))
        assert found_where == where
        assert text in found_text

    def test_it_refuses_what_nobody_could_sign(
        self, demo_facility: None, operator: Any, supervisor: Any, admin: Any
    ) -> None:
        assert _problems(DOCUMENT) == []
        for require in ({"signatures": 4}, {"least_role": "supervisor", "signatures": 3}):
            found = _problems(document({"name": "r", "require": require}))
            assert found and "could sign" in found[0][1]
        together = document(
            {"name": "a", "require": {"least_role": "admin"}},
            {"name": "b", "match": {"risks": ["high"]}, "require": {"distinct_roles": 2}},
        )
        assert any("there is admin" in text for _where, text in _problems(together))

    def test_it_does_not_blame_a_document_for_people_who_are_missing_anyway(
        self, demo_facility: None, supervisor: Any
    ) -> None:
        found = document_problems(DOCUMENT, now=NOON)
        assert found and not any(p.is_error for p in found)
        assert "so it is today" in found[0].text

    def test_it_refuses_two_rules_of_one_name(self, demo_facility: None) -> None:
        rule = {"name": "r", "require": {"reason": True}}
        assert _problems(document(rule, rule))[0][0] == "rules[1].name"

    @pytest.mark.parametrize("wrong", [None, [], {}, {"rules": []}, {"rules": [], "x": 1}, 3])
    def test_it_refuses_what_is_no_document(self, demo_facility: None, wrong: Any) -> None:
        assert _problems(wrong)


class TestCompare:
    def test_it_says_what_changed(self) -> None:
        new = copy.deepcopy(DOCUMENT)
        new["rules"][2]["require"] |= {"signatures": 3, "reason": False}
        new["rules"].append({"name": "cap", "limits": {"max_racks": 4}})
        del new["rules"][0]
        new["drills"] = {"enabled": True, "per_week": 2}
        assert changes_between(DOCUMENT, new) == [
            "drills: enabled no → yes",
            "drills: per week 1 → 2",
            "rule “High risk”: signatures 2 → 3; reason yes → no",
            "rule “Low risk” removed (low risk: one signature by an operator or above, whoever "
            "edits it may sign it)",
            "rule “cap” added: every action: at most 4 racks reached",
        ]
        assert changes_between(new, {**new, "rules": new["rules"][::-1]}) == []

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"require": {"signatures": 1}}, "signatures 3 → 1"),
            ({"require": {"signatures": 3, "reason": False}}, ""),
            ({"require": {"signatures": 4}}, ""),
            ({"match": {"targets": ["rack-1-*"]}}, "signatures 3 → 1"),
            ({"match": {"weekdays": [0, 1, 2, 3, 4, 5]}}, "signatures 3 → 1"),
            ({"match": {"weekdays": [0, 1, 2, 3, 4, 5, 6]}}, ""),
            ({"match": {"reaches": {"racks": 9}}}, "signatures 3 → 1"),
            ({"match": {"authors": ["agent", "person", "outside"]}}, ""),
            ({"match": {"authors": ["agent", "person"]}}, "signatures 3 → 1"),
            ({"match": {"risks": ["medium", "high"]}}, "signatures 3 → 1"),
        ],
    )
    def test_it_notices_where_a_policy_asks_for_less(
        self, demo_facility: None, change: dict[str, Any], what: str
    ) -> None:
        rule = {"name": "r", "require": {"signatures": 3}}
        found = weakens(
            policy_of(document(rule), 1), policy_of(document({**rule, **change}), 2), NOON
        )
        assert [weaker.what for weaker in found] == ([what] if what else [])

    def test_it_notices_safeguards_that_go(self, demo_facility: None) -> None:
        old = document(
            {"name": "r", "match": {"kinds": ["shed_rack_load"]}, "deny": True, "reason": "x"},
            {"name": "l", "limits": {"per_hour": 5}},
            cool_down_s={"set_fan_speed": 60},
        )
        new = document(
            {"name": "l", "limits": {"per_hour": 6}},
            break_glass={"reviews": 1},
            changes={"second_person": False},
        )
        found = {weaker.what for weaker in weakens(policy_of(old, 1), policy_of(new, 2), NOON)}
        assert found == {
            "no longer forbidden",
            "per hour 5 → 6",
            "cool-down of set_fan_speed 60 s → not said",
            "reviews of a break-glass 2 → 1",
            "one person alone may weaken the policy",
        }
        assert weakens(policy_of(old, 1), policy_of(old, 2), NOON) == []


_REQUIRE = st.fixed_dictionaries(
    {},
    optional={
        "signatures": st.integers(1, 5),
        "least_role": st.sampled_from(["operator", "supervisor", "admin"]),
        "distinct_roles": st.integers(0, 3),
        "reason": st.booleans(),
        "reauthenticate": st.booleans(),
        "maintenance_only": st.booleans(),
        "approval_valid_s": st.integers(30, 1800),
    },
)
_RULES = st.lists(
    st.fixed_dictionaries(
        {"require": _REQUIRE},
        optional={"match": st.fixed_dictionaries({}, optional={"risks": st.just(["low"])})},
    ),
    min_size=1,
    max_size=6,
)


@given(rules=_RULES, more=_REQUIRE)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_it_never_asks_for_less_when_a_rule_is_added(
    rules: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    # A field that no rule names has the product's own value, which a rule may replace.
    named: list[dict[str, Any]] = [{"name": "base", "require": {"approval_valid_s": 1800}}]
    named += [{"name": str(n), **rule} for n, rule in enumerate(rules)]
    before = asked(document(*named))
    after = asked(document(*named, {"name": "more", "require": more}))
    for field, strictest in STRICTEST.items():
        was, now = getattr(before, field), getattr(after, field)
        assert strictest([was, now]) == now
    assert before.signatures >= 1
    both = stricter(before, after)
    assert all(getattr(both, field) == getattr(after, field) for field in STRICTEST)


def test_it_uses_the_newest_version_and_the_shipped_one_without_any() -> None:
    doc = document({"name": "r", "require": {"signatures": 2}}, cool_down_s={"set_fan_speed": 5})
    PolicyVersion.objects.create(number=2, document=doc, digest="x", made_at=timezone.now())
    policy = policy_now()
    assert (policy.number, policy.cool_down_s("set_fan_speed", 9), policy.cool_down_s("x", 9)) == (
        2,
        5,
        9,
    )
    assert policy.break_glass == (True, 2, 24)
    assert policy.drills == (False, 1)
