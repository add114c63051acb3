"""The energy endpoints and page: who may see them, refusals, CSV, counts of queries."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from facilities.tests.test_energy import HOUR, STEADY, lab, store

__all__ = ["lab"]

PATHS = (
    "/energy/",
    "/energy/?period=7d",
    "/energy/?period=nonsense",
    "/api/v1/energy/metrics",
    "/api/v1/energy/now",
    "/api/v1/energy/export.csv",
    "/api/v1/energy/chain",
)


def span(minutes: int = 60, step: int = 1800) -> str:
    end = HOUR + timedelta(minutes=minutes)
    return f"?start={HOUR:%Y-%m-%dT%H:%M:%SZ}&end={end:%Y-%m-%dT%H:%M:%SZ}&step={step}"


@pytest.mark.parametrize("path", PATHS)
def test_it_is_for_people_who_are_signed_in(
    path: str, lab: None, viewer, operator, supervisor, client_as: Callable[..., Client]
) -> None:
    assert Client().get(path).status_code in (302, 401, 403)
    for user in (viewer, operator, supervisor):
        assert client_as(user).get(path).status_code == 200
    assert client_as(viewer).post(path).status_code in (403, 405)


def test_it_answers_with_steps_and_inputs(lab: None, viewer, client_as) -> None:
    store(STEADY, HOUR, 60)
    found = client_as(viewer).get("/api/v1/energy/metrics" + span()).json()
    assert found["whole"]["pue"] == {"value": pytest.approx(1.5), "coverage": pytest.approx(1.0)}
    assert found["whole"]["categories"]["1"]["value"] == pytest.approx(1_500 / 1_050)
    assert [step["ratios"]["pue"]["value"] for step in found["steps"]] == [pytest.approx(1.5)] * 2
    rack = next(item for item in found["inputs"] if item["role"] == "rack")
    assert rack["meters"] == ["rack-a.power_w", "rack-b.power_w"]


def test_it_gives_the_steps_and_the_whole_as_csv(lab: None, viewer, client_as) -> None:
    store(STEADY, HOUR, 60)
    answer = client_as(viewer).get("/api/v1/energy/export.csv" + span())
    assert answer["Content-Type"].startswith("text/csv")
    assert "energy_" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == 3
    assert [float(row["pue"]) for row in rows] == [1.5] * 3
    assert float(rows[-1]["total_kwh"]) == pytest.approx(1.5)
    assert float(rows[-1]["cost_CHF"]) == pytest.approx(0.375)
    uses = [float(value) for key, value in rows[-1].items() if key.startswith("use_")]
    assert sum(uses) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?start=yesterday", "start"),
        ("?start=2026-03-01T00:00:00", "start"),
        ("?start=2020-01-01T00:00:00Z&end=2020-01-01T00:00:00Z", "start"),
        ("?start=2020-01-01T00:00:00Z&end=2026-01-01T00:00:00Z", "start"),
        ("?start=2090-01-01T00:00:00Z&end=2090-01-02T00:00:00Z", "start"),
        ("?step=61", "step"),
        ("?step=-60", "step"),
        ("?step=x", "step"),
    ],
)
def test_it_refuses_what_makes_no_sense(
    query: str, field: str, lab: None, viewer, client_as
) -> None:
    for path in ("metrics", "export.csv"):
        answer = client_as(viewer).get(f"/api/v1/energy/{path}{query}")
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid"
        assert field in answer.json()["fields"]


@pytest.mark.parametrize(
    ("path", "queries"),
    [("metrics", 6), ("now", 5), ("chain", 14), ("export.csv", 6)],
)
def test_it_needs_few_queries(
    path: str, queries: int, lab: None, viewer, client_as, django_assert_max_num_queries
) -> None:
    """Two of them are the session and its user."""
    store(STEADY, HOUR, 60)
    client = client_as(viewer)
    with django_assert_max_num_queries(queries):
        assert client.get(f"/api/v1/energy/{path}").status_code == 200


def test_it_shows_the_chain_of_the_demo_hall(demo_facility: None, viewer, client_as) -> None:
    found = client_as(viewer).get("/api/v1/energy/chain").json()
    nodes = {node["tag"]: node for node in found["nodes"]}
    assert {"utility-1", "gen-1", "ups-a", "ups-b", "pdu-a1", "pdu-b2"} <= set(nodes)
    assert nodes["gen-1"]["state"] == "standby"
    assert 0 < nodes["ups-a"]["share"] < nodes["ups-a"]["failover_share"] < 1
    assert ["utility-1", "ups-a"] in found["edges"]
    racks = [group for group in found["groups"] if group["kind"] == "rack"]
    assert sorted(len(group["tags"]) for group in racks) == [8, 8]
    assert {stage["kind"]: stage["label"] for stage in found["stages"]}["ups"] == "2N"
    lost = {item["lost"]: item for item in found["contingencies"]}
    assert lost["ups-a"]["verdict"] == "holds"
    assert lost["ups-a"]["worst"]["share"] < 1
    assert "crac-1" in lost["utility-1"]["interrupted"]


def test_it_finds_the_single_cord_of_a_small_site(lab: None, viewer, client_as) -> None:
    found = client_as(viewer).get("/api/v1/energy/chain").json()
    weak = {point["tag"]: point["loads"] for point in found["single_points"]}
    assert weak["pdu-a"] == ["rack-a", "rack-b"]
    lost = {item["lost"]: item for item in found["contingencies"]}
    assert lost["pdu-a"]["verdict"] == "loses"
    assert lost["pdu-a"]["dropped"] == ["rack-a", "rack-b"]


def test_it_names_the_page_in_the_navigation(lab: None, viewer, client_as) -> None:
    page = client_as(viewer).get("/energy/").content.decode()
    assert 'href="/energy/" aria-current="page"' in page
    assert 'data-period="24h"' in page
    assert datetime.now(UTC) > HOUR
