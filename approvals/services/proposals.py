"""Proposals come into being here, and run out here."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from jsonschema import Draft202012Validator

from approvals.audit import AGENT, SYSTEM, audit_append
from approvals.blast import blast_radius
from approvals.canonical import iso_utc
from approvals.catalogue import KINDS, Action, ActionKind, action_read, check_conditions
from approvals.catalogue.situation import Situation
from approvals.errors import ConflictError, GateError, InvalidActionError, NotAllowedError
from approvals.honesty.drills import drill_make_way
from approvals.live import push_proposal
from approvals.models import AgentAccess, Proposal
from approvals.policy.evaluate import denials, requirement_for
from approvals.policy.requirement import Denial, Subject
from approvals.policy.staffing import second_person_holds, shortages
from approvals.prediction import predictions_make
from approvals.services.transitions import proposal_move
from approvals.situations import asset_name, hall_of, situation_read
from approvals.states import OPEN_STATES, ProposalState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """What the proposer brings: a validated action and why. The rest follows from the catalogue."""

    action: Action
    rationale: str
    citations: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    alarm_id: int | None = None
    prediction: dict[str, Any] = field(default_factory=dict)
    case: dict[str, Any] = field(default_factory=dict)
    risk: str = ""  # "": the kind's own
    revises: Proposal | None = None
    edited_by: AbstractUser | None = None
    rolls_back_id: int | None = None
    is_drill: bool = False


def proposal_create(
    *, draft: ProposalDraft, situation: Situation, requested_by: AbstractUser | None = None
) -> Proposal:
    """Store a proposal and put it in front of people (draft → simulated → pending in one
    transaction).

    Raises ConflictError `already_open` (with the other's id) when one for the same kind and target
    is still open, and `denied` when the policy forbids to propose it now.
    """
    kind, action = KINDS[draft.action.kind], draft.action
    now = timezone.now()
    subject = subject_of(
        action=action, author=author_of(requested_by), situation=situation, risk=draft.risk
    )
    if not draft.is_drill:
        refuse_denied(denials(subject=subject, at=now, step="propose"))
    requirement = requirement_for(subject=subject, at=now)
    proposal = Proposal(
        kind=kind.name,
        target=action.target,
        title=kind.sentence(action, asset_name(action.target)),
        params=dict(action.params),
        writes=[w.as_dict() for w in kind.writes(action, situation)],
        steps=kind.steps(action, situation),
        rationale=draft.rationale,
        citations=draft.citations,
        evidence=draft.evidence,
        expected_effect=kind.effect(action, situation).as_dict(),
        prediction=draft.prediction,
        preconditions=[c.as_dict() for c in kind.conditions(action, situation)],
        risk=subject.risk,
        case=draft.case,
        blast_radius=dict(subject.blast_radius),
        requirement=requirement.as_dict(),
        requested_by_id=requested_by.pk if requested_by else None,
        revises=draft.revises,
        revision=draft.revises.revision + 1 if draft.revises else 1,
        edited_by_id=draft.edited_by.pk if draft.edited_by else None,
        rolls_back_id=draft.rolls_back_id,
        is_drill=draft.is_drill,
        alarm_id=draft.alarm_id,
        created_at=now,
        state_changed_at=now,
        expires_at=now + timedelta(seconds=requirement.approval_valid_s),
    )
    proposal.digest = proposal.computed_digest()
    by = draft.edited_by or requested_by
    author = by.get_username() if by else AGENT
    try:
        with transaction.atomic():
            if subject.author == "outside" and draft.edited_by is None:
                _has_share_left(requested_by, locked=True)
            if not draft.is_drill:
                drill_make_way(kind=kind.name, target=action.target)
            proposal.save(force_insert=True)
            audit_append(
                event="proposal.created",
                actor=author,
                obj=f"proposal:{proposal.pk}",
                payload={"digest": proposal.digest, **proposal.payload()},
            )
            for source, target in (
                (ProposalState.DRAFT, ProposalState.SIMULATED),
                (ProposalState.SIMULATED, ProposalState.PENDING),
            ):
                proposal_move(
                    proposal_id=proposal.pk,
                    source=source,
                    target=target,
                    user=by,
                    actor=author,
                    note=_simulated(draft) if target == ProposalState.SIMULATED else "",
                )
    except IntegrityError as error:
        other = open_proposal(kind=kind.name, target=action.target)
        if other is None:
            raise
        raise ConflictError(
            f"proposal {other.pk} for {kind.name} on {action.target} is already {other.state}; "
            "decide on that one",
            code="already_open",
            proposal=other.pk,
        ) from error
    proposal.refresh_from_db()
    return proposal


def _simulated(draft: ProposalDraft) -> str:
    if not draft.prediction:
        return "the twin was not asked"
    return str(draft.prediction.get("problem") or draft.prediction.get("sentence") or "")


def author_of(user: AbstractUser | None) -> str:
    """Who asks, as policy rules name it: agent, outside (an agent with a token) or person."""
    if user is None:
        return "agent"
    return "outside" if hasattr(user, "agent_access") else "person"


def subject_of(*, action: Action, author: str, situation: Situation, risk: str = "") -> Subject:
    """An action as the policy sees it; `risk` where it is not the kind's own."""
    kind = KINDS[action.kind]
    return Subject(
        kind=kind.name,
        target=action.target,
        target_kind=situation.kind_of(action.target) or kind.target_kind,
        hall=situation.hall,
        risk=risk or kind.risk_of(action, situation),
        author=author,
        blast_radius=blast_radius(
            action=action, writes=kind.writes(action, situation), situation=situation
        ),
    )


def refuse_denied(found: Sequence[Denial]) -> None:
    """Raise ConflictError `denied` with every sentence, and when the last of them ends."""
    if not found:
        return
    ends = [one.until for one in found]
    raise ConflictError(
        " ".join(one.sentence for one in found),
        code="denied",
        until=None if None in ends else iso_utc(max(end for end in ends if end is not None)),
        denials=[
            {
                "code": one.code,
                "sentence": one.sentence,
                "until": iso_utc(one.until) if one.until else None,
                "can_break_glass": one.can_break_glass,
            }
            for one in found
        ],
    )


def proposal_request(
    *, user: AbstractUser, kind: str, target: str, params: dict[str, Any], rationale: str
) -> Proposal:
    """An operator's own proposal. The same checks as the agent's; the requester cannot sign it.

    Raises NotAllowedError, InvalidActionError (400: kind, target, limits) or ConflictError (409: a
    precondition fails now, an equal one is open, or `nobody_left` for a procedure's holds).
    Refusals are audited.
    """
    try:
        if not user.has_perm("approvals.add_proposal"):
            raise NotAllowedError(
                f"{user.get_username()} may not make proposals (needs approvals.add_proposal)"
            )
        _has_share_left(user)
        action, situation = action_validate(kind=kind, target=target, params=params)
        refuse_unmet(action, situation)
        refuse_unstaffed(action, situation, without=[user.pk])
        [predicted] = predictions_make(actions=[action], situation=situation)
        draft = ProposalDraft(action=action, rationale=rationale.strip(), prediction=predicted)
        return proposal_create(draft=draft, situation=situation, requested_by=user)
    except GateError as error:
        audit_append(
            event="proposal.denied",
            actor=user.get_username(),
            obj=f"action:{kind[:40]}:{target[:60]}",
            payload={
                "params": params,
                "status": error.status,
                "code": error.code,
                "detail": error.detail,
            },
        )
        raise


def _has_share_left(user: AbstractUser | None, *, locked: bool = False) -> None:
    """Raise QuotaError when an outside agent made its proposals of the hour, through whichever
    door. `locked`: its calls at once wait for one another until the transaction ends.
    """
    from approvals.outside.access import agent_may_propose

    found = AgentAccess.objects.filter(account_id=user.pk if user else None)
    access = (found.select_for_update(no_key=True) if locked else found).first()
    if access is not None:
        agent_may_propose(access=access)


def refuse_unmet(action: Action, situation: Situation) -> None:
    """Raise ConflictError `precondition_failed` when one of the action's conditions fails now."""
    checked = check_conditions(
        (c.as_dict() for c in KINDS[action.kind].conditions(action, situation)),
        situation.values,
        now=timezone.now(),
    )
    failed = [c for c in checked if not c.ok]
    if failed:
        raise ConflictError(
            "; ".join(c.detail for c in failed),
            code="precondition_failed",
            preconditions=[c.as_dict() for c in checked],
        )


def refuse_unstaffed(action: Action, situation: Situation, *, without: Collection[int]) -> None:
    """Raise ConflictError `nobody_left` when a hold of the procedure needs a second person and none
    would be left: it would stop half-way.
    """
    steps = KINDS[action.kind].steps(action, situation)
    if not second_person_holds(steps):
        return
    subject = subject_of(action=action, author="person", situation=situation)
    asked = requirement_for(subject=subject, at=timezone.now())
    lacking = shortages(requirement=asked, risk=subject.risk, steps=steps, without=without)
    if texts := [one.text for one in lacking if one.code == "holds"]:
        raise ConflictError(" ".join(texts), code="nobody_left")


def action_validate(*, kind: str, target: str, params: dict[str, Any]) -> tuple[Action, Situation]:
    """Turn untrusted words into an Action of the catalogue, or raise InvalidActionError saying what
    would be right.
    """
    if kind not in KINDS:
        raise InvalidActionError(
            f"action {kind!r} is not in the catalogue; known are {', '.join(sorted(KINDS))}"
        )
    chosen = KINDS[kind]
    if chosen.is_internal:
        raise InvalidActionError(
            f"{kind} is not proposed by hand: it comes from POST /api/v1/proposals/{{id}}/rollback"
        )
    situation = situation_read(hall=_hall_for(chosen, target), procedures=chosen.needs_procedures)
    try:
        schema = chosen.schema(target, situation)
    except KeyError as error:
        raise InvalidActionError(
            f"{target} has no writable point {error.args[0]}, so {kind} cannot act on it"
        ) from error
    problems = sorted(Draft202012Validator(schema).iter_errors(params), key=lambda e: list(e.path))
    if problems:
        where = ".".join(str(part) for part in problems[0].path) or "params"
        raise InvalidActionError(
            f"{kind} on {target}: {where}: {problems[0].message}", schema=schema
        )
    action = action_read(kind, target, params, schema)
    missing = [
        w.tag
        for w in chosen.writes(action, situation)
        if w.body is None and w.tag not in situation.limits
    ]
    if missing:
        raise InvalidActionError(
            f"{target} has no writable point {missing[0]}, so {kind} cannot act on it"
        )
    return action, situation


def _hall_for(kind: ActionKind, target: str) -> str:
    found = hall_of(target)
    if found is None or not kind.acts_on(found.kind):
        what = "is not an asset" if found is None else f"is a {found.kind}"
        raise InvalidActionError(
            f"target {target!r} {what}; {kind.name} acts on a {kind.target_kind}"
        )
    return found.hall


def open_proposal(*, kind: str, target: str) -> Proposal | None:
    return Proposal.objects.filter(kind=kind, target=target, state__in=OPEN_STATES).first()


def proposal_attach_alarm(*, proposal_id: int, evidence: dict[str, Any]) -> None:
    """Add a further alarm of the same cause to an open proposal (outside its digest).

    Same alarm twice is one.
    """
    with transaction.atomic():
        proposal = Proposal.objects.select_for_update(no_key=True).get(pk=proposal_id)
        if any(item.get("alarm") == evidence.get("alarm") for item in proposal.evidence):
            return
        proposal.evidence = [*proposal.evidence, evidence]
        proposal.save(update_fields=["evidence"])
        audit_append(
            event="proposal.evidence_added",
            actor=AGENT,
            obj=f"proposal:{proposal_id}",
            payload=evidence,
        )
        push_proposal(proposal_id=proposal_id, event=proposal.state)


def proposal_expire_due() -> int:
    """Expire what nobody signed in time, each in its own transaction. Returns how many.

    Touches no plant.
    """
    due = Proposal.objects.filter(state=ProposalState.PENDING, expires_at__lte=timezone.now())
    expired = 0
    for proposal_id in due.values_list("pk", flat=True):
        try:
            proposal_move(
                proposal_id=proposal_id,
                source=ProposalState.PENDING,
                target=ProposalState.EXPIRED,
                actor=SYSTEM,
                note="nobody decided in time",
            )
            expired += 1
        except ConflictError:
            log.info("proposal %s was decided while it was about to expire", proposal_id)
    return expired
