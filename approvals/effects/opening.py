"""An effect is opened with the success of an execution, and may be given up."""

from __future__ import annotations

from django.utils import timezone

from approvals.audit import audit_append
from approvals.models import Effect, EffectVerdict, Proposal
from approvals.services.transitions import proposal_move
from approvals.situations import latest_measured
from approvals.states import ProposalState

METER = "meter"
NOTHING_PROMISED = (
    "the action promises nothing that a point could show, so its effect is not measured"
)


def effect_open(*, proposal: Proposal) -> Effect:
    """Begin to measure; call it in the transaction that makes the proposal succeeded.

    A proposal that promises no point (`expected_effect.tag` is empty) is closed at once as
    cannot_tell, with a sentence that says so.
    """
    expected = proposal.expected_effect
    tag = expected.get("tag", "")
    before = latest_measured(tags=[tag]).get(tag) if tag else None
    effect = Effect.objects.create(
        proposal=proposal,
        tag=tag,
        unit=expected.get("unit", ""),
        direction=expected.get("direction", ""),
        threshold=expected.get("threshold", 0.0),
        window_s=expected.get("window_s", 0.0),
        started_at=timezone.now(),
        before=before.value if before else None,
    )
    if not tag:
        _close_untold(effect, NOTHING_PROMISED)
        proposal_move(
            proposal_id=proposal.pk,
            source=ProposalState.SUCCEEDED,
            target=ProposalState.CANNOT_TELL,
            actor=METER,
            note=NOTHING_PROMISED,
        )
    return effect


def effect_abandon(*, proposal_id: int, why: str) -> bool:
    """Stop measuring without a verdict of its own; the caller moves the proposal. False: there was
    nothing to stop."""
    effect = Effect.objects.filter(proposal_id=proposal_id, verdict="").first()
    return effect is not None and _close_untold(effect, why)


def _close_untold(effect: Effect, why: str) -> bool:
    closed = Effect.objects.filter(pk=effect.pk, verdict="").update(
        verdict=EffectVerdict.CANNOT_TELL, measured_at=timezone.now(), detail=why
    )
    if closed:
        audit_append(
            event=f"effect.{EffectVerdict.CANNOT_TELL}",
            actor=METER,
            obj=f"proposal:{effect.proposal_id}",
            payload={"tag": effect.tag, "detail": why},
        )
    return bool(closed)
