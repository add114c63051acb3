"""From POST to the browser: a signed-in WebSocket waits for values that a probe posts."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import websockets

from benchmarks.ingest import finish_client, start_client
from benchmarks.ingesting.bodies import tag
from benchmarks.ingesting.client import Connection, request
from benchmarks.ingesting.product import Product

PROBES_PER_S = 10


def post_to_push(product: Product, load: dict[str, Any]) -> dict[str, Any]:
    """Probe for the seconds of the load, while the load runs; milliseconds from POST to push.

    A probe is a request of one reading whose value is its number. A value that the next one of
    the same point has overtaken never arrives: then the later value's arrival counts.
    """
    cookie = _signed_in()
    client = start_client(load)
    client.stdin.write("go\n")
    client.stdin.flush()
    delays = asyncio.run(_probe(product, load, cookie))
    done = finish_client(client)
    delays.sort()
    return {
        "load_readings_per_s": round(done["acknowledged"] / done["seconds"]),
        "probes": len(delays),
        "ms_p50": round(delays[len(delays) // 2], 1),
        "ms_p99": round(delays[int(len(delays) * 0.99)], 1),
        "ms_most": round(delays[-1], 1),
    }


async def _probe(product: Product, load: dict[str, Any], cookie: str) -> list[float]:
    point = tag(0)
    sent: dict[float, float] = {}
    delays: list[float] = []
    loop = asyncio.get_running_loop()
    _, post = await loop.create_connection(Connection, "127.0.0.1", product.port)
    headers = {"Cookie": cookie, "Origin": product.url}
    address = f"ws://127.0.0.1:{product.port}/ws/telemetry/"
    async with websockets.connect(address, additional_headers=headers) as socket:
        await socket.send(json.dumps({"subscribe": [point]}))
        await socket.recv()

        async def listen() -> None:
            async for text in socket:
                now = time.perf_counter()
                for reading in json.loads(text).get("readings", []):
                    value = reading["value"]
                    for number in [n for n in sent if n <= value and value >= 40]:
                        delays.append((now - sent.pop(number)) * 1e3)

        listening = asyncio.create_task(listen())
        number = 50.0
        end = time.perf_counter() + load["seconds"] - 1
        while time.perf_counter() < end:
            number += 0.01
            value = round(number, 2)
            body = json.dumps(
                {
                    "readings": [
                        {"point": point, "ts": datetime.now(UTC).isoformat(), "value": value}
                    ]
                }
            ).encode()
            sent[value] = time.perf_counter()
            await post.post(request("/api/v1/readings", "application/json", load["token"], body))
            await asyncio.sleep(1 / PROBES_PER_S)
        await asyncio.sleep(1)
        listening.cancel()
    return delays


def _signed_in() -> str:
    """A session cookie of a new viewer."""
    from django.conf import settings
    from django.test import Client

    from ops_platform.models import User
    from ops_platform.roles import assign_role, sync_roles

    sync_roles()
    user = User.objects.filter(username="bench-viewer").first()
    if user is None:
        user = User.objects.create_user("bench-viewer", password=None)
        assign_role(user, "viewer")
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"
