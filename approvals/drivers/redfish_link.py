"""A conversation with one Redfish service, after DSP0266 1.20: log in, GET, PATCH, POST, tasks.

Over `wire.Wire`: certificates are verified, redirects are not followed (they would carry the
session's token elsewhere), answers have a limit and a deadline. (The DMTF's own library verifies no
certificate without a ca_file, follows redirects of a PATCH and reads without a limit.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from approvals.drivers import settled
from approvals.drivers.base import DriverError
from approvals.drivers.settled import Busy, Lost
from approvals.drivers.wire import Answer, Wire, WireError

ROOT = "/redfish/v1/"
# How often a task is asked for where it does not say, s; and how long it may take (assumed).
TASK_EVERY_S = 1.0
TASK_S = 30.0
TASK_BAD = ("Exception", "Killed", "Cancelled")


class Login(NamedTuple):
    """How to log in: `auth` is session or basic."""

    username: str
    password: str
    auth: str = "session"


@contextmanager
def redfish_link(
    url: str,
    login: Login,
    *,
    answer_s: float,
    task_s: float = TASK_S,
    ca_file: str | None = None,
    pause: Callable[[float], str],
) -> Iterator[RedfishLink]:
    """A logged-in conversation; the session is deleted afterwards. Raises Lost, Busy, DriverError."""
    auth = httpx.BasicAuth(login.username, login.password) if login.auth == "basic" else None
    try:
        wire = Wire(answer_s=answer_s, ca_file=ca_file, auth=auth)
    except WireError as error:
        raise Lost(error.detail) from error
    with wire:
        link = RedfishLink(url.rstrip("/"), wire, answer_s, task_s, pause)
        if login.auth != "basic":
            link.log_in(login)
        try:
            yield link
        finally:
            link.log_out()


class RedfishLink:
    """Requests of one session. Every answer of 400 and above becomes Lost, Busy or DriverError."""

    def __init__(
        self, url: str, wire: Wire, answer_s: float, task_s: float, pause: Callable[[float], str]
    ) -> None:
        self.url, self.wire, self.answer_s, self.task_s = url, wire, answer_s, task_s
        self._pause = pause
        self._token: dict[str, str] = {}
        self._session = ""

    def log_in(self, login: Login) -> None:
        """POST to the service root's session collection. The root itself needs no login."""
        root = self.get(ROOT).body()
        links = root.get("Links") if isinstance(root, dict) else None
        sessions = ((links or {}).get("Sessions") or {}).get("@odata.id")
        if not isinstance(sessions, str):
            raise DriverError(
                f"{self.url}{ROOT} names no session collection; use basic authentication",
                maybe_applied=False,
            )
        body = {"UserName": login.username, "Password": login.password}
        answer = self._asked("POST", sessions, json=body)
        token = answer.headers.get("X-Auth-Token")
        if answer.status != 201 or not token:
            raise self.refusal(sessions, answer, "no session for the user of the binding:")
        self._token = {"X-Auth-Token": token}
        self._session = urlsplit(answer.headers.get("Location", "")).path

    def log_out(self) -> None:
        """Delete the session; one that cannot be ends by itself."""
        if self._session:
            try:
                self._request("DELETE", self._session)
            except WireError:
                return

    def get(self, path: str) -> Answer:
        """A resource. Raises Lost, Busy or DriverError."""
        answer = self._asked("GET", path)
        if answer.status != 200:
            raise self.refusal(path, answer)
        return answer

    def change(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> None:
        """PATCH or POST, and wait for the task where it is answered with one.

        Raises Busy (nothing was taken), Lost (nobody knows) or DriverError.
        """
        answer = self._asked(method, path, json=body, headers=dict(headers or {}))
        if answer.status == 202:
            answer = self._finished(path, answer)
        if answer.status == 412:
            raise DriverError(
                f"{self.url}{path} was changed by somebody else in the meantime; nothing was "
                "written",
                maybe_applied=False,
            )
        if not answer.is_success:
            raise self.refusal(path, answer)

    def _asked(self, method: str, path: str, **content: Any) -> Answer:
        try:
            answer = self._request(method, path, **content)
        except WireError as error:
            raise Lost(error.detail) from error
        after_s = answer.retry_after_s
        if answer.status == 429 or (answer.status == 503 and after_s is not None):
            raise Busy(f"is busy ({answer.status} {_words(answer)})".replace(" )", ")"),
                       max(after_s or 0.0, settled.PAUSE_S))  # fmt: skip
        if answer.status >= 500:
            raise Lost(f"answered {answer.status} {_words(answer)}".rstrip())
        return answer

    def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **content: Any
    ) -> Answer:
        fixed = {"Accept": "application/json", "OData-Version": "4.0", **self._token}
        return self.wire.request(
            method,
            f"{self.url}{path}",
            deadline_s=self.answer_s,
            headers={**fixed, **(headers or {})},
            **content,
        )

    def _finished(self, path: str, accepted: Answer) -> Answer:
        """The answer of the operation behind a task monitor (DSP0266, 12.2)."""
        monitor = urlsplit(accepted.headers.get("Location", "")).path
        if not monitor:
            raise Lost("accepted it without a task monitor")
        answer, left_s = accepted, self.task_s
        while answer.status == 202:
            wait_s = max(answer.retry_after_s or TASK_EVERY_S, 0.1)
            left_s -= wait_s
            if left_s < 0:
                raise self._working(monitor, f"after {self.task_s:g} s")
            if why := self._pause(wait_s):
                raise self._working(monitor, f"and {why}")
            answer = self._asked("GET", monitor)
        body = answer.body()
        state = body.get("TaskState") if isinstance(body, dict) else None
        if answer.is_success and state in TASK_BAD:
            said = "; ".join(_message(m) for m in body.get("Messages") or [] if m)
            raise DriverError(
                f"{self.url}{path}: the task {monitor} ended as {state} {said}".rstrip(),
                maybe_applied=True,
            )
        if answer.status in (404, 410):  # the monitor is gone: it ended, nobody knows how
            raise Lost(f"has no {monitor} any more")
        return answer

    def _working(self, monitor: str, why: str) -> DriverError:
        """Not ordered again while it works on it: what came of it is read later."""
        return DriverError(
            f"{self.url} still works on {monitor} {why}; it may or may not have been applied",
            maybe_applied=True,
        )

    def refusal(self, path: str, answer: Answer, before: str = "") -> DriverError:
        """An answer that is no success, with what the service says (ExtendedInfo) in words."""
        where = f"{self.url}{path}"
        if answer.is_redirect:
            place = answer.headers.get("Location", "")[:200]
            return DriverError(
                f"{where} answered {answer.status}, a redirect to {place or 'nowhere'}, not "
                "followed: set the binding's url and paths to where the service is",
                maybe_applied=answer.status not in (307, 308),
            )
        said = " ".join(part for part in (before, _words(answer)) if part)
        return DriverError(
            f"{where} answered {answer.status} {said}".rstrip() + answer.skew, maybe_applied=False
        )


def _words(answer: Answer) -> str:
    """`error.@Message.ExtendedInfo` as sentences, else the error's message."""
    body = answer.body()
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    infos = error.get("@Message.ExtendedInfo")
    if isinstance(infos, list) and infos:
        return "; ".join(_message(info) for info in infos[:3])[:600]
    return str(error.get("message") or error.get("code") or "")[:300]


def _message(info: Any) -> str:
    """`Message (MessageId). Resolution` of one ExtendedInfo entry."""
    if not isinstance(info, dict):
        return str(info)[:200]
    said = str(info.get("Message") or "").strip()
    number = str(info.get("MessageId") or "")
    named = f"{said} ({number})" if said and number else said or number
    return f"{named} {info.get('Resolution') or ''}".strip()
