"""People decide here.

Every refusal is audited in its own transaction, after the refused one rolled back.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import NamedTuple

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
from approvals.honesty import opened_s
from approvals.live import push_proposal
from approvals.models import Decision, Proposal, Verdict
from approvals.notify import notify
from approvals.policy.evaluate import denials, subject_of_proposal
from approvals.policy.requirement import Denial, Requirement, role_of
from approvals.services.break_glass import break_glass_open, refuse_needless, terms
from approvals.services.proposals import refuse_denied
from approvals.services.signatures import (
    approvals_of,
    counting,
    missing_of,
    objection_to,
    requirement_now,
    signatures_hold,
    signatures_of,
    still_missing,
    why_not_approve,
)
from approvals.services.transitions import proposal_move, why_not
from approvals.signing import ReauthenticationRequiredError, reauthenticate
from approvals.states import ProposalState

__all__ = [
    "proposal_approve",
    "proposal_reject",
    "signatures_hold",
    "signatures_of",
    "why_not_approve",
]

log = logging.getLogger(__name__)


class Wish(NamedTuple):
    """What a signer says with a signature. `alone`: as an emergency (break-glass)."""

    digest: str
    reason: str
    alone: bool = False
    proven: str = ""  # '', password, totp or recovery


def proposal_approve(
    *,
    proposal_id: int,
    user: AbstractUser,
    digest: str,
    reason: str = "",
    password: str = "",
    otp: str = "",
    break_glass: bool = False,
) -> Proposal:
    """Sign one proposal for exactly the payload whose digest the signer saw.

    The signature that completes the requirement approves it, sets the deadline of its execution and
    queues that on commit; an earlier one leaves it pending (`signatures_of` says who is missing).

    Raises NotFoundError, NotAllowedError (`not_allowed`, `own_proposal`, `own_edit`,
    `another_role`, `high_risk`), ReasonRequiredError, ReauthenticationRequiredError,
    TooManyAttemptsError, ConflictError (`digest_mismatch` with both digests, `payload_altered`,
    `expired`, `superseded`, `already_decided`, `already_signed`, `denied` by the policy,
    `break_glass_not_needed`). Of calls at once for the last signature exactly one wins.
    """
    wish = Wish(digest, reason.strip(), alone=break_glass)
    try:
        with transaction.atomic():
            asked = sign_check(load(proposal_id), user, wish)
        # Outside of the transaction: a wrong guess stays counted whatever happens next.
        if asked.reauthenticate or break_glass or password or otp:
            wish = wish._replace(
                proven=reauthenticate(
                    user=user, password=password, otp=otp, what=f"proposal:{proposal_id}"
                )
            )
        with transaction.atomic():
            proposal = load(proposal_id)
            sign(proposal, user, wish)
    except GateError as error:
        audit_denied(proposal_id, user, Verdict.APPROVE.value, digest, error)
        raise
    proposal.refresh_from_db()
    return proposal


def proposal_reject(*, proposal_id: int, user: AbstractUser, reason: str) -> Proposal:
    """Refuse a proposal for good, with a reason. Nothing is written to the plant.

    Who has signed in this round takes the signature back with it. Raises NotFoundError,
    NotAllowedError, ReasonRequiredError, ConflictError (`already_decided`, `superseded`,
    `expired`).
    """
    try:
        with transaction.atomic():
            proposal = load(proposal_id)
            if not user.has_perm("approvals.decide_proposal"):
                raise NotAllowedError(
                    f"{user.get_username()} may not decide on proposals "
                    "(needs approvals.decide_proposal)"
                )
            if not reason.strip():
                raise ReasonRequiredError(
                    "a rejection needs a reason: the next shift and the agent learn from it"
                )
            is_pending(proposal, ProposalState.REJECTED)
            if any(d.user_id == user.pk for d in approvals_of(proposal)):
                # One decision per person and round: the row of the signature stays as it is.
                audit_append(
                    event="decision.withdrawn",
                    actor=user.get_username(),
                    obj=f"proposal:{proposal.pk}",
                    payload={"digest": proposal.digest, "reason": reason.strip()},
                )
            else:
                _decide(proposal, user, Verdict.REJECT, Wish(proposal.digest, reason.strip()))
            proposal_move(
                proposal_id=proposal_id,
                source=ProposalState.PENDING,
                target=ProposalState.REJECTED,
                user=user,
                note=reason.strip(),
            )
    except GateError as error:
        audit_denied(proposal_id, user, Verdict.REJECT.value, "", error)
        raise
    proposal.refresh_from_db()
    return proposal


def load(proposal_id: int) -> Proposal:
    """The proposal, locked: of two decisions at once, the second sees what the first did."""
    proposal = Proposal.objects.select_for_update(no_key=True).filter(pk=proposal_id).first()
    if proposal is None:
        raise NotFoundError(f"proposal {proposal_id} does not exist")
    return proposal


def is_pending(proposal: Proposal, target: ProposalState) -> None:
    """Raise ConflictError unless it waits, and can still be approved where that is the target."""
    expired = target == ProposalState.APPROVED and proposal.expires_at <= timezone.now()
    if proposal.state != ProposalState.PENDING or expired:
        raise why_not(proposal.pk, ProposalState.PENDING, target)


def sign_check(proposal: Proposal, user: AbstractUser, wish: Wish) -> Requirement:
    """Everything that a signature needs but the proof of identity. Returns what is asked for now.

    Raises GateError. `proposal` is locked.
    """
    asked = requirement_now(proposal)
    objection = objection_to(proposal, user, asked, alone=wish.alone)
    if objection is not None and objection.code not in ("already_signed", "another_role"):
        raise NotAllowedError(objection.detail, code=objection.code)
    same_payload(proposal, wish.digest)
    is_pending(proposal, ProposalState.APPROVED)
    if objection is not None:
        conflict = objection.code == "already_signed"
        raise (ConflictError if conflict else NotAllowedError)(
            objection.detail, code=objection.code
        )
    found = _denied(proposal, asked)
    if wish.alone:
        refuse_denied([denial for denial in found if not denial.can_break_glass])
        refuse_needless(proposal=proposal, user=user, waives=waives(proposal, user, asked, found))
        terms(reason=wish.reason)
    else:
        refuse_denied(found)
        if asked.reason and not wish.reason:
            raise ReasonRequiredError(
                f"approving proposal {proposal.pk} needs a reason ({proposal.risk} risk)"
            )
    return asked


def sign(proposal: Proposal, user: AbstractUser, wish: Wish) -> None:
    """Put one signature on a locked proposal; approve it when nothing is missing then.

    Raises GateError. The proof of identity has been made: `wish.proven`.
    """
    asked = sign_check(proposal, user, wish)
    if asked.reauthenticate and not wish.proven:
        raise ReauthenticationRequiredError(
            f"the policy changed while proposal {proposal.pk} was being signed: prove who you are"
        )
    if wish.alone:
        found = _denied(proposal, asked)
        waived = waives(proposal, user, asked, found)
        decision = _decide(proposal, user, Verdict.APPROVE, wish)
        break_glass_open(decision=decision, waived=waived)
        _approve(proposal, user, wish.reason, asked)
        return
    roles = [d.role for d in counting(proposal)]
    missing = missing_of(asked, [*roles, role_of(user)])
    _decide(proposal, user, Verdict.APPROVE, wish)
    if missing.next_roles:
        notify(
            event="proposal.signed_once",
            proposal=proposal,
            text=f"{user.get_username()} signed proposal {proposal.pk}; still missing: "
            f"{still_missing(missing)}",
            key=f"signed:{proposal.pk}:{proposal.round}:{user.pk}",
        )
        push_proposal(proposal_id=proposal.pk, event="signed")
        return
    _approve(proposal, user, wish.reason, asked)


def waives(
    proposal: Proposal, user: AbstractUser, asked: Requirement, found: list[Denial]
) -> list[str]:
    """What this person's signing alone would waive, as sentences; empty: an ordinary signature
    does.
    """
    said = [denial.sentence for denial in found if denial.can_break_glass]
    objection = objection_to(proposal, user, asked)
    if objection is not None:
        return [*said, objection.detail]
    roles = [d.role for d in counting(proposal)]
    missing = missing_of(asked, [*roles, role_of(user)])
    if missing.next_roles:
        said.append(f"{still_missing(missing)} ({'; '.join(asked.because) or 'by the policy'})")
    return said


def _denied(proposal: Proposal, asked: Requirement) -> list[Denial]:
    subject = subject_of_proposal(proposal)
    return denials(subject=subject, at=timezone.now(), step="approve", requirement=asked)


def same_payload(proposal: Proposal, digest: str) -> None:
    """Raise ConflictError unless the stored payload, its digest and the signer's are one."""
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


