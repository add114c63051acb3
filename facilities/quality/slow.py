"""The slow tests of one point over its last minutes. Pure: arrays and facts in, findings out.

Gap, timeliness, sampling jitter, quantisation, flat line (again, over complete data), attenuation.
Redundancy and drift compare points and live in ``peers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from facilities.ingest.samples import Floats, Times
from facilities.quality import limits as defaults
from facilities.quality.verdict import (
    FAIL,
    GOOD,
    MISSING,
    SUSPECT,
    UNKNOWN,
    Finding,
    Scores,
    Verdict,
)

Stored = npt.NDArray[np.int16]
"""Flags as the readings table has them."""

LATE_INTERVALS: Final = 2.0
"""A reading is on time when it arrives within this many sampling intervals; assumed."""
LATE_MIN_S: Final = 5.0
"""... or within this, whichever is longer; assumed."""
LATE_SHARE: Final = 0.5
"""Share of readings on time below which the point's timeliness is suspect; assumed."""
JITTER_SHARE: Final = 0.5
"""Mean deviation from the sampling interval, as a share of it, that is suspect; assumed."""
GAP_SHARE: Final = 0.1
"""Share of the window lost in gaps that is suspect when they come again and again; assumed."""
GAP_TIMES: Final = 3
"""Gaps in the window from which on a point comes and goes; one outage that is over costs
completeness and nothing else; assumed."""
COARSE: Final = 1.5
"""Observed step over declared precision that is suspect: the next step of a decimal instrument is
2 or more; assumed."""
MIN_CHANGES: Final = 8
"""Changes of value needed to know an instrument's step or activity; assumed."""
ATTENUATED: Final = 0.1
"""Mean change between readings, as a share of what is usual, that is suspect; assumed."""
ATTENUATED_STEPS: Final = 1.5
"""Usual mean change, in steps of the precision, below which noise alone moves the value; assumed."""
ATTENUATED_RUNS: Final = 10
"""Runs that learn the usual before it is judged; assumed."""
LEVEL_S: Final = 60.0
"""Seconds whose median is compared with other sensors, quick enough for drift; assumed."""
LEVEL_INTERVALS: Final = 5.0
"""... or this many sampling intervals, whichever is longer; assumed."""
LEARN: Final = 0.05
"""Weight of a new run in what is usual; assumed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is declared of a point and what earlier runs learned. NaN: not declared."""

    point_id: int
    unit: str
    low: float
    high: float
    precision: float
    interval_s: float
    gap_s: float
    is_state: bool
    flat_suspect_s: float
    flat_fail_s: float
    flat_floor_s: float
    run_us: int | None = None
    longest_run_s: float = 0.0
    changes: int = 0
    judged_us: int = 0
    """End of the last run; what it saw is not learned twice."""
    memory: dict[str, Any] = field(default_factory=dict)


def judge(
    facts: Facts,
    ts_us: Times,
    value: Floats,
    flag: Stored,
    delay_s: Floats,
    *,
    begin_us: int,
    end_us: int,
    refused: int = 0,
) -> Verdict:
    """Findings and scores from the point's readings with begin < ts <= end, in time order.

    ``refused`` counts its items in quarantine of that time, which cost validity.
    """
    verdict = Verdict(facts.point_id, memory=dict(facts.memory), readings=len(ts_us))
    verdict.run_us, verdict.changes = facts.run_us, facts.changes
    verdict.longest_run_s = facts.longest_run_s
    if not len(ts_us):
        verdict.findings["gap"] = _silent(facts, begin_us, end_us)
        verdict.scores = _no_scores(facts)
        return verdict
    gaps_s = np.diff(ts_us) * 1e-6
    verdict.last_us = int(ts_us[-1])
    verdict.flagged = int(((flag == SUSPECT) | (flag == FAIL)).sum())
    verdict.delay_s = float(delay_s.mean())
    verdict.interval_s = float(np.median(gaps_s)) if len(gaps_s) else None
    verdict.level = _level(facts, ts_us, value, end_us)
    verdict.findings["gap"] = _gap(facts, verdict, ts_us, gaps_s, begin_us, end_us)
    verdict.findings["timeliness"] = _timeliness(facts, verdict, delay_s)
    verdict.findings["jitter"] = _jitter(facts, gaps_s)
    if not facts.is_state:
        moves = np.abs(np.diff(value))
        verdict.findings["quantisation"] = _quantisation(facts, verdict, moves)
        verdict.findings["flat_line"] = _flat(facts, verdict, ts_us, value)
        verdict.findings["attenuated"] = _attenuated(facts, verdict, moves, value)
    total = verdict.readings + refused
    verdict.scores.validity = (verdict.readings - verdict.flagged) / total
    verdict.findings["stream"] = _stream(verdict, flag)
    return verdict


