"""The field devices of the tests as a running process, and bindings to them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient

from approvals.models import DriverBinding
from approvals.tests.field_devices import PASSWORD, SECRET, USER

# What a point of each quantity is in the registers of the test controller.
REGISTER: dict[str, dict[str, Any]] = {
    "fan_speed_sp_pct": {"type": "uint16", "scale": 10},
    "supply_sp_c": {"type": "float32", "word_order": "little", "unit": 2},
    "damper_pct": {"type": "int16", "scale": 100},
    "run_cmd": {"kind": "coil"},
    "bypass": {"kind": "coil"},
    "reset_cmd": {"kind": "coil"},
}
MOMENTARY_COIL = 399


class Field:
    """Commands to the process; see `field_devices`."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child, self._lock = child, threading.Lock()
        assert child.stdout is not None
        self.at: dict[str, Any] = json.loads(child.stdout.readline())

    def ask(self, **command: Any) -> Any:
        with self._lock:
            assert self._child.stdin is not None
            assert self._child.stdout is not None
            self._child.stdin.write(json.dumps(command) + "\n")
            self._child.stdin.flush()
            return json.loads(self._child.stdout.readline())

    def log(self, device: str) -> list[dict[str, Any]]:
        """What the device did, in its own words."""
        return list(self.ask(do="log", of=device))

    def faults(self, device: str, *faults: dict[str, Any]) -> None:
        """What happens to the next writes, one fault each."""
        self.ask(do="fault", of=device, faults=faults)

    def put(self, path: str, body: dict[str, Any]) -> str:
        """A Redfish resource."""
        self.ask(do="put", path=path, body=body)
        return path

    def coil(self, address: int, value: bool) -> None:
        """Put a coil of unit 1, as somebody at the panel would."""
        client = ModbusTcpClient("127.0.0.1", port=self.at["modbus"], timeout=2, retries=0)
        assert client.connect()
        assert not client.write_coil(address, value, device_id=1).isError()
        client.close()

    def modbus(self, tags: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Settings of a Modbus binding."""
        return {"host": "127.0.0.1", "port": self.at["modbus"], "timeout_s": 0.5, "settle_s": 0.25,
                "points": tags, **more}  # fmt: skip

    def redfish(self, tags: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Settings of a Redfish binding."""
        return {"url": self.at["redfish"], "username": USER, "timeout_s": 1, "settle_s": 0.25,
                "points": tags, **more}  # fmt: skip

    def webhook(self, **more: Any) -> dict[str, Any]:
        """Settings of a webhook binding."""
        return {"url": f"{self.at['webhook']}/setpoints", "timeout_s": 1, **more}

    def registers(self, tags: list[str]) -> dict[str, dict[str, Any]]:
        """A register of its own for every tag that a controller carries."""
        made = {}
        for index, tag in enumerate(tags):
            quantity = tag.rpartition(".")[2]
            if quantity in REGISTER:
                register = MOMENTARY_COIL if quantity == "reset_cmd" else 2 * index
                made[tag] = {"register": register, **REGISTER[quantity]}
        return made

    def resources(self, tags: list[str]) -> dict[str, dict[str, Any]]:
        """A resource for every tag that a Redfish service carries, put into its tree."""
        made = {}
        for tag in tags:
            asset, _, quantity = tag.rpartition(".")
            point = self._resource(asset, quantity)
            if point:
                made[tag] = point
        return made

    def _resource(self, asset: str, quantity: str) -> dict[str, Any]:
        if quantity in ("fan_speed_sp_pct", "supply_sp_c", "power_limit_w"):
            path = f"/redfish/v1/Chassis/{asset}/Controls/{quantity}"
            self.put(path, {"SetPoint": 1, "SettingMax": 1000})
            return {"path": path, "property": "/SetPoint"}
        if quantity == "run_cmd":
            path = f"/redfish/v1/ThermalEquipment/CoolingUnits/{asset}"
            name = "#CoolingUnit.SetMode"
            target = f"{path}/Actions/CoolingUnit.SetMode"
            self.put(path, {"Status": {"State": "Standby"}, "Actions": {name: {"target": target}}})
            modes = {"0": "Disabled", "1": "Enabled"}
            parameters = {number: {"Mode": mode} for number, mode in modes.items()}
            return {"path": path, "property": "/Status/State", "values": modes, "action": name,
                    "parameters": parameters}  # fmt: skip
        if quantity == "reset_cmd":
            path, name = f"/redfish/v1/Systems/{asset}", "#ComputerSystem.Reset"
            action = {"target": f"{path}/Actions/ComputerSystem.Reset",
                      "ResetType@Redfish.AllowableValues": ["On", "ForceRestart"]}  # fmt: skip
            self.put(path, {"PowerState": "On", "Actions": {name: action}})
            parameters = {"1": {"ResetType": "ForceRestart"}}
            return {"path": path, "action": name, "parameters": parameters}
        if quantity == "enabled":
            path = f"/redfish/v1/Fabrics/IB/Switches/{asset}/Ports/1"
            self.put(path, {"InterfaceEnabled": None})
            return {"path": path, "property": "/InterfaceEnabled",
                    "values": {"0": False, "1": True}}  # fmt: skip
        return {}


@pytest.fixture(scope="session")
def field_process() -> Iterator[Field]:
    child = subprocess.Popen(
        [sys.executable, "-m", "approvals.tests.field_devices"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Field(child)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(10)


@pytest.fixture
def field(field_process: Field, settings: Any, monkeypatch: Any) -> Field:
    """The devices, empty; the product knows their secrets and pauses briefly."""
    field_process.ask(do="reset")
    settings.DRIVER_SECRETS = {"webhook": SECRET, "redfish": PASSWORD}
    monkeypatch.setattr("approvals.drivers.http.BACKOFF_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr("approvals.drivers.settled.PAUSE_S", 0.01)
    monkeypatch.setattr("approvals.drivers.modbus.BUSY_S", 0.01)
    monkeypatch.setattr("approvals.drivers.webhook.POLL_S", 0.02)
    monkeypatch.setattr("approvals.drivers.settled.SETTLE_EVERY_S", 0.05)
    return field_process


def bound(driver: str, settings: dict[str, Any], *, pattern: str = "*") -> DriverBinding:
    """A binding that writes, checked as the admin console checks it."""
    binding = DriverBinding(
        name=driver,
        driver=driver,
        pattern=pattern,
        settings=settings,
        secret_name=driver,
        is_dry_run=False,
    )
    binding.clean()
    binding.save()
    return binding
