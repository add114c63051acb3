"""What the point would have done without the writes. Pure: three controls, each with its doubt.

* ``siblings``: difference in differences. Of what the writes do not reach in the same hall, those
  that moved like this point before. Their changes are the distribution of the change that nothing
  had caused; the interval is Student's prediction interval of one more of them (Conley and Taber
  2011, one treated unit and many controls). Parallel courses before the writes are tested.
* ``twin``: the do-nothing course that was predicted and signed, anchored at the writes. Its band,
  and what it was off between the prediction and the writes, are its standard deviation.
* ``own``: the point stays as it was. The changes that it made over as long a time before the
  writes say how far that can be trusted (a placebo in time).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from approvals.effects.course import BIN_S, Course, Span

PRE_S: Final = 600.0
"""How long before the writes the courses are compared."""
LEAST_BINS: Final = 6
"""A minute of common readings, or courses cannot be compared (assumed)."""
LEAST_SIBLINGS, MOST_SIBLINGS = 4, 12
PLACEBO_LEVEL: Final = 0.95
_BAND_SIGMAS: Final = 2.563
"""Standard deviations of a normal distribution between its 10th and its 90th percentile."""
TWIN_DF: Final = 5.0
"""The band is made of six draws (`whatif.predict.DRAWS`)."""
DRIFT_GROWS: Final = 3.0
"""The twin's known error is carried on in proportion to time, this far at most (assumed)."""


@dataclass(frozen=True, slots=True)
class Control:
    """``change``: what the point would have done between the two times of the span; ``sd`` its
    standard deviation with ``df`` degrees of freedom. ``line``: its value at times (s, value, sd).
    """

    name: str
    change: float
    sd: float
    df: float
    note: str
    tags: tuple[str, ...] = ()
    line: tuple[tuple[float, float, float], ...] = ()

    def interval(self, estimate: float, level: float) -> tuple[float, float]:
        """Two-sided interval of measured less control."""
        half = quantile(level, self.df) * self.sd
        return estimate - half, estimate + half


def quantile(level: float, df: float) -> float:
    """Student's t for a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + level / 2))


def from_siblings(own: Course, others: Sequence[Course], span: Span) -> Control | None:
    """Difference in differences; None with fewer than ``LEAST_SIBLINGS`` that moved alike."""
    start, width = -PRE_S, max(BIN_S, own.gap_s)
    mine = own.bins(start, 0.0, width)
    alike = []
    for other in others:
        change = span.change(other)
        theirs = other.bins(start, 0.0, width)
        both = np.isfinite(mine) & np.isfinite(theirs)
        if change is None or both.sum() < LEAST_BINS:
            continue
        apart = (mine - theirs)[both]
        alike.append((float(np.std(apart)), other, change))
    alike.sort(key=lambda row: row[0])
    chosen = alike[:MOST_SIBLINGS]
    if len(chosen) < LEAST_SIBLINGS:
        return None
    pool = [course for _, course, _ in chosen]
    if _diverged(mine, [other.bins(start, 0.0, width) for other in pool]):
        return None
    changes = np.array([change for _, _, change in chosen])
    least = max(span.noise(own), float(np.mean([span.noise(other) for other in pool])))
    sd = max(float(changes.std(ddof=1)), least) * float(np.sqrt(1 + 1 / changes.size))
    return Control(
        "siblings",
        float(changes.mean()),
        sd,
        float(changes.size - 1),
        f"{changes.size} that the writes do not reach, of the same kind in the same hall",
        tuple(course.tag for course in pool),
        _common_line(own, pool, span),
    )


def _diverged(mine: Any, theirs: Sequence[Any]) -> bool:
    """Whether this point already went another way than the siblings before the writes: the same
    test as afterwards, between the two halves of the time before.
    """
    half = mine.size // 2
    with np.errstate(all="ignore"):
        moved = [float(np.nanmean(row[half:]) - np.nanmean(row[:half])) for row in (mine, *theirs)]
    if not np.isfinite(moved).all():
        # Too short a history for two halves: nothing speaks for parallel courses.
        finite = np.isfinite(mine)
        edge = int(np.argmax(finite)) + int(finite.sum()) // 2
        moved = [
            float(np.nanmean(row[edge:]) - np.nanmean(row[:edge]))
            if np.isfinite(row[:edge]).any()
            else np.nan
            for row in (mine, *theirs)
        ]
        if not np.isfinite(moved).all():
            return True
    others = np.array(moved[1:])
    sd = max(float(others.std(ddof=1)), 1e-9) * float(np.sqrt(1 + 1 / others.size))
    return abs(moved[0] - others.mean()) > quantile(PLACEBO_LEVEL, others.size - 1) * sd


def _common_line(
    own: Course, pool: Sequence[Course], span: Span
) -> tuple[tuple[float, float, float], ...]:
    """The siblings' mean course, moved to where this point was right before the writes."""
    anchor, width = span.before(own) or 0.0, max(BIN_S, own.gap_s)
    levels = [span.before(course) for course in pool]
    rows = np.array(
        [
            course.bins(0.0, span.end_s + width, width) - level
            for course, level in zip(pool, levels, strict=True)
            if level is not None
        ]
    )
    line = []
    for n, column in enumerate(rows.T):
        found = column[np.isfinite(column)]
        if found.size >= LEAST_SIBLINGS and (n + 0.5) * width <= span.end_s:
            spread = float(found.std(ddof=1) * np.sqrt(1 + 1 / found.size))
            line.append(((n + 0.5) * width, anchor + float(found.mean()), spread))
    return tuple(line)


