"""The field drivers against real servers: Modbus TCP by pymodbus, HTTP ones that lose answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from standardwebhooks import Webhook

from approvals.drivers import http
from approvals.drivers.base import DriverError, Order
from approvals.drivers.modbus import ModbusDriver
from approvals.drivers.redfish import RedfishDriver
from approvals.drivers.webhook import WebhookDriver

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver(ThreadingHTTPServer):
    """Answers by `answer(handler)`, on a port of its own."""

    daemon_threads = True

    def __init__(self, answer: Any) -> None:
        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, body, headers = answer(self, self.rfile.read(size))
                if status == 0:  # the answer is lost
                    self.close_connection = True
                    return
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Bms:
    """Applies each webhook id once, as the specification asks, and checks the signature."""

    def __init__(self, lost: int = 0) -> None:
        self.lost, self.value, self.seen, self.requests = lost, 70.0, set[str](), 0
        self.fences: list[str | None] = []
        self.types: list[str] = []
        self.bodies: list[Any] = []

    def __call__(self, request: Any, body: bytes) -> tuple[int, Any, dict[str, str]]:
        self.requests += 1
        try:
            message = Webhook(SECRET).verify(body, dict(request.headers))
        except Exception as error:
            return 401, {"detail": str(error)}, {}
        previous, duplicate = self.value, message["id"] in self.seen
        self.seen.add(message["id"])
        self.fences.append(request.headers["holdpoint-fence"])
        self.types.append(message["type"])
        self.bodies.append(message["data"].get("body"))
        self.value = message["data"].get("value", self.value)
        if self.lost:
            self.lost -= 1
            return 0, None, {}
        return 200, {"applied": True, "previous": previous, "duplicate": duplicate}, {}


def test_it_signs_and_asks_again_with_the_same_id(monkeypatch: Any) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", (0.0, 0.0, 0.0))
    bms = Bms(lost=2)
    server = Receiver(bms)
    driver = WebhookDriver({"url": f"{server.url}/setpoints"}, SECRET)
    result = driver.write(Order("crac-1.fan_speed_sp_pct", 85.0, "hp-1:0"))
    server.shutdown()
    assert (result.attempts, result.duplicate, bms.value, len(bms.seen)) == (3, True, 85.0, 1)


@pytest.mark.parametrize(
    ("secret", "said"), [("", "no signing secret"), ("whsec_AAAA", "refused .* with 401")]
)
def test_it_writes_nothing_without_the_right_key(secret: str, said: str) -> None:
    bms = Bms()
    server = Receiver(bms)
    with pytest.raises(DriverError, match=said) as failed:
        WebhookDriver({"url": server.url}, secret).write(Order("a.b", 1.0, "k:0"))
    server.shutdown()
    assert not failed.value.maybe_applied
    assert bms.value == 70.0


def test_it_does_not_take_an_empty_answer_for_a_confirmation() -> None:
    server = Receiver(lambda *_: (200, {}, {}))
    with pytest.raises(DriverError, match="without confirming") as failed:
        WebhookDriver({"url": server.url}, SECRET).write(Order("a.b", 1.0, "k:0"))
    server.shutdown()
    assert failed.value.maybe_applied


POINTS: dict[str, dict[str, Any]] = {
    "fan.pct": {"register": 10, "type": "uint16", "scale": 10},
    "supply.c": {"register": 20, "type": "float32"},
    "run.cmd": {"register": 3, "kind": "coil"},
}


@pytest.fixture
def controller() -> Iterator[dict[str, Any]]:
    """A real Modbus TCP server; yields the driver's settings."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    found: dict[str, Any] = {}

    async def serve() -> None:
        device = SimDevice(
            1,
            simdata=(
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                [SimData(0, values=[700] * 40, datatype=DataType.REGISTERS)],
                [SimData(0, values=[0] * 4, datatype=DataType.REGISTERS)],
            ),
        )
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.listen()
        found["server"] = server
        sockets: Any = server.transport
        found["port"] = sockets.sockets[0].getsockname()[1]
        started.set()
        await server.serving

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield {"host": "127.0.0.1", "port": found["port"], "timeout_s": 1, "points": POINTS}
    asyncio.run_coroutine_threadsafe(found["server"].shutdown(), loop).result(5)
    thread.join(5)


@pytest.mark.parametrize(
    ("tag", "value", "previous"), [("fan.pct", 85.0, 70.0), ("run.cmd", 1.0, 0.0)]
)
def test_it_writes_registers_and_reads_them_back(
    controller: dict[str, Any], tag: str, value: float, previous: float
) -> None:
    driver = ModbusDriver(controller)
    first = driver.write(Order(tag, value, "k:0"))
    assert (first.previous, first.read_back, first.duplicate) == (previous, value, False)
    again = driver.write(Order(tag, value, "k:0"))
    assert (again.read_back, again.duplicate) == (value, True)


