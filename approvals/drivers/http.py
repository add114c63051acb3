"""Sending a keyed write over HTTP until it is answered, without applying it twice.

The other side applies a key once, so a lost answer is asked for again with the same key.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from approvals.drivers.base import DriverError, Order, WriteResult

CONNECT_S = 2.0
ATTEMPTS = 4
# Pause before each repeat, s.
BACKOFF_S = (0.2, 0.5, 1.0)


def keyed_write(
    order: Order,
    *,
    where: str,
    answer_s: float,
    headers: dict[str, str],
    send: Callable[[httpx.Client], httpx.Response],
) -> WriteResult:
    """Call `send` up to ATTEMPTS times until the other side answers below 500.

    Raises DriverError: refused, unreachable (nothing sent), or unanswered. Blocks up to ATTEMPTS ×
    (CONNECT_S + `answer_s`) plus pauses.
    """
    maybe_applied = False
    problem = ""
    timeout = httpx.Timeout(answer_s, connect=CONNECT_S)
    with httpx.Client(headers=headers, timeout=timeout, trust_env=False) as client:
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                time.sleep(BACKOFF_S[attempt - 2])
            try:
                answer = send(client)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = f"cannot be reached ({error})"
            except httpx.TransportError as error:
                maybe_applied = True
                problem = f"did not answer ({type(error).__name__})"
            else:
                if answer.status_code < 500:
                    return _confirmed(answer, order, where=where, attempts=attempt)
                maybe_applied = True
                problem = f"answered {answer.status_code}"
    unknown = "it may or may not have been applied" if maybe_applied else "nothing was written"
    raise DriverError(
        f"writing {order.words}: {where} {problem}, {ATTEMPTS} tries; {unknown}",
        maybe_applied=maybe_applied,
    )


def _confirmed(answer: httpx.Response, order: Order, *, where: str, attempts: int) -> WriteResult:
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": answer.text[:200]}
    if not isinstance(body, dict):
        body = {"detail": str(body)[:200]}
    if answer.is_success and body.get("applied") is True:
        return WriteResult(
            order.tag,
            order.value,
            body.get("previous"),
            bool(body.get("duplicate")),
            attempts,
            body,
        )
    reason = body.get("detail") or body.get("code") or answer.reason_phrase
    if answer.is_success:
        raise DriverError(
            f"{where} answered {answer.status_code} without confirming {order.words} "
            "(no `applied: true`): it may or may not have been applied",
            maybe_applied=True,
        )
    raise DriverError(
        f"{where} refused {order.words} with {answer.status_code}: {reason}",
        maybe_applied=False,
    )