def _approve(proposal: Proposal, user: AbstractUser, note: str, asked: Requirement) -> None:
    now = timezone.now()
    proposal_move(
        proposal_id=proposal.pk,
        source=ProposalState.PENDING,
        target=ProposalState.APPROVED,
        user=user,
        note=note,
        changes={"execute_before": now + timedelta(seconds=asked.execute_within_s)},
        expires_at__gt=now,
    )
    transaction.on_commit(lambda: _enqueue_execution(proposal.pk))


def _decide(proposal: Proposal, user: AbstractUser, verdict: Verdict, wish: Wish) -> Decision:
    decision = Decision.objects.create(
        proposal=proposal,
        user_id=user.pk,
        verdict=verdict,
        reason=wish.reason,
        digest=proposal.digest,
        round=proposal.round,
        role=role_of(user),
        reauthenticated=wish.proven,
        is_break_glass=wish.alone,
        opened_s=opened_s(proposal=proposal, user=user),
        at=timezone.now(),
    )
    audit_append(
        event=f"decision.{verdict}",
        actor=user.get_username(),
        obj=f"proposal:{proposal.pk}",
        payload={
            "digest": proposal.digest,
            "reason": wish.reason,
            "round": proposal.round,
            "role": decision.role,
            "reauthenticated": wish.proven,
            "break_glass": wish.alone,
        },
    )
    return decision


def audit_denied(
    proposal_id: int, user: AbstractUser, verdict: str, digest: str, error: GateError
) -> None:
    """Record a refused attempt (`verdict`: approve, reject or revise)."""
    audit_append(
        event="decision.denied",
        actor=user.get_username(),
        obj=f"proposal:{proposal_id}",
        payload={
            "verdict": verdict,
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
