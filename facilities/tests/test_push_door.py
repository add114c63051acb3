"""The ASGI door: bounds before anything is read, group commit, back-pressure, no Django needed."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connection

from facilities.ingest import asgi, committer, publish, store
from facilities.ingest.asgi import PushApp
from facilities.ingest.auth import senders
from facilities.ingest.latest import recover
from facilities.models import LatestReading, QuarantinedItem, Reading, Source, SourceFlow
from facilities.services.sources import source_create

from .conftest import ago

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = 200_000


async def django(scope, receive, send):
    """Stands where Django stands: answers with the number of bytes that it was given."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Answer:
    """Status, headers and body of an HTTP answer."""

    def __init__(self, start, body):
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = body["body"]

    def json(self):
        return json.loads(self.body)


def talk(app, path="/api/v1/readings", method="POST", query="", address="127.0.0.1", **headers):
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "client": (address, 1),
        "headers": [
            (name.replace("_", "-").encode(), str(value).encode("latin-1"))
            for name, value in headers.items()
        ],
    }
    return ApplicationCommunicator(app, scope)


async def answered(client, timeout=10):
    return Answer(await client.receive_output(timeout), await client.receive_output(timeout))


async def post(app, token, body, **options):
    options.setdefault("content_type", "application/json")
    client = talk(app, authorization=f"Token {token}", content_length=len(body), **options)
    await client.send_input({"type": "http.request", "body": body})
    return await answered(client)


def readings(*rows):
    items = [{"point": r[0], "ts": r[1] if len(r) == 3 else ago(1), "value": r[-1]} for r in rows]
    return json.dumps({"readings": items}).encode()


@pytest.fixture
def app(clean_readings, monkeypatch):
    """A door of this test's own; the threads that follow a commit are stepped by hand."""
    monkeypatch.setattr(publish, "start", lambda: None)
    door = PushApp(django, limit=LIMIT)
    yield door
    door.close()


@pytest.fixture
def writer():
    return publish.Writer()


async def test_it_refuses_by_the_declared_length_without_reading(app):
    answer = await answered(talk(app, content_length=99_999_999))
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("headers", [{}, {"content_length": 10}])
async def test_it_refuses_by_what_arrives_when_the_length_lies(app, token, headers):
    client = talk(app, authorization=f"Token {token}", **headers)
    for _ in range(3):
        part = {"type": "http.request", "body": b"x" * 80_000, "more_body": True}
        await client.send_input(part)
    assert (await answered(client)).status == 413
    assert app.bodies == 0


async def test_it_leaves_other_paths_and_methods_to_django(app):
    for path, method in (("/api/v1/knowledge/documents", "POST"), ("/api/v1/readings", "GET")):
        client = talk(app, path=path, method=method)
        await client.send_input({"type": "http.request", "body": b"x" * LIMIT * 2})
        answer = await answered(client)
        assert (answer.status, answer.body) == (299, str(LIMIT * 2).encode())


async def test_it_answers_when_the_readings_are_durable(app, token):
    answer = await post(app, token, readings(("rack-a.inlet_c", 21.5), ("nobody.x", 1.0)))
    assert answer.status == 200
    assert answer.json()["accepted"] == 1
    assert [r["code"] for r in answer.json()["rejected"]] == ["unknown_point"]
    stored = await Reading.objects.select_related("source").aget()
    assert stored.source is not None
    assert (stored.value, stored.source.name) == (21.5, "bms")
    kept = await QuarantinedItem.objects.aget()
    assert (kept.code, kept.series) == ("unknown_point", "nobody.x")


async def test_it_takes_line_protocol_at_both_addresses(app, token):
    now = time.time_ns()
    lines = f"rack-a inlet_c=21.5 {now}\nrack-b inlet_c=22 {now}".encode()
    answer = await post(app, token, lines, path="/api/v2/write", content_type="text/plain")
    assert (answer.status, answer.body) == (204, b"")
    answer = await post(
        app, token, gzip.compress(lines), path="/write", query="db=x", content_encoding="gzip"
    )
    assert answer.status == 204
    assert await Reading.objects.acount() == 2


async def test_it_stores_what_is_outside_the_range_with_its_flag_when_an_agent_sends_it(app, token):
    """Telegraf drops a batch at 400; a sensor's wild value is a fact worth keeping, as failed."""
    line = f"rack-a inlet_c=99 {time.time_ns()}".encode()
    assert (await post(app, token, line, path="/api/v2/write")).status == 204
    assert (await Reading.objects.aget()).quality == 4
    native = await post(app, token, readings(("rack-b.inlet_c", 99.0)))
    assert [r["code"] for r in native.json()["rejected"]] == ["out_of_range"]


