"""Holds the policy in force against one proposal."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from approvals.policy.requirement import Denial, Requirement, Subject


def requirement_for(*, subject: Subject, at: datetime) -> Requirement:
    """What the policy in force asks for."""
    valid = float(settings.PROPOSAL_TTL_S)
    if subject.risk == "high":
        return Requirement(
            signatures=2,
            distinct_roles=2,
            reason=True,
            reauthenticate=True,
            approval_valid_s=valid,
            because=("high risk: two signatures from two different roles",),
        )
    return Requirement(approval_valid_s=valid, editor_may_sign=subject.risk == "low")


def denials(*, subject: Subject, at: datetime, step: str) -> list[Denial]:
    """Why the step (propose, approve or execute) may not be taken now; empty: it may."""
    return []
