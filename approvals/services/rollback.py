"""Undoing what was written: an ordinary proposal, with a signature of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractUser
from django.utils import timezone

from approvals.audit import audit_append
from approvals.catalogue import Action
from approvals.errors import ConflictError, GateError, NotAllowedError, NotFoundError
from approvals.models import Proposal
from approvals.policy.requirement import Requirement
from approvals.services.proposals import ProposalDraft, proposal_create
from approvals.services.transitions import proposal_move
from approvals.situations import hall_of, latest_measured, situation_read
from approvals.states import LEGAL_TRANSITIONS, OPEN_STATES, ProposalState

log = logging.getLogger(__name__)

KIND = "roll_back"
S = ProposalState
CAN_ROLL_BACK = (S.SUCCEEDED, S.VERIFIED, S.NO_EFFECT, S.CANNOT_TELL, S.FAILED)
# By policy, these are put up for undoing without anybody asking. What cannot be told is no reason.
PROPOSED_ON = (S.NO_EFFECT, S.FAILED)
SWEEP_BACK = timedelta(hours=1)
# A setpoint is told apart from another to this share of its value (binary fractions, 32 bit floats).
SAME = 1e-6


class Undo(NamedTuple):
    """One point to write back: to `value`, from what the proposal wrote."""

    tag: str
    value: float
    written: float

    def as_dict(self) -> dict[str, Any]:
        return {"tag": self.tag, "value": self.value, "from": self.written}


class Undoing(NamedTuple):
    """What a rollback would write, and the points of which it knows no earlier value or that
    cannot be undone, as sentences."""

    writes: list[Undo]
    left: list[str]


def proposal_rollback(*, proposal_id: int, user: AbstractUser | None = None) -> Proposal:
    """Make the pending proposal that writes back what this one had replaced.

    Without a user the policy asks for it. Raises NotFoundError, NotAllowedError, ConflictError
    (`not_rollbackable`, `already_open`, `nothing_to_undo`, `changed_since`, and what
    `proposal_create` raises). Refusals of people are audited.
    """
    try:
        return _rollback(proposal_id, user)
    except GateError as error:
        if user is not None and error.status != 404:
            audit_append(
                event="rollback.denied",
                actor=user.get_username(),
                obj=f"proposal:{proposal_id}",
                payload={"status": error.status, "code": error.code, "detail": error.detail},
            )
        raise


def _rollback(proposal_id: int, user: AbstractUser | None) -> Proposal:
    original = Proposal.objects.select_related("execution", "effect").filter(pk=proposal_id).first()
    if original is None:
        raise NotFoundError(f"proposal {proposal_id} does not exist")
    if user is not None and not user.has_perm("approvals.add_proposal"):
        raise NotAllowedError(
            f"{user.get_username()} may not make proposals (needs approvals.add_proposal)"
        )
    refuse_not_rollbackable(original)
    values = latest_measured(tags=[write["tag"] for write in original.writes])
    undoing = undoing_of(original, {tag: measured.value for tag, measured in values.items()})
    if not undoing.writes:
        why = "; ".join(undoing.left) or "none of its writes was carried out"
        raise ConflictError(
            f"there is nothing to undo of proposal {proposal_id}: {why}", code="nothing_to_undo"
        )
    changed = [
        f"{undo.tag} was written {undo.written:g} by #{proposal_id} and is {values[undo.tag].value:g}"
        for undo in undoing.writes
        if undo.tag in values and not _same(values[undo.tag].value, undo.written)
    ]
    if changed:
        raise ConflictError(
            f"{'; '.join(changed)}: somebody changed it since. Propose the value that is right now.",
            code="changed_since",
        )
    place = hall_of(original.target)
    action = Action(
        KIND,
        original.target,
        {
            "of": original.pk,
            "title": original.title,
            "writes": [undo.as_dict() for undo in undoing.writes],
        },
    )
    return proposal_create(
        draft=ProposalDraft(
            action=action,
            rationale=_rationale(original, undoing, user),
            evidence=[_evidence(original)],
            risk=original.risk,
            rolls_back_id=original.pk,
        ),
        situation=situation_read(hall=place.hall if place else ""),
        requested_by=user,
    )


def refuse_not_rollbackable(original: Proposal) -> None:
    """Raise ConflictError where the proposal is not one whose writes can be undone now."""
    if original.state not in CAN_ROLL_BACK or getattr(original, "execution", None) is None:
        raise ConflictError(
            f"proposal {original.pk} is {original.get_state_display().lower()}: only what was "
            "written can be rolled back",
            code="not_rollbackable",
            state=original.state,
        )
    other = Proposal.objects.filter(rolls_back=original, state__in=OPEN_STATES).first()
    if other is not None:
        raise ConflictError(
            f"proposal {other.pk} to roll back {original.pk} is already "
            f"{other.get_state_display().lower()}; decide on that one",
            code="already_open",
            proposal=other.pk,
        )


def undoing_of(original: Proposal, values: Mapping[str, float]) -> Undoing:
    """What would have to be written now, in the reverse order of the writes.

    The earlier value is the driver's own word, else the reading right before the write, else what
    the catalogue had planned. A point that holds it again already is left out.
    """
    planned = {w["tag"]: w["value"] for w in original.expected_effect.get("rollback", [])}
    first: dict[str, float | None] = {}
    last: dict[str, float] = {}
    left = []
    for write in _carried_out(original.execution.writes):
        tag = write["tag"]
        if write.get("body") is not None:
            left.append(f"{tag} was an order, which cannot be taken back by writing")
            continue
        if write.get("read_back") is False:
            left.append(f"{tag} was a momentary command, which leaves nothing to write back")
            continue
        known = (write.get("previous"), write.get("before"), planned.get(tag))
        earlier = next((float(value) for value in known if value is not None), None)
        first.setdefault(tag, earlier)
        # A device that accepted one value and holds another has changed all the same.
        last[tag] = float(write["device_reads"] if write.get("changed") else write["value"])
    writes = []
    for tag in reversed(list(last)):
        if (was := first[tag]) is None:
            left.append(f"what {tag} was before is not known")
        elif _same(was, last[tag]):
            left.append(f"{tag} was {was:g} before, too")
        elif tag in values and _same(values[tag], was):
            left.append(f"{tag} is {was:g} again already")
        else:
            writes.append(Undo(tag, was, last[tag]))
    return Undoing(writes, left)


def _carried_out(writes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Writes that reached the plant, surely or perhaps."""
    return [
        w
        for w in writes
        if w["state"] in ("applied", "unknown") or w.get("maybe_applied") or w.get("changed")
    ]


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SAME * max(abs(one), abs(other), 1.0)


