"""Sending a keyed write over HTTP until it is answered, without applying it twice.

The other side applies a key once, so a lost answer is asked for again with the same key. A refusal
of a repeat says nothing about the try before it, whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from approvals.drivers.base import Driver, DriverError, Order, WriteResult
from approvals.drivers.wire import Answer, Wire, WireError

ATTEMPTS = 4
# Pause before each repeat, s; longer where the other side asks for it (Retry-After).
BACKOFF_S = (0.2, 0.5, 1.0)
# No point holds more; beyond it is nonsense, and beyond 1e308 no float.
MOST_VALUE = 1e15
# Nothing was taken: the request came too early, or belongs elsewhere (RFC 9110, RFC 6585).
NOT_TAKEN = (307, 308, 421, 425, 429)


def keyed_write(
    driver: Driver,
    order: Order,
    *,
    where: str,
    wire: Wire,
    send: Callable[[Wire], Answer],
    later: Callable[[Wire, Answer], WriteResult | None] | None = None,
) -> WriteResult:
    """Call `send` up to ATTEMPTS times until the other side answers.

    `later` is asked what came of a 202 (accepted, not done); None: nothing tells. Raises
    DriverError: refused, unreachable or busy (nothing was taken), or unanswered. Blocks up to
    ATTEMPTS × the wire's times plus pauses, less where somebody asks to stop.
    """
    maybe_applied, problem, tries, pause_s = False, "", 0, 0.0
    for attempt in range(ATTEMPTS):
        if attempt and (why := driver.pause(max(pause_s, BACKOFF_S[attempt - 1]))):
            problem += f"; {why}, so it was not sent again"
            break
        tries, pause_s = attempt + 1, 0.0
        try:
            answer = send(wire)
        except WireError as error:
            maybe_applied = maybe_applied or error.reached
            problem = error.detail
            continue
        if answer.status == 202 and later is not None and not _applied(answer):
            maybe_applied = True
            if (result := later(wire, answer)) is not None:
                return result._replace(attempts=tries)
            problem = "accepted it and has not said what became of it"
            break
        if answer.status < 500 and answer.status != 429:
            return _confirmed(answer, order, where, attempts=tries, maybe_before=maybe_applied)
        maybe_applied = maybe_applied or answer.status not in NOT_TAKEN
        problem = f"answered {answer.status} {_said(answer)}".rstrip()
        pause_s = answer.retry_after_s or 0.0
    unknown = "it may or may not have been applied" if maybe_applied else "nothing was written"
    raise DriverError(
        f"writing {order.words}: {where} {problem}, {tries} {'try' if tries == 1 else 'tries'}; "
        f"{unknown}",
        maybe_applied=maybe_applied,
    )


def result_of(order: Order, body: dict[str, Any], *, attempts: int = 1) -> WriteResult:
    """A confirmation from `{previous?, duplicate?}`; a `previous` that is no number tells nothing."""
    previous = body.get("previous")
    known = (
        isinstance(previous, int | float)
        and not isinstance(previous, bool)
        and abs(previous) < MOST_VALUE
    )
    return WriteResult(
        order.tag,
        order.value,
        float(previous) if known else None,  # type: ignore[arg-type]
        bool(body.get("duplicate")),
        attempts,
        body,
    )


def _said(answer: Answer) -> str:
    body = answer.body()
    if not isinstance(body, dict):
        return str(body)[:200]
    return str(body.get("detail") or body.get("code") or "")[:200]


def _applied(answer: Answer) -> bool:
    body = answer.body()
    return isinstance(body, dict) and body.get("applied") is True


def _confirmed(
    answer: Answer, order: Order, where: str, *, attempts: int, maybe_before: bool
) -> WriteResult:
    if answer.is_success and _applied(answer):
        return result_of(order, answer.body(), attempts=attempts)
    if answer.is_success:
        raise DriverError(
            f"{where} answered {answer.status} without confirming {order.words} "
            "(no `applied: true`): it may or may not have been applied",
            maybe_applied=True,
        )
    if answer.is_redirect:
        place = answer.headers.get("Location", "")[:200]
        said = f"answered {answer.status}, a redirect to {place or 'nowhere'}, not followed"
        maybe = maybe_before or answer.status not in NOT_TAKEN
    else:
        maybe = maybe_before
        said = f"refused {order.words} with {answer.status}: {_said(answer)}{answer.skew}"
    if maybe_before:
        said += "; an earlier try was not answered and may have been applied"
    raise DriverError(f"{where} {said}", maybe_applied=maybe)
