"""News of a proposal's changes of state. Called by `proposal_move`, in its transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from approvals.models import Proposal
from approvals.notify.announce import notify
from approvals.states import ProposalState

S = ProposalState

REMIND_S: Final = 300.0
"""Assumed: five minutes are enough to open a card and read it; shorter validity: a quarter of it."""

_ARRIVALS: Final[dict[str, tuple[str, str]]] = {
    S.APPROVED: ("proposal.approved", "The last signature was given; it is being carried out."),
    S.FAILED: ("execution.failed", "The execution ended as failed."),
    S.UNKNOWN: ("execution.unknown", "A write was not answered; it may or may not have happened."),
    S.NO_EFFECT: ("effect.no_effect", "The effect that was promised has not been measured."),
}


def notify_move(*, proposal_id: int, source: str, target: str, note: str) -> None:
    """Tell those who want it that a proposal arrived in `target`; most states are no news."""
    if target == S.PENDING:
        returned = source == S.APPROVED
        event = "proposal.returned" if returned else "proposal.pending"
        sentence = "It came back and needs signatures anew." if returned else ""
    elif target in _ARRIVALS:
        event, sentence = _ARRIVALS[target]
    else:
        return
    proposal = Proposal.objects.select_related("requested_by").get(pk=proposal_id)
    if event == "proposal.pending":
        sentence = f"{proposal.author} asks: {proposal.title}. {proposal.rationale}"
    text = " ".join(part for part in (sentence, note) if part)
    notify(
        event=event,
        proposal=proposal,
        text=text,
        key=f"proposal:{proposal_id}:{target}:{proposal.round}",
    )


def remind_expiring() -> int:
    """Tell of proposals whose time runs out undecided, once each round; return how many messages.

    Safe to repeat.
    """
    now = timezone.now()
    close = Proposal.objects.filter(
        state=S.PENDING, expires_at__gt=now, expires_at__lte=now + timedelta(seconds=REMIND_S)
    )
    written = 0
    for proposal in close:
        left_s = (proposal.expires_at - now).total_seconds()
        if left_s > (proposal.expires_at - proposal.created_at).total_seconds() / 4:
            continue
        written += notify(
            event="proposal.expiring",
            proposal=proposal,
            text=f"Nobody has decided. It expires at {proposal.expires_at:%H:%M:%S} UTC; nothing "
            "is written then.",
            key=f"proposal:{proposal.pk}:expiring:{proposal.round}",
        )
    return written
