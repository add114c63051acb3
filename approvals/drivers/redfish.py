"""Redfish: properties and actions of a BMC, PDU or cooling unit (DSP0266, DSP2046).

A PATCH carries the ETag that was read, so that a change by somebody else in between is refused
(412) and not overwritten. An action (`#ComputerSystem.Reset`) is posted to the target that the
resource itself names, with a value that it lists as allowable.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

from jsonpointer import JsonPointerException, resolve_pointer

from approvals.drivers.base import DriverError, Order, only_carried, only_setpoints
from approvals.drivers.redfish_link import TASK_S, Login, RedfishLink, redfish_link
from approvals.drivers.settled import Found, SettledDriver

ANSWER_S = 10.0


class RedfishDriver(SettledDriver):
    """Settings: `url`, `username`, `auth`, `ca_file`, and by tag `path` with `property` (a JSON
    pointer), `values`, or `action` and `parameters`; the secret is the password."""

    name = "redfish"

    def plan(self, order: Order) -> list[str]:
        """The request."""
        point, raw = self._raw(order)
        where = f"{self._place()}{point['path']}"
        after = "then read back" if not self._is_blind(order, point) else "once, not read back"
        if "action" in point:
            said = _parameters(point, raw)
            return [f"POST {point['action']} of {where} with {said}, {after}"]
        return [f"PATCH {where} with its ETag: {point['property']} = {_json(point, raw)}, {after}"]

    def _place(self) -> str:
        return str(self.settings["url"]).rstrip("/")

    def _is_blind(self, order: Order, point: dict[str, Any]) -> bool:
        return order.momentary or "property" not in point

    def _raw(self, order: Order) -> tuple[dict[str, Any], float]:
        only_setpoints(order, self._place())
        only_carried(order, self.name)
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
        raw = order.value * float(point.get("scale", 1.0))
        for name in ("values", "parameters"):
            if name in point and f"{raw:g}" not in point[name]:
                raise DriverError(
                    f"{order.tag} = {order.value:g} is none of {', '.join(point[name])} that the "
                    f"binding has {name} for",
                    maybe_applied=False,
                )
        return point, raw

    def _value(self, point: dict[str, Any], raw: float) -> float:
        return raw / float(point.get("scale", 1.0))

    def _connected(self) -> AbstractContextManager[RedfishLink]:
        auth = str(self.settings.get("auth", "session"))
        return redfish_link(
            self._place(),
            Login(str(self.settings["username"]), self.secret.read(), auth),
            answer_s=float(self.settings.get("timeout_s", ANSWER_S)),
            task_s=float(self.settings.get("task_s", TASK_S)),
            ca_file=self.settings.get("ca_file"),
            pause=self.pause,
        )

    def _read(self, link: RedfishLink, point: dict[str, Any]) -> Found:
        answer = link.get(point["path"])
        body = answer.body()
        mark = answer.headers.get("ETag", "")
        if not mark and isinstance(body, dict):
            mark = str(body.get("@odata.etag") or "")
        try:
            value = resolve_pointer(body, point["property"])
            if "values" not in point:
                return Found(_finite(value), mark, whole=body)
        except (JsonPointerException, TypeError, ValueError, OverflowError) as error:
            raise DriverError(
                f"{link.url}{point['path']} has no number at {point['property']}",
                maybe_applied=False,
            ) from error
        known = [float(number) for number, said in point["values"].items() if _is(said, value)]
        return Found(known[0] if known else math.nan, mark, text=str(value)[:80], whole=body)

    def _send(
        self, link: RedfishLink, point: dict[str, Any], raw: float, found: Found | None
    ) -> None:
        if "action" in point:
            return self._act(link, point, raw, found)
        whole = found.whole if found is not None else link.get(point["path"]).body()
        mark = found.mark if found is not None else ""
        names = point["property"].strip("/").split("/")
        body = _nested(whole, names, _json(point, raw))
        link.change("PATCH", point["path"], body, {"If-Match": mark} if mark else {})
        return None

    def _act(
        self, link: RedfishLink, point: dict[str, Any], raw: float, found: Found | None
    ) -> None:
        """POST the action to the target that the resource names."""
        whole = found.whole if found is not None else link.get(point["path"]).body()
        name, where = point["action"], f"{link.url}{point['path']}"
        actions = whole.get("Actions") if isinstance(whole, dict) else None
        action = actions.get(name) if isinstance(actions, dict) else None
        target = action.get("target") if isinstance(action, dict) else None
        if (
            not isinstance(action, dict)
            or not isinstance(target, str)
            or not target.startswith("/redfish/")
        ):
            raise DriverError(f"{where} has no action {name}", maybe_applied=False)
        parameters = _parameters(point, raw)
        for key, value in parameters.items():
            allowed = action.get(f"{key}@Redfish.AllowableValues")
            if isinstance(allowed, list) and value not in allowed:
                raise DriverError(
                    f"{where}: {name} takes {key} {', '.join(map(str, allowed))}, not {value}",
                    maybe_applied=False,
                )
        link.change("POST", target, parameters)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(value)
    return number


def _is(said: Any, value: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(said, bool) is isinstance(value, bool) and bool(said == value)


def _json(point: dict[str, Any], raw: float) -> Any:
    """The value as the property holds it."""
    if "values" in point:
        return point["values"][f"{raw:g}"]
    return int(raw) if raw.is_integer() else raw


def _parameters(point: dict[str, Any], raw: float) -> dict[str, Any]:
    return dict(point["parameters"][f"{raw:g}"])


def _nested(whole: Any, names: list[str], value: Any) -> Any:
    """The body of a PATCH that changes one property. Elements of an array that are not changed are
    empty objects (DSP0266, 7.7.2), and all are named, so that none is cut off."""
    if not names:
        return value
    name, rest = names[0], names[1:]
    if isinstance(whole, list):
        changed = int(name)
        return [
            _nested(element, rest, value) if index == changed else {}
            for index, element in enumerate(whole)
        ]
    key = name.replace("~1", "/").replace("~0", "~")
    return {key: _nested(whole.get(key) if isinstance(whole, dict) else None, rest, value)}