def _rationale(original: Proposal, undoing: Undoing, user: AbstractUser | None) -> str:
    effect = getattr(original, "effect", None)
    found = effect.detail if effect is not None and effect.verdict else original.execution.detail
    text = f"Undoes #{original.pk} ({original.title}): {original.get_state_display().lower()}."
    parts = [f"{text} {found.rstrip('.')}." if found else text]
    parts.append(f"Asked for by {user.get_username()}." if user else "The policy asks for it.")
    if undoing.left:
        parts.append(f"Not undone: {'; '.join(undoing.left)}.")
    return " ".join(parts)


def _evidence(original: Proposal) -> dict[str, Any]:
    effect = getattr(original, "effect", None)
    return {
        "kind": "rolls_back",
        "proposal": original.pk,
        "title": original.title,
        "state": original.state,
        "verdict": effect.verdict if effect else "",
        "detail": (effect.detail if effect else "") or original.execution.detail,
    }


def rollback_settle(*, proposal: Proposal) -> None:
    """What `proposal` undid is rolled back. Call it when `proposal` has succeeded, in the same
    transaction and before anything is audited in it; an effect still being measured is given up.
    """
    from approvals.effects import effect_abandon

    if proposal.rolls_back_id is None:
        raise ValueError(f"proposal {proposal.pk} rolls nothing back")
    original = Proposal.objects.select_for_update(no_key=True).get(pk=proposal.rolls_back_id)
    if (original.state, S.ROLLED_BACK) not in LEGAL_TRANSITIONS:
        log.warning("#%s was undone by #%s but is %s", original.pk, proposal.pk, original.state)
        return
    note = f"undone by #{proposal.pk}"
    if original.state == S.SUCCEEDED:
        effect_abandon(proposal_id=original.pk, why=f"{note} before there was a verdict")
    proposal_move(
        proposal_id=original.pk,
        source=original.state,
        target=S.ROLLED_BACK,
        actor="executor",
        note=note,
    )


def rollback_by_policy(*, proposal_id: int, verdict: str) -> Proposal | None:
    """Make the rollback that the signed requirement asks for after such an end; None: it does not,
    or it cannot be made (the log says why). Never raises a refusal.
    """
    if verdict not in PROPOSED_ON:
        return None
    proposal = Proposal.objects.get(pk=proposal_id)
    if proposal.rolls_back_id or proposal.rollbacks.exists():
        return None
    if Requirement.from_dict(proposal.requirement).rollback != "propose":
        return None
    try:
        return proposal_rollback(proposal_id=proposal_id)
    except GateError as error:
        log.info("no rollback of %s: %s", proposal_id, error.detail)
        return None


def rollbacks_propose() -> int:
    """Make up for what a dying worker left: those that the policy asks for and nobody has made."""
    waiting = Proposal.objects.filter(
        state__in=PROPOSED_ON,
        state_changed_at__gt=timezone.now() - SWEEP_BACK,
        requirement__rollback="propose",
        rollbacks__isnull=True,
        rolls_back__isnull=True,
        execution__isnull=False,
    ).values_list("pk", "state")
    return sum(
        rollback_by_policy(proposal_id=pk, verdict=state) is not None for pk, state in waiting
    )


def can_roll_back(proposal: Proposal) -> bool:
    """Whether the button is shown: it was written, and something of it can be undone. No query
    for rows of `selectors.proposals()`.
    """
    if proposal.state not in CAN_ROLL_BACK or getattr(proposal, "execution", None) is None:
        return False
    return bool(undoing_of(proposal, {}).writes)