def test_it_writes_floats(controller: dict[str, Any]) -> None:
    result = ModbusDriver(controller).write(Order("supply.c", 18.3, "k:0"))
    assert result.read_back == pytest.approx(18.3, rel=1e-6)


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("fan.pct", 7000.0, "outside 0…65535"),
        ("fan.pct", -1.0, "outside 0…65535"),
        ("run.cmd", 0.5, "no coil value"),
        ("nobody", 1.0, "has no register for nobody"),
    ],
)
def test_it_refuses_what_a_register_cannot_hold(tag: str, value: float, said: str) -> None:
    driver = ModbusDriver({"host": "127.0.0.1", "port": 1, "points": POINTS})
    for act in (driver.plan, driver.write):
        with pytest.raises(DriverError, match=said) as failed:
            act(Order(tag, value, "k:0"))
        assert not failed.value.maybe_applied


def test_it_knows_that_nothing_went_out_when_nobody_listens(monkeypatch: Any) -> None:
    monkeypatch.setattr("approvals.drivers.settled.PAUSE_S", 0.0)
    driver = ModbusDriver({"host": "127.0.0.1", "port": 1, "points": POINTS})
    with pytest.raises(DriverError, match=r"cannot be reached.*nothing was written") as failed:
        driver.write(Order("fan.pct", 80.0, "k:0"))
    assert not failed.value.maybe_applied


def test_it_repeats_the_controllers_exception(controller: dict[str, Any]) -> None:
    settings = {**controller, "points": {"far.away": {"register": 5000}}}
    with pytest.raises(DriverError, match="Modbus exception 2"):
        ModbusDriver(settings).write(Order("far.away", 1.0, "k:0"))


class Bmc:
    """A Redfish service with one control, ETags, and answers that get lost."""

    PATH = "/redfish/v1/Chassis/1/Controls/GpuPower"

    def __init__(self, *, lost: int = 0, stale: bool = False) -> None:
        self.value, self.version, self.lost, self.stale, self.patches = 700, 1, lost, stale, 0

    def __call__(self, request: Any, body: bytes) -> tuple[int, Any, dict[str, str]]:
        if request.path.endswith("/Sessions"):
            location = "/redfish/v1/SessionService/Sessions/1"
            return 201, {}, {"X-Auth-Token": "t", "Location": location}
        if request.command == "DELETE":
            return 204, {}, {}
        if request.path != self.PATH:
            links = {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}
            return 200, {"Links": links, "RedfishVersion": "1.18.0"}, {}
        if request.command == "PATCH":
            if self.stale or request.headers["If-Match"] != f'"{self.version}"':
                return 412, {"error": {"message": "changed"}}, {}
            self.patches += 1
            self.value, self.version = json.loads(body)["SetPoint"], self.version + 1
            if self.lost:
                self.lost -= 1
                return 0, None, {}
        return 200, {"SetPoint": self.value}, {"ETag": f'"{self.version}"'}


def _redfish(server: Receiver, path: str = Bmc.PATH) -> RedfishDriver:
    points = {"gpu.limit": {"path": path, "property": "/SetPoint"}}
    return RedfishDriver({"url": server.url, "username": "ops", "points": points}, "secret")


def test_it_patches_with_the_etag_and_reads_back() -> None:
    bmc = Bmc()
    server = Receiver(bmc)
    result = _redfish(server).write(Order("gpu.limit", 500.0, "k:0"))
    server.shutdown()
    assert (result.previous, result.read_back, bmc.value, bmc.patches) == (700, 500, 500, 1)


def test_it_settles_a_lost_answer_by_reading(monkeypatch: Any) -> None:
    monkeypatch.setattr("approvals.drivers.settled.PAUSE_S", 0.0)
    bmc = Bmc(lost=1)
    server = Receiver(bmc)
    result = _redfish(server).write(Order("gpu.limit", 500.0, "k:0"))
    server.shutdown()
    assert (result.attempts, bmc.patches, bmc.value) == (2, 1, 500)


def test_it_does_not_overwrite_what_somebody_else_changed() -> None:
    bmc = Bmc(stale=True)
    server = Receiver(bmc)
    with pytest.raises(DriverError, match="changed by somebody else") as failed:
        _redfish(server).write(Order("gpu.limit", 500.0, "k:0"))
    server.shutdown()
    assert (bmc.value, failed.value.maybe_applied) == (700, False)


def test_it_sends_a_work_order_by_webhook_and_by_no_register(controller: dict[str, Any]) -> None:
    order = Order("crac-1.work_order", 0.0, "k:0", {"asset": "crac-1", "title": "Filter"})
    bms = Bms()
    server = Receiver(bms)
    driver = WebhookDriver({"url": server.url}, SECRET)
    assert driver.write(order).duplicate is False
    server.shutdown()
    assert (bms.types, bms.bodies) == (["work_order.create"], [order.body])
    with pytest.raises(DriverError, match="takes setpoints only") as refused:
        ModbusDriver(controller).write(order)
    assert not refused.value.maybe_applied


def test_it_looks_at_the_register_when_asked_what_became_of_an_order(
    controller: dict[str, Any],
) -> None:
    driver = ModbusDriver(controller)
    driver.write(Order("fan.pct", 85.0, "k:0"))
    assert driver.look(Order("fan.pct", 85.0, "k:0")).applied is True
    assert driver.look(Order("fan.pct", 60.0, "k:0")).applied is False
    away = ModbusDriver({**controller, "port": 1})
    assert away.look(Order("fan.pct", 60.0, "k:0")).applied is None
    webhook = WebhookDriver({"url": "http://127.0.0.1:1"}, SECRET)
    assert webhook.look(Order("fan.pct", 60.0, "k:0")).applied is None
