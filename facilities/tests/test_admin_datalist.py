"""Admin console: bulk edit of points, all or none; a page for each model of the data list."""

from __future__ import annotations

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME

from facilities.models import Converter, Point
from facilities.services.sources import source_create

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_facility")]
POINTS = "/admin/facilities/point/"


def chosen(*tags: str) -> dict[str, object]:
    keys = list(Point.objects.filter(tag__in=tags).values_list("pk", flat=True))
    return {ACTION_CHECKBOX_NAME: keys, "action": "bulk_edit"}


def test_it_edits_many_points_together(client_as, admin):
    client = client_as(admin)
    asked = chosen("rack-a.inlet_c", "rack-b.inlet_c")
    assert "Edit 2 points together" in client.post(POINTS, asked).content.decode()
    body = {
        **asked,
        "bulk": "1",
        "change": ["owner", "max_value"],
        "owner": "me",
        "max_value": "60",
    }
    assert client.post(POINTS, body).status_code == 302
    found = Point.objects.filter(owner="me")
    assert {(p.tag, p.max_value, p.unit) for p in found} == {
        ("rack-a.inlet_c", 60, "Cel"),
        ("rack-b.inlet_c", 60, "Cel"),
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("max_value", "5", "is not below the upper"), ("unit", "furlong", "no UCUM code")],
)
def test_it_changes_none_when_one_would_be_wrong(client_as, admin, field, value, message):
    Point.objects.filter(tag="rack-b.inlet_c").update(min_value=10)
    asked = chosen("rack-a.inlet_c", "rack-b.inlet_c")
    body = {**asked, "bulk": "1", "change": [field], field: value}
    response = client_as(admin).post(POINTS, body)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not Point.objects.filter(**{field: value}).exists()


def test_it_accepts_and_exports(client_as, admin):
    client = client_as(admin)
    Point.objects.update(verified=False)
    client.post(POINTS, {**chosen("rack-a.inlet_c"), "action": "accept"})
    assert Point.objects.get(verified=True).verified_by == admin
    text = client.post(POINTS, {**chosen("rack-a.inlet_c"), "action": "as_csv"}).content.decode()
    assert text.splitlines()[1].startswith("rack-a.inlet_c,rack-a,inlet_c,")
    assert (
        "points:"
        in client.post(POINTS, {**chosen("rack-a.inlet_c"), "action": "as_yaml"}).content.decode()
    )


def test_it_refuses_a_converter_that_cannot_be_read(client_as, admin):
    source = source_create(name="agent").source
    client = client_as(admin)
    path = "/admin/facilities/converter/add/"
    wrong = client.post(path, {"source": source.pk, "document": "rules: 5", "enabled": "on"})
    assert "must be a list" in wrong.content.decode()
    client.post(path, {"source": source.pk, "document": "use: [dcgm_exporter]", "enabled": "on"})
    assert Converter.objects.get().source == source


@pytest.mark.parametrize(
    "model",
    [
        "converter",
        "derivedpoint",
        "derivedinput",
        "sourceseries",
        "counterstate",
        "sourcemessage",
        "quarantineditem",
        "quarantinedrops",
    ],
)
def test_it_has_a_page_for_each_model(client_as, admin, operator, model):
    assert client_as(admin).get(f"/admin/facilities/{model}/").status_code == 200
    assert client_as(operator).get(f"/admin/facilities/{model}/").status_code == 302
