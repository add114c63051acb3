"""What a proposal that is under way waits for from a person: a hold to release, an unknown outcome
to settle. A card with one belongs to whoever can answer it, not among what runs by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractUser

from approvals.models import Proposal, Verdict
from approvals.states import ProposalState


class Attention(NamedTuple):
    """`words` for the card's badge, `act` for its button. `is_mine`: this person may answer it.
    `since` and `until` bound the wait where it ends by itself.
    """

    words: str
    act: str
    is_mine: bool
    since: datetime | None
    until: datetime | None


def attention_of(proposal: Proposal, user: AbstractUser) -> Attention | None:
    """What it waits for, None when for nobody. No query with a row of `selectors.proposals()`."""
    if proposal.state == ProposalState.UNKNOWN:
        mine = user.has_perm("approvals.decide_high_risk")
        return Attention("Did it arrive?", "Settle", mine, None, None)
    hold = _waiting_hold(proposal)
    if hold is None:
        return None
    return Attention(
        f"Holds at step {hold['step']}",
        "Release",
        user.has_perm("approvals.decide_proposal") and not _is_barred(proposal, hold, user),
        datetime.fromisoformat(hold["reached_at"]),
        datetime.fromisoformat(hold["due_at"]),
    )


def _waiting_hold(proposal: Proposal) -> dict[str, Any] | None:
    execution = getattr(proposal, "execution", None)
    if execution is None or execution.finished_at or execution.stop_requested_at:
        return None
    return next((hold for hold in execution.holds if hold["released_at"] is None), None)


def _is_barred(proposal: Proposal, hold: dict[str, Any], user: AbstractUser) -> bool:
    """Whether the hold is for a second person and this one is part of it already; the service
    asks again when the hold is released.
    """
    if hold["kind"] != "second_person":
        return False
    signed = {
        decision.user_id
        for decision in proposal.decisions.all()
        if decision.round == proposal.round and decision.verdict == Verdict.APPROVE
    }
    released = {one.get("released_by_id") for one in proposal.execution.holds}
    return user.pk in {proposal.requested_by_id, proposal.edited_by_id, *signed, *released}
