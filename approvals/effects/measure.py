"""Looks at one open effect, and closes it when there is a verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from approvals.audit import audit_append
from approvals.catalogue import check_conditions
from approvals.effects.opening import METER
from approvals.effects.read import (
    courses,
    mismatches,
    others_written,
    waits_for_confirmation,
    wrote_at,
)
from approvals.effects.record import recorded
from approvals.effects.verdict import Finding, Measurement, Question, judge
from approvals.models import Effect, EffectVerdict
from approvals.prediction import compared
from approvals.services.transitions import proposal_move
from approvals.situations import latest_measured
from approvals.states import ProposalState

__all__ = ["METER", "effect_measure"]

_STATES = {
    EffectVerdict.VERIFIED: ProposalState.VERIFIED,
    EffectVerdict.NO_EFFECT: ProposalState.NO_EFFECT,
    EffectVerdict.CANNOT_TELL: ProposalState.CANNOT_TELL,
}


def effect_measure(*, proposal_id: int) -> Measurement:
    """Look once. Closes the effect (succeeded → verified | no_effect | cannot_tell) when there is a
    verdict; safe to call often and at the same time.
    """
    effect = (
        Effect.objects.select_related("proposal__execution")
        .filter(proposal_id=proposal_id, verdict="")
        .first()
    )
    if effect is None:
        return Measurement("", None, "no open effect")
    now = timezone.now()
    since = wrote_at(effect)
    until = min(now, effect.started_at + timedelta(seconds=effect.window_s))
    own, siblings = courses(effect, since=since, until=now)
    question = _question(effect, since=since, until=until, now=now)
    made_at = effect.proposal.prediction.get("at")
    finding = judge(
        question,
        own,
        siblings,
        effect.proposal.prediction,
        wrote_after_s=_seconds_between(made_at, since),
    )
    if finding.verdict:
        finding = _with_prediction(effect, finding, now)
        if _close(effect, finding, now, recorded(finding, question, own, effect, since)):
            _afterwards(effect, finding)
    return Measurement(finding.verdict, finding.after, finding.detail)


def _question(effect: Effect, *, since: datetime, until: datetime, now: datetime) -> Question:
    confirm = effect.proposal.expected_effect.get("confirm", [])
    values = latest_measured(tags=[c["tag"] for c in confirm])
    unheld = [c.detail for c in check_conditions(confirm, values, now=now) if not c.ok]
    return Question(
        direction=effect.direction,
        threshold=effect.threshold,
        unit=effect.unit,
        window_s=effect.window_s + (effect.started_at - since).total_seconds(),
        elapsed_s=(now - since).total_seconds(),
        before=effect.before,
        unconfirmed=[*mismatches(effect), *unheld],
        disturbed=others_written(effect, since=since, until=until),
        wait_for_confirmation=waits_for_confirmation(effect),
    )


def _seconds_between(made_at: Any, since: datetime) -> float:
    """From the prediction to the writes; negative without a prediction's time."""
    moment = parse_datetime(made_at) if isinstance(made_at, str) else None
    return -1.0 if moment is None else (since - moment).total_seconds()


def _with_prediction(effect: Effect, finding: Finding, now: datetime) -> Finding:
    """The verdict's text says too how the measured value compares with what was predicted."""
    if finding.after is None:
        return finding
    clause = compared(
        effect.proposal.prediction,
        tag=effect.tag,
        after=finding.after,
        seconds=(now - effect.started_at).total_seconds(),
    )
    return replace(finding, detail=f"{finding.detail}; {clause}") if clause else finding


def _close(effect: Effect, finding: Finding, now: datetime, record: dict[str, Any]) -> bool:
    with transaction.atomic():
        closed = Effect.objects.filter(pk=effect.pk, verdict="").update(
            verdict=finding.verdict,
            after=finding.after,
            peak=record.pop("worst", None),
            measured_at=now,
            detail=finding.detail,
            estimate=finding.estimate,
            estimate_low=finding.low,
            estimate_high=finding.high,
            control=record,
        )
        if closed != 1:
            return False
        proposal_move(
            proposal_id=effect.proposal_id,
            source=ProposalState.SUCCEEDED,
            target=_STATES[EffectVerdict(finding.verdict)],
            actor=METER,
            note=finding.detail,
        )
        audit_append(
            event=f"effect.{finding.verdict}",
            actor=METER,
            obj=f"proposal:{effect.proposal_id}",
            payload={
                "tag": effect.tag,
                "before": effect.before,
                "after": finding.after,
                "threshold": effect.threshold,
                "window_s": effect.window_s,
                "estimate": finding.estimate,
                "interval": [finding.low, finding.high],
                "control": finding.control.name if finding.control else "",
                "doubts": list(finding.doubts),
            },
        )
    return True


def _afterwards(effect: Effect, finding: Finding) -> None:
    """By policy, what did not help is put up for undoing at once, as a proposal like any other."""
    from approvals.services.rollback import rollback_by_policy

    rollback_by_policy(proposal_id=effect.proposal_id, verdict=finding.verdict)
