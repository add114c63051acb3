"""Refusals of the gate.

Each carries an HTTP status, a stable code and a sentence that names both sides.
"""

from __future__ import annotations

from typing import Any


class GateError(Exception):
    """A request the gate refuses. `extra` is merged into the JSON error body."""

    status = 400
    code = "refused"

    def __init__(self, detail: str, *, code: str = "", **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.extra = extra

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, **self.extra}


class InvalidActionError(GateError):
    """Unknown kind or target, or parameters outside their limits (400)."""

    code = "invalid_action"


class ReasonRequiredError(GateError):
    """A decision that must be explained came without a reason (400)."""

    code = "reason_required"


class NotAllowedError(GateError):
    """The user lacks the permission for this step (403)."""

    status = 403
    code = "not_allowed"


class NotFoundError(GateError):
    """No such proposal (404)."""

    status = 404
    code = "not_found"


class ConflictError(GateError):
    """The world is not as the request assumes: other state, other digest, expired, precondition
    gone (409).
    """

    status = 409
    code = "conflict"
