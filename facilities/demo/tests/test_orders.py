"""The plant over HTTP: fences of setpoint writes, and work orders."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facilities.demo.tests.test_server import Served

ORDER = {
    "asset": "crac-3",
    "title": "Change the filter of CRAC 3",
    "text": "Filter pressure drop 290 Pa.",
    "priority": "high",
    "due": "2026-03-03T16:00:00Z",
    "key": "w-1",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("plant"))
    yield served
    served.stop()


def fenced(served: Served, value: float, key: str, fence: Any, tag: str = "crac-1") -> Any:
    body = {"tag": f"{tag}.fan_speed_sp_pct", "value": value, "key": key, "fence": fence}
    return served.client.post("/setpoints", json=body)


def test_it_refuses_an_older_fence_of_the_same_asset(shared: Served) -> None:
    assert fenced(shared, 80, "f-1", 1795296000123).status_code == 200
    assert fenced(shared, 85, "f-2", 1795296000123).status_code == 200  # the same holder
    late = fenced(shared, 90, "f-3", 1795296000122)
    assert (late.status_code, late.json()["code"]) == (409, "stale_fence")
    assert "older than 1795296000123" in late.json()["detail"]
    assert shared.runtime.plant.setpoint("crac-1.fan_speed_sp_pct") == 85
    assert fenced(shared, 90, "f-4", 5, tag="crac-2").status_code == 200  # another asset
    assert shared.write("crac-1.supply_sp_c", 19, "f-5").status_code == 200  # without a fence
    # What was written is answered as written, whoever asks again.
    assert fenced(shared, 80, "f-1", 7).json()["duplicate"] is True
    by_key = {write["key"]: write["fence"] for write in shared.runtime.writes()}
    assert by_key == {"f-1": 1795296000123, "f-2": 1795296000123, "f-4": 5, "f-5": None}


@pytest.mark.parametrize("fence", [-1, 1.5, "7", True, 2**54])
def test_it_refuses_a_malformed_fence(shared: Served, fence: Any) -> None:
    answer = fenced(shared, 80, "bad", fence)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_it_keeps_fences_orders_and_momentary_commands_across_a_restart(tmp_path: Path) -> None:
    before = Served(tmp_path)
    fenced(before, 80, "k-1", 9)
    before.write("srv-03.reset_cmd", 1, "k-2")
    number = before.client.post("/work-orders", json=ORDER).json()["number"]
    before.stop()
    log = tmp_path / "work-orders.jsonl"
    log.write_text(log.read_text() + '{"ts": "2026-03-01T10:0')  # a crash in the middle of a line
    after = Served(tmp_path)
    try:
        assert fenced(after, 90, "k-3", 8).json()["code"] == "stale_fence"
        assert after.runtime.plant.setpoint("srv-03.reset_cmd") == 0  # not once more
        again = after.client.post("/work-orders", json=ORDER).json()
        assert (again["number"], again["duplicate"]) == (number, True)
        after.client.post("/work-orders", json={**ORDER, "key": "w-2"})
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["number"] for line in lines] == ["WO-0001", "WO-0002"]
    finally:
        after.stop()


def test_it_opens_a_work_order_once_per_key(shared: Served) -> None:
    first = shared.client.post("/work-orders", json=ORDER).json()
    again = shared.client.post("/work-orders", json=ORDER).json()
    assert first["applied"] is True and first["number"].startswith("WO-")
    assert again == {**first, "duplicate": True}
    other = shared.client.post("/work-orders", json={**ORDER, "title": "Something else"})
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    listed = shared.client.get("/work-orders").json()["work_orders"]
    assert [order["key"] for order in listed] == ["w-1"]
    assert listed[0]["due"] == ORDER["due"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"asset": "crac-9"}, 404, "unknown_asset"),
        ({"asset": 7}, 400, "malformed"),
        ({"title": " "}, 400, "malformed"),
        ({"title": "x" * 201}, 400, "malformed"),
        ({"text": None}, 400, "malformed"),
        ({"priority": "urgent"}, 400, "malformed"),
        ({"due": "tomorrow"}, 400, "malformed"),
        ({"key": ""}, 400, "malformed"),
        ({"fence": -1}, 400, "malformed"),
    ],
)
def test_it_refuses_a_bad_work_order(
    shared: Served, change: dict[str, Any], status: int, code: str
) -> None:
    before = shared.client.get("/work-orders").json()
    answer = shared.client.post("/work-orders", json={**ORDER, "key": "w-9", **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert shared.client.get("/work-orders").json() == before


def test_it_refuses_a_work_order_of_an_older_fence(shared: Served) -> None:
    order = {**ORDER, "asset": "crac-4", "due": None}
    assert shared.client.post("/work-orders", json={**order, "key": "w-2", "fence": 4}).is_success
    late = shared.client.post("/work-orders", json={**order, "key": "w-3", "fence": 3})
    assert (late.status_code, late.json()["code"]) == (409, "stale_fence")


def test_it_keeps_work_orders_from_strangers(shared: Served) -> None:
    for method in ("GET", "POST"):
        answer = shared.client.request(
            method, "/work-orders", headers={"Authorization": "Bearer wrong"}, json=ORDER
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
