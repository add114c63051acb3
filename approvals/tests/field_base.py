"""What the field devices of the tests share; see `field_devices`."""

from __future__ import annotations

import threading
from typing import Any

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
USER, PASSWORD = "ops", "redfish-password"


class Lost(Exception):
    """The connection ends without an answer."""


class Device:
    """Faults to come and a log of what was done, under one lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.faults: list[dict[str, Any]] = []
            self.log: list[dict[str, Any]] = []

    def fault(self) -> dict[str, Any]:
        with self.lock:
            return self.faults.pop(0) if self.faults else {"kind": "fine"}