def _level(facts: Facts, ts_us: Times, value: Floats, end_us: int) -> float | None:
    """Median of the last moments, for the comparison with other sensors; None after a silence."""
    interval = facts.interval_s if np.isfinite(facts.interval_s) else 0.0
    span_s = max(LEVEL_S, LEVEL_INTERVALS * interval)
    recent = value[ts_us > end_us - round(span_s * 1e6)]
    return float(np.median(recent)) if len(recent) else None


def _no_scores(facts: Facts) -> Scores:
    return Scores(completeness=0.0) if np.isfinite(facts.interval_s) else Scores()


def _silent(facts: Facts, begin_us: int, end_us: int) -> Finding:
    since = (end_us - begin_us) / 60e6
    if not facts.judged_us and facts.run_us is None:
        return Finding(MISSING, "No reading has ever arrived; check the source and its converter.")
    return Finding(MISSING, f"No reading in the last {since:.0f} min; check the source.")


def _gap(
    facts: Facts, verdict: Verdict, ts_us: Times, gaps_s: Floats, begin_us: int, end_us: int
) -> Finding:
    """Silence now is *missing*; gaps inside the window cost completeness."""
    # Before its first reading nothing was expected of the point.
    first_us = int(verdict.memory.setdefault("first_us", int(ts_us[0])))
    from_us = max(begin_us, first_us)
    silence_s = (end_us - int(ts_us[-1])) * 1e-6
    if np.isfinite(facts.interval_s):
        verdict.expected = max((end_us - from_us) * 1e-6 / facts.interval_s, 1.0)
        verdict.scores.completeness = min(verdict.readings / verdict.expected, 1.0)
    if silence_s > facts.gap_s:
        return Finding(
            MISSING,
            f"Silent for {silence_s:.0f} s, allowed are {facts.gap_s:.0f} s; check the source.",
        )
    long = gaps_s[gaps_s > facts.gap_s]
    if not len(long):
        return Finding(GOOD, "No gap.")
    lost_s = float(long.sum())
    share = lost_s / max((end_us - from_us) * 1e-6, 1.0)
    said = (
        f"{len(long)} gap{'s' if len(long) > 1 else ''} in the window, {lost_s:.0f} s lost, the longest "
        f"{long.max():.0f} s."
    )
    return Finding(SUSPECT if share > GAP_SHARE and len(long) >= GAP_TIMES else GOOD, said)


def _timeliness(facts: Facts, verdict: Verdict, delay_s: Floats) -> Finding:
    interval = facts.interval_s if np.isfinite(facts.interval_s) else 0.0
    allowed_s = max(LATE_INTERVALS * interval, LATE_MIN_S)
    on_time = float(((delay_s <= allowed_s) & (delay_s >= -defaults.AHEAD_S)).mean())
    verdict.scores.timeliness = on_time
    ahead = int((delay_s < -defaults.AHEAD_S).sum())
    if ahead:
        return Finding(
            SUSPECT,
            f"{ahead} readings come from up to {-delay_s.min():.0f} s ahead; check the source's clock.",
        )
    said = f"{on_time:.0%} arrive within {allowed_s:g} s, on average after {delay_s.mean():.2f} s."
    return Finding(SUSPECT if on_time < LATE_SHARE else GOOD, said)


def _jitter(facts: Facts, gaps_s: Floats) -> Finding:
    if not np.isfinite(facts.interval_s) or len(gaps_s) < MIN_CHANGES:
        return Finding(UNKNOWN, "Needs a declared sampling interval and nine readings.")
    # A lost reading is a gap, not jitter: whole intervals are taken away first.
    rest = gaps_s - facts.interval_s * np.maximum(np.rint(gaps_s / facts.interval_s), 1.0)
    jitter = float(np.abs(rest).mean()) / facts.interval_s
    said = f"Readings deviate {jitter:.0%} of the interval of {facts.interval_s:g} s."
    return Finding(SUSPECT if jitter > JITTER_SHARE else GOOD, said)


def _quantisation(facts: Facts, verdict: Verdict, moves: Floats) -> Finding:
    """The smallest change seen against the declared precision."""
    if not facts.precision > 0:
        return Finding(UNKNOWN, "No precision is declared.")
    real = moves[moves > facts.precision * 1e-3]
    if len(real) < MIN_CHANGES:
        return Finding(UNKNOWN, f"{len(real)} changes seen, {MIN_CHANGES} are needed.")
    step = float(real.min())
    verdict.scores.precision = min(facts.precision / step, 1.0)
    said = f"Smallest step seen {step:.4g} {facts.unit}, declared {facts.precision:g}.".replace(
        " ,", ","
    )
    return Finding(SUSPECT if step > COARSE * facts.precision else GOOD, said)


