"""Series, readings, CSV, alarms of a point, walls and snapshots over REST, as every role."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client

from facilities.models import Alarm, AlarmRule, Barrier, LatestReading, Point, Reading
from facilities.partitions import ensure_partitions
from facilities.services.sources import source_create

pytestmark = pytest.mark.django_db
TAG = "rack-a.inlet_c"
PATHS = [
    f"/api/v1/points/{TAG}/series",
    f"/api/v1/points/{TAG}/readings",
    f"/api/v1/points/{TAG}/export.csv",
    f"/api/v1/points/{TAG}/alarms",
    "/api/v1/series?quantity=inlet_c",
    "/api/v1/snapshots/current?mode=latest",
    "/api/v1/snapshots/watermarks",
    "/api/v1/snapshots/barriers",
    "/api/v1/snapshots/waits",
    "/api/v1/store/status",
    "/snapshots/",
    f"/points/{TAG}/",
]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def stored(small_facility, now) -> None:
    """Ten readings two seconds apart, one of them bad, all 0.2 s under way."""
    source = source_create(name="bms").source
    point = Point.objects.get(tag=TAG)
    ensure_partitions([now.date(), (now - timedelta(days=1)).date()])
    times = [now - timedelta(seconds=2 * n) for n in range(10)]
    Reading.objects.bulk_create(
        Reading(
            point=point,
            ts=ts,
            value=20.0 + n,
            quality=4 if n == 3 else 1,
            source=source,
            received_at=ts + timedelta(seconds=0.2),
        )
        for n, ts in enumerate(times)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO facilities_rollupmark (level, start) "
            "SELECT DISTINCT 1, date_trunc('minute', ts) FROM facilities_reading"
        )
    LatestReading.objects.create(point=point, ts=times[0], value=20.0, received_at=times[0])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_answers_everyone_who_is_signed_in(request, client_as, stored, path, role):
    assert client_as(request.getfixturevalue(role)).get(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_it_turns_strangers_away(stored, path):
    response = Client().get(path)
    if path.startswith("/api/"):
        assert response.status_code in (401, 403)
    else:
        assert response["Location"].startswith("/login/")


@pytest.mark.parametrize(
    "path",
    [
        "points/nothing.here/readings",
        "points/a%00b/readings",
        "points/nothing.here/export.csv",
        "points/nothing.here/alarms",
    ],
)
def test_it_knows_no_such_point(client_as, viewer, stored, path):
    response = client_as(viewer).get(f"/api/v1/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"points/{TAG}/series?method=mean", "method"),
        (f"points/{TAG}/series?level=5m", "level"),
        (f"points/{TAG}/readings?limit=0", "limit"),
        (f"points/{TAG}/readings?before=soon", "before"),
        (f"points/{TAG}/export.csv?start=2020-01-01T00:00:00Z&level=1m", "start"),
        ("series", "points"),
        ("series?points=" + ",".join(f"p.{n}" for n in range(501)), "points"),
        ("series?kind=toaster", "kind"),
        ("snapshots/current?mode=best", "mode"),
        ("snapshots/current?timeout_s=99", "timeout_s"),
        ("snapshots/current?at=2099-01-01T00:00:00Z", "at"),
        ("snapshots/waits?hours=0", "hours"),
        ("snapshots/barriers?asked=me", "asked"),
    ],
)
def test_it_refuses_with_the_parameter_s_name(client_as, viewer, stored, path, field):
    response = client_as(viewer).get(f"/api/v1/{path}")
    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["fields"])) == ("invalid", [field])


def test_it_gives_a_series_with_flags_and_an_etag(client_as, viewer, stored, now):
    client = client_as(viewer)
    path = f"/api/v1/points/{TAG}/series?end={now.timestamp():.6f}"
    first = client.get(path)
    body = first.json()
    assert (body["level"], len(body["values"]), body["flags"].count(4)) == ("raw", 10, 1)
    again = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Reading.objects.filter(value=25.0).update(value=26.5)
    assert client.get(path, headers={"If-None-Match": first["ETag"]}).status_code == 200
    band = client.get(path + "&level=1m&method=band").json()
    assert (sum(band["counts"]), sum(band["bad"]), max(band["high"])) == (10, 1, 29.0)


def test_it_pages_through_readings_as_they_came(
    client_as, viewer, stored, django_assert_num_queries
):
    client = client_as(viewer)
    path = f"/api/v1/points/{TAG}/readings"
    with django_assert_num_queries(5):  # session, user, point, readings, sources
        page = client.get(f"{path}?limit=6").json()
    assert [r["value"] for r in page["results"]] == [20, 21, 22, 23, 24, 25]
    assert page["results"][0]["source"] == "bms"
    assert page["results"][0]["delay_s"] == pytest.approx(0.2, abs=0.01)
    rest = client.get(f"{path}?limit=6&before={page['next_before']}".replace("+", "%2B")).json()
    assert [r["value"] for r in rest["results"]] == [26, 27, 28, 29]
    assert rest["next_before"] is None
    bad = client.get(f"{path}?quality=4").json()["results"]
    assert [r["value"] for r in bad] == [23]


def test_it_exports_csv_and_never_cuts_it_short(client_as, viewer, stored, monkeypatch):
    client = client_as(viewer)
    response = client.get(f"/api/v1/points/{TAG}/export.csv")
    assert response["Content-Type"].startswith("text/csv")
    assert f'filename="{TAG}_' in response["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert [float(row["value_Cel"]) for row in rows] == [29 - n for n in range(10)]
    assert [row["quality"] for row in rows].count("4") == 1
    sums = client.get(f"/api/v1/points/{TAG}/export.csv?level=1m").content.decode()
    table = list(csv.DictReader(io.StringIO(sums)))
    assert sum(int(row["count"]) for row in table) == 10
    assert all(row["start"].endswith(":00+00:00") for row in table)
    monkeypatch.setattr("facilities.api.series.CSV_ROWS", 5)
    refused = client.get(f"/api/v1/points/{TAG}/export.csv")
    assert refused.status_code == 400
    assert "ask for a shorter time, or for level=1m" in refused.json()["detail"]


def test_it_gives_the_alarms_that_were_active_in_a_time(client_as, viewer, stored, now):
    point, rule = Point.objects.get(tag=TAG), AlarmRule.objects.get(name="Rack inlet high")

    def alarm(raised_h: float, cleared_h: float | None) -> None:
        made = Alarm.objects.create(
            point=point,
            rule=rule,
            severity="high",
            raised_at=now - timedelta(hours=raised_h),
            value=28.0,
            peak_value=28.0,
            message="",
        )
        if cleared_h is not None:
            Alarm.objects.filter(pk=made.pk).update(cleared_at=now - timedelta(hours=cleared_h))

    alarm(9, 8)
    alarm(5, 3.5)
    alarm(2, None)
    path = f"/api/v1/points/{TAG}/alarms"
    start, end = (now - timedelta(hours=h) for h in (4, 1))
    found = (
        client_as(viewer)
        .get(f"{path}?start={start.timestamp():.3f}&end={end.timestamp():.3f}")
        .json()
    )
    assert [(a["rule"], a["cleared_at"] is None) for a in found] == [
        ("Rack inlet high", True),
        ("Rack inlet high", False),
    ]


def test_it_gives_a_wall(client_as, viewer, stored, django_assert_num_queries):
    client = client_as(viewer)
    with django_assert_num_queries(5):  # session, user, tags, points, readings
        wall = client.get("/api/v1/series?quantity=inlet_c&kind=rack").json()
    assert [s["tag"] for s in wall["series"]] == ["rack-a.inlet_c", "rack-b.inlet_c"]
    assert [len(s["values"]) for s in wall["series"]] == [10, 0]
    named = client.get(f"/api/v1/series?points={TAG},no.such&start=0").json()
    assert (named["unknown"], named["series"][0]["level"]) == (["no.such"], "1h")


def test_it_reads_a_snapshot_over_rest(client_as, viewer, stored, now):
    client = client_as(viewer)
    body = client.get("/api/v1/snapshots/current").json()
    assert (body["complete"], body["missing"], body["waited_s"]) == (True, [], 0)
    assert [(v["tag"], v["value"]) for v in body["values"]] == [(TAG, 20.0)]
    assert [s["name"] for s in body["sources"]] == ["bms"]
    past = now - timedelta(seconds=5)
    body = client.get(f"/api/v1/snapshots/current?mode=latest&at={past.timestamp():.3f}").json()
    assert [(v["value"], v["quality"], v["age_s"]) for v in body["values"]] == [
        (23.0, 4, pytest.approx(1.0, abs=0.01))
    ]
    assert client.get("/api/v1/snapshots/current?points=no.such").json()["values"] == []
    marks = client.get("/api/v1/snapshots/watermarks").json()
    assert (marks[0]["source"], marks[0]["points"], marks[0]["holder"]) == ("bms", 1, TAG)


def test_it_says_who_made_everyone_wait(client_as, viewer, stored, now):
    for n, (slow, held) in enumerate([("snmp", 3.0), ("snmp", 2.0), ("bms", 0.5)]):
        Barrier.objects.create(
            at=now - timedelta(minutes=n),
            asked="probe",
            waited_s=held,
            timeout_s=10,
            complete=n != 0,
            slowest=slow,
            held_s=held,
            sources=[
                {"name": "bms", "points": 5, "silent": 0, "delay_s": 0.5, "holder": ""},
                {
                    "name": "snmp",
                    "points": 9,
                    "silent": 1,
                    "delay_s": held if n else None,
                    "holder": TAG,
                },
            ],
        )
    client = client_as(viewer)
    rows = client.get("/api/v1/snapshots/waits").json()
    assert [(r["source"], r["slowest"], r["missed"], r["held_s"]) for r in rows] == [
        ("snmp", 2, 1, 5.0),
        ("bms", 1, 0, 0.5),
    ]
    assert rows[1]["delay_p50_s"] == 0.5
    assert client.get("/api/v1/snapshots/barriers?complete=false").json()["count"] == 1
    assert client.get("/api/v1/snapshots/barriers?slowest=bms").json()["count"] == 1
    page = client.get("/snapshots/").content.decode()
    assert "snmp" in page
    assert "5.0 s" in page
    assert "<script>" not in page


def test_it_shows_the_chart_s_frame_on_the_page(client_as, viewer, stored):
    body = client_as(viewer).get(f"/points/{TAG}/").content.decode()
    for part in ("data-point-chart", 'data-part="strip"', "data-readings", "export.csv"):
        assert part in body
