"""Redfish: properties of a BMC or PDU such as a fan's set point or a GPU's power limit (DSP0266).

A PATCH is absolute and carries the ETag that was read, so that a change by somebody else in between
is refused (412) and not overwritten; a lost answer is settled by reading.
"""

from __future__ import annotations

import time
from typing import Any

import redfish
from jsonpointer import JsonPointerException, resolve_pointer
from redfish.rest.v1 import RestResponse

from approvals.drivers.base import Driver, DriverError, Order, WriteResult, same

ANSWER_S = 10.0
ATTEMPTS = 3
PAUSE_S = 0.5


class RedfishDriver(Driver):
    """Settings: `url`, `username`, `ca_file`, and by tag `path` and `property`; the secret is the
    password."""

    name = "redfish"

    def plan(self, order: Order) -> list[str]:
        """The request."""
        point, raw = self._raw(order)
        return [
            f"PATCH {self.settings['url']}{point['path']} with its ETag: "
            f"{point['property']} = {raw:g}, then read back"
        ]

    def write(self, order: Order) -> WriteResult:
        """Read with ETag, patch where it differs, read back."""
        point, raw = self._raw(order)
        sent, problem, previous = False, "", None
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                time.sleep(PAUSE_S)
            try:
                with self._session() as client:
                    before, etag = self._read(client, point)
                    previous = before if previous is None else previous
                    if not same(before, raw):
                        sent = True
                        self._patch(client, point, raw, etag, order)
                    after, _ = self._read(client, point)
            except DriverError:
                raise
            except Exception as error:  # requests' and the library's own, which share no base
                problem = f"did not answer ({type(error).__name__}: {error})"
                continue
            if same(after, raw):
                scale = float(point.get("scale", 1.0))
                return WriteResult(
                    order.tag, order.value, previous / scale, duplicate=not sent, attempts=attempt,
                    response={"path": point["path"], "value": after}, read_back=after / scale,
                )  # fmt: skip
            problem = f"took {raw:g} but reads {after:g}"
        unknown = "it may or may not have been applied" if sent else "nothing was written"
        raise DriverError(
            f"writing {order.tag} = {order.value:g}: {self.settings['url']} {problem}, "
            f"{ATTEMPTS} tries; {unknown}",
            maybe_applied=sent,
        )

    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        point = self.settings["points"].get(order.tag)
        if point is None:
            raise DriverError(
                f"{self.settings['url']} has no property for {order.tag}; add it to the binding",
                maybe_applied=False,
            )
        if not self.secret:
            raise DriverError(
                f"writing {order.tag}: {self.settings['url']} has no password (OPS_DRIVER_SECRETS)",
                maybe_applied=False,
            )
        return point, order.value * float(point.get("scale", 1.0))

    def _session(self) -> Any:
        return redfish.redfish_client(
            base_url=self.settings["url"],
            username=self.settings["username"],
            password=self.secret,
            cafile=self.settings.get("ca_file"),
            timeout=float(self.settings.get("timeout_s", ANSWER_S)),
            max_retry=0,
        )

    def _read(self, client: Any, point: dict[str, Any]) -> tuple[float, str]:
        answer: RestResponse = client.get(point["path"])
        if answer.status != 200:
            raise self._refusal("reading", point, answer)
        try:
            value = resolve_pointer(answer.dict, point["property"])
            return float(value), answer.getheader("ETag") or ""
        except (JsonPointerException, TypeError, ValueError) as error:
            raise DriverError(
                f"{self.settings['url']}{point['path']} has no number at {point['property']}",
                maybe_applied=False,
            ) from error

    def _patch(
        self, client: Any, point: dict[str, Any], raw: float, etag: str, order: Order
    ) -> None:
        body: Any = int(raw) if raw.is_integer() else raw
        for name in reversed(point["property"].strip("/").split("/")):
            body = {name: body}
        headers = {"If-Match": etag} if etag else {}
        answer: RestResponse = client.patch(point["path"], body=body, headers=headers)
        if answer.status == 412:
            raise DriverError(
                f"{self.settings['url']}{point['path']} was changed by somebody else while "
                f"{order.tag} was being written; nothing was written",
                maybe_applied=False,
            )
        if answer.status >= 500:
            raise ConnectionError(f"answered {answer.status}")
        if answer.status >= 400:
            raise self._refusal(f"writing {order.tag}", point, answer)

    def _refusal(self, doing: str, point: dict[str, Any], answer: RestResponse) -> DriverError:
        try:
            message = answer.dict["error"]["message"]
        except (KeyError, TypeError, ValueError):
            message = ""
        return DriverError(
            f"{doing}: {self.settings['url']}{point['path']} answered {answer.status} {message}".strip(),
            maybe_applied=False,
        )
