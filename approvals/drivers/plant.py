"""The demo plant's API over HTTP: setpoints, and work orders."""

from __future__ import annotations

from typing import Any

import httpx
from django.conf import settings

from approvals.drivers.base import Driver, DriverError, Order, Seen, WriteResult
from approvals.drivers.http import keyed_write
from approvals.drivers.wire import CONNECT_S, Answer, Wire

ANSWER_S = 5.0


class PlantDriver(Driver):
    """Where no binding names another driver, orders go to the plant at OPS_PLANT_URL."""

    name = "plant"

    def plan(self, order: Order) -> list[str]:
        """The one request."""
        if not settings.PLANT_URL:
            raise DriverError("no plant is configured: set OPS_PLANT_URL", maybe_applied=False)
        if order.body is not None:
            said = ", ".join(f"{name}: {value}" for name, value in order.body.items())
            return [f"POST {settings.PLANT_URL}/work-orders: {said}"]
        return [f"POST {settings.PLANT_URL}/setpoints: {order.tag} = {order.value:g}"]

    def write(self, order: Order) -> WriteResult:
        """Post the order with its key, and with its fence where it has one."""
        self.plan(order)
        path, content = "/setpoints", {"tag": order.tag, "value": order.value}
        if order.body is not None:
            path, content = "/work-orders", dict(order.body)
        elif order.fence is not None:
            content["fence"] = order.fence

        def send(wire: Wire) -> Answer:
            return wire.request(
                "POST",
                f"{settings.PLANT_URL}{path}",
                deadline_s=ANSWER_S,
                json={**content, "key": order.key},
                headers=self._headers(),
            )

        with Wire(answer_s=ANSWER_S) as wire:
            return keyed_write(self, order, where=self._where(), wire=wire, send=send)

    def look(self, order: Order) -> Seen:
        """Look the key up in the plant's own log."""
        path, name = (
            ("/writes", "writes") if order.body is None else ("/work-orders", "work_orders")
        )
        try:
            answer = httpx.get(
                f"{settings.PLANT_URL}{path}",
                headers=self._headers(),
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                trust_env=False,
            )
            answer.raise_for_status()
            logged: list[dict[str, Any]] = answer.json()[name]
        except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError) as error:
            return Seen(None, f"{self._where()} did not answer ({type(error).__name__})")
        found = any(entry.get("key") == order.key for entry in logged)
        word = "has" if found else "has no"
        return Seen(found, f"{self._where()} {word} {order.key} in its log")

    @staticmethod
    def _where() -> str:
        return f"the plant at {settings.PLANT_URL}"

    @staticmethod
    def _headers() -> dict[str, str]:
        return {"Authorization": f"Bearer {settings.PLANT_TOKEN}"}
