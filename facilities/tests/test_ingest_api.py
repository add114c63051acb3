"""POST /api/v1/readings: what is taken, what is refused, and with which words."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from facilities.models import LatestReading, Point, Reading, Source

from .conftest import ago

pytestmark = pytest.mark.django_db


def codes(response):
    return [(r["index"], r["code"]) for r in response.json()["rejected"]]


def test_it_stores_readings_and_answers_counts(push):
    ts = ago(5)
    response = push(("rack-a.inlet_c", ts, 22.5), ("rack-b.inlet_c", ts, 23))
    assert response.status_code == 200
    assert response.json() == {"accepted": 2, "rejected": []}
    stored = Reading.objects.get(point__tag="rack-a.inlet_c")
    assert (stored.value, stored.quality) == (22.5, 1)
    assert stored.ts == datetime.fromisoformat(ts)
    assert str(stored.source) == "bms"


def test_it_takes_ndjson_gzip_bearer_and_epoch_numbers(push, token):
    now = datetime.now(UTC).replace(microsecond=0)
    lines = [
        {"point": "rack-a.inlet_c", "ts": now.timestamp() - 3, "value": 20},
        {"point": "rack-a.inlet_c", "ts": int((now.timestamp() - 2) * 1000), "value": 21},
        {"point": "rack-a.inlet_c", "ts": (now - timedelta(seconds=1)).isoformat(), "value": 22},
    ]
    body = gzip.compress(b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\n")
    response = push(
        raw=body,
        content_type="application/x-ndjson; charset=utf-8",
        **{"content-encoding": "gzip", "authorization": f"Bearer {token}"},
    )
    assert response.json() == {"accepted": 3, "rejected": []}
    stored = list(Reading.objects.order_by("ts").values_list("ts", "value"))
    assert stored == [(now - timedelta(seconds=3 - i), 20.0 + i) for i in range(3)]


def test_it_names_each_item_it_refuses(push):
    response = push(
        ("rack-z.inlet_c", 20.0),
        ("rack-a.inlet_c", 71.0),
        ("rack-a.inlet_c", "20"),
        ("rack-a.inlet_c", True),
        ("rack-a.inlet_c", None),
        ("rack-a.inlet_c", "yesterday", 20.0),
        ("rack-a.inlet_c", "2026-03-01T12:00:00", 20.0),
        ("rack-a.inlet_c", True, 20.0),
        ("rack-a.inlet_c", ago(-3600), 20.0),
        ("rack-a.inlet_c", ago(86400 * (settings.RETENTION_DAYS + 1)), 20.0),
        ("rack-a.inlet_c", 20.0),
    )
    assert response.json()["accepted"] == 1
    assert codes(response) == [
        (0, "unknown_point"),
        (1, "out_of_range"),
        (2, "bad_value"),
        (3, "bad_value"),
        (4, "bad_value"),
        (5, "bad_timestamp"),
        (6, "bad_timestamp"),
        (7, "bad_timestamp"),
        (8, "future_timestamp"),
        (9, "too_old"),
    ]
    details = [r["detail"] for r in response.json()["rejected"]]
    assert details[1] == "point rack-a.inlet_c: 71 Cel is above its range -10…70 Cel"
    assert "no time zone" in details[6]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("NaN", "bad_value"),
        ("Infinity", "bad_value"),
        ("-Infinity", "bad_value"),
        ("1e999", "bad_value"),
        ("1" * 400, "bad_value"),
        ("1" * 5000, "bad_value"),
        ("[[[1]]]", "bad_value"),
        ("{}", "bad_value"),
    ],
)
def test_it_refuses_numbers_that_are_none(push, value, code):
    raw = (
        f'{{"readings":[{{"point":"rack-a.inlet_c","ts":"{ago(1)}","value":{value}}},'
        f'{{"point":"rack-b.inlet_c","ts":"{ago(1)}","value":20}}]}}'
    )
    response = push(raw=raw.encode())
    assert response.json()["accepted"] == 1
    assert codes(response) == [(0, code)]


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (None, "malformed"),
        ([], "malformed"),
        ("rack-a.inlet_c", "malformed"),
        ({"point": "rack-a.inlet_c", "value": 1}, "malformed"),
        ({"point": ["rack-a.inlet_c"], "ts": 1, "value": 1}, "malformed"),
        ({"point": 7, "ts": 1, "value": 1}, "malformed"),
        ({"point": "rack-a\0.inlet_c", "ts": 1, "value": 1}, "malformed"),
        ({"point": "\ud800", "ts": 1, "value": 1}, "malformed"),
        ({"point": "x" * 100_000, "ts": 1, "value": 1}, "malformed"),
        ({"point": "x" * 900, "ts": 1, "value": 1}, "unknown_point"),
        ({"point": "rack-a.inlet_c", "ts": 10**30, "value": 1}, "bad_timestamp"),
        ({"point": "rack-a.inlet_c", "ts": {}, "value": 1}, "bad_timestamp"),
        ({"point": "rack-a.inlet_c", "ts": "\0", "value": 1}, "bad_timestamp"),
        ({"point": "rack-a.inlet_c", "ts": 0, "value": 1}, "too_old"),
        ({"point": "rack-a.inlet_c", "ts": "0001-01-01T00:00:00+14:00", "value": 1}, "too_old"),
        ({"point": "rack-a.inlet_c", "ts": "9999-12-31T23:59:59Z", "value": 1}, "future_timestamp"),
    ],
)
def test_it_survives_odd_items(push, item, code):
    response = push(raw=json.dumps({"readings": [item]}).encode())
    assert response.status_code == 200
    assert codes(response) == [(0, code)]
    assert len(response.json()["rejected"][0]["detail"]) < 400


def test_it_keeps_the_good_lines_of_broken_ndjson(push):
    good = json.dumps({"point": "rack-a.inlet_c", "ts": ago(1), "value": 20}).encode()
    response = push(raw=b"{oops\n" + good + b"\n\xff\xfe\n", content_type="application/x-ndjson")
    assert response.json()["accepted"] == 1
    assert codes(response) == [(0, "malformed"), (2, "malformed")]


@pytest.mark.parametrize(
    "raw",
    [b" ", b"{", b"[]", b"null", b'{"readings": {}}', b"\xff", b"[" * 200_000, b'{"a":' * 200_000],
)
def test_it_refuses_a_body_that_is_not_the_format(push, raw):
    response = push(raw=raw)
    assert response.status_code == 400
    assert response.json()["code"] == "malformed"


def test_it_refuses_other_types_and_encodings(push):
    assert push(raw=b"{}", content_type="text/csv").status_code == 415
    assert push(raw=b"{}", **{"content-encoding": "br"}).status_code == 415
    broken = push(raw=b"not gzip", **{"content-encoding": "gzip"})
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed")
    cut = push(raw=gzip.compress(b'{"readings":[]}')[:-4], **{"content-encoding": "gzip"})
    assert (cut.status_code, cut.json()["code"]) == (400, "malformed")


def test_it_refuses_bodies_that_are_too_large(push, settings):
    settings.MAX_INGEST_BYTES = 1_000
    plain = push(raw=b" " * 1_001)
    bomb = push(raw=gzip.compress(b" " * 5_000_000), **{"content-encoding": "gzip"})
    for response in (plain, bomb):
        assert response.status_code == 413
        assert response.json()["code"] == "too_large"


def test_it_refuses_too_many_items(push):
    raw = b'{"readings":[' + b",".join([b"1"] * 50_001) + b"]}"
    response = push(raw=raw)
    assert response.status_code == 413
    assert "50,001" in response.json()["detail"]


@pytest.mark.parametrize(
    "header", ["", "Token", "Token wrong", "Basic abc", "Token " + "\x80" * 9, "Bearer hp_x"]
)
def test_it_refuses_a_wrong_token(push, header):
    response = push(("rack-a.inlet_c", 20.0), authorization=header)
    assert response.status_code == 401
    assert response.json()["code"] == "bad_token"
    assert not Reading.objects.exists()


def test_it_says_when_a_source_is_off_or_expired(push):
    Source.objects.update(active=False)
    assert "switched off" in push(("rack-a.inlet_c", 20.0)).json()["detail"]
    Source.objects.update(active=True, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    response = push(("rack-a.inlet_c", 20.0))
    assert response.status_code == 401
    assert "expired" in response.json()["detail"]


def test_it_ignores_browser_sessions(client_as, admin, small_facility):
    response = client_as(admin).post("/api/v1/readings", {"readings": []}, "application/json")
    assert response.status_code == 401


def test_it_counts_duplicates_as_accepted_and_keeps_the_first(push):
    ts = ago(5)
    assert push(("rack-a.inlet_c", ts, 20.0), ("rack-a.inlet_c", ts, 21.0)).json()["accepted"] == 2
    assert push(("rack-a.inlet_c", ts, 22.0)).json()["accepted"] == 1
    assert list(Reading.objects.values_list("value", flat=True)) == [20.0]
    assert LatestReading.objects.get().value == 20.0


def test_it_keeps_the_newest_as_latest(push):
    push(("rack-a.inlet_c", ago(5), 20.0))
    push(("rack-a.inlet_c", ago(50), 10.0))
    push(("rack-a.inlet_c", ago(3), 30.0), ("rack-a.inlet_c", ago(4), 25.0))
    assert LatestReading.objects.get().value == 30.0
    assert Reading.objects.count() == 4


def test_it_stores_over_several_days(push):
    response = push(*[("rack-a.inlet_c", ago(86400 * days), 20.0) for days in range(5)])
    assert response.json()["accepted"] == 5
    assert Reading.objects.count() == 5


def test_it_knows_a_point_created_a_moment_ago(push):
    push(("rack-a.inlet_c", 20.0))
    old = Point.objects.get(tag="rack-a.inlet_c")
    Point.objects.create(
        tag="rack-a.outlet_c", quantity="outlet_c", asset=old.asset, name="x", unit="Cel"
    )
    assert push(("rack-a.outlet_c", 35.0)).json()["accepted"] == 1


def test_it_knows_a_range_changed_a_moment_ago(push):
    push(("rack-a.inlet_c", 20.0))
    Point.objects.filter(tag="rack-a.inlet_c").update(max_value=19)
    assert codes(push(("rack-a.inlet_c", 20.0))) == [(0, "out_of_range")]


def test_it_notes_when_the_source_was_seen(push):
    push(("rack-a.inlet_c", 20.0))
    seen = Source.objects.get().last_seen_at
    assert seen is not None
    assert datetime.now(UTC) - seen < timedelta(seconds=5)
    push(("rack-a.inlet_c", 20.0))
    assert Source.objects.get().last_seen_at == seen


def test_it_needs_few_queries(push, django_assert_num_queries):
    push(("rack-a.inlet_c", ago(5), 20.0))
    Source.objects.update(last_seen_at=datetime.now(UTC))
    # sources, version, converter, partitions (lock, list: known after a real commit), roll-up mark,
    # latest, source seen, and three pairs of savepoints; COPY itself is not counted
    with django_assert_num_queries(14):
        push(("rack-a.inlet_c", 20.0), ("rack-b.inlet_c", 20.0))


@pytest.mark.django_db(transaction=True)
def test_it_answers_503_when_the_database_is_away(push, clean_readings):
    push(("rack-a.inlet_c", ago(60), 20.0))
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict["PORT"] = 1
    try:
        response = push(("rack-a.inlet_c", 30.0))
    finally:
        connection.settings_dict["PORT"] = port
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
    assert response.status_code == 503
    assert response.json()["code"] == "database_unavailable"
    assert response["Retry-After"] == "2"
    assert Reading.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_it_stores_nothing_when_the_connection_breaks_midway(push, clean_readings):
    """PostgreSQL ends the session between COPY and commit, as a crash of the server would."""
    push(("rack-a.inlet_c", ago(60), 20.0))
    from facilities.ingest import store

    real = store._copy

    def copy_then_die(cursor, command, body):
        real(cursor, command, body)
        with psycopg.connect(**_plain(connection)) as other:
            other.execute(
                "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
            )

    with mock.patch.object(store, "_copy", copy_then_die):
        response = push(("rack-a.inlet_c", 30.0), ("rack-b.inlet_c", 30.0))
    assert response.status_code == 503
    assert Reading.objects.count() == 1
    assert push(("rack-a.inlet_c", 30.0)).json()["accepted"] == 1


def _plain(wrapper):
    values = wrapper.settings_dict
    return {
        "dbname": values["NAME"],
        "user": values["USER"],
        "password": values["PASSWORD"],
        "host": values["HOST"],
        "port": values["PORT"],
    }


@pytest.mark.django_db(transaction=True)
def test_it_makes_a_partition_again_that_was_dropped(push, clean_readings):
    push(("rack-a.inlet_c", 20.0))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE facilities_reading_{datetime.now(UTC):%Y%m%d}")
    assert push(("rack-a.inlet_c", 20.0)).json()["accepted"] == 1


@pytest.mark.django_db(transaction=True)
def test_it_treats_a_point_deleted_meanwhile_as_unknown(push, clean_readings, token):
    push(("rack-a.inlet_c", 20.0))
    Point.objects.filter(tag="rack-b.inlet_c").delete()
    response = push(("rack-a.inlet_c", ago(1), 20.0), ("rack-b.inlet_c", ago(1), 20.0))
    assert response.json()["accepted"] == 1
    assert codes(response) == [(1, "unknown_point")]
    assert Reading.objects.count() == 2


def test_it_needs_no_csrf_token(token):
    client = Client(enforce_csrf_checks=True)
    response = client.post(
        "/api/v1/readings",
        {"readings": []},
        "application/json",
        headers={"authorization": f"Token {token}"},
    )
    assert response.status_code == 200
