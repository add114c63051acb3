"""What somebody saw of a proposal before deciding."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.errors import InvalidActionError, NotFoundError
from approvals.models import Proposal, ProposalLook

SEEN: Final = "seen"
EVIDENCE: Final = ("details", "chart", "step", "prediction", "blast", "case")
"""What counts as having opened the evidence; the card alone does not."""
WHATS: Final = (SEEN, *EVIDENCE)


def look_note(*, proposal_id: int, user: AbstractBaseUser, what: str) -> ProposalLook:
    """Remember that this person saw the proposal, and what of its evidence they opened; each once.

    Raises NotFoundError, InvalidActionError (`what` is none of `WHATS`). Four queries at most; not
    audited: it decides nothing.
    """
    if what not in WHATS:
        raise InvalidActionError(f"{what!r} cannot be opened; known are {', '.join(WHATS)}")
    if not Proposal.objects.filter(pk=proposal_id).exists():
        raise NotFoundError(f"proposal {proposal_id} does not exist")
    now = timezone.now()
    with transaction.atomic():
        look = _look(proposal_id, user, now)
        if what != SEEN and what not in look.opened:
            look.opened = [*look.opened, what]
            look.opened_at = look.opened_at or now
            look.save(update_fields=["opened", "opened_at"])
    return look


def _look(proposal_id: int, user: AbstractBaseUser, now: datetime) -> ProposalLook:
    """The person's row, locked; made where there is none (two tabs at once make one)."""
    mine = ProposalLook.objects.select_for_update().filter(proposal_id=proposal_id, user_id=user.pk)
    if (found := mine.first()) is not None:
        return found
    try:
        with transaction.atomic():
            return ProposalLook.objects.create(
                proposal_id=proposal_id, user_id=user.pk, seen_at=now
            )
    except IntegrityError:
        return mine.get()


def opened_s(*, proposal: Proposal, user: AbstractBaseUser) -> float | None:
    """Seconds since this person first opened the proposal's evidence; None: never opened."""
    opened_at = (
        ProposalLook.objects.filter(proposal=proposal, user_id=user.pk)
        .values_list("opened_at", flat=True)
        .first()
    )
    return None if opened_at is None else (timezone.now() - opened_at).total_seconds()
