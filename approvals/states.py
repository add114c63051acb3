"""The states of a proposal and the only ways between them.

The same pairs are compiled into the database (migration 0002): a change here needs a migration
there, and `tests/test_state_machine.py` fails until both agree.
"""

from __future__ import annotations

from django.db import models


class ProposalState(models.TextChoices):
    DRAFT = "draft", "Draft"
    PENDING = "pending", "Waiting for a signature"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    EXECUTING = "executing", "Executing"
    SUCCEEDED = "succeeded", "Written, measuring effect"
    FAILED = "failed", "Failed"
    VERIFIED = "verified", "Effect verified"
    NO_EFFECT = "no_effect", "No effect"


S = ProposalState

LEGAL_TRANSITIONS: frozenset[tuple[str, str]] = frozenset(
    {
        (S.DRAFT.value, S.PENDING.value),
        (S.PENDING.value, S.APPROVED.value),
        (S.PENDING.value, S.REJECTED.value),
        (S.PENDING.value, S.EXPIRED.value),
        (S.APPROVED.value, S.EXECUTING.value),
        (S.EXECUTING.value, S.SUCCEEDED.value),
        (S.EXECUTING.value, S.FAILED.value),
        (S.SUCCEEDED.value, S.VERIFIED.value),
        (S.SUCCEEDED.value, S.NO_EFFECT.value),
    }
)

# While a proposal is in one of these, no second one for the same kind and target may exist.
OPEN_STATES: tuple[str, ...] = (
    S.DRAFT.value,
    S.PENDING.value,
    S.APPROVED.value,
    S.EXECUTING.value,
    S.SUCCEEDED.value,
)

# Badge tone of each state (ISA-18.2: colour only where somebody has to look).
STATE_TONES: dict[str, str] = {
    S.DRAFT.value: "neutral",
    S.PENDING.value: "info",
    S.APPROVED.value: "info",
    S.REJECTED.value: "neutral",
    S.EXPIRED.value: "neutral",
    S.EXECUTING.value: "info",
    S.SUCCEEDED.value: "info",
    S.FAILED.value: "critical",
    S.VERIFIED.value: "ok",
    S.NO_EFFECT.value: "high",
}


class Risk(models.TextChoices):
    LOW = "low", "Low risk"
    MEDIUM = "medium", "Medium risk"
    HIGH = "high", "High risk"
