"""Pages and endpoints of quality: who may see them, filters, counts of queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from facilities.models import Point, PointQuality, QualityTrend, Source, SourceFlow

NOW = datetime.now(UTC)
PATHS = (
    "/quality/",
    "/quality/assets/",
    "/quality/sources/",
    "/quality/points/rack-a.inlet_c/",
    "/api/v1/quality/points/",
    "/api/v1/quality/points/rack-a.inlet_c/",
    "/api/v1/quality/assets/",
    "/api/v1/quality/sources/",
    "/api/v1/quality/trend",
)


@pytest.fixture
def verdicts(small_facility: None) -> None:
    for number, point in enumerate(Point.objects.order_by("tag")):
        PointQuality.objects.create(
            point=point,
            computed_at=NOW,
            since=NOW,
            window_s=600,
            flag=9 if point.tag == "rack-a.inlet_c" else 1,
            tests={"gap": {"flag": 9, "detail": "Silent for 60 s."}}
            if point.tag == "rack-a.inlet_c"
            else {"gap": {"flag": 1, "detail": "No gap."}},
            readings=300,
            completeness=0.5 if point.tag == "rack-a.inlet_c" else 1.0,
            score=0.5 if point.tag == "rack-a.inlet_c" else 0.9 + number / 1000,
        )
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    QualityTrend.objects.create(scope="facility", key=0, hour=hour, runs=1, score=0.9)
    source = Source.objects.create(name="bms", token_hash="x" * 64, token_prefix="hp_x")
    SourceFlow.objects.create(
        source=source, minute=NOW - timedelta(minutes=2), requests=10, bytes=9000, received=1000,
        decoded=1000, converted=980, rejected=20, stored=975, duplicates=5, flagged=3, late=2,
        performance_s=97.5, performance_max_s=4, transform_s=0.02, transform_max_s=0.01,
        transfer_s=0.1, transfer_max_s=0.05,
    )  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_it_is_for_people_who_are_signed_in(
    path: str, verdicts: None, viewer, operator, supervisor, client_as: Callable[..., Client]
) -> None:
    assert Client().get(path).status_code in (302, 401, 403)
    for user in (viewer, operator, supervisor):
        assert client_as(user).get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/quality/", 9),
        ("/quality/assets/", 6),
        ("/quality/sources/", 7),
        ("/api/v1/quality/points/", 5),
        ("/api/v1/quality/assets/", 5),
        ("/api/v1/quality/sources/", 6),
    ],
)
def test_it_needs_few_queries(
    path: str, queries: int, verdicts: None, viewer, client_as: Callable[..., Client],
    django_assert_max_num_queries,
) -> None:  # fmt: skip
    client = client_as(viewer)
    with django_assert_max_num_queries(queries):
        assert client.get(path).status_code == 200


def test_it_lists_points_worst_first_with_filters(
    verdicts: None, viewer, client_as: Callable[..., Client]
) -> None:
    client = client_as(viewer)
    found = client.get("/api/v1/quality/points/").json()
    assert found["results"][0]["tag"] == "rack-a.inlet_c"
    assert found["results"][0]["tests"] == [
        {"name": "gap", "flag": 9, "detail": "Silent for 60 s."}
    ]
    for query, count in (("flag=missing", 1), ("flag=bad", 1), ("flag=fail", 0), ("asset=rack-b", 2),
                         ("kind=crac", 4), ("search=rack-a inlet", 1)):  # fmt: skip
        assert client.get(f"/api/v1/quality/points/?{query}").json()["count"] == count, query
    assert client.get("/api/v1/quality/points/?flag=odd").status_code == 400
    assert client.get("/api/v1/quality/points/nothing.here_c/").status_code == 404
    assert client.get("/api/v1/quality/points/a%00b.c/").status_code == 404


def test_it_shows_why_a_point_is_not_good(
    verdicts: None, viewer, client_as: Callable[..., Client]
) -> None:
    client = client_as(viewer)
    assert "Silent for 60 s." in client.get("/quality/").content.decode()
    assert "Silent for 60 s." in client.get("/quality/points/rack-a.inlet_c/").content.decode()
    page = client.get("/quality/?flag=fail").content.decode()
    assert "No point matches" in page
    assert client.get("/quality/points/nothing.here_c/").status_code == 404


def test_it_averages_assets(verdicts: None, viewer, client_as: Callable[..., Client]) -> None:
    found = client_as(viewer).get("/api/v1/quality/assets/").json()["results"]
    first = found[0]
    assert (first["tag"], first["points"], first["bad"]) == ("rack-a", 2, 1)
    assert first["completeness"] == pytest.approx(0.75)


def test_it_shows_the_three_steps_of_a_source(
    verdicts: None, viewer, client_as: Callable[..., Client]
) -> None:
    client = client_as(viewer)
    row = client.get("/api/v1/quality/sources/").json()["results"][0]
    steps = {step["name"]: step for step in row["steps"]}
    assert list(steps) == ["performance", "transform", "transfer"]
    assert (steps["transform"]["into"], steps["transform"]["lost"]) == (1000, 20)
    assert (steps["transfer"]["into"], steps["transfer"]["out"]) == (980, 980)
    assert steps["performance"]["mean_s"] == pytest.approx(0.1)
    assert steps["transfer"]["max_s"] == pytest.approx(0.05)
    page = client.get("/quality/sources/").content.decode()
    assert "20 in quarantine" in page


def test_it_gives_trends(verdicts: None, viewer, client_as: Callable[..., Client]) -> None:
    client = client_as(viewer)
    assert client.get("/api/v1/quality/trend").json()["score"] == [0.9]
    assert client.get("/api/v1/quality/trend?scope=point").status_code == 400
    assert client.get("/api/v1/quality/trend?scope=point&key=no.thing").status_code == 404
    found = client.get("/api/v1/quality/trend?scope=asset&key=rack-a").json()
    assert (found["key"], found["ts"]) == ("rack-a", [])
