"""The states of a proposal and the only ways between them.

The same pairs are compiled into the database (migration 0008): a change here needs a migration
there, and `tests/test_state_machine.py` fails until both agree.
"""

from __future__ import annotations

from django.db import models


class ProposalState(models.TextChoices):
    DRAFT = "draft", "Draft"
    SIMULATED = "simulated", "Simulated"
    PENDING = "pending", "Waiting for a signature"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    SUPERSEDED = "superseded", "Replaced by a revision"
    EXECUTING = "executing", "Executing"
    SUCCEEDED = "succeeded", "Written, measuring effect"
    FAILED = "failed", "Failed"
    UNKNOWN = "unknown", "Outcome unknown"
    VERIFIED = "verified", "Effect verified"
    NO_EFFECT = "no_effect", "No effect"
    CANNOT_TELL = "cannot_tell", "Effect cannot be told"
    ROLLED_BACK = "rolled_back", "Rolled back"


S = ProposalState

_NEXT: dict[str, tuple[str, ...]] = {
    S.DRAFT: (S.SIMULATED,),
    S.SIMULATED: (S.PENDING,),
    S.PENDING: (S.APPROVED, S.REJECTED, S.EXPIRED, S.SUPERSEDED),
    # Back to pending: the world changed, so the signatures are void and the round is another.
    S.APPROVED: (S.EXECUTING, S.PENDING, S.REJECTED, S.EXPIRED, S.SUPERSEDED),
    S.EXECUTING: (S.SUCCEEDED, S.FAILED, S.UNKNOWN),
    S.UNKNOWN: (S.SUCCEEDED, S.FAILED),
    S.SUCCEEDED: (S.VERIFIED, S.NO_EFFECT, S.CANNOT_TELL, S.ROLLED_BACK),
    S.VERIFIED: (S.ROLLED_BACK,),
    S.NO_EFFECT: (S.ROLLED_BACK,),
    S.CANNOT_TELL: (S.ROLLED_BACK,),
    # Some of its writes had been carried out.
    S.FAILED: (S.ROLLED_BACK,),
}

LEGAL_TRANSITIONS: frozenset[tuple[str, str]] = frozenset(
    (str(source), str(target)) for source, targets in _NEXT.items() for target in targets
)

# While a proposal is in one of these, no second one for the same kind and target may exist.
OPEN_STATES: tuple[str, ...] = (
    S.DRAFT.value,
    S.SIMULATED.value,
    S.PENDING.value,
    S.APPROVED.value,
    S.EXECUTING.value,
    S.UNKNOWN.value,
    S.SUCCEEDED.value,
)

# Badge tone of each state (ISA-18.2: colour only where somebody has to look).
STATE_TONES: dict[str, str] = {
    S.DRAFT.value: "neutral",
    S.SIMULATED.value: "neutral",
    S.PENDING.value: "info",
    S.APPROVED.value: "info",
    S.REJECTED.value: "neutral",
    S.EXPIRED.value: "neutral",
    S.SUPERSEDED.value: "neutral",
    S.EXECUTING.value: "info",
    S.SUCCEEDED.value: "info",
    S.FAILED.value: "critical",
    S.VERIFIED.value: "ok",
    S.UNKNOWN.value: "critical",
    S.NO_EFFECT.value: "high",
    S.CANNOT_TELL.value: "neutral",
    S.ROLLED_BACK.value: "neutral",
}


class Risk(models.TextChoices):
    LOW = "low", "Low risk"
    MEDIUM = "medium", "Medium risk"
    HIGH = "high", "High risk"
