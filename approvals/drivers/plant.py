"""The demo plant's setpoint API over HTTP.

A write carries an idempotency key. A lost answer is asked for again with the same key, so the plant
applies it at most once; what stays unanswered is reported as unknown, never assumed.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import httpx
from django.conf import settings

CONNECT_S = 2.0
ANSWER_S = 5.0
ATTEMPTS = 4
# Pause before each repeat, s.
BACKOFF_S = (0.2, 0.5, 1.0)


class DriverError(Exception):
    """The plant did not confirm a write.

    `maybe_applied` is True when a request went out and no answer came.
    """

    def __init__(self, detail: str, *, maybe_applied: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.maybe_applied = maybe_applied


class WriteResult(NamedTuple):
    """The plant's confirmation.

    `previous` is the value before; `duplicate`: this key had been applied already.
    """

    tag: str
    value: float
    previous: float | None
    duplicate: bool
    attempts: int
    response: dict[str, Any]


def write_setpoint(*, tag: str, value: float, key: str) -> WriteResult:
    """Write one setpoint and return the plant's confirmation.

    Raises DriverError with a sentence for people: refused by the plant (404, 422, 401), unreachable
    (nothing sent), or unanswered after ATTEMPTS tries. Blocks up to ATTEMPTS × (CONNECT_S +
    ANSWER_S) plus pauses, about 30 s.
    """
    if not settings.PLANT_URL:
        raise DriverError("no plant is configured: set OPS_PLANT_URL", maybe_applied=False)
    maybe_applied = False
    problem = ""
    with httpx.Client(
        base_url=settings.PLANT_URL,
        headers={"Authorization": f"Bearer {settings.PLANT_TOKEN}"},
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=False,
    ) as client:
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                time.sleep(BACKOFF_S[attempt - 2])
            try:
                answer = client.post("/setpoints", json={"tag": tag, "value": value, "key": key})
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = f"cannot be reached ({error})"
            except httpx.TransportError as error:
                maybe_applied = True
                problem = f"did not answer ({type(error).__name__})"
            else:
                if answer.status_code < 500:
                    return _confirmed(answer, tag=tag, value=value, attempts=attempt)
                maybe_applied = True
                problem = f"answered {answer.status_code}"
    unknown = "it may or may not have been applied" if maybe_applied else "nothing was written"
    raise DriverError(
        f"writing {tag} = {value:g}: the plant at {settings.PLANT_URL} {problem}, {ATTEMPTS} "
        f"tries; {unknown}",
        maybe_applied=maybe_applied,
    )


def _confirmed(answer: httpx.Response, *, tag: str, value: float, attempts: int) -> WriteResult:
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": answer.text[:200]}
    if answer.status_code == 200 and body.get("applied") is True:
        return WriteResult(
            tag, value, body.get("previous"), bool(body.get("duplicate")), attempts, body
        )
    reason = body.get("detail") or body.get("code") or answer.reason_phrase
    raise DriverError(
        f"the plant refused {tag} = {value:g} with {answer.status_code}: {reason}",
        maybe_applied=False,
    )
