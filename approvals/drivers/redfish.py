"""Redfish: properties of a BMC or PDU such as a fan's set point or a GPU's power limit (DSP0266).

A PATCH carries the ETag that was read, so that a change by somebody else in between is refused
(412) and not overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redfish
from jsonpointer import JsonPointerException, resolve_pointer
from redfish.rest.v1 import RestResponse

from approvals.drivers.base import DriverError, Order, only_setpoints
from approvals.drivers.settled import Found, Lost, SettledDriver

ANSWER_S = 10.0


class RedfishDriver(SettledDriver):
    """Settings: `url`, `username`, `ca_file`, and by tag `path` and `property`; the secret is the
    password."""

    name = "redfish"

    def plan(self, order: Order) -> list[str]:
        """The request."""
        point, raw = self._raw(order)
        return [
            f"PATCH {self._place()}{point['path']} with its ETag: "
            f"{point['property']} = {raw:g}, then read back"
        ]

    def _place(self) -> str:
        return str(self.settings["url"])

    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        only_setpoints(order, self._place())
        point = self.settings["points"].get(order.tag)
        if point is None:
            raise DriverError(
                f"{self._place()} has no property for {order.tag}; add it to the binding",
                maybe_applied=False,
            )
        if not self.secret:
            raise DriverError(
                f"writing {order.tag}: {self._place()} has no password (OPS_DRIVER_SECRETS)",
                maybe_applied=False,
            )
        return point, order.value * float(point.get("scale", 1.0))

    def _value(self, point: dict[str, Any], raw: float) -> float:
        return raw / float(point.get("scale", 1.0))

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            with redfish.redfish_client(
                base_url=self._place(),
                username=self.settings["username"],
                password=self.secret.read(),
                cafile=self.settings.get("ca_file"),
                timeout=float(self.settings.get("timeout_s", ANSWER_S)),
                max_retry=0,
            ) as client:
                yield client
        except (DriverError, Lost):
            raise
        except Exception as error:  # requests' and the library's own, which share no base
            raise Lost(f"did not answer ({type(error).__name__}: {error})") from error

    def _read(self, link: Any, point: dict[str, Any]) -> Found:
        answer: RestResponse = link.get(point["path"])
        if answer.status != 200:
            raise self._refusal(point, answer)
        try:
            value = resolve_pointer(answer.dict, point["property"])
            return Found(float(value), answer.getheader("ETag") or "")
        except (JsonPointerException, TypeError, ValueError) as error:
            raise DriverError(
                f"{self._place()}{point['path']} has no number at {point['property']}",
                maybe_applied=False,
            ) from error

    def _send(self, link: Any, point: dict[str, Any], raw: float, found: Found) -> None:
        body: Any = int(raw) if raw.is_integer() else raw
        for name in reversed(point["property"].strip("/").split("/")):
            body = {name: body}
        headers = {"If-Match": found.mark} if found.mark else {}
        answer: RestResponse = link.patch(point["path"], body=body, headers=headers)
        if answer.status == 412:
            raise DriverError(
                f"{self._place()}{point['path']} was changed by somebody else in the meantime; "
                "nothing was written",
                maybe_applied=False,
            )
        if answer.status >= 500:
            raise Lost(f"answered {answer.status}")
        if answer.status >= 400:
            raise self._refusal(point, answer)

    def _refusal(self, point: dict[str, Any], answer: RestResponse) -> DriverError:
        try:
            message = answer.dict["error"]["message"]
        except (KeyError, TypeError, ValueError):
            message = ""
        return DriverError(
            f"{self._place()}{point['path']} answered {answer.status} {message}".strip(),
            maybe_applied=False,
        )
