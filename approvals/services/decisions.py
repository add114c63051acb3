"""People decide here.

Every refusal is audited in its own transaction, after the refused one rolled back.
"""

from __future__ import annotations

import logging

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.errors import (
    ConflictError,
    GateError,
    NotAllowedError,
    NotFoundError,
    ReasonRequiredError,
)
from approvals.models import Decision, Proposal, Risk, Verdict
from approvals.policy.requirement import role_of
from approvals.services.transitions import proposal_move, why_not
from approvals.states import ProposalState

log = logging.getLogger(__name__)


def proposal_approve(
    *, proposal_id: int, user: AbstractUser, digest: str, reason: str = ""
) -> Proposal:
    """Sign one proposal for exactly the payload whose digest the signer saw; execution is queued on
    commit.

    Raises NotFoundError, NotAllowedError (no permission, own proposal, high risk),
    ReasonRequiredError (high risk), ConflictError (`digest_mismatch` with both digests, `expired`,
    `already_decided`). Exactly one of two concurrent calls wins.
    """
    try:
        with transaction.atomic():
            proposal = _load(proposal_id)
            _may_decide(proposal, user)
            _may_approve(proposal, user, reason)
            _same_payload(proposal, digest)
            _is_pending(proposal, ProposalState.APPROVED)
            _decide(proposal, user, Verdict.APPROVE, reason)
            proposal_move(
                proposal_id=proposal_id,
                source=ProposalState.PENDING,
                target=ProposalState.APPROVED,
                user=user,
                note=reason.strip(),
                expires_at__gt=timezone.now(),
            )
            transaction.on_commit(lambda: _enqueue_execution(proposal_id))
    except GateError as error:
        _audit_denied(proposal_id, user, Verdict.APPROVE, digest, error)
        raise
    proposal.refresh_from_db()
    return proposal


def proposal_reject(*, proposal_id: int, user: AbstractUser, reason: str) -> Proposal:
    """Refuse a proposal for good, with a reason. Nothing is written to the plant.

    Raises NotFoundError, NotAllowedError, ReasonRequiredError, ConflictError (`already_decided`,
    `expired`).
    """
    try:
        with transaction.atomic():
            proposal = _load(proposal_id)
            _may_decide(proposal, user)
            if not reason.strip():
                raise ReasonRequiredError(
                    "a rejection needs a reason: the next shift and the agent learn from it"
                )
            _is_pending(proposal, ProposalState.REJECTED)
            _decide(proposal, user, Verdict.REJECT, reason)
            proposal_move(
                proposal_id=proposal_id,
                source=ProposalState.PENDING,
                target=ProposalState.REJECTED,
                user=user,
                note=reason.strip(),
            )
    except GateError as error:
        _audit_denied(proposal_id, user, Verdict.REJECT, "", error)
        raise
    proposal.refresh_from_db()
    return proposal


def _load(proposal_id: int) -> Proposal:
    """The proposal, locked: of two decisions at once, the second sees what the first did."""
    proposal = Proposal.objects.select_for_update(no_key=True).filter(pk=proposal_id).first()
    if proposal is None:
        raise NotFoundError(f"proposal {proposal_id} does not exist")
    return proposal


def _is_pending(proposal: Proposal, target: ProposalState) -> None:
    expired = target == ProposalState.APPROVED and proposal.expires_at <= timezone.now()
    if proposal.state != ProposalState.PENDING or expired:
        raise why_not(proposal.pk, ProposalState.PENDING, target)


def _may_decide(proposal: Proposal, user: AbstractUser) -> None:
    if not user.has_perm("approvals.decide_proposal"):
        raise NotAllowedError(
            f"{user.get_username()} may not decide on proposals (needs approvals.decide_proposal)"
        )


def _may_approve(proposal: Proposal, user: AbstractUser, reason: str) -> None:
    if proposal.requested_by_id == user.pk:
        raise NotAllowedError(
            f"{user.get_username()} asked for proposal {proposal.pk}; somebody else has to sign it",
            code="own_proposal",
        )
    if proposal.risk != Risk.HIGH:
        return
    if not user.has_perm("approvals.decide_high_risk"):
        raise NotAllowedError(
            f"proposal {proposal.pk} is high risk; {user.get_username()} lacks "
            "approvals.decide_high_risk",
            code="high_risk",
        )
    if not reason.strip():
        raise ReasonRequiredError(
            f"proposal {proposal.pk} is high risk: approving it needs a reason"
        )


def _same_payload(proposal: Proposal, digest: str) -> None:
    if proposal.computed_digest() != proposal.digest:
        raise ConflictError(
            f"the stored payload of proposal {proposal.pk} no longer matches its digest "
            f"{proposal.digest}",
            code="payload_altered",
            expected=proposal.digest,
            given=digest,
        )
    if digest != proposal.digest:
        raise ConflictError(
            f"signed digest {digest or '(none)'} is not the digest {proposal.digest} of proposal "
            f"{proposal.pk}; "
            "reload it and decide on what it says now",
            code="digest_mismatch",
            expected=proposal.digest,
            given=digest,
        )


def _decide(proposal: Proposal, user: AbstractUser, verdict: Verdict, reason: str) -> None:
    Decision.objects.create(
        proposal=proposal,
        user_id=user.pk,
        verdict=verdict,
        reason=reason.strip(),
        digest=proposal.digest,
        round=proposal.round,
        role=role_of(user),
        at=timezone.now(),
    )
    audit_append(
        event=f"decision.{verdict}",
        actor=user.get_username(),
        obj=f"proposal:{proposal.pk}",
        payload={"digest": proposal.digest, "reason": reason.strip()},
    )


def _audit_denied(
    proposal_id: int, user: AbstractUser, verdict: Verdict, digest: str, error: GateError
) -> None:
    audit_append(
        event="decision.denied",
        actor=user.get_username(),
        obj=f"proposal:{proposal_id}",
        payload={
            "verdict": verdict.value,
            "digest": digest[:128],
            "status": error.status,
            "code": error.code,
            "detail": error.detail,
        },
    )


def _enqueue_execution(proposal_id: int) -> None:
    """Hand over to the worker.

    A broker that is down delays the write, it does not lose it: the sweep finds it.
    """
    from approvals.tasks import execute_proposal

    try:
        execute_proposal.delay(proposal_id)
    except Exception as error:
        log.warning(
            "queueing the execution of proposal %s failed, the sweep will: %s", proposal_id, error
        )
