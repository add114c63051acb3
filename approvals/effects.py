"""Measures what an executed proposal did: the point it promised to move, before and after.

If the point was already on the good side before the write (a fault caught early), reaching it
proves nothing, so the verdict waits for the end of the window and asks whether it stayed there.
Otherwise it is verified as soon as the point gets there. The read-backs (`confirm`, e.g. the unit
runs) must hold as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.catalogue import check_conditions
from approvals.models import Effect, EffectVerdict
from approvals.prediction import compared
from approvals.services.transitions import proposal_move
from approvals.situations import latest_measured
from approvals.states import ProposalState
from facilities import selectors

METER = "meter"


class Measurement(NamedTuple):
    """Where an effect stands. `verdict` is "" while the window is open and nothing is decided."""

    verdict: str
    after: float | None
    detail: str


def effect_measure(*, proposal_id: int) -> Measurement:
    """Look once. Closes the effect (succeeded → verified | no_effect) when there is a verdict."""
    effect = (
        Effect.objects.select_related("proposal")
        .filter(proposal_id=proposal_id, verdict="")
        .first()
    )
    if effect is None:
        return Measurement("", None, "no open effect")
    now = timezone.now()
    measurement = _judge(effect, now)
    if measurement.verdict:
        measurement = _with_prediction(effect, measurement, now)
        _close(effect, measurement, now)
    return measurement


def _judge(effect: Effect, now: datetime) -> Measurement:
    confirm = effect.proposal.expected_effect.get("confirm", [])
    values = latest_measured(tags=[effect.tag, *(c["tag"] for c in confirm)])
    unconfirmed = [c.detail for c in check_conditions(confirm, values, now=now) if not c.ok]
    measured = values.get(effect.tag)
    fresh = measured is not None and measured.ts > effect.started_at
    after = measured.value if measured is not None and fresh else None
    reached = after is not None and _good(effect, after) and not unconfirmed
    over = now >= effect.started_at + timedelta(seconds=effect.window_s)
    held_before = effect.before is not None and _good(effect, effect.before)
    goal = f"{effect.direction} {effect.threshold:g}"
    if reached and (over or not held_before):
        how = "stayed" if held_before else "is now"
        seconds = (now - effect.started_at).total_seconds()
        return Measurement(
            EffectVerdict.VERIFIED,
            after,
            f"{effect.tag} {how} {goal}: {_number(effect.before)} before, {after:g} after "
            f"{seconds:.0f} s",
        )
    if not over:
        return Measurement("", after, f"{effect.tag} at {_number(after)}, waiting for {goal}")
    reasons = unconfirmed or [f"{effect.tag} is {_number(after)}, not {goal}"]
    if after is None:
        reasons = [f"{effect.tag} sent no reading since the write"]
    return Measurement(
        EffectVerdict.NO_EFFECT,
        after,
        f"after {effect.window_s:.0f} s: {'; '.join(reasons)} ({_number(effect.before)} before)",
    )


def _with_prediction(effect: Effect, measurement: Measurement, now: datetime) -> Measurement:
    """The verdict's text says too how the measured value compares with what was predicted."""
    if measurement.after is None:
        return measurement
    clause = compared(
        effect.proposal.prediction,
        tag=effect.tag,
        after=measurement.after,
        seconds=(now - effect.started_at).total_seconds(),
    )
    return measurement._replace(detail=f"{measurement.detail}; {clause}") if clause else measurement


def _good(effect: Effect, value: float) -> bool:
    return value < effect.threshold if effect.direction == "below" else value > effect.threshold


def _number(value: float | None) -> str:
    return "no reading" if value is None else f"{value:g}"


def _close(effect: Effect, measurement: Measurement, now: datetime) -> None:
    series = selectors.point_series(tag=effect.tag, start=effect.started_at, end=now)
    values = series.usable()
    worst = max if effect.direction == "below" else min
    with transaction.atomic():
        closed = Effect.objects.filter(pk=effect.pk, verdict="").update(
            verdict=measurement.verdict,
            after=measurement.after,
            peak=worst(values) if values else measurement.after,
            measured_at=now,
            detail=measurement.detail,
        )
        if closed != 1:
            return
        proposal_move(
            proposal_id=effect.proposal_id,
            source=ProposalState.SUCCEEDED,
            target=(
                ProposalState.VERIFIED
                if measurement.verdict == EffectVerdict.VERIFIED
                else ProposalState.NO_EFFECT
            ),
            actor=METER,
            note=measurement.detail,
        )
        audit_append(
            event=f"effect.{measurement.verdict}",
            actor=METER,
            obj=f"proposal:{effect.proposal_id}",
            payload={
                "tag": effect.tag,
                "before": effect.before,
                "after": measurement.after,
                "threshold": effect.threshold,
                "window_s": effect.window_s,
            },
        )
