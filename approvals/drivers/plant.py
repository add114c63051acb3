"""The demo plant's setpoint API over HTTP."""

from __future__ import annotations

import httpx
from django.conf import settings

from approvals.drivers.base import Driver, DriverError, Order, WriteResult
from approvals.drivers.http import keyed_write

ANSWER_S = 5.0


class PlantDriver(Driver):
    """Where no binding names another driver, writes go to the plant at OPS_PLANT_URL."""

    name = "plant"

    def plan(self, order: Order) -> list[str]:
        """The one request."""
        if not settings.PLANT_URL:
            raise DriverError("no plant is configured: set OPS_PLANT_URL", maybe_applied=False)
        return [f"POST {settings.PLANT_URL}/setpoints: {order.tag} = {order.value:g}"]

    def write(self, order: Order) -> WriteResult:
        """Post the setpoint with its key."""
        self.plan(order)

        def send(client: httpx.Client) -> httpx.Response:
            return client.post(
                f"{settings.PLANT_URL}/setpoints",
                json={"tag": order.tag, "value": order.value, "key": order.key},
            )

        return keyed_write(
            order,
            where=f"the plant at {settings.PLANT_URL}",
            answer_s=ANSWER_S,
            headers={"Authorization": f"Bearer {settings.PLANT_TOKEN}"},
            send=send,
        )
