"""Read endpoints and acknowledgement, as every role."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.test import Client

from facilities.alarms import engine
from facilities.alarms.payload import alarm_payload
from facilities.models import Alarm, Source
from facilities.selectors import open_alarms

from .conftest import ago

pytestmark = pytest.mark.django_db
READ = [
    "/api/v1/points/",
    "/api/v1/points/rack-a.inlet_c/",
    "/api/v1/points/rack-a.inlet_c/series",
    "/api/v1/alarms/",
    "/api/v1/assets/",
    "/api/v1/facility/overview",
]


@pytest.fixture
def alarm(push) -> Alarm:
    push(("crac-a.fault", 1.0), ("rack-a.inlet_c", 33.0))
    engine.evaluate()
    return Alarm.objects.get(point__tag="crac-a.fault")


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_everyone_who_is_signed_in(request, client_as, alarm, path, role):
    assert client_as(request.getfixturevalue(role)).get(path).status_code == 200


@pytest.mark.parametrize("path", [*READ, "/api/v1/sources/"])
def test_it_shows_strangers_nothing(small_facility, path):
    response = Client().get(path)
    assert response.status_code in (401, 403)
    assert set(response.json()) == {"code", "detail"}


def test_it_lists_points_with_latest_values(client_as, viewer, alarm, django_assert_num_queries):
    client = client_as(viewer)
    with django_assert_num_queries(4):  # session, user, count, rows
        page = client.get("/api/v1/points/?asset=crac-a").json()
    assert page["count"] == 4
    fault = next(p for p in page["results"] if p["quantity"] == "fault")
    assert (fault["latest"]["value"], fault["latest"]["quality"]) == (1.0, 1)
    assert next(p for p in page["results"] if p["quantity"] == "supply_c")["latest"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=rack", 4),
        ("quantity=inlet_c", 2),
        ("search=rack-a+temperature", 1),
        ("search=INLET", 2),
        ("search=nothing-like-this", 0),
        ("asset=rack-a&kind=crac", 0),
        ("page_size=3", 11),
    ],
)
def test_it_filters_points(client_as, viewer, small_facility, query, count):
    assert client_as(viewer).get(f"/api/v1/points/?{query}").json()["count"] == count


@pytest.mark.parametrize(
    "path",
    [
        "points/?kind=toaster",
        "points/?search=a%00b",
        "points/rack-a.inlet_c/series?start=yesterday",
        "points/rack-a.inlet_c/series?start=2026-03-01T00:00:00",
        "points/rack-a.inlet_c/series?start=2026-03-02T00:00:00Z&end=2026-03-01T00:00:00Z",
        "points/rack-a.inlet_c/series?max_points=1",
        "points/rack-a.inlet_c/series?max_points=99999999999999999999",
        "points/rack-a.inlet_c/series?max_points=ten",
        "points/rack-a.inlet_c/series?start=nan",
        "points/rack-a.inlet_c/series?start=1e300",
        "alarms/?open=maybe",
        "alarms/?severity=awful",
        "assets/?kind=toaster",
    ],
)
def test_it_says_what_is_wrong_with_a_query(client_as, viewer, small_facility, path):
    response = client_as(viewer).get(f"/api/v1/{path}")
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


@pytest.mark.parametrize(
    "path",
    [
        "points/nothing.here/",
        "points/nothing.here/series",
        "points/a%00b/",
        "points/a%00b/series",
        "facility/overview?hall=attic",
        "points/?page=99",
    ],
)
def test_it_answers_404_for_what_is_not_there(client_as, viewer, small_facility, path):
    response = client_as(viewer).get(f"/api/v1/{path}")
    assert response.status_code == 404
    assert set(response.json()) == {"code", "detail"}


def test_it_gives_a_series(client_as, viewer, push, django_assert_num_queries):
    push(*[("rack-a.inlet_c", ago(60 * i), 20.0 + i) for i in range(4)])
    client = client_as(viewer)
    with django_assert_num_queries(6):
        body = client.get("/api/v1/points/rack-a.inlet_c/series?max_points=100").json()
    assert body["values"] == [23.0, 22.0, 21.0, 20.0]
    assert (body["tag"], body["unit"], len(body["ts"])) == ("rack-a.inlet_c", "Cel", 4)
    zone = client.get("/api/v1/points/rack-a.inlet_c/series?start=2020-01-01T00:00:00+02:00")
    assert zone.status_code == 200


def test_it_lists_alarms_worst_first(client_as, viewer, alarm, django_assert_num_queries):
    client = client_as(viewer)
    with django_assert_num_queries(4):
        page = client.get("/api/v1/alarms/?open=true").json()
    assert [a["severity"] for a in page["results"]] == ["critical", "high"]
    assert page["results"][1] == json.loads(
        json.dumps(alarm_payload(open_alarms().get(pk=alarm.pk)))
    )
    assert client.get("/api/v1/alarms/?severity=high").json()["count"] == 1
    assert client.get("/api/v1/alarms/?asset=rack-a").json()["count"] == 1
    assert client.get("/api/v1/alarms/?open=false").json()["count"] == 0


@pytest.mark.parametrize("role", ["operator", "supervisor", "admin"])
def test_it_lets_operators_acknowledge(request, client_as, alarm, role):
    client = client_as(request.getfixturevalue(role))
    path = f"/api/v1/alarms/{alarm.pk}/acknowledge"
    first = client.post(path, {"note": "seen"}, "application/json")
    assert (first.status_code, first.json()["state"]) == (200, "active_acknowledged")
    assert first.json()["acknowledged_by"] == role
    assert client.post(path).json() == first.json()
    assert client.post("/api/v1/alarms/999999/acknowledge").status_code == 404
    assert client.post(path, {"note": "x" * 501}, "application/json").status_code == 400
    assert client.post(path, {"note": "a\0b"}, "application/json").status_code == 400


def test_it_refuses_acknowledgement_by_others(client_as, viewer, alarm):
    path = f"/api/v1/alarms/{alarm.pk}/acknowledge"
    response = client_as(viewer).post(path)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert Client().post(path).status_code in (401, 403)
    checked = Client(enforce_csrf_checks=True)
    checked.force_login(viewer)
    assert checked.post(path).status_code == 403
    alarm.refresh_from_db()
    assert alarm.acknowledged_at is None


def test_it_shows_sources_to_those_who_manage_them(client_as, viewer, operator, supervisor, token):
    for user in (viewer, operator):
        assert client_as(user).get("/api/v1/sources/").status_code == 403
    body = client_as(supervisor).get("/api/v1/sources/").content.decode()
    source = Source.objects.get()
    assert json.loads(body)["results"][0]["name"] == "bms"
    for secret in (token, source.token_hash, source.token_prefix):
        assert secret not in body


def test_it_lists_assets(client_as, viewer, small_facility, django_assert_num_queries):
    client = client_as(viewer)
    with django_assert_num_queries(4):
        page = client.get("/api/v1/assets/?kind=gpu").json()
    assert page["results"][0]["parent"] == "srv-01"
    assert client.get("/api/v1/assets/?rack=rack-a").json()["count"] == 6


def test_it_describes_itself(tmp_path):
    out = tmp_path / "schema.yml"
    call_command("spectacular", "--file", str(out), "--validate")
    text = out.read_text()
    for path in ("/api/v1/readings:", "/api/v1/points/{tag}/series:", "/api/v1/alarms/:"):
        assert path in text
