"""The plant's HTTP API over real HTTP, its write log across a restart, and its command."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from django.core.management import CommandError, call_command

from facilities.demo.plant.main import PortBusyError, bind
from facilities.demo.plant.outbox import Outbox
from facilities.demo.plant.points import read_facility
from facilities.demo.plant.runtime import Runtime
from facilities.demo.plant.server import build_app

TOKEN = "plant-test-token"
ROOT = Path(__file__).resolve().parents[3]


class Served:
    """A plant without a clock behind a real HTTP server."""

    def __init__(self, data_dir: Path) -> None:
        self.runtime = Runtime(read_facility(), data_dir=data_dir)
        outbox = Outbox(
            self.runtime.sensors.tags,
            web_url="http://127.0.0.1:9",
            read_token=lambda: "",
            acked_log=data_dir / "acked.log",
        )
        listener = bind(0)
        self.port = int(listener.getsockname()[1])
        app = build_app(self.runtime, outbox=outbox, token=TOKEN)
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:  # bound is not yet listening
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )

    def stop(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def write(self, tag: str, value: Any, key: str) -> httpx.Response:
        return self.client.post("/setpoints", json={"tag": tag, "value": value, "key": key})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.stop()


def test_it_answers_health_to_anyone_and_nothing_else(served: Served) -> None:
    stranger = httpx.Client(base_url=served.client.base_url, trust_env=False)
    assert stranger.get("/health").status_code == 200
    for method, path in [
        ("GET", "/state"),
        ("GET", "/writes"),
        ("GET", "/faults"),
        ("POST", "/faults"),
        ("DELETE", "/faults"),
        ("DELETE", "/faults/crac-2-trip"),
        ("POST", "/setpoints"),
    ]:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            answer = stranger.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    assert served.runtime.writes() == []


def test_it_writes_a_setpoint_once_per_key(served: Served) -> None:
    first = served.write("crac-4.run_cmd", 1, "k-1")
    again = served.write("crac-4.run_cmd", 1, "k-1")
    assert first.json() == {
        "applied": True,
        "tag": "crac-4.run_cmd",
        "previous": 0.0,
        "value": 1.0,
        "duplicate": False,
    }
    assert again.json() == {**first.json(), "duplicate": True}
    assert len(served.client.get("/writes").json()["writes"]) == 1
    for _ in range(30):
        served.runtime.step(1.0)
    assert served.client.get("/state").json()["values"]["crac-4.running"] == 1


def test_it_refuses_a_key_for_another_write(served: Served) -> None:
    served.write("crac-1.fan_speed_sp_pct", 80, "k-1")
    answer = served.write("crac-1.fan_speed_sp_pct", 90, "k-1")
    assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")
    assert served.runtime.plant.setpoint("crac-1.fan_speed_sp_pct") == 80


@pytest.mark.parametrize(
    ("tag", "value", "status", "code"),
    [
        ("crac-9.run_cmd", 1, 404, "unknown_point"),
        ("crac-1.fan_speed_sp_pct", 101, 422, "out_of_limits"),
        ("crac-1.fan_speed_sp_pct", 29.9, 422, "out_of_limits"),
        ("crac-1.run_cmd", 0.5, 422, "out_of_limits"),
        ("crac-1.supply_c", 18, 422, "not_writable"),
        ("rack-1-03.load_cap_pct", 39, 422, "out_of_limits"),
        ("crac-1.run_cmd", "1", 400, "malformed"),
        ("crac-1.run_cmd", True, 400, "malformed"),
        ("crac-1.run_cmd", None, 400, "malformed"),
    ],
)
def test_it_refuses_a_bad_write(
    served: Served, tag: str, value: Any, status: int, code: str
) -> None:
    answer = served.write(tag, value, "k-1")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert served.runtime.writes() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"tag": "crac-1.run_cmd", "value": 1}'])
def test_it_refuses_a_malformed_body(served: Served, body: bytes) -> None:
    assert served.client.post("/setpoints", content=body).json()["code"] == "malformed"


def test_it_names_both_sides_of_a_limit(served: Served) -> None:
    detail = served.write("crac-1.supply_sp_c", 30, "k").json()["detail"]
    assert detail == "crac-1.supply_sp_c: 30 Cel is refused, the controller takes 14 to 24"


def test_it_keeps_keys_and_setpoints_across_a_restart(tmp_path: Path) -> None:
    before = Served(tmp_path)
    before.write("rack-1-03.load_cap_pct", 60, "k-1")
    before.stop()
    log = tmp_path / "writes.jsonl"
    log.write_text(log.read_text() + '{"ts": "2026-03-01T10:0')  # a crash in the middle of a line
    after = Served(tmp_path)
    try:
        assert after.runtime.plant.setpoint("rack-1-03.load_cap_pct") == 60
        assert after.write("rack-1-03.load_cap_pct", 60, "k-1").json()["duplicate"] is True
        after.write("rack-1-03.load_cap_pct", 80, "k-2")
        assert [json.loads(line)["value"] for line in log.read_text().splitlines()] == [60, 80]
    finally:
        after.stop()


def test_it_injects_and_clears_faults(served: Served) -> None:
    def active() -> list[str]:
        faults = served.client.get("/faults").json()["faults"]
        return [fault["name"] for fault in faults if fault["active"]]

    served.client.post("/faults", json={"fault": "crac-2-trip"})
    served.client.post("/faults", json={"fault": "leak-hall-1"})
    served.runtime.step(1.0)
    assert active() == ["crac-2-trip", "leak-hall-1"]
    assert served.client.get("/state").json()["values"]["leak-1.wet"] == 1
    served.client.delete("/faults/leak-hall-1")
    assert active() == ["crac-2-trip"]
    served.client.delete("/faults")
    assert active() == []
    unknown = served.client.post("/faults", json={"fault": "meteor"})
    assert unknown.status_code == 404
    assert "crac-2-trip" in unknown.json()["detail"]


def test_it_says_that_a_port_is_busy() -> None:
    with bind(0) as taken, pytest.raises(PortBusyError, match="in use"):
        taken.listen()
        bind(int(taken.getsockname()[1]))


def run_command(served: Served, settings: Any, *options: str) -> str:
    settings.PLANT_TOKEN = TOKEN
    out = StringIO()
    call_command("plant", *options, "--port", str(served.port), stdout=out)
    return out.getvalue()


def test_it_breaks_and_repairs_from_the_command_line(served: Served, settings: Any) -> None:
    assert "crac-2-trip is present" in run_command(served, settings, "--fault", "crac-2-trip")
    assert "* crac-2-trip" in run_command(served, settings, "--list")
    assert "faults      crac-2-trip" in run_command(served, settings, "--status")
    assert "crac-2-trip cleared" in run_command(served, settings, "--clear", "crac-2-trip")
    assert "all faults cleared" in run_command(served, settings, "--clear")
    assert served.runtime.state()["faults"] == []
    with pytest.raises(CommandError, match="no fault is called nonsense"):
        run_command(served, settings, "--fault", "nonsense")


def test_it_says_when_no_plant_runs(settings: Any) -> None:
    settings.PLANT_TOKEN = TOKEN
    with bind(0) as free:
        port = str(free.getsockname()[1])
        with pytest.raises(CommandError, match=f"no plant answers on .*{port}"):
            call_command("plant", "--status", "--port", port)
        assert free.fileno() > 0


def test_it_says_that_the_plant_belongs_to_another_stack(served: Served, settings: Any) -> None:
    settings.PLANT_TOKEN = "another"
    with pytest.raises(CommandError, match="another stack"):
        call_command("plant", "--status", "--port", str(served.port))


@pytest.mark.slow
def test_it_runs_as_a_process_and_stops_on_sigterm(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "OPS_DATA_DIR": str(tmp_path),
        "OPS_PLANT_TOKEN": TOKEN,
        "DJANGO_SETTINGS_MODULE": "ops_platform.settings",
    }
    process = subprocess.Popen(
        [
            sys.executable,
            "manage.py",
            "plant",
            "--port",
            str(port),
            "--web-url",
            "http://127.0.0.1:9",
        ],
        cwd=ROOT,
        env=env,
    )
    try:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                if client.get("/state").json()["outbox"]["pending"] >= 2:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()


def test_it_lets_a_fault_develop(served: Served) -> None:
    slow = {"fault": "crac-3-filter-clog", "severity": 0.5, "over_s": 200}
    assert served.client.post("/faults", json=slow).status_code == 200
    for _ in range(100):
        served.runtime.step(1.0)
    faults = {f["name"]: f for f in served.client.get("/faults").json()["faults"]}
    clog = faults["crac-3-filter-clog"]
    assert clog["active"] and clog["level"] == pytest.approx(0.25, abs=0.01)
    assert (clog["group"], clog["cause"], clog["scales"]) == ("Cooling", "crac-3", True)
    assert faults["crac-2-trip"]["level"] == 0.0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"fault": "crac-2-trip", "severity": 0.5}, 422, "out_of_limits"),
        ({"fault": "crac-3-filter-clog", "severity": 2}, 422, "out_of_limits"),
        ({"fault": "crac-3-filter-clog", "over_s": -5}, 422, "out_of_limits"),
        ({"fault": "crac-3-filter-clog", "severity": "half"}, 400, "malformed"),
        ({"fault": "crac-3-filter-clog", "over_s": True}, 400, "malformed"),
    ],
)
def test_it_refuses_a_development_that_cannot_be(
    served: Served, body: dict[str, Any], status: int, code: str
) -> None:
    answer = served.client.post("/faults", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert served.runtime.state()["faults"] == []
