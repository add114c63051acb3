"""A BMS or DCIM that takes signed messages, after the Standard Webhooks specification.

Headers `webhook-id` (the idempotency key), `webhook-timestamp`, `webhook-signature`
(`v1,<base64 HMAC-SHA256>`). The receiver applies an id once and answers
`{"applied": true, "previous"?: number, "duplicate"?: bool}`. `holdpoint-fence` counts up per asset:
a receiver that remembers the newest may refuse an older one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

from approvals.canonical import canonical_json
from approvals.drivers.base import Driver, DriverError, Order, WriteResult
from approvals.drivers.http import keyed_write

ANSWER_S = 10.0
EVENT = "setpoint.write"
ORDER_EVENT = "work_order.create"


class WebhookDriver(Driver):
    """Settings: `url`, `timeout_s`; the secret signs (`whsec_…` or base64)."""

    name = "webhook"

    def plan(self, order: Order) -> list[str]:
        """The request, without its signature."""
        if not self.secret:
            raise DriverError(
                f"writing {order.tag}: the webhook {self.settings['url']} has no signing secret "
                "(OPS_DRIVER_SECRETS)",
                maybe_applied=False,
            )
        return [f"POST {self.settings['url']}, signed: {_body(order)}"]

    def write(self, order: Order) -> WriteResult:
        """Sign and post; each repeat carries the same id and body with a fresh timestamp."""
        self.plan(order)
        body, signer = _body(order), Webhook(self.secret.read())

        fence = {} if order.fence is None else {"holdpoint-fence": str(order.fence)}

        def send(client: httpx.Client) -> httpx.Response:
            now = datetime.now(UTC)
            return client.post(
                self.settings["url"],
                content=body.encode(),
                headers={
                    "Content-Type": "application/json",
                    "webhook-id": order.key,
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": signer.sign(order.key, now, body),
                    **fence,
                },
            )

        return keyed_write(
            order,
            where=f"the webhook {self.settings['url']}",
            answer_s=float(self.settings.get("timeout_s", ANSWER_S)),
            headers={},
            send=send,
        )


def _body(order: Order) -> str:
    if order.body is not None:
        data: dict[str, Any] = {"tag": order.tag, "body": dict(order.body)}
        return canonical_json({"type": ORDER_EVENT, "id": order.key, "data": data})
    data = {"tag": order.tag, "value": order.value}
    return canonical_json({"type": EVENT, "id": order.key, "data": data})