def from_twin(
    own: Course, prediction: Mapping[str, Any], *, wrote_after_s: float, span: Span
) -> Control | None:
    """The signed do-nothing course, anchored at the writes, ``wrote_after_s`` after it was made;
    None without one, or where it ends before the span does.
    """
    if not prediction or prediction.get("problem") or prediction.get("tag") != own.tag:
        return None
    times, nothing = prediction["times_s"], prediction["nothing"]
    before, width = span.before(own), max(BIN_S, 2.5 * own.gap_s)
    # A point on its way is anchored where it was at the writes, not at its mean of a minute.
    anchor = own.mean(-width, 0.0)
    if before is None or anchor is None:
        return None
    if wrote_after_s < 0 or wrote_after_s + span.end_s > times[-1]:
        return None

    def at(seconds: float, name: str = "p50") -> float:
        return float(np.interp(wrote_after_s + seconds, times, nothing[name]))

    drift = _drift(own, at, wrote_after_s, span)

    def spread(seconds: float) -> float:
        band = (at(seconds, "p90") - at(seconds, "p10")) / _BAND_SIGMAS
        grown = min(seconds / wrote_after_s, DRIFT_GROWS) if wrote_after_s > 0 else 0.0
        return float(np.hypot(max(band, 0.0), drift * grown))

    late = span.end_s - span.settle_s / 2
    moments = np.linspace(0.0, span.end_s, 25)
    fit = prediction.get("fit", {}).get("verdict", "unknown")
    return Control(
        "twin",
        anchor + at(late) - at(-min(width, wrote_after_s) / 2) - before,
        float(np.hypot(spread(late), span.noise(own))),
        TWIN_DF,
        f"the twin's course without the writes, predicted {wrote_after_s:.0f} s before them"
        + ("" if fit == "fit" else f" (the twin was {fit})"),
        (),
        tuple((float(s), anchor + at(s) - at(0.0), spread(float(s))) for s in moments),
    )


def _drift(own: Course, at: Any, wrote_after_s: float, span: Span) -> float:
    """How far the twin's course and the point went apart between the prediction and the writes."""
    if wrote_after_s < 2 * BIN_S:
        return 0.0
    width = max(BIN_S, 2.5 * own.gap_s)
    first = own.mean(-wrote_after_s - width / 2, -wrote_after_s + width / 2)
    last = own.mean(-width, 0.0)
    if first is None or last is None:
        return 0.0
    return abs((last - first) - (at(-width / 2) - at(-wrote_after_s)))


def from_past(own: Course, span: Span) -> Control | None:
    """As it was before; None with less than a minute of readings before the writes."""
    before = own.bins(-PRE_S, 0.0, width := max(BIN_S, own.gap_s))
    finite = np.flatnonzero(np.isfinite(before))
    if finite.size < 3 or (finite.size < LEAST_BINS and own.gap_s < BIN_S):
        return None
    before = before[finite[0] :]
    length = before.size * width
    lag = max(round(min(span.end_s, length / 3) / width), 1)
    steps = before[lag:] - before[:-lag]
    steps = steps[np.isfinite(steps)]
    if not steps.size:
        return None
    apart = max(length / (lag * width) - 1, 1.0)
    # Over a longer time than was seen a level may wander further: as a random walk does.
    sd = float(np.sqrt(np.mean(steps**2)) * np.sqrt(max(span.end_s / (lag * width), 1.0)))
    sd = max(sd, span.noise(own))
    level = span.before(own)
    line: tuple[tuple[float, float, float], ...] = ()
    if level is not None:
        line = tuple((s, level, sd * (s / span.end_s) ** 0.5) for s in (0.0, span.end_s))
    return Control(
        "own", 0.0, sd, float(max(np.floor(apart), 2.0)), "the point's own course before", (), line
    )
