"""Pages of sources, converters, quarantine and the data list, as every role."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from facilities.ingest import quarantine as store
from facilities.ingest.messages import flush, forget, remember
from facilities.ingest.samples import Rejected, samples_of
from facilities.models import Converter, Point, QuarantinedItem, Reading, Source
from facilities.services.sources import source_create, token_hash

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(small_facility) -> Source:
    source = source_create(name="agent <b>").source
    samples = samples_of([("t1", time.time_ns() // 1_000, 295.15)])
    samples.hints = {"t1": "K"}
    forget()
    remember(source.pk, samples, format="influx", body=b"t1 value=295.15 <script>")
    flush()
    rejected = [Rejected(0, "unknown_point", "point 't1' is <unknown>", "t1 295.15")]
    with connection.cursor() as cursor:
        store.quarantine_store(
            cursor, store.quarantine_items(source.pk, samples, rejected, datetime.now(UTC))
        )
    Point.objects.filter(tag="rack-b.inlet_c").update(verified=False, source=source)
    return source


def paths(source: Source) -> dict[str, bool]:
    """Page → whether only managers see it."""
    return {
        "/sources/": False,
        f"/sources/{source.pk}/": False,
        f"/sources/{source.pk}/converter/": True,
        "/quarantine/": True,
        "/points/?stage=raw": False,
        "/points/import/": True,
    }


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_each_page_to_those_who_may(request, client_as, source, role):
    client = client_as(request.getfixturevalue(role))
    manager = role in ("supervisor", "admin")
    for path, managers_only in paths(source).items():
        response = client.get(path)
        assert response.status_code == (403 if managers_only and not manager else 200), path
        if response.status_code == 200:
            body = response.content.decode()
            assert "<script>" not in body
            assert "style=" not in body.split("<main", 1)[1]
            assert "<b>" not in body.split("<h1>", 1)[1].split("</h1>")[0]


def test_it_sends_strangers_to_the_log_in(source):
    for path in paths(source):
        assert Client().get(path)["Location"].startswith("/login/")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_it_refuses_changes_by_those_who_may_not(request, client_as, source, role):
    client = client_as(request.getfixturevalue(role))
    before = Source.objects.values_list("token_hash", "active").get()
    for path in (
        "/sources/",
        f"/sources/{source.pk}/settings/",
        f"/sources/{source.pk}/token/",
        f"/sources/{source.pk}/converter/",
        "/quarantine/",
        "/points/accept/",
        "/points/import/",
    ):
        assert client.post(path, {"name": "x", "all": "1", "action": "save"}).status_code == 403
    assert Source.objects.values_list("token_hash", "active").get() == before
    assert not Converter.objects.exists()


def test_it_shows_a_new_token_once(client_as, supervisor, source):
    client = client_as(supervisor)
    body = client.post("/sources/", {"name": "second", "auto_register": "on"}).content.decode()
    token = body.split("<code>")[1].split("</code>")[0]
    made = Source.objects.get(name="second")
    assert made.token_hash == token_hash(token)
    assert made.auto_register
    for path in ("/sources/", f"/sources/{made.pk}/"):
        assert token not in client.get(path).content.decode()
    assert "exists" in client.post("/sources/", {"name": "second"}).content.decode()


def test_it_rotates_and_revokes_from_the_page(client_as, supervisor, source):
    client = client_as(supervisor)
    response = client.post(f"/sources/{source.pk}/token/", {"action": "rotate"})
    token = response.content.decode().split("<code>")[1].split("</code>")[0]
    assert response["Cache-Control"] == "no-store"
    source.refresh_from_db()
    assert source.token_hash == token_hash(token)
    client.post(f"/sources/{source.pk}/token/", {"action": "revoke"})
    source.refresh_from_db()
    assert (source.active, source.token_prefix) == (False, "")


SETTINGS = {
    "name": "agent",
    "active": "on",
    "auto_register_limit": "10",
    "kept_messages": "5",
    "heartbeat_timeout_s": "60",
    "networks": "10.0.0.0/8\n192.168.1.0/24",
}


def test_it_saves_settings_and_explains_wrong_ones(client_as, supervisor, source):
    client = client_as(supervisor)
    path = f"/sources/{source.pk}/settings/"
    assert client.post(path, SETTINGS).status_code == 302
    source.refresh_from_db()
    assert source.allowed_networks == ["10.0.0.0/8", "192.168.1.0/24"]
    assert source.heartbeat_timeout_s == 60
    wrong = client.post(path, {**SETTINGS, "networks": "10.0.0.1/8"})
    assert wrong.status_code == 400
    assert "has host bits set" in wrong.content.decode()


def test_it_previews_before_it_saves(client_as, supervisor, source):
    client = client_as(supervisor)
    path = f"/sources/{source.pk}/converter/"
    assert "to quarantine" in client.get(path).content.decode()
    rules = "rules: [{series: t1, point: rack-a.inlet_c}]"
    body = client.post(path, {"document": rules, "action": "preview"}).content.decode()
    assert "rack-a.inlet_c" in body
    assert "22 " in body  # 295.15 K in °C
    assert not Converter.objects.exists()
    wrong = client.post(path, {"document": "rules: [{series: t1}]", "action": "save"})
    assert wrong.status_code == 400
    assert "point is missing" in wrong.content.decode()
    assert client.post(path, {"document": rules, "action": "save"}).status_code == 302
    assert Converter.objects.get().updated_by == supervisor


def test_it_replays_from_the_page(client_as, supervisor, source):
    client = client_as(supervisor)
    Converter.objects.create(source=source, document="rules: [{series: t1, point: rack-a.inlet_c}]")
    nothing = client.post("/quarantine/", {"action": "replay"}, follow=True)
    assert "Choose items first" in nothing.content.decode()
    item = QuarantinedItem.objects.get()
    done = client.post("/quarantine/", {"action": "replay", "id": str(item.pk)}, follow=True)
    assert "1 tried: 1 stored" in done.content.decode()
    assert Reading.objects.get().value == pytest.approx(22.0)
    assert "Nothing waits" in client.get("/quarantine/").content.decode()
    assert "replayed" in client.get("/quarantine/?state=all").content.decode()


def test_it_survives_odd_queries(client_as, supervisor, source):
    client = client_as(supervisor)
    for query in ("page=x", "search=%00", "state=awful", "span=aeon", "source=%3Cb%3E", "code=%27"):
        assert client.get(f"/quarantine/?{query}").status_code == 200
    assert client.get("/points/?stage=x&source=%00").status_code == 200
    odd = client.post("/quarantine/", {"id": ["x", "9" * 30], "action": "discard"})
    assert odd.status_code == 302
    assert client.get("/sources/999999/").status_code == 404


def test_it_accepts_raw_points(client_as, supervisor, source):
    client = client_as(supervisor)
    assert 'value="rack-b.inlet_c"' in client.get("/points/?stage=raw").content.decode()
    response = client.post(
        "/points/accept/", {"tag": "rack-b.inlet_c", "next": "https://elsewhere.example/"}
    )
    assert response["Location"] == "/points/"
    point = Point.objects.get(tag="rack-b.inlet_c")
    assert (point.verified, point.verified_by) == (True, supervisor)
    assert "No point matches" in client.get("/points/?stage=raw").content.decode()


def test_it_imports_what_it_showed(client_as, supervisor, source):
    client = client_as(supervisor)
    file = SimpleUploadedFile("points.csv", b"tag,owner\nrack-a.inlet_c,<i>night</i>\n")
    body = client.post("/points/import/", {"file": file}).content.decode()
    assert "0 new, 1 changed" in body
    assert "&lt;i&gt;night" in body
    digest = body.split('name="digest" value="')[1].split('"')[0]
    text = "tag,owner\nrack-a.inlet_c,<i>night</i>\n"
    client.post("/points/import/", {"text": text, "digest": digest, "apply": "1"})
    assert Point.objects.get(tag="rack-a.inlet_c").owner == "<i>night</i>"
    stale = client.post("/points/import/", {"text": text, "digest": digest, "apply": "1"})
    assert "has changed since the preview" in stale.content.decode()
    bad = SimpleUploadedFile("points.csv", b"\xff\xfe")
    assert "not UTF-8" in client.post("/points/import/", {"file": bad}).content.decode()


def test_it_needs_few_queries(client_as, supervisor, source, django_assert_max_num_queries):
    client = client_as(supervisor)
    for path, most in (
        ("/sources/", 7),
        (f"/sources/{source.pk}/", 13),
        ("/quarantine/", 10),
        ("/points/", 7),
    ):
        with django_assert_max_num_queries(most):
            client.get(path)
