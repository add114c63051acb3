"""Proving again who signs: password, one-time code or recovery code."""

from approvals.signing.proof import (
    ReauthenticationRequiredError,
    TooManyAttemptsError,
    reauthenticate,
)

__all__ = ["ReauthenticationRequiredError", "TooManyAttemptsError", "reauthenticate"]
