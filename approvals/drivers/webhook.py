"""A BMS or DCIM that takes signed messages, after the Standard Webhooks specification.

Headers `webhook-id` (the idempotency key), `webhook-timestamp`, `webhook-signature`
(`v1,<base64 HMAC-SHA256>`). The receiver applies an id once and answers
`{"applied": true, "previous"?: number, "duplicate"?: bool}`, or 202 and says later. `holdpoint-fence`
counts up per asset: a receiver that remembers the newest may refuse an older one.

What became of a message is asked by a **status request**: `GET {url}/{id}`, or `status_url` with
`{key}` in it, signed the same way over an empty body. It is answered
`{"id": the key, "status": "done" | "failed" | "unknown" | "never_received", "previous"?, "detail"?}`.
A receiver that answers anything else cannot be asked, and a person settles what is unknown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from approvals.canonical import canonical_json
from approvals.drivers.base import Driver, DriverError, Order, Seen, WriteResult
from approvals.drivers.http import keyed_write, result_of
from approvals.drivers.wire import Answer, Wire, WireError

ANSWER_S = 10.0
EVENT = "setpoint.write"
ORDER_EVENT = "work_order.create"
# How often the status of an accepted message is asked for, s (assumed).
POLL_S = 1.0
DONE, FAILED, NEVER, UNKNOWN = "done", "failed", "never_received", "unknown"


class Status(NamedTuple):
    """What a receiver says of one id; `status` is '' where it cannot be asked."""

    status: str
    detail: str
    body: dict[str, Any]


class WebhookDriver(Driver):
    """Settings: `url`, `status_url`, `ca_file`, `timeout_s`; the secret signs (`whsec_…` or
    base64)."""

    name = "webhook"

    def plan(self, order: Order) -> list[str]:
        """The request, without its signature."""
        if not self.secret:
            raise DriverError(
                f"writing {order.tag}: {self._where} has no signing secret (OPS_DRIVER_SECRETS)",
                maybe_applied=False,
            )
        return [f"POST {self.settings['url']}, signed: {_body(order)}"]

    def write(self, order: Order) -> WriteResult:
        """Sign and post; each repeat carries the same id and body with a fresh timestamp."""
        self.plan(order)
        body, signer = _body(order), self._signer(order)
        fence = {} if order.fence is None else {"holdpoint-fence": str(order.fence)}

        def send(wire: Wire) -> Answer:
            headers = {"Content-Type": "application/json", **fence}
            return wire.request(
                "POST",
                self.settings["url"],
                deadline_s=self._answer_s,
                content=body.encode(),
                headers={**headers, **_signed(signer, order.key, body)},
            )

        def later(wire: Wire, answer: Answer) -> WriteResult | None:
            return self._later(wire, signer, order, answer)

        try:
            with Wire(answer_s=self._answer_s, ca_file=self.settings.get("ca_file")) as wire:
                return keyed_write(
                    self, order, where=self._where, wire=wire, send=send, later=later
                )
        except WireError as error:
            raise DriverError(
                f"writing {order.words}: {self._where} {error.detail}; nothing was written",
                maybe_applied=False,
            ) from error

    def look(self, order: Order) -> Seen:
        """Ask for the status of the order's id."""
        try:
            signer = self._signer(order)
            with Wire(answer_s=self._answer_s, ca_file=self.settings.get("ca_file")) as wire:
                found = self._status(wire, signer, order)
        except DriverError as error:
            return Seen(None, error.detail)
        except WireError as error:
            return Seen(None, f"{self._where} {error.detail}")
        applied = {DONE: True, FAILED: False, NEVER: False}.get(found.status)
        return Seen(applied, found.detail)

    @property
    def _where(self) -> str:
        return f"the webhook {self.settings['url']}"

    @property
    def _answer_s(self) -> float:
        return float(self.settings.get("timeout_s", ANSWER_S))

    def _signer(self, order: Order) -> Webhook:
        try:
            return Webhook(self.secret.read())
        except (ValueError, RuntimeError, EmptyWebhookSecretError) as error:
            raise DriverError(
                f"writing {order.tag}: the signing secret of {self._where} is not base64; "
                "nothing was written",
                maybe_applied=False,
            ) from error

    def _later(
        self, wire: Wire, signer: Webhook, order: Order, answer: Answer
    ) -> WriteResult | None:
        """Ask an accepted message's status until it is done or failed, within the answer's time."""
        for _ in range(max(1, int(self._answer_s / POLL_S))):
            if self.pause(POLL_S if answer.retry_after_s is None else answer.retry_after_s):
                return None
            try:
                found = self._status(wire, signer, order)
            except WireError:
                continue
            if found.status == DONE:
                return result_of(order, found.body)
            if found.status == FAILED:
                raise DriverError(
                    f"writing {order.words}: {found.detail}; nothing was written",
                    maybe_applied=False,
                )
            if not found.status:
                return None
        return None

    def _status(self, wire: Wire, signer: Webhook, order: Order) -> Status:
        answer = wire.request(
            "GET",
            self._status_url(order.key),
            deadline_s=self._answer_s,
            headers=_signed(signer, order.key, ""),
        )
        body = answer.body()
        known = isinstance(body, dict) and body.get("id") == order.key
        status = str(body.get("status")) if known else ""
        if not (answer.is_success or answer.status == 404) or status not in (
            DONE, FAILED, NEVER, UNKNOWN
        ):  # fmt: skip
            return Status(
                "",
                f"{self._where} answered {answer.status} to the status request for {order.key} and "
                f"said nothing of it{answer.skew}: it cannot be asked what became of {order.words}",
                {},
            )
        said = str(body.get("detail") or "")[:200]
        words = f"{self._where} says of {order.key}: {status.replace('_', ' ')}"
        return Status(status, f"{words} ({said})" if said else words, body)

    def _status_url(self, key: str) -> str:
        key = quote(key, safe=":")
        if template := self.settings.get("status_url"):
            return str(template).replace("{key}", key)
        parts = urlsplit(self.settings["url"])
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{key}", fragment=""))


def _signed(signer: Webhook, key: str, body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign(key, now, body),
    }


def _body(order: Order) -> str:
    if order.body is not None:
        data: dict[str, Any] = {"tag": order.tag, "body": dict(order.body)}
        return canonical_json({"type": ORDER_EVENT, "id": order.key, "data": data})
    data = {"tag": order.tag, "value": order.value}
    return canonical_json({"type": EVENT, "id": order.key, "data": data})
