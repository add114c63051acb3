"""People stop, hold, release and settle executions here. Stopping is always allowed to whoever may
decide; nothing in here sends anything to the plant.
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.errors import (
    ConflictError,
    GateError,
    NotAllowedError,
    NotFoundError,
    ReasonRequiredError,
)
from approvals.live import push_gate, push_proposal
from approvals.models import Decision, Execution, GateHold, Proposal, Verdict
from approvals.policy.requirement import Requirement
from approvals.services.transitions import proposal_move
from approvals.states import ProposalState

log = logging.getLogger(__name__)

STOPPABLE = (ProposalState.APPROVED, ProposalState.EXECUTING)


def execution_stop(*, proposal_id: int, user: AbstractUser, reason: str) -> Proposal:
    """Stop a signed proposal: before its first write it is rejected, later nothing more is sent.

    A write that is on its way is not called back. Raises NotFoundError, NotAllowedError (needs
    decide_proposal), ReasonRequiredError, ConflictError `not_under_way`, `already_stopped`.
    """
    try:
        with transaction.atomic():
            _needs(user, "approvals.decide_proposal", "stop executions")
            _needs_reason(reason, "stopping needs a reason: the next shift has to know why")
            proposal = _locked(proposal_id)
            if proposal.state not in STOPPABLE:
                raise ConflictError(
                    f"proposal {proposal_id} is {proposal.state}; only an approved or executing "
                    "one can be stopped",
                    code="not_under_way",
                    state=proposal.state,
                )
            if proposal.state == ProposalState.APPROVED:
                proposal_move(
                    proposal_id=proposal_id,
                    source=ProposalState.APPROVED,
                    target=ProposalState.REJECTED,
                    user=user,
                    note=f"stopped before the first write: {reason.strip()}",
                )
            else:
                _ask_to_stop(proposal_id, user, reason)
    except GateError as error:
        _denied("execution.stop_denied", f"proposal:{proposal_id}", user, error)
        raise
    proposal.refresh_from_db()
    return proposal


def _ask_to_stop(proposal_id: int, user: AbstractUser, reason: str) -> None:
    asked = Execution.objects.filter(
        proposal_id=proposal_id, finished_at=None, stop_requested_at=None
    ).update(
        stop_requested_at=timezone.now(), stop_requested_by=user.pk, stop_reason=reason.strip()
    )
    if asked != 1:
        raise ConflictError(
            f"proposal {proposal_id} is being stopped already", code="already_stopped"
        )
    audit_append(
        event="execution.stop_requested",
        actor=user.get_username(),
        obj=f"proposal:{proposal_id}",
        payload={"reason": reason.strip()},
    )
    push_proposal(proposal_id=proposal_id, event="stopping")
    transaction.on_commit(lambda: queue_execution(proposal_id))


def gate_hold(*, user: AbstractUser, reason: str) -> GateHold:
    """Stop everything: from now on nothing is claimed and no further write is sent.

    Raises NotAllowedError (needs stop_all), ReasonRequiredError, ConflictError `already_held`.
    """
    try:
        _needs(user, "approvals.stop_all", "stop every execution")
        _needs_reason(reason, "holding everything needs a reason: everybody will ask")
        try:
            with transaction.atomic():
                hold = GateHold.objects.create(
                    reason=reason.strip(), made_by_id=user.pk, made_at=timezone.now()
                )
                _tell_held(hold, user)
        except IntegrityError as error:
            now = GateHold.objects.filter(lifted_at=None).select_related("made_by").first()
            who = f" by {now.made_by.get_username()}: {now.reason}" if now else ""
            raise ConflictError(f"the gate is held already{who}", code="already_held") from error
    except GateError as error:
        _denied("gate.denied", "gate", user, error)
        raise
    return hold


def _tell_held(hold: GateHold, user: AbstractUser) -> None:
    from approvals.notify import notify

    audit_append(
        event="gate.held", actor=user.get_username(), obj="gate", payload={"reason": hold.reason}
    )
    notify(
        event="gate.held",
        proposal=None,
        text=f"{user.get_username()} stopped every execution: {hold.reason}",
        key=f"gate-hold:{hold.pk}",
    )
    push_gate(event="held")


def gate_resume(*, user: AbstractUser) -> GateHold:
    """Lift the hold; what waits goes on at once, as far as it is still good.

    Raises NotAllowedError (needs stop_all), ConflictError `not_held`.
    """
    try:
        with transaction.atomic():
            _needs(user, "approvals.stop_all", "resume executions")
            hold = GateHold.objects.select_for_update(no_key=True).filter(lifted_at=None).first()
            if hold is None:
                raise ConflictError("the gate is not held", code="not_held")
            hold.lifted_by_id, hold.lifted_at = user.pk, timezone.now()
            hold.save(update_fields=["lifted_by", "lifted_at"])
            audit_append(
                event="gate.resumed",
                actor=user.get_username(),
                obj="gate",
                payload={"held_since": iso_utc(hold.made_at), "reason": hold.reason},
            )
            push_gate(event="resumed")
            transaction.on_commit(_queue_waiting)
    except GateError as error:
        _denied("gate.denied", "gate", user, error)
        raise
    return hold


def hold_release(
    *,
    proposal_id: int,
    step: str,
    user: AbstractUser,
    digest: str,
    note: str = "",
    password: str = "",
    otp: str = "",
    request: Any = None,
) -> Proposal:
    """Let a procedure go on past the hold before `step`.

    For kind second_person it has to be somebody who neither asked, edited, signed nor released an
    earlier hold of it; where the proposal asks for re-authentication, so does the release. Raises
    NotFoundError, NotAllowedError (`not_allowed`, `same_person`), ConflictError (`digest_mismatch`,
    `not_holding`, `already_released`, `overdue`).
    """
    try:
        _needs(user, "approvals.decide_proposal", "release holds")
        found = Proposal.objects.filter(pk=proposal_id).first()
        if found is None:
            raise NotFoundError(f"proposal {proposal_id} does not exist")
        how = _proven(found, user, password=password, otp=otp, request=request)
        with transaction.atomic():
            proposal = _locked(proposal_id)
            _same_digest(proposal, digest)
            execution = (
                Execution.objects.select_for_update(no_key=True)
                .filter(proposal_id=proposal_id, finished_at=None)
                .first()
            )
            row = _waiting_hold(execution, proposal_id, step)
            assert execution is not None  # noqa: S101 (a hold was found in it)
            if row["kind"] == "second_person":
                _another_person(proposal, execution, user)
            now = timezone.now()
            done = {
                **row,
                "released_by": user.get_username(),
                "released_by_id": user.pk,
                "released_at": iso_utc(now),
                "note": note.strip(),
                "reauthenticated": how,
            }
            execution.holds = [done if h["step"] == step else h for h in execution.holds]
            execution.progressed_at = now
            execution.save(update_fields=["holds", "progressed_at"])
            audit_append(
                event="hold.released",
                actor=user.get_username(),
                obj=f"proposal:{proposal_id}",
                payload=done,
            )
            push_proposal(proposal_id=proposal_id, event="executing")
            transaction.on_commit(lambda: queue_execution(proposal_id))
    except GateError as error:
        _denied("hold.denied", f"proposal:{proposal_id}", user, error)
        raise
    return proposal


def execution_settle(
    *, proposal_id: int, user: AbstractUser, applied: bool, reason: str
) -> Proposal:
    """A person says what became of a write whose outcome nothing tells.

    Raises NotFoundError, NotAllowedError (needs decide_high_risk), ReasonRequiredError,
    ConflictError `not_unknown`.
    """
    from approvals.execution import unknown_settle

    try:
        _needs(user, "approvals.decide_high_risk", "settle unknown outcomes")
        _needs_reason(reason, "settling needs a reason: how do you know?")
        found = Proposal.objects.filter(pk=proposal_id).first()
        if found is None:
            raise NotFoundError(f"proposal {proposal_id} does not exist")
        why = f"{user.get_username()} says so ({reason.strip()})"
        if not unknown_settle(proposal_id=proposal_id, applied=applied, why=why, user=user):
            raise ConflictError(
                f"proposal {proposal_id} is {found.state}; only an unknown outcome is settled",
                code="not_unknown",
                state=found.state,
            )
    except GateError as error:
        _denied("execution.settle_denied", f"proposal:{proposal_id}", user, error)
        raise
    found.refresh_from_db()
    return found


def queue_execution(proposal_id: int) -> None:
    """Hand over to the worker; the sweep finds what a missing broker lost."""
    from approvals.tasks import execute_proposal

    try:
        execute_proposal.delay(proposal_id)
    except Exception as error:
        log.warning("queueing proposal %s failed, the sweep will: %s", proposal_id, error)


def _queue_waiting() -> None:
    for proposal_id in Proposal.objects.filter(state__in=STOPPABLE).values_list("pk", flat=True):
        queue_execution(proposal_id)


def _locked(proposal_id: int) -> Proposal:
    found = Proposal.objects.select_for_update(no_key=True).filter(pk=proposal_id).first()
    if found is None:
        raise NotFoundError(f"proposal {proposal_id} does not exist")
    return found


def _needs(user: AbstractUser, permission: str, to_do: str) -> None:
    if not user.has_perm(permission):
        raise NotAllowedError(f"{user.get_username()} may not {to_do} (needs {permission})")


def _needs_reason(reason: str, sentence: str) -> None:
    if not reason.strip():
        raise ReasonRequiredError(sentence)


def _proven(
    proposal: Proposal, user: AbstractUser, *, password: str, otp: str, request: Any
) -> str:
    """How the releasing person proved who they are again, '' where nothing asks for it."""
    if not Requirement.from_dict(proposal.requirement).reauthenticate:
        return ""
    from approvals.signing import reauthenticate

    return reauthenticate(
        user=user, password=password, otp=otp, request=request, what="release a hold"
    )


def _same_digest(proposal: Proposal, digest: str) -> None:
    if digest != proposal.digest:
        raise ConflictError(
            f"the release is for digest {digest or '(none)'}, proposal {proposal.pk} has "
            f"{proposal.digest}",
            code="digest_mismatch",
            expected=proposal.digest,
            given=digest,
        )


def _waiting_hold(execution: Execution | None, proposal_id: int, step: str) -> dict[str, Any]:
    holds = execution.holds if execution is not None else []
    row: dict[str, Any] | None = next((h for h in holds if h["step"] == step), None)
    if execution is None or row is None:
        raise ConflictError(
            f"proposal {proposal_id} does not wait before step {step}", code="not_holding"
        )
    if execution.stop_requested_at is not None:
        raise ConflictError(f"proposal {proposal_id} is being stopped", code="not_holding")
    if row["released_at"] is not None:
        raise ConflictError(
            f"the hold before step {step} was released by {row['released_by']}",
            code="already_released",
        )
    if row["due_at"] <= iso_utc(timezone.now()):
        raise ConflictError(
            f"the hold before step {step} ended at {row['due_at']}; the procedure stops there",
            code="overdue",
        )
    return row


def _another_person(proposal: Proposal, execution: Execution, user: AbstractUser) -> None:
    signed = Decision.objects.filter(
        proposal=proposal, round=proposal.round, verdict=Verdict.APPROVE
    ).values_list("user_id", flat=True)
    released = [h.get("released_by_id") for h in execution.holds if h["released_at"] is not None]
    involved = {proposal.requested_by_id, proposal.edited_by_id, *signed, *released}
    if user.pk in involved:
        raise NotAllowedError(
            f"{user.get_username()} asked for, changed, signed or confirmed part of proposal "
            f"{proposal.pk}; this hold needs another person",
            code="same_person",
        )


def _denied(event: str, obj: str, user: AbstractUser, error: GateError) -> None:
    audit_append(
        event=event,
        actor=user.get_username(),
        obj=obj,
        payload={"status": error.status, "code": error.code, "detail": error.detail},
    )
