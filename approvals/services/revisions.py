"""Edit and approve: other parameters are another proposal, and the first one stays on record."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction

from approvals.audit import audit_append
from approvals.catalogue import KINDS, Action, Condition
from approvals.catalogue.situation import Situation
from approvals.errors import ConflictError, GateError, InvalidActionError, NotAllowedError
from approvals.models import Investigation, Proposal
from approvals.prediction import predictions_make
from approvals.services.decisions import Wish, audit_denied, is_pending, load, same_payload, sign
from approvals.services.proposals import (
    ProposalDraft,
    action_validate,
    proposal_create,
    refuse_unmet,
    refuse_unstaffed,
)
from approvals.services.signatures import objection_to, requirement_now
from approvals.services.transitions import proposal_move
from approvals.signing import reauthenticate
from approvals.situations import hall_of, situation_read
from approvals.states import ProposalState

WORDS = 4000


def proposal_revise(
    *,
    proposal_id: int,
    user: AbstractUser,
    digest: str,
    params: dict[str, Any],
    rationale: str = "",
    approve: bool = False,
    reason: str = "",
    password: str = "",
    otp: str = "",
) -> Proposal:
    """Replace a waiting proposal by one with other parameters; returns the new one.

    The new one is checked, predicted by the twin and held against the policy like any other, has a
    digest of its own, and needs signatures of its own: those on the first one are void. In the same
    transaction the first becomes superseded. With `approve` the editor signs the new one at once,
    where its requirement lets an editor sign; where it does not, it waits for somebody else.

    Raises NotAllowedError, InvalidActionError, ConflictError (`digest_mismatch`, `unchanged`,
    `precondition_failed`, `denied`, and what `proposal_approve` raises); then nothing has changed.
    """
    try:
        _may_revise(user)
        proposal = _readable(proposal_id, digest)
        draft, situation = _draft(proposal, user, params, rationale.strip()[:WORDS])
        wish = Wish("", reason.strip())
        asked = requirement_now(proposal)
        if approve and asked.editor_may_sign and (password or otp or asked.reauthenticate):
            proven = reauthenticate(
                user=user, password=password, otp=otp, what=f"proposal:{proposal_id}"
            )
            wish = wish._replace(proven=proven)
        with transaction.atomic():
            locked = load(proposal_id)
            same_payload(locked, digest)
            is_pending(locked, ProposalState.SUPERSEDED)
            return _replace(locked, draft, situation, user, wish if approve else None)
    except GateError as error:
        audit_denied(proposal_id, user, "revise", digest, error)
        raise


def revision_form(*, proposal_id: int) -> dict[str, Any]:
    """What a form for other parameters needs: the schema with the points' limits of now, and the
    parameters as they are.

    Raises NotFoundError, ConflictError (it does not wait any more), InvalidActionError (not to be
    edited).
    """
    proposal = _readable(proposal_id, None)
    kind = KINDS[proposal.kind]
    place = hall_of(proposal.target)
    situation = situation_read(hall=place.hall if place else "", procedures=kind.needs_procedures)
    try:
        schema = kind.schema(proposal.target, situation)
    except KeyError as error:
        raise InvalidActionError(
            f"{proposal.target} has no writable point {error.args[0]} any more"
        ) from error
    asked = requirement_now(proposal)
    return {
        "proposal": proposal.pk,
        "title": proposal.title,
        "digest": proposal.digest,
        "params": proposal.params,
        "rationale": proposal.rationale,
        "schema": schema,
        "editor_may_sign": asked.editor_may_sign,
        "reauthenticate": asked.reauthenticate,
    }


def _may_revise(user: AbstractUser) -> None:
    for name in ("approvals.add_proposal", "approvals.decide_proposal"):
        if not user.has_perm(name):
            raise NotAllowedError(f"{user.get_username()} may not change proposals (needs {name})")


def _readable(proposal_id: int, digest: str | None) -> Proposal:
    """The proposal, if it can be edited at all; looked at again once it is locked."""
    with transaction.atomic():
        proposal = load(proposal_id)
    same_payload(proposal, proposal.digest if digest is None else digest)
    is_pending(proposal, ProposalState.SUPERSEDED)
    if proposal.rolls_back_id or KINDS[proposal.kind].is_internal:
        raise InvalidActionError(
            f"proposal {proposal_id} undoes another: its values are those from before and cannot "
            "be edited"
        )
    return proposal


def _draft(
    proposal: Proposal, user: AbstractUser, params: dict[str, Any], rationale: str
) -> tuple[ProposalDraft, Situation]:
    action, situation = action_validate(kind=proposal.kind, target=proposal.target, params=params)
    if dict(action.params) == dict(proposal.params) and rationale in ("", proposal.rationale):
        raise ConflictError(
            f"nothing would change: proposal {proposal.pk} has these parameters already",
            code="unchanged",
        )
    action = _with_grounds(action, proposal, situation)
    refuse_unmet(action, situation)
    involved = [pk for pk in (proposal.requested_by_id, user.pk) if pk is not None]
    refuse_unstaffed(action, situation, without=involved)
    [predicted] = predictions_make(actions=[action], situation=situation)
    return (
        ProposalDraft(
            action=action,
            rationale=rationale or proposal.rationale,
            citations=proposal.citations,
            evidence=proposal.evidence,
            alarm_id=proposal.alarm_id,
            prediction=predicted,
            case=proposal.case,
            revises=proposal,
            edited_by=user,
        ),
        situation,
    )


def _with_grounds(action: Action, proposal: Proposal, situation: Situation) -> Action:
    """The action with the original's grounds: its conditions that the kind itself does not ask for,
    such as the fault that it answers.
    """
    kind = KINDS[proposal.kind]
    before = Action(proposal.kind, proposal.target, proposal.params)
    own = {(c.tag, c.op) for c in kind.preconditions(before, situation)}
    grounds = tuple(
        Condition(c["tag"], c["op"], float(c["value"]), c["why"])
        for c in proposal.preconditions
        if (c["tag"], c["op"]) not in own
    )
    return Action(action.kind, action.target, action.params, grounds)


def _replace(
    original: Proposal,
    draft: ProposalDraft,
    situation: Situation,
    user: AbstractUser,
    wish: Wish | None,
) -> Proposal:
    proposal_move(
        proposal_id=original.pk,
        source=ProposalState.PENDING,
        target=ProposalState.SUPERSEDED,
        user=user,
        note=f"{user.get_username()} changed its parameters",
    )
    if original.is_drill:  # revealed with that move; nothing is to come of it
        original.refresh_from_db()
        return original
    revision = proposal_create(draft=draft, situation=situation, requested_by=original.requested_by)
    Investigation.objects.filter(proposal=original).update(proposal=revision)
    audit_append(
        event="proposal.revised",
        actor=user.get_username(),
        obj=f"proposal:{original.pk}",
        payload={
            "by": revision.pk,
            "before": original.params,
            "after": revision.params,
            "digest": revision.digest,
        },
    )
    if wish is not None:
        locked = load(revision.pk)
        if objection_to(locked, user, requirement_now(locked)) is None:
            sign(locked, user, wish._replace(digest=locked.digest))
    revision.refresh_from_db()
    return revision
