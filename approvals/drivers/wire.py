"""One HTTP request with bounds: a deadline for the whole of it, a limit on the answer, no redirects.

A device that drips a byte a second keeps every read alive; the deadline here cuts the connection.
Certificates are always verified, against the system's authorities or a file of one's own.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

CONNECT_S = 2.0
# More than any confirmation needs (assumed).
MOST_BYTES = 1024 * 1024
# Clocks that differ by more than this are worth a word in a refusal, s.
SKEW_S = 60.0
# What is waited at most when the other side names a time to come back, s.
LONGEST_WAIT_S = 30.0


class WireError(Exception):
    """No usable answer. `reached`: the request may have arrived."""

    def __init__(self, detail: str, *, reached: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reached = reached


class Answer(NamedTuple):
    """A whole answer. `headers` compare without case."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    def body(self) -> Any:
        """The JSON as the database can keep it (no NaN, no infinity, no NUL), else {"detail": the first 200
        characters}."""
        try:
            return _kept(json.loads(self.content, parse_constant=_finite, parse_float=_finite))
        except (ValueError, RecursionError):
            return {"detail": _kept(self.content[:200].decode("utf-8", "replace").strip())}

    @property
    def retry_after_s(self) -> float | None:
        """When to come again, in s, bounded; None where it does not say."""
        said = self.headers.get("Retry-After", "").strip()
        if not said:
            return None
        try:
            seconds = float(said)
        except ValueError:
            at = _date(said)
            if at is None:
                return None
            seconds = (at - datetime.now(UTC)).total_seconds()
        return min(max(seconds, 0.0), LONGEST_WAIT_S)

    @property
    def skew(self) -> str:
        """`; its clock is 600 s behind`, where it differs by more than SKEW_S."""
        at = _date(self.headers.get("Date", ""))
        if at is None:
            return ""
        ahead_s = (at - datetime.now(UTC)).total_seconds()
        if abs(ahead_s) <= SKEW_S:
            return ""
        word = "ahead of" if ahead_s > 0 else "behind"
        return f"; its clock is {abs(ahead_s):.0f} s {word} ours"


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number to keep")
    return number


def _kept(value: Any) -> Any:
    """Strings without NUL and lone surrogates, at any depth."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_kept(one) for one in value]
    if isinstance(value, dict):
        return {_kept(name): _kept(one) for name, one in value.items()}
    return value


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def verified(ca_file: str | None) -> ssl.SSLContext:
    """A context that verifies, against `ca_file` where given. Raises WireError for a bad file."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise WireError(f"has no usable ca_file {ca_file} ({error})", reached=False) from error


class Wire:
    """One connection to one other side, after httpx; a context manager.

    Proxies and .netrc of the environment are left alone, redirects are not followed. Raises
    WireError for an unusable `ca_file`.
    """

    def __init__(self, *, answer_s: float, ca_file: str | None = None, **more: Any) -> None:
        self._cut = False
        self._socket: Any = None
        self._client = httpx.Client(
            timeout=httpx.Timeout(answer_s, connect=CONNECT_S),
            trust_env=False,
            follow_redirects=False,
            verify=verified(ca_file),
            limits=httpx.Limits(max_connections=1),
            **more,
        )

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(self, method: str, url: str, *, deadline_s: float, **content: Any) -> Answer:
        """Send one request and read its whole answer within `deadline_s`.

        Raises WireError: not reached, cut off, too large, or no HTTP.
        """
        self._cut = False
        timer = threading.Timer(deadline_s, self._shut)
        timer.daemon = True
        timer.start()
        try:
            return self._whole(method, url, content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise WireError(f"cannot be reached ({error})", reached=False) from error
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            why = f"not within {deadline_s:g} s" if self._cut else type(error).__name__
            raise WireError(f"did not answer ({why})", reached=True) from error
        except httpx.InvalidURL as error:
            raise WireError(f"has no valid address ({error})", reached=False) from error
        finally:
            timer.cancel()

    def _whole(self, method: str, url: str, content: dict[str, Any]) -> Answer:
        extensions = {"trace": self._trace}
        with self._client.stream(method, url, extensions=extensions, **content) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > MOST_BYTES:
                    raise WireError(
                        f"answered {response.status_code} with more than {MOST_BYTES} bytes",
                        reached=True,
                    )
                parts.append(part)
            return Answer(response.status_code, response.headers, b"".join(parts))

    def _trace(self, name: str, info: dict[str, Any]) -> None:
        """httpcore's trace: a stream that is opened tells its socket, used until the next one."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def _shut(self) -> None:
        """The time is over: shut the connection, whatever still drips in."""
        self._cut = True
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return