async def test_it_commits_concurrent_requests_together(app, token):
    await post(app, token, readings(("rack-a.inlet_c", ago(60), 20.0)))
    before = app.committer.groups
    bodies = [readings(("rack-a.inlet_c", ago(40 - i / 10), 20.0)) for i in range(60)]
    answers = await asyncio.gather(*(post(app, token, body) for body in bodies))
    assert {answer.json()["accepted"] for answer in answers} == {1}
    assert await Reading.objects.acount() == 61
    assert app.committer.groups - before < 30


async def test_it_keeps_the_first_of_repeated_readings_and_accepts_all(app, token):
    ts = ago(5)
    first = await post(app, token, readings(("rack-a.inlet_c", ts, 20.0)))
    again = await asyncio.gather(
        *(post(app, token, readings(("rack-a.inlet_c", ts, 21.0 + i))) for i in range(5))
    )
    assert [a.json() for a in (first, *again)] == [{"accepted": 1, "rejected": []}] * 6
    assert [r.value async for r in Reading.objects.all()] == [20.0]


@pytest.mark.parametrize("header", ["", "Token wrong", "Bearer hp_x", "Basic abc", "Token \x80"])
async def test_it_turns_strangers_away(app, token, header):
    client = talk(app, authorization=header, content_length=2)
    await client.send_input({"type": "http.request", "body": b"{}"})
    answer = await answered(client)
    assert (answer.status, answer.json()["code"]) == (401, "bad_token")
    assert answer.headers["www-authenticate"] == "Token"


async def test_it_never_asks_the_database_about_a_known_or_an_unknown_token(app, token):
    await post(app, token, readings(("rack-a.inlet_c", 20.0)))
    senders.read_at = time.monotonic()  # as if read this instant
    before = senders.read_at
    assert senders.find(token) is not None
    assert senders.find("wrong") is None
    assert not senders.needs_reading(senders.find(token))
    assert not senders.needs_reading(None)
    assert senders.read_at == before


async def test_it_stops_a_revoked_token_within_a_second(app, token):
    assert (await post(app, token, readings(("rack-a.inlet_c", 20.0)))).status == 200
    await Source.objects.aupdate(active=False)
    await asyncio.sleep(1.05)
    answer = await post(app, token, readings(("rack-a.inlet_c", 20.0)))
    assert answer.status == 401
    assert "switched off" in answer.json()["detail"]


async def test_it_knows_a_token_issued_a_moment_ago(app, token):
    await post(app, token, readings(("rack-a.inlet_c", 20.0)))
    fresh = (await sync_to_async(source_create)(name="other")).token
    assert (await post(app, fresh, readings(("rack-a.inlet_c", ago(9), 20.0)))).status == 200


