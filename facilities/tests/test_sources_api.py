"""REST: sources, converters, derived points, quarantine, data list; as every role."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client

from facilities.ingest import quarantine as store
from facilities.ingest.samples import Rejected, samples_of
from facilities.models import Converter, DerivedPoint, Point, QuarantinedItem, Source
from facilities.services.sources import source_create, token_hash

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture
def source(small_facility) -> Source:
    return source_create(name="agent").source


def put(source: Source, *keys: str) -> None:
    now_us = time.time_ns() // 1_000
    samples = samples_of([(key, now_us - i, 20.0 + i) for i, key in enumerate(keys)])
    rejected = [Rejected(i, "unknown_point", "unknown", key) for i, key in enumerate(keys)]
    items = store.quarantine_items(source.pk, samples, rejected, datetime.now(UTC))
    with connection.cursor() as cursor:
        store.quarantine_store(cursor, items)


@pytest.mark.parametrize("role", ["viewer", "operator", "stranger"])
def test_it_lets_only_managers_at_sources_and_quarantine(request, client_as, source, role):
    client = Client() if role == "stranger" else client_as(request.getfixturevalue(role))
    pk = source.pk
    refused = 403
    for path in ("sources/", f"sources/{pk}/", f"sources/{pk}/converter", "quarantine/"):
        assert client.get(f"/api/v1/{path}").status_code in (refused, 401), path
    for path in (
        "sources/",
        f"sources/{pk}/rotate",
        f"sources/{pk}/revoke",
        f"sources/{pk}/converter/preview",
        "quarantine/replay",
        "quarantine/discard",
        "points/verify",
        "points/import",
        "derived-points/",
    ):
        response = client.post(f"/api/v1/{path}", {}, content_type=JSON)
        assert response.status_code in (refused, 401), path
    assert Source.objects.get().token_hash == source.token_hash
    tag = client.patch("/api/v1/points/rack-a.inlet_c/", {"owner": "x"}, content_type=JSON)
    assert tag.status_code in (refused, 401)


def test_it_creates_rotates_and_revokes(client_as, supervisor, source):
    client = client_as(supervisor)
    body = {"name": "new", "allowed_networks": ["10.0.0.0/8"], "heartbeat_timeout_s": 60}
    response = client.post("/api/v1/sources/", body, content_type=JSON)
    assert response.status_code == 201
    made = Source.objects.get(name="new")
    assert made.token_hash == token_hash(response.json()["token"])
    assert "token_hash" not in response.content.decode()
    rotated = client.post(f"/api/v1/sources/{made.pk}/rotate", {}, content_type=JSON).json()
    assert rotated["token"] != response.json()["token"]
    assert client.post(f"/api/v1/sources/{made.pk}/revoke").json()["active"] is False
    assert client.post("/api/v1/sources/", body, content_type=JSON).status_code == 400
    for wrong in ({"allowed_networks": ["x"]}, {"heartbeat_timeout_s": 1}, {"name": ""}):
        path = f"/api/v1/sources/{made.pk}/"
        assert client.patch(path, wrong, content_type=JSON).status_code == 400
    changed = client.patch(path, {"auto_register": True}, content_type=JSON).json()
    assert (changed["auto_register"], changed["allowed_networks"]) == (True, ["10.0.0.0/8"])


def test_it_saves_and_previews_converters(client_as, supervisor, source):
    client = client_as(supervisor)
    path = f"/api/v1/sources/{source.pk}/converter"
    assert client.get(path).json()["document"] == ""
    body = {"document": "use: [dcgm_exporter]\n"}
    assert client.put(path, body, content_type=JSON).status_code == 200
    assert Converter.objects.get().document == body["document"]
    wrong = client.put(path, {"document": "use: [ghost]"}, content_type=JSON)
    assert wrong.status_code == 400
    assert "there is no map" in wrong.content.decode()
    made = client.post(f"{path}/preview", body, content_type=JSON).json()
    assert (made["messages"], made["lines"]) == (0, [])
    assert "dcgm_exporter" in {m["name"] for m in client.get("/api/v1/converter-maps/").json()}
    assert client.get("/api/v1/sources/99999/converter").status_code == 404


def test_it_keeps_derived_points(client_as, supervisor, viewer, source):
    client = client_as(supervisor)
    body = {"point": "room-1.pue", "expression": "{room-1.facility_power_w} / {room-1.it_power_w}"}
    made = client.post("/api/v1/derived-points/", body, content_type=JSON)
    assert made.status_code == 201
    path = f"/api/v1/derived-points/{made.json()['id']}/"
    wrong = client.patch(path, {"expression": "{room-1.pue}"}, content_type=JSON)
    assert wrong.status_code == 400
    assert "depend on itself" in wrong.content.decode()
    assert client_as(viewer).get("/api/v1/derived-points/").json()["count"] == 1
    assert client_as(viewer).delete(path).status_code == 403
    assert client.delete(path).status_code == 204
    assert not DerivedPoint.objects.exists()


def test_it_searches_and_replays_the_quarantine(client_as, supervisor, source):
    client = client_as(supervisor)
    put(source, "t1", "t2", "weird")
    found = client.get("/api/v1/quarantine/?search=t1&source=agent&state=waiting").json()
    assert [item["series"] for item in found["results"]] == ["t1"]
    Converter.objects.create(source=source, document="rules: [{series: t1, point: rack-a.inlet_c}]")
    body = {"ids": [found["results"][0]["id"]]}
    done = client.post("/api/v1/quarantine/replay", body, content_type=JSON).json()
    assert (done["tried"], done["stored"]) == (1, 1)
    path = "/api/v1/quarantine/discard?search=weird"
    assert client.post(path, {}, content_type=JSON).json() == {"discarded": 1}
    assert QuarantinedItem.objects.filter(state="waiting").count() == 1
    assert client.get("/api/v1/quarantine/?state=x").status_code == 400
    assert client.get("/api/v1/quarantine/?since=noon").status_code == 400


def test_it_pins_the_queries_of_lists(client_as, supervisor, source, django_assert_num_queries):
    client = client_as(supervisor)
    put(source, *(f"t{i}" for i in range(20)))
    for path, most in (("quarantine/", 6), ("sources/", 6), ("derived-points/", 3), ("points/", 4)):
        with django_assert_num_queries(most):
            assert client.get(f"/api/v1/{path}").status_code == 200


def test_it_edits_and_accepts_points(client_as, supervisor, source):
    client = client_as(supervisor)
    Point.objects.filter(tag__startswith="rack-").update(verified=False)
    path = "/api/v1/points/rack-a.inlet_c/"
    assert client.get(path).json()["stage"] == "raw"
    changed = client.patch(
        path, {"owner": "night shift", "max_value": 60, "verified": True}, content_type=JSON
    ).json()
    assert (changed["owner"], changed["max_value"], changed["stage"]) == (
        "night shift",
        60,
        "verified",
    )
    assert Point.objects.get(tag="rack-a.inlet_c").verified_by == supervisor
    for wrong in ({"unit": "furlong"}, {"max_value": -50}, {"max_value": "warm"}):
        assert client.patch(path, wrong, content_type=JSON).status_code == 400
    client.patch(path, {"tag": "other.tag", "writable": True}, content_type=JSON)
    assert not Point.objects.get(tag="rack-a.inlet_c").writable
    body = {"tags": ["rack-b.inlet_c", "nothing.here"]}
    assert client.post("/api/v1/points/verify", body, content_type=JSON).json() == {"verified": 1}
    assert client.get("/api/v1/points/?stage=raw").json()["count"] == 2


def test_it_is_ai_ready_only_with_everything(client_as, viewer, source):
    from django.utils import timezone

    from facilities.models import PointQuality

    point = Point.objects.get(tag="rack-a.inlet_c")
    client = client_as(viewer)
    path = "/api/v1/points/rack-a.inlet_c/"
    now = timezone.now()
    quality = PointQuality.objects.create(
        point=point, computed_at=now, window_s=60, since=now, score=0.95
    )
    assert client.get(path).json()["stage"] == "ai_ready"
    quality.score = 0.5
    quality.save()
    assert client.get(path).json()["stage"] == "verified"
    quality.score = 0.95
    quality.save()
    Point.objects.filter(pk=point.pk).update(sampling_interval_s=None)
    assert client.get(path).json()["stage"] == "verified"


def test_it_exports_and_imports(client_as, supervisor, viewer, source):
    client = client_as(supervisor)
    text = client_as(viewer).get("/api/v1/points/export?as=csv&kind=rack").content
    assert text.count(b"\n") == 5
    shown = client.post("/api/v1/points/import", text, content_type="text/csv").json()
    assert (shown["applied"], shown["unchanged"], shown["changes"]) == (False, 4, [])
    yaml = b"points: [{tag: rack-a.inlet_c, owner: me}]"
    path = "/api/v1/points/import"
    shown = client.post(path, yaml, content_type="application/yaml").json()
    assert shown["changes"] == [
        {"tag": "rack-a.inlet_c", "new": False, "fields": [["owner", "", "me"]]}
    ]
    done = client.post(
        f"{path}?dry_run=false&digest={shown['digest']}", yaml, content_type="application/yaml"
    )
    assert done.json()["applied"]
    assert Point.objects.get(tag="rack-a.inlet_c").owner == "me"
    stale = client.post(
        f"{path}?dry_run=false&digest={shown['digest']}", yaml, content_type="application/yaml"
    )
    assert stale.status_code == 400
    assert client.post(path, b"tag\nx.y\n", content_type="text/csv").status_code == 400
    assert client.post(path, b"\xff", content_type="text/csv").status_code == 400
