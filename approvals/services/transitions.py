"""The one way a proposal changes state."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from approvals.audit import SYSTEM, audit_append
from approvals.errors import ConflictError, NotFoundError
from approvals.honesty.drills import drill_follow
from approvals.live import push_proposal
from approvals.models import Proposal, ProposalTransition
from approvals.notify.moves import notify_move
from approvals.states import ProposalState


def proposal_move(
    *,
    proposal_id: int,
    source: str,
    target: str,
    user: AbstractBaseUser | None = None,
    actor: str = "",
    note: str = "",
    changes: dict[str, Any] | None = None,
    **only_if: Any,
) -> None:
    """Move exactly one proposal from `source` to `target`, with its transition row and audit entry.

    `changes` are further columns to set with it (e.g. `execute_before`). From approved back to
    pending the round counts up, which voids the signatures. `only_if` are further filters of the
    conditional UPDATE (e.g. `expires_at__gt`). Raises ConflictError when the proposal is elsewhere
    by now (somebody else won), NotFoundError when there is none. Takes no part in deciding whether
    the move is wise: services do that, and the database refuses illegal pairs.
    """
    now = timezone.now()
    with transaction.atomic():
        comes_back = (source, target) == (ProposalState.APPROVED, ProposalState.PENDING)
        moved = Proposal.objects.filter(pk=proposal_id, state=source, **only_if).update(
            state=target,
            state_changed_at=now,
            **({"round": F("round") + 1, "execute_before": None} if comes_back else {}),
            **(changes or {}),
        )
        if moved != 1:
            raise why_not(proposal_id, source, target)
        ProposalTransition.objects.create(
            proposal_id=proposal_id,
            round=Proposal.objects.values_list("round", flat=True).get(pk=proposal_id),
            from_state=source,
            to_state=target,
            actor_id=user.pk if user else None,
            at=now,
            note=note,
        )
        notify_move(proposal_id=proposal_id, source=source, target=target, note=note)
        audit_append(
            event=f"proposal.{target}",
            actor=actor or (user.get_username() if user else SYSTEM),
            obj=f"proposal:{proposal_id}",
            payload={"from": source, "to": target, "note": note},
        )
        push_proposal(proposal_id=proposal_id, event=target)
        drill_follow(proposal_id=proposal_id, target=target)


def why_not(proposal_id: int, source: str, target: str) -> ConflictError | NotFoundError:
    """Why a proposal is not where somebody thought it was."""
    current = Proposal.objects.filter(pk=proposal_id).first()
    if current is None:
        return NotFoundError(f"proposal {proposal_id} does not exist")
    if current.state == source:
        return ConflictError(
            f"proposal {proposal_id} expired at {current.expires_at:%H:%M:%S} UTC and cannot "
            f"become {target}",
            code="expired",
            state=current.state,
        )
    if current.state == ProposalState.SUPERSEDED:
        newer = Proposal.objects.filter(revises_id=proposal_id).order_by("-pk").first()
        if newer is not None:
            return ConflictError(
                f"proposal {proposal_id} was replaced by proposal {newer.pk}; decide on that one",
                code="superseded",
                state=current.state,
                revision=newer.pk,
            )
    last = ProposalTransition.objects.filter(proposal_id=proposal_id).select_related("actor").last()
    who = last.actor.get_username() if last and last.actor else SYSTEM
    return ConflictError(
        f"proposal {proposal_id} is already {current.state} (by {who}); it can only become "
        f"{target} from {source}",
        code="expired" if current.state == "expired" else "already_decided",
        state=current.state,
    )
