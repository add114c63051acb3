"""WebSockets over the real Redis: who may listen, what arrives, what a dead Redis costs."""

from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.test import Client

from facilities import consumers, live
from facilities.alarms import engine
from facilities.models import Alarm

pytestmark = pytest.mark.django_db(transaction=True)
SOCKETS = ["/ws/telemetry/", "/ws/alarms/"]


def socket(path: str, client: Client | None = None) -> WebsocketCommunicator:
    from ops_platform.asgi import application

    headers = [(b"origin", b"http://testserver"), (b"host", b"testserver")]
    if client is not None:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers.append((b"cookie", cookies.encode()))
    return WebsocketCommunicator(application, path, headers=headers)


@pytest.fixture
def signed_in(viewer, client_as) -> Client:
    return client_as(viewer)


async def received(ws: WebsocketCommunicator) -> dict:
    return await ws.receive_json_from(timeout=5)


async def opened(path: str, client: Client) -> WebsocketCommunicator:
    ws = socket(path, client)
    connected, _ = await ws.connect(timeout=5)
    assert connected
    # The group is joined after the handshake; an answered message proves that it is.
    await ws.send_json_to({"subscribe": None})
    await received(ws)
    return ws


@pytest.mark.parametrize("path", SOCKETS)
async def test_it_turns_strangers_away(db, path):
    ws = socket(path)
    await ws.connect(timeout=5)
    assert (await ws.receive_output(5))["code"] == 4401


@pytest.mark.parametrize("path", SOCKETS)
async def test_it_turns_away_a_foreign_origin(signed_in, path):
    ws = socket(path, signed_in)
    ws.scope["headers"] = [
        (name, b"https://evil.example" if name == b"origin" else value)
        for name, value in ws.scope["headers"]
    ]
    connected, _ = await ws.connect(timeout=5)
    assert not connected


async def test_it_pushes_readings_after_the_commit(signed_in, push, clean_readings):
    ws = await opened("/ws/telemetry/", signed_in)
    await sync_to_async(push)(("rack-a.inlet_c", 23.5), ("rack-b.inlet_c", 24.0))
    message = await received(ws)
    assert message["type"] == "readings"
    assert {r["point"]: r["value"] for r in message["readings"]} == {
        "rack-a.inlet_c": 23.5,
        "rack-b.inlet_c": 24.0,
    }
    await ws.disconnect()


async def test_it_pushes_only_what_was_subscribed(signed_in, push, clean_readings):
    ws = await opened("/ws/telemetry/", signed_in)
    await ws.send_json_to({"subscribe": ["rack-b.inlet_c"]})
    assert await received(ws) == {"type": "subscribed", "points": 1}
    await sync_to_async(push)(("rack-a.inlet_c", 23.5))
    await sync_to_async(push)(("rack-a.inlet_c", 23.6), ("rack-b.inlet_c", 24.0))
    assert [r["point"] for r in (await received(ws))["readings"]] == ["rack-b.inlet_c"]
    await ws.disconnect()


@pytest.mark.parametrize(
    "text", [" ", "{", "[1]", '{"subscribe": 7}', '{"subscribe": [1]}', "[" * 9000]
)
async def test_it_survives_odd_messages(signed_in, push, clean_readings, text):
    ws = await opened("/ws/telemetry/", signed_in)
    await ws.send_to(text_data=text)
    assert (await received(ws))["type"] == "error"
    await ws.send_to(bytes_data=b"\0")
    assert (await received(ws))["type"] == "error"
    await sync_to_async(push)(("rack-a.inlet_c", 23.5))
    assert (await received(ws))["type"] == "readings"
    await ws.disconnect()


async def test_it_pushes_alarm_events(signed_in, operator, push, client_as, clean_readings):
    ws = await opened("/ws/alarms/", signed_in)

    def raise_and_acknowledge():
        push(("crac-a.fault", 1.0))
        engine.evaluate()
        alarm = Alarm.objects.get()
        client_as(operator).post(f"/api/v1/alarms/{alarm.pk}/acknowledge")
        push(("crac-a.fault", 0.0))
        engine.evaluate()
        return alarm.pk

    pk = await sync_to_async(raise_and_acknowledge)()
    messages = [await received(ws) for _ in range(3)]
    assert [m["event"] for m in messages] == ["raised", "acknowledged", "cleared"]
    assert {m["alarm"]["id"] for m in messages} == {pk}
    assert messages[1]["alarm"]["acknowledged_by"] == "operator"
    await ws.disconnect()


@pytest.mark.parametrize("how", ["log_out", "deactivate"])
async def test_it_stops_when_the_session_ends(
    signed_in, viewer, push, clean_readings, monkeypatch, how
):
    monkeypatch.setattr(consumers, "RECHECK_S", 0.0)
    ws = await opened("/ws/telemetry/", signed_in)
    if how == "log_out":
        await sync_to_async(signed_in.logout)()
    else:
        await sync_to_async(get_user_model().objects.update)(is_active=False)
    await sync_to_async(push)(("rack-a.inlet_c", 23.5))
    assert await ws.receive_output(5) == {"type": "websocket.close", "code": 4401}


async def test_it_keeps_memory_flat_for_a_slow_reader(signed_in, settings):
    """The browser takes one message and no more; the layer keeps its capacity, not the rest."""
    from channels.layers import get_channel_layer

    ws = await opened("/ws/telemetry/", signed_in)
    ws.output_queue._maxsize = 1  # as a full socket buffer: the consumer's send waits
    layer = get_channel_layer()
    row = {"point": "rack-a.inlet_c", "ts": "2026-03-01T00:00:00+00:00", "value": 1.0}
    for _ in range(2_000):
        await layer.group_send("telemetry", {"type": "readings", "readings": [row]})
    await asyncio.sleep(0.2)
    capacity = settings.CHANNEL_LAYERS["default"]["CONFIG"]["capacity"]
    assert ws.output_queue.qsize() == 1
    # Whether the rest waits here or still in Redis, which the layer bounds too, is a matter of moments.
    buffered = (queue.qsize() for queue in layer.receive_buffer.values())
    assert max(buffered, default=0) <= capacity
    ws.output_queue._maxsize = 0
    await ws.disconnect()


def test_it_takes_readings_at_full_speed_without_redis(push, clean_readings, monkeypatch):
    """No Redis listens here: ingestion neither fails nor waits, each taking as long as with it."""
    from celery import current_app
    from channels import layers

    def push_five() -> float:
        started = time.monotonic()
        for i in range(5):
            assert push(("rack-a.inlet_c", 20.0 + i)).json()["accepted"] == 1
        return time.monotonic() - started

    with_redis = push_five()
    dead = "redis://127.0.0.1:1/0"
    backend = layers.channel_layers.make_backend("default")
    backend = type(backend)(hosts=[dead])
    monkeypatch.setattr(live, "get_channel_layer", lambda: backend)
    monkeypatch.setitem(current_app.conf, "broker_url", dead)
    publisher = live.Publisher()
    monkeypatch.setattr(live, "_publisher", publisher)
    assert push_five() < with_redis + 2
    deadline = time.monotonic() + 10
    while not publisher.dropped and time.monotonic() < deadline:
        time.sleep(0.05)
    assert publisher.dropped > 0


def test_it_drops_news_when_the_queue_is_full():
    publisher = live.Publisher()
    publisher._thread = type("Busy", (), {"is_alive": lambda self: True})()
    for _ in range(live.QUEUE_SIZE + 7):
        publisher.put(live._Evaluate(((1, 0, 0.0, 1),)))
    assert publisher.dropped == 7