def _flat(facts: Facts, verdict: Verdict, ts_us: Times, value: Floats) -> Finding:
    """As in the stream, over all readings that were stored, whichever process took them."""
    half = facts.precision * 0.5 if facts.precision > 0 else 0.0
    moved = np.flatnonzero(np.abs(np.diff(value)) > half) + 1
    gap_at = np.flatnonzero(np.diff(ts_us) * 1e-6 > facts.gap_s) + 1
    begins = np.union1d(moved, gap_at)
    if len(begins):
        verdict.run_us = int(ts_us[begins[-1]])
    elif facts.run_us is None or ts_us[0] * 1e-6 - facts.judged_us * 1e-6 > facts.gap_s:
        verdict.run_us = int(ts_us[0])
    run_us = verdict.run_us if verdict.run_us is not None else int(ts_us[0])
    usual_s = max(facts.flat_floor_s, facts.longest_run_s * defaults.FLAT_FACTOR)
    _learn_runs(facts, verdict, ts_us, value, moved, usual_s)
    run_s = (int(ts_us[-1]) - run_us) * 1e-6
    now = float(value[-1])
    if np.isfinite(facts.flat_suspect_s):
        suspect_s, fail_s, why = facts.flat_suspect_s, facts.flat_fail_s, "declared"
    elif now == 0.0 or now <= facts.low or now >= facts.high:
        return Finding(GOOD, "At zero or at an end of its range, where a value may stand still.")
    elif facts.changes < defaults.FLAT_LEARNED:
        return Finding(UNKNOWN, f"{facts.changes} changes seen; it may be a value that stands.")
    else:
        suspect_s, fail_s = usual_s, usual_s * defaults.FLAT_FACTOR
        why = f"its longest usual time is {facts.longest_run_s:.0f} s"
    said = f"Has not moved for {run_s:.0f} s (limit {suspect_s:.0f} s: {why})."
    if run_s >= fail_s:
        return Finding(FAIL, said)
    return Finding(SUSPECT if run_s >= suspect_s else GOOD, said)


def _learn_runs(
    facts: Facts, verdict: Verdict, ts_us: Times, value: Floats, moved: Times, usual_s: float
) -> None:
    """Completed runs since the last verdict, at most as long as was unsuspicious so far."""
    fresh = moved[ts_us[moved] > facts.judged_us]
    verdict.changes = facts.changes + len(fresh)
    if len(fresh) < 1:
        return
    edges = np.concatenate([moved[moved < fresh[0]][-1:], fresh])
    if len(edges) < 2:
        return
    lasted = np.diff(ts_us[edges]) * 1e-6
    held = value[edges[:-1]]
    live = (held != 0.0) & (held > facts.low) & (held < facts.high)
    if live.any():
        longest = float(lasted[live].max())
        if facts.changes >= defaults.FLAT_LEARNED:
            longest = min(longest, usual_s)
        verdict.longest_run_s = max(verdict.longest_run_s, longest)


def _attenuated(facts: Facts, verdict: Verdict, moves: Floats, value: Floats) -> Finding:
    """How lively the value is against what is usual for it."""
    if not facts.precision > 0 or len(moves) < 2 * MIN_CHANGES:
        return Finding(UNKNOWN, "Needs a declared precision and seventeen readings.")
    activity = float(moves.mean())
    usual = float(facts.memory.get("activity", activity))
    runs = int(facts.memory.get("runs", 0))
    low = activity < ATTENUATED * usual
    idle = bool((value == 0.0).mean() > 0.5)
    if not idle and not low:  # what is suspect is not taken for usual
        verdict.memory["activity"] = usual + (activity - usual) * max(LEARN, 1.0 / (runs + 1))
        verdict.memory["runs"] = runs + 1
    if idle:
        return Finding(GOOD, "At zero, where nothing moves.")
    if runs < ATTENUATED_RUNS:
        return Finding(UNKNOWN, f"{runs} of {ATTENUATED_RUNS} runs seen to know what is usual.")
    if usual < ATTENUATED_STEPS * facts.precision:
        return Finding(UNKNOWN, "Usually moves within its own noise; nothing to compare with.")
    said = f"Moves {activity:.3g} {facts.unit} from reading to reading, usually {usual:.3g}."
    return Finding(SUSPECT if low else GOOD, said)


def _stream(verdict: Verdict, flag: Stored) -> Finding:
    """What the streaming tests said of these readings."""
    if not verdict.flagged:
        return Finding(GOOD, "No reading was flagged as it came in.")
    share = verdict.flagged / verdict.readings
    said = f"{verdict.flagged} of {verdict.readings} readings were flagged as they came in."
    newest = int(flag[-1])
    return Finding(newest if newest in (SUSPECT, FAIL) else SUSPECT if share > 0.02 else GOOD, said)
