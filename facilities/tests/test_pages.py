"""The pages, as every role."""

from __future__ import annotations

import pytest
from django.test import Client

from facilities.alarms import engine

pytestmark = pytest.mark.django_db
PAGES = ["/points/", "/points/rack-a.inlet_c/", "/alarms/", "/assets/crac-a/", "/assets/rack-a/"]


@pytest.fixture
def values(push) -> None:
    push(("rack-a.inlet_c", 33.0), ("crac-a.running", 1.0), ("crac-a.fault", 1.0))
    engine.evaluate()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_everyone_who_is_signed_in(request, client_as, values, path, role):
    response = client_as(request.getfixturevalue(role)).get(path)
    assert response.status_code == 200
    body = response.content.decode()
    assert "<script>" not in body
    assert "style=" not in body.split("<main", 1)[1]


@pytest.mark.parametrize("path", PAGES)
def test_it_sends_strangers_to_the_log_in(small_facility, path):
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


@pytest.mark.parametrize(
    "path", ["/points/nothing.here/", "/points/a%00b/", "/assets/nothing/", "/assets/a%00b/"]
)
def test_it_answers_404_for_what_is_not_there(client_as, viewer, small_facility, path):
    assert client_as(viewer).get(path).status_code == 404


def test_it_lists_points_with_values(client_as, viewer, values, django_assert_num_queries):
    client = client_as(viewer)
    with django_assert_num_queries(7):  # session, user, permissions (2), count, rows, role
        body = client.get("/points/?search=rack-a").content.decode()
    assert "33.0" in body
    assert "crac-a" not in body
    assert "2 points" in body


def test_it_names_states(client_as, viewer, values):
    assert "running" in client_as(viewer).get("/points/crac-a.running/").content.decode()


def test_it_survives_odd_queries(client_as, viewer, values):
    client = client_as(viewer)
    for query in ("page=x", "page=-1", "search=%00", "kind=toaster", "search=%3Cscript%3E"):
        response = client.get(f"/points/?{query}")
        assert response.status_code == 200
        assert "<script>" not in response.content.decode()
    assert client.get("/alarms/?severity=awful").status_code == 200


def test_it_shows_the_note_dialog_to_operators_only(client_as, viewer, operator, values):
    assert b'id="acknowledge"' in client_as(operator).get("/alarms/").content
    assert b'id="acknowledge"' not in client_as(viewer).get("/alarms/").content


def test_it_needs_few_queries(client_as, viewer, values, django_assert_max_num_queries):
    client = client_as(viewer)
    for path, most in (("/alarms/", 8), ("/points/rack-a.inlet_c/", 5), ("/assets/crac-a/", 12)):
        with django_assert_max_num_queries(most):
            client.get(path)


def test_it_says_when_there_is_nothing(client_as, viewer):
    assert "data list is empty" in client_as(viewer).get("/points/").content.decode()


@pytest.mark.parametrize(
    "model",
    [
        "site",
        "hall",
        "rack",
        "asset",
        "assetlink",
        "point",
        "datalistversion",
        "source",
        "latestreading",
        "alarmrule",
        "rulestate",
        "alarm",
        "alarmevent",
    ],
)
def test_it_has_an_admin_page_for_each_model(client_as, admin, operator, values, model):
    assert client_as(admin).get(f"/admin/facilities/{model}/").status_code == 200
    assert client_as(operator).get(f"/admin/facilities/{model}/").status_code == 302


def test_it_never_shows_a_hash_in_the_admin(client_as, admin, token):
    from facilities.models import Source

    source = Source.objects.get()
    body = client_as(admin).get(f"/admin/facilities/source/{source.pk}/change/").content.decode()
    assert source.token_hash not in body
    assert token not in body
