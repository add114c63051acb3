"""What becomes of a drill: it is told as one as soon as it is decided, and never executed.

Until then nothing shows that it is one: not the page, not the API, not the trail.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from approvals.audit import SYSTEM, audit_append
from approvals.models import Drill, Proposal
from approvals.notify import notify
from approvals.states import OPEN_STATES, ProposalState

S = ProposalState

CAUGHT: Final[dict[str, bool | None]] = {
    S.APPROVED: False,
    S.REJECTED: True,
    S.EXPIRED: None,
    S.SUPERSEDED: None,
}
"""Whether attention caught it, by the state that ended it; None: nobody decided."""
NEVER: Final = "This was a drill: a proposal known to be bad. Nothing is written."
MADE_WAY: Final = "This was a drill; a real proposal for the same target came."


def drill_follow(*, proposal_id: int, target: str) -> None:
    """Called with every move, inside its transaction. An ended drill is revealed; an approved one
    is superseded at once. One query for a proposal that is none.
    """
    if target not in CAUGHT:
        return
    drill = Drill.objects.filter(proposal_id=proposal_id, revealed_at__isnull=True).first()
    if drill is None:
        return
    _reveal(drill, CAUGHT[target])
    if target == S.APPROVED:
        from approvals.services.transitions import proposal_move

        proposal_move(
            proposal_id=proposal_id,
            source=S.APPROVED,
            target=S.SUPERSEDED,
            actor=SYSTEM,
            note=NEVER,
        )


def _reveal(drill: Drill, was_caught: bool | None) -> None:
    now = timezone.now()
    if not Drill.objects.filter(pk=drill.pk, revealed_at__isnull=True).update(
        revealed_at=now, was_caught=was_caught
    ):
        return
    proposal = Proposal.objects.get(pk=drill.proposal_id)
    said = {True: "It was caught.", False: "It was signed.", None: "Nobody decided on it."}
    text = f"#{proposal.pk} ({proposal.title}) was a drill. {said[was_caught]} {drill.flaw}"
    notify(
        event="drill.revealed", proposal=proposal, text=text, key=f"drill.revealed:{proposal.pk}"
    )
    audit_append(
        event="drill.revealed",
        actor=SYSTEM,
        obj=f"proposal:{proposal.pk}",
        payload={"flaw": drill.flaw, "was_caught": was_caught},
    )


def drill_make_way(*, kind: str, target: str) -> None:
    """A real proposal is about to be made: an open drill for the same action and target ends now,
    revealed. Call it inside the transaction of the INSERT.
    """
    from approvals.services.transitions import proposal_move

    with transaction.atomic():
        drills = Proposal.objects.filter(
            kind=kind, target=target, is_drill=True, state__in=OPEN_STATES
        )
        for proposal_id in list(drills.values_list("pk", flat=True)):
            proposal_move(
                proposal_id=proposal_id,
                source=S.PENDING,
                target=S.SUPERSEDED,
                actor=SYSTEM,
                note=MADE_WAY,
            )


def drill_shown(proposal: Proposal) -> dict[str, Any] | None:
    """What pages and API say of a drill: nothing until it is revealed. A query where `drill` was
    not selected.
    """
    if not proposal.is_drill:
        return None
    drill = getattr(proposal, "drill", None)
    if drill is None or drill.revealed_at is None:
        return None
    return {"flaw": drill.flaw, "was_caught": drill.was_caught, "revealed_at": drill.revealed_at}
