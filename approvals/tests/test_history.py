"""The history: words, filters, pages and files; the audit browser's filters."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from approvals.models import Proposal
from approvals.search import _harmless, moment_of, proposals_search, wanted_of
from approvals.services import proposal_reject
from approvals.tests.conftest import MakeProposal

SignIn = Callable[[Any], Client]
FAN = ("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})


@pytest.fixture
def two(make_proposal: MakeProposal, operator: Any, supervisor: Any) -> tuple[Proposal, Proposal]:
    """One of the agent, rejected by a supervisor; one that the operator asked for, still open."""
    rejected, mine = make_proposal(), make_proposal(*FAN, operator)
    proposal_reject(
        proposal_id=rejected.pk, user=supervisor, reason="=HYPERLINK() the contractor is inside"
    )
    return Proposal.objects.get(pk=rejected.pk), mine


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "both"),
        ({"q": "standby"}, "rejected"),
        ({"q": '"CRAC 2 reports"'}, "both"),
        ({"q": "crac-4"}, "rejected"),
        ({"q": "contractors"}, "rejected"),
        ({"q": "crac -standby"}, "mine"),
        ({"q": "helicopter"}, "none"),
        ({"state": "rejected"}, "rejected"),
        ({"state": "open"}, "mine"),
        ({"state": "ended"}, "rejected"),
        ({"kind": "set_fan_speed"}, "mine"),
        ({"target": "crac-4"}, "rejected"),
        ({"person": "operator"}, "mine"),
        ({"person": "supervisor"}, "rejected"),
        ({"person": "agent"}, "rejected"),
        ({"risk": "high"}, "none"),
        ({"until": "2020-01-01"}, "none"),
        ({"since": "2020-01-01"}, "both"),
    ],
)
def test_it_finds_by_words_and_filters(
    query: dict[str, str], found: str, two: tuple[Proposal, Proposal]
) -> None:
    rejected, mine = two
    expected = {"both": [mine, rejected], "rejected": [rejected], "mine": [mine], "none": []}[found]
    assert list(proposals_search(wanted_of(query))) == expected


@pytest.mark.django_db
def test_it_finds_by_number(two: tuple[Proposal, Proposal]) -> None:
    assert list(proposals_search(wanted_of({"q": f"#{two[1].pk}"}))) == [two[1]]


def test_it_says_what_it_did_not_understand() -> None:
    wanted = wanted_of({"state": "floating", "risk": "x", "since": "31.12.", "q": "\0a"})
    assert (wanted.state, wanted.risk, wanted.since, wanted.q) == ("", "", None, "a")
    assert len(wanted.problems) == 3


@given(st.text(max_size=30), st.text(max_size=30))
def test_it_never_stumbles_over_a_query_string(a: str, b: str) -> None:
    wanted_of({"q": a, "state": b, "since": a, "until": b, "risk": a})


@given(st.text(max_size=20))
def test_it_writes_no_cell_that_a_spreadsheet_runs(text: str) -> None:
    assert not str(_harmless(text)).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_it_reads_days_and_moments() -> None:
    from datetime import time

    day = moment_of("2026-11-21", time.max)
    assert day is not None
    assert day.isoformat() == "2026-11-21T23:59:59.999999+00:00"
    assert moment_of("2026-13-40", time.min) is None


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/approvals/history/?q=crac", "/approvals/history/export"])
def test_it_opens_for_every_role_and_no_stranger(
    path: str, client_as: SignIn, viewer: Any, operator: Any, supervisor: Any
) -> None:
    assert Client().get(path).status_code == 302
    for person in (viewer, operator, supervisor):
        assert client_as(person).get(path).status_code == 200


@pytest.mark.django_db
def test_it_exports_what_was_found(
    two: tuple[Proposal, Proposal], client_as: SignIn, viewer: Any
) -> None:
    client = client_as(viewer)
    answer = client.get("/approvals/history/export?state=rejected")
    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert (row["state"], row["decisions"]) == ("rejected", "supervisor reject")
    assert row["reasons"].startswith("'=HYPERLINK")
    assert "proposals.csv" in answer["Content-Disposition"]
    both = client.get("/approvals/history/export?format=json").json()["proposals"]
    assert [one["asked_by"] for one in both] == ["operator", "agent"]


@pytest.mark.django_db
def test_it_pages_with_a_fixed_number_of_queries(
    two: tuple[Proposal, Proposal],
    client_as: SignIn,
    viewer: Any,
    django_assert_max_num_queries: Any,
) -> None:
    client = client_as(viewer)
    with django_assert_max_num_queries(11):
        html = client.get("/approvals/history/?q=crac").content.decode()
    assert "2 proposals" in html


@pytest.mark.django_db
def test_it_keeps_an_index_for_exactly_this_search() -> None:
    query = proposals_search(wanted_of({"q": "standby"})).query
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        sql, parameters = query.sql_with_params()
        cursor.execute("EXPLAIN " + sql, parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "approvals_proposal_words" in plan


@pytest.mark.django_db
def test_it_filters_the_audit_trail_by_time_and_text_and_links_objects(
    two: tuple[Proposal, Proposal], client_as: SignIn, viewer: Any
) -> None:
    client = client_as(viewer)
    html = client.get("/audit/?text=contractor").content.decode()
    assert f'href="/approvals/{two[0].pk}/"' in html
    assert f'href="/approvals/{two[1].pk}/"' not in html
    tomorrow = timezone.now().replace(year=2099).strftime("%Y-%m-%dT%H:%M")
    assert "No entry matches" in client.get(f"/audit/?since={tomorrow}").content.decode()
    assert "Newest entry" in html


API = "/api/v1/proposals/search"
FILE = "/api/v1/proposals/export"


@pytest.mark.django_db
class TestRest:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({}, ["mine", "rejected"]),
            ({"q": "contractors"}, ["rejected"]),
            ({"person": "supervisor", "state": "ended"}, ["rejected"]),
            ({"kind": "set_fan_speed", "risk": "low"}, ["mine"]),
            ({"since": "2020-01-01", "until": "2020-12-31"}, []),
        ],
    )
    def test_it_finds_what_the_page_finds(
        self, two: Any, client_as: SignIn, viewer: Any, query: dict[str, str], found: list[str]
    ) -> None:
        pks = dict(zip(("rejected", "mine"), (one.pk for one in two), strict=True))
        client = client_as(viewer)
        body = client.get(API, query).json()
        assert [row["id"] for row in body["results"]] == [pks[name] for name in found]
        assert body["count"] == len(found)
        assert client.get(FILE, {**query, "as": "json"}).json() == body["results"]
        rows = list(csv.DictReader(io.StringIO(client.get(FILE, query).content.decode())))
        assert [int(row["id"]) for row in rows] == [pks[name] for name in found]

    def test_it_gives_pages_and_a_fixed_number_of_queries(
        self, two: Any, client_as: SignIn, viewer: Any, django_assert_max_num_queries: Any
    ) -> None:
        client = client_as(viewer)
        with django_assert_max_num_queries(6):
            body = client.get(API).json()
        assert (body["next"], body["previous"]) == (None, None)
        assert client.get(API, {"page": 2}).status_code == 404
        answer = client.get(FILE)
        assert answer["Content-Disposition"] == 'attachment; filename="proposals.csv"'
        assert answer["X-Cut"] == "false"
        assert "'=HYPERLINK" in answer.content.decode(), "no formula for a spreadsheet"

    @pytest.mark.parametrize(
        "query", [{"state": "floating"}, {"risk": "x"}, {"since": "31.12."}, {"q": "x" * 300}]
    )
    def test_it_refuses_what_it_does_not_understand(
        self, client_as: SignIn, viewer: Any, query: dict[str, str]
    ) -> None:
        for path in (API, FILE):
            answer = client_as(viewer).get(path, query)
            assert answer.status_code == 400 and {"code", "detail"} <= set(answer.json())
        assert client_as(viewer).get(FILE, {"as": "xls"}).status_code == 400

    def test_it_is_for_people_who_are_signed_in(self, db: None) -> None:
        for path in (API, FILE):
            assert Client().get(path).status_code in (401, 403)
