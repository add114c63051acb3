"""What is kept of a verdict: every control with its interval, and the courses, for a drawing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np

from approvals.canonical import iso_utc
from approvals.effects.control import Control, quantile
from approvals.effects.course import BIN_S, JUST_AFTER, Course
from approvals.effects.verdict import LEVEL, Finding, Question
from approvals.models import Effect
from approvals.prediction import expected_at

SHOWN_BEFORE_S: Final = 180.0
MOMENTS: Final = 60


def recorded(
    finding: Finding, question: Question, own: Course, effect: Effect, since: datetime
) -> dict[str, Any]:
    """JSON of `Effect.control`: {used, controls: {name: …}, doubts, wrote_at, course, worst}."""
    late = own.between(JUST_AFTER, question.elapsed_s)
    worst = None
    if late.size:
        worst = float(late.max() if question.direction == "below" else late.min())
    change = None
    if finding.estimate is not None and finding.control is not None:
        change = finding.estimate + finding.control.change
    return {
        "used": finding.control.name if finding.control else "",
        "controls": {control.name: _control(control, change) for control in finding.controls},
        "doubts": list(finding.doubts),
        "good": int(late.size),
        "bad": own.bad,
        "wrote_at": iso_utc(since),
        "course": _course(finding, question, own, effect, since),
        "worst": worst,
    }


def _control(control: Control, change: float | None) -> dict[str, Any]:
    estimate = None if change is None else change - control.change
    low, high = (None, None) if estimate is None else control.interval(estimate, LEVEL)
    return {
        "change": _round(control.change),
        "sd": _round(control.sd),
        "df": control.df,
        "estimate": _round(estimate),
        "low": _round(low),
        "high": _round(high),
        "note": control.note,
        "tags": list(control.tags),
    }


def _course(
    finding: Finding, question: Question, own: Course, effect: Effect, since: datetime
) -> dict[str, Any]:
    """Seconds after the first write and values: measured, control with band, what was predicted."""
    span = SHOWN_BEFORE_S + question.elapsed_s
    width = max(span / MOMENTS, min(BIN_S / 2, own.gap_s))
    values = own.bins(-SHOWN_BEFORE_S, question.elapsed_s + width, width)
    times = -SHOWN_BEFORE_S + (np.arange(values.size) + 0.5) * width
    shown = np.isfinite(values) & (times <= question.elapsed_s + width / 2)
    predicted = [
        (seconds, at)
        for seconds in np.linspace(0.0, question.elapsed_s, 20)
        if effect.proposal.prediction.get("tag") == own.tag
        and (at := expected_at(effect.proposal.prediction, float(seconds))) is not None
    ]
    control = finding.control
    half = quantile(LEVEL, control.df) if control else 0.0
    return {
        "t": [_round(t) for t in times[shown]],
        "measured": [_round(v) for v in values[shown]],
        "control": [
            [_round(t), _round(v), _round(v - half * sd), _round(v + half * sd)]
            for t, v, sd in (control.line if control else ())
        ],
        "predicted": [
            [_round(float(t)), _round(at.middle), _round(at.low), _round(at.high)]
            for t, at in predicted
        ],
    }


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
