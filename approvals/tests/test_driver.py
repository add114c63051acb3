"""The plant driver against the real plant behind a wire that loses answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from approvals.drivers import http as driver
from approvals.drivers.base import DriverError, Order
from approvals.drivers.plant import PlantDriver
from approvals.tests.conftest import PlantProcess


class LossyWire:
    """A TCP proxy to the plant that swallows the first `lost` answers after delivering the request;
    with `delivers` False the requests as well."""

    def __init__(self, plant_url: str, *, lost: int, delivers: bool = True) -> None:
        parts = urlsplit(plant_url)
        self._plant = (parts.hostname or "", parts.port or 0)
        self._lost, self._delivers = lost, delivers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with caller, socket.create_connection(self._plant) as plant:
                request = _message(caller)
                if self._lost > 0 and not self._delivers:
                    self._lost -= 1
                    continue
                plant.sendall(request)
                answer = _message(plant)
                if self._lost > 0:
                    self._lost -= 1
                else:
                    caller.sendall(answer)

    def mend(self) -> None:
        """From now on every answer comes."""
        self._lost = 0

    def close(self) -> None:
        self._listener.close()


def _message(sender: socket.socket) -> bytes:
    """One whole HTTP message."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sender.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        body += sender.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def wire(plant: PlantProcess, settings: Any, request: Any) -> Iterator[PlantProcess]:
    lossy = LossyWire(plant.url, lost=request.param)
    settings.PLANT_URL = lossy.url
    yield plant
    lossy.close()


@pytest.mark.parametrize("wire", [2], indirect=True)
def test_it_asks_again_with_the_same_key_when_the_answer_is_lost(wire: PlantProcess) -> None:
    before = len(wire.writes())
    result = PlantDriver({}).write(Order("crac-1.fan_speed_sp_pct", 80.0, "lost-twice:0"))
    assert (result.attempts, result.duplicate) == (3, True)
    assert len(wire.writes()) == before + 1


@pytest.mark.parametrize("wire", [99], indirect=True)
def test_it_says_that_it_does_not_know_when_no_answer_ever_comes(
    wire: PlantProcess, monkeypatch: Any
) -> None:
    monkeypatch.setattr(driver, "BACKOFF_S", (0.0, 0.0, 0.0))
    before = len(wire.writes())
    with pytest.raises(DriverError) as failed:
        PlantDriver({}).write(Order("crac-1.fan_speed_sp_pct", 81.0, "lost-for-good:0"))
    assert failed.value.maybe_applied
    assert "may or may not have been applied" in failed.value.detail
    assert len(wire.writes()) == before + 1


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [("crac-1.fan_speed_sp_pct", 140.0, "422"), ("crac-1.nonsense", 1.0, "404")],
)
def test_it_repeats_the_plants_refusal(
    plant: PlantProcess, tag: str, value: float, said: str
) -> None:
    before = plant.writes()
    with pytest.raises(DriverError, match=said) as failed:
        PlantDriver({}).write(Order(tag, value, f"refused-{said}:0"))
    assert not failed.value.maybe_applied
    assert plant.writes() == before


def test_it_says_when_no_plant_is_configured(settings: Any) -> None:
    settings.PLANT_URL = ""
    with pytest.raises(DriverError, match="set OPS_PLANT_URL"):
        PlantDriver({}).write(Order("crac-1.run_cmd", 1.0, "nowhere:0"))


def test_it_sends_the_fence_and_the_plant_refuses_an_older_one(plant: PlantProcess) -> None:
    tag = "crac-3.fan_speed_sp_pct"
    now = time.time_ns() // 1_000_000
    driver = PlantDriver({})
    driver.write(Order(tag, 81.0, f"fence-{now}:0", fence=now))
    with pytest.raises(DriverError, match="409"):
        driver.write(Order(tag, 60.0, f"fence-{now}:1", fence=now - 1))
    again = driver.write(Order(tag, 81.0, f"fence-{now}:0", fence=now - 1))
    assert again.duplicate, "a known key is answered whatever the fence"
    assert [w["value"] for w in plant.writes() if w["tag"] == tag][-1] == 81.0


def test_it_looks_the_key_up_in_the_plants_log(plant: PlantProcess, settings: Any) -> None:
    driver = PlantDriver({})
    order = Order("crac-1.fan_speed_sp_pct", 82.0, f"look-{time.time_ns()}:0")
    assert driver.look(order).applied is False
    driver.write(order)
    assert driver.look(order).applied is True
    settings.PLANT_URL = "http://127.0.0.1:9"
    assert driver.look(order).applied is None


def test_it_opens_a_work_order_once(plant: PlantProcess) -> None:
    body = {
        "asset": "crac-1",
        "title": "Change the filter",
        "text": "EOP-CRAC-01",
        "priority": "low",
    }
    order = Order("crac-1.work_order", 0.0, f"order-{time.time_ns()}:0", body)
    driver = PlantDriver({})
    assert "POST" in driver.plan(order)[0]
    assert [driver.write(order).duplicate for _ in range(2)] == [False, True]
    assert driver.look(order).applied is True
    found = [o for o in plant.get("/work-orders")["work_orders"] if o["key"] == order.key]
    assert len(found) == 1
