"""A Redfish service for tests, after DSP0266; see `field_devices`."""

from __future__ import annotations

import json
import time
from typing import Any

from approvals.tests.field_base import PASSWORD, USER, Device, Lost

ERROR = "Base.1.18.{}"


class Service(Device):
    """A Redfish service: sessions or basic authentication, ETags, actions, tasks, ExtendedInfo."""

    def reset(self) -> None:
        super().reset()
        self.tree: dict[str, Any] = {}
        self.version: dict[str, int] = {}
        self.tokens: set[str] = set()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.sessions = 0

    def answer(self, request: Any, content: bytes) -> tuple[int, Any, dict[str, str]]:
        path, body = request.path, json.loads(content or b"null")
        with self.lock:
            if path == "/redfish/v1/" and request.command == "GET":
                links = {"Sessions": {"@odata.id": "/redfish/v1/SessionService/Sessions"}}
                return 200, {"RedfishVersion": "1.20.0", "Links": links}, {}
            if path.endswith("/Sessions") and request.command == "POST":
                return self.log_in(body)
            if not self.knows(request):
                return self.error(401, "NoValidSession", "There is no valid session.")
            if path.startswith("/redfish/v1/SessionService/Sessions/"):
                self.tokens.discard(path.rpartition("/")[2])
                return 204, None, {}
            if path in self.tasks:
                return self.task(path)
            if request.command == "GET":
                if path not in self.tree:
                    return self.error(404, "ResourceMissingAtURI", f"Nothing is at {path}.")
                return 200, self.tree[path], {"ETag": f'"{self.version[path]}"'}
            return self.change(request, path, body)

    def log_in(self, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if (body.get("UserName"), body.get("Password")) != (USER, PASSWORD):
            return self.error(401, "InsufficientPrivilege", "Wrong name or password.")
        self.sessions += 1
        token = f"t{self.sessions}"
        self.tokens.add(token)
        where = f"/redfish/v1/SessionService/Sessions/{token}"
        return 201, {"Id": token}, {"X-Auth-Token": token, "Location": where}

    def knows(self, request: Any) -> bool:
        import base64

        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return (
            request.headers.get("X-Auth-Token") in self.tokens
            or request.headers.get("Authorization") == basic
        )

    def change(self, request: Any, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        fault = self.fault()
        kind = fault["kind"]
        if kind == "lost_before":
            raise Lost
        if kind == "busy":
            code, said, _ = self.error(503, "ServiceTemporarilyUnavailable", "Try again.")
            return code, said, {"Retry-After": str(fault.get("after", 1))}
        if kind == "status":
            return fault["status"], fault.get("body"), dict(fault.get("headers", {}))
        if kind == "late":
            time.sleep(fault["s"])
        if kind == "task":
            monitor = f"/redfish/v1/TaskService/TaskMonitors/{len(self.tasks) + 1}"
            self.tasks[monitor] = {**fault, "request": (request.command, path, body)}
            return 202, {"TaskState": "New"}, {"Location": monitor, "Retry-After": "0.2"}
        answer = self.act(request, path, body, fault)
        if kind == "lost_after":
            raise Lost
        if kind in ("huge", "drip"):
            return 200, {"ok": "yes, it was taken"}, {f"X-{kind.title()}": "1"}
        return answer

    def act(
        self, request: Any, path: str, body: Any, fault: dict[str, Any]
    ) -> tuple[int, Any, dict[str, str]]:
        if request.command == "POST":
            return self.action(path, body)
        if path not in self.tree:
            return self.error(404, "ResourceMissingAtURI", f"Nothing is at {path}.")
        if (mark := request.headers.get("If-Match")) != f'"{self.version[path]}"':
            code = "PreconditionFailed" if mark else "PreconditionRequired"
            return self.error(412 if mark else 428, code, "The ETag does not match.")
        wanted = fault["to"] if fault["kind"] == "clamp" else None
        if (wrong := self.merge(self.tree[path], body, wanted, fault["kind"] == "ignore")) != "":
            return self.error(400, "PropertyValueOutOfRange", wrong)
        self.version[path] += 1
        self.log.append({"path": path, "body": body})
        return 204, None, {"ETag": f'"{self.version[path]}"'}

    def merge(self, old: Any, new: Any, wanted: Any, ignore: bool) -> str:
        """Change `old` by `new`; what is wrong with it, else ''."""
        items = enumerate(new) if isinstance(new, list) else new.items()
        for name, value in items:
            if isinstance(value, dict | list):
                if (wrong := self.merge(old[name], value, wanted, ignore)) != "":
                    return wrong
            elif name == "SetPoint" and value > old.get("SettingMax", 1e9):
                return f"The value {value} for the property SetPoint is out of range."
            elif not ignore:
                old[name] = value if wanted is None else wanted
        if isinstance(new, list):
            del old[len(new) :]
        return ""

    def action(self, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        resource, _, name = path.partition("/Actions/")
        if resource not in self.tree or f"#{name}" not in self.tree[resource].get("Actions", {}):
            return self.error(404, "ActionNotSupported", f"{name} is not supported.")
        self.log.append({"path": path, "body": body})
        if name == "CoolingUnit.SetMode":
            self.tree[resource]["Status"] = {"State": body["Mode"]}
            self.version[resource] += 1
        return 204, None, {}

    def task(self, path: str) -> tuple[int, Any, dict[str, str]]:
        task = self.tasks[path]
        if task["polls"] > 0:
            task["polls"] -= 1
            return 202, {"TaskState": "Running"}, {"Retry-After": "0.2"}
        command, where, body = task["request"]
        del self.tasks[path]
        if task.get("end") == "exception":
            said = [{"Message": "The fan board did not answer.", "MessageId": "Vendor.1.0.Fan"}]
            return 200, {"TaskState": "Exception", "Messages": said}, {}
        if task.get("end") == "error":
            return self.error(400, "PropertyValueConflict", "Another limit is in force.")

        class Asked:
            headers = {"If-Match": f'"{self.version.get(where, 0)}"'}

        Asked.command = command  # type: ignore[attr-defined]
        return self.act(Asked(), where, body, {"kind": "fine"})

    @staticmethod
    def error(status: int, name: str, message: str) -> tuple[int, Any, dict[str, str]]:
        info = {"MessageId": ERROR.format(name), "Message": message, "Resolution": "Look again."}
        error = {"code": ERROR.format("GeneralError"), "message": "See ExtendedInfo.",
                 "@Message.ExtendedInfo": [info]}  # fmt: skip
        return status, {"error": error}, {}
