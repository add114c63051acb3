"""kill -9 of a real web process in the middle of pushes: what it acknowledged is there, once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from facilities.models import LatestReading, Reading
from ops_platform.testing import free_base_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
TAGS = ("rack-a.inlet_c", "rack-b.inlet_c", "crac-a.supply_c")
PUSHERS = 6
BATCH = 30


def start(port: int) -> subprocess.Popen[bytes]:
    values = connection.settings_dict
    address = (
        f"postgresql://{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}"
        f"/{values['NAME']}"
    )
    server = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "uvicorn",
                "ops_platform.asgi:application",
                "--port",
                str(port),
            ),
            *("--lifespan", "off", "--no-access-log", "--log-level", "warning"),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OPS_DATABASE_URL": address},
        start_new_session=True,
    )
    deadline = time.monotonic() + 40
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            client.request("GET", "/health/live")
            if client.getresponse().status == 200:
                return server
        except OSError:
            pass
        assert server.poll() is None, "the web process ended by itself"
        assert time.monotonic() < deadline, "the web process did not start"
        time.sleep(0.1)


def push_until_dead(port, token, number, acknowledged):
    """Post batches of times that no other pusher uses; note each that was answered 200."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    at = datetime.now(UTC) - timedelta(hours=number + 1)
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    while True:
        items = []
        for _ in range(BATCH):
            at += timedelta(milliseconds=7)
            items.append({"point": TAGS[number % 3], "ts": at.isoformat(), "value": 20.0})
        try:
            client.request("POST", "/api/v1/readings", json.dumps({"readings": items}), headers)
            answer = client.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return
        if answer.status == 200:
            assert body == {"accepted": BATCH, "rejected": []}
            acknowledged += [(item["point"], item["ts"]) for item in items]


def test_it_keeps_every_acknowledged_reading_through_kill_9(token, clean_readings):
    port = free_base_port()
    acknowledged: list[tuple[str, str]] = []
    server = start(port)
    try:
        pushers = [
            threading.Thread(target=push_until_dead, args=(port, token, number, acknowledged))
            for number in range(PUSHERS)
        ]
        for pusher in pushers:
            pusher.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < 3_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        for pusher in pushers:
            pusher.join(20)
        server.wait(10)
        assert len(acknowledged) >= 3_000
        stored = [
            (tag, ts.isoformat()) for tag, ts in Reading.objects.values_list("point__tag", "ts")
        ]
        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored))
        # What was stored without an answer is at most what each pusher had on the way.
        assert len(stored) - len(acknowledged) <= PUSHERS * BATCH

        server = start(port)  # finds the latest values again, without a single push
        newest = {tag: max(ts for t, ts in stored if t == tag) for tag in TAGS}
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            latest = LatestReading.objects.values_list("point__tag", "ts")
            found = {tag: ts.isoformat() for tag, ts in latest}
            if found == newest:
                break
            time.sleep(0.1)
        assert found == newest
    finally:
        server.kill()
        server.wait(10)