async def test_it_honours_networks_and_expiry(app, token):
    await Source.objects.aupdate(allowed_networks=["10.0.0.0/8"])
    senders.forget()
    outside = await post(app, token, readings(("rack-a.inlet_c", 20.0)))
    inside = await post(app, token, readings(("rack-a.inlet_c", 20.0)), address="10.1.2.3")
    assert (outside.status, outside.json()["code"], inside.status) == (403, "bad_network", 200)
    await Source.objects.aupdate(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    senders.forget()
    expired = await post(app, token, readings(("rack-a.inlet_c", 20.0)), address="10.1.2.3")
    assert (expired.status, "expired" in expired.json()["detail"]) == (401, True)


async def test_it_limits_a_sources_rate_and_says_when_to_come_back(app, token):
    await Source.objects.aupdate(max_readings_per_s=1)
    senders.forget()
    ten = readings(*(("rack-a.inlet_c", ago(n + 1), 20.0) for n in range(10)))
    assert (await post(app, token, ten)).status == 200
    answer = await post(app, token, ten)
    assert (answer.status, answer.json()["code"]) == (429, "rate_limited")
    assert 9 <= int(answer.headers["retry-after"]) <= 10


async def test_it_refuses_more_than_may_wait_and_memory_stays_flat(app, token, monkeypatch):
    """The disk stands still: what fits the bound waits, the rest hears 503 at once."""
    monkeypatch.setattr(committer, "WAITING_READINGS", 50)
    gate, real = asyncio.Event(), store.write
    loop = asyncio.get_running_loop()

    def slow(group):
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(20)
        real(group)

    monkeypatch.setattr(store, "write", slow)
    first = asyncio.create_task(post(app, token, readings(("rack-a.inlet_c", ago(90), 20.0))))
    while not app.committer.busy:
        await asyncio.sleep(0.01)
    ten = [("rack-a.inlet_c", ago(n + 1), 20.0) for n in range(10)]
    others = [asyncio.create_task(post(app, token, readings(*ten))) for _ in range(12)]
    while app.committer.waiting < 50:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    refused = [task.result() for task in others if task.done()]
    assert len(refused) == 7
    assert {(a.status, a.json()["code"], a.headers["retry-after"]) for a in refused} == {
        (503, "busy", "1")
    }
    gate.set()
    kept = [await task for task in (first, *others) if task not in refused]
    assert sum(answer.status == 200 for answer in kept) == 6
    assert (app.committer.waiting, app.bodies) == (0, 0)


async def test_it_bounds_the_bytes_in_memory(app, token, monkeypatch):
    monkeypatch.setattr(asgi, "BODIES_BYTES", 100)
    answer = await post(app, token, readings(*[("rack-a.inlet_c", 20.0)] * 5))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_it_gives_up_on_a_body_that_does_not_arrive(app, token, monkeypatch):
    monkeypatch.setattr(asgi, "BODY_S", 0.05)
    answer = await answered(talk(app, authorization=f"Token {token}", content_length=100))
    assert (answer.status, answer.json()["code"]) == (408, "too_slow")


async def test_it_does_not_let_one_request_fail_its_neighbours(app, token, monkeypatch):
    """A group that the database refuses is tried request by request."""
    real = store.copy_body

    def poisoned(group):
        body = real(group)
        return body[:-2] + b"\x00\x01" if 66.0 in group.value else body

    monkeypatch.setattr(store, "copy_body", poisoned)
    bodies = [readings(("rack-a.inlet_c", ago(n + 1), 66.0 if n == 3 else 20.0)) for n in range(6)]
    answers = await asyncio.gather(*(post(app, token, body) for body in bodies))
    assert [answer.status for answer in answers] == [200, 200, 200, 400, 200, 200]
    assert answers[3].json()["code"] == "not_storable"
    assert await Reading.objects.acount() == 5


async def test_it_answers_503_while_the_database_is_away_and_recovers(app, token, monkeypatch):
    from django.db import OperationalError

    real = store.write

    def away(group):
        raise OperationalError("connection refused")

    monkeypatch.setattr(store, "write", away)
    answer = await post(app, token, readings(("rack-a.inlet_c", 20.0)))
    assert (answer.status, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "2"
    monkeypatch.setattr(store, "write", real)
    assert (await post(app, token, readings(("rack-a.inlet_c", 20.0)))).status == 200


async def test_it_writes_latest_values_counts_and_last_seen_a_moment_later(app, token, writer):
    await post(app, token, readings(("rack-a.inlet_c", ago(5), 20.0), ("nobody.x", 1.0)))
    await post(app, token, readings(("rack-a.inlet_c", ago(50), 10.0)))
    await sync_to_async(writer.step)()
    latest = await LatestReading.objects.select_related("point").aget()
    assert (latest.point.tag, latest.value) == ("rack-a.inlet_c", 20.0)
    flow = await SourceFlow.objects.aget()
    assert (flow.requests, flow.received, flow.stored, flow.rejected) == (2, 3, 2, 1)
    assert (flow.late, flow.duplicates) == (1, 0)
    assert flow.performance_max_s > 49
    assert (await Source.objects.aget()).last_seen_at is not None


async def test_it_flags_a_point_whose_series_has_ended(app, token, writer):
    """Prometheus' stale marker: no value is stored, the latest value is known to be missing."""
    await post(app, token, readings(("rack-a.inlet_c", ago(5), 20.0)))
    await sync_to_async(writer.step)()
    assert (await LatestReading.objects.aget()).quality != 9
    point = (await Reading.objects.aget()).point_id
    publish._ended[point] = time.time_ns() // 1_000
    await sync_to_async(writer.step)()
    latest = await LatestReading.objects.aget()
    assert (latest.quality, latest.value) == (9, 20.0)


async def test_it_finds_latest_values_again_that_a_killed_process_had_not_written(app, token):
    await post(app, token, readings(("rack-a.inlet_c", ago(5), 20.0), ("rack-b.inlet_c", 21.0)))
    assert not await LatestReading.objects.aexists()
    assert await sync_to_async(recover)() == 2
    assert await sync_to_async(recover)() == 0
    values = {r.value async for r in LatestReading.objects.all()}
    assert values == {20.0, 21.0}


@pytest.fixture(autouse=True)
def _fresh_pool():
    """Each async test has a context, and so a connection, of its own: give all of them back."""
    yield
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
