"""The one call that answers "what moved with this point": page, API, alarm and agent use it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from facilities.models import Alarm, Point

from . import fetch
from .core import Floats, Lagged, changes, lagged
from .explain import overlay, sentence
from .plant import Known, known_points
from .significance import (
    certain_part,
    effective_pairs,
    false_discovery,
    p_values,
    proximity,
)

SHORTEST_S: Final = 120.0
LONGEST_S: Final = 6 * 3600.0
SCREEN_FROM_S: Final = 1_800.0
"""Windows from here on are screened by minute; shorter ones by ten seconds."""
FINE_STEPS: Final = 360
CANDIDATES: Final = 150
"""Points that are looked at closely after the screening. assumed"""
DISCOVERY_RATE: Final = 0.05
"""Share of the listed points that may be chance."""
LEAST_R: Final = 0.5
"""Weaker agreement is not shown, however certain. assumed"""
CHANGES: Final = {"level": 0, "change": 12, "quick change": 30}
"""Ways to look: the level, and the change over this fraction of the window (5 and 2 minutes of an
hour). assumed"""
BEFORE_ALARM: Final = timedelta(minutes=45)
AFTER_ALARM: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Match:
    """One point that moved with the other.

    ``basis`` says what agrees most clearly: the level, or the change over a part of the window (a
    step that stays is a single event to the level, but its moment is evidence).
    ``lag_s`` > 0: it follows; < 0: it leads. ``effective`` is the number of independent pairs,
    ``q`` the share of chance finds among points listed up to this one, ``certain`` the part of |r|
    that remains when the doubt is taken off, ``score`` = ``certain`` × ``proximity``. ``distance``
    counts links (None: not connected), ``path`` the assets on the way. ``overlay`` runs along
    ``Correlation.ts``: standard deviations, shifted back by the lag, turned over when r < 0.
    """

    tag: str
    name: str
    asset: str
    unit: str
    basis: str
    r: float
    lag_s: float
    pairs: int
    effective: float
    q: float
    distance: int | None
    path: list[str]
    certain: float
    proximity: float
    score: float
    why: str
    overlay: list[float | None]


@dataclass(frozen=True, slots=True)
class Correlation:
    """What moved with ``tag`` from ``start`` to ``end``, best first.

    ``points`` were compared, ``significant`` passed; ``reason`` says why there is nothing to
    list. ``ms`` holds the milliseconds of fetching, screening and looking closely.
    """

    tag: str
    unit: str
    start: datetime
    end: datetime
    step_s: float
    max_lag_s: float
    points: int
    significant: int
    reason: str
    ts: list[float]
    overlay: list[float | None]
    matches: list[Match]
    ms: dict[str, float] = field(default_factory=dict)


def correlate(
    *, tag: str, start: datetime, end: datetime, max_lag_s: float | None = None, limit: int = 20
) -> Correlation:
    """Find the points that moved with ``tag``. Five queries; under a second for 10,000 points.

    ``max_lag_s`` defaults to a sixth of the window. Raises ``Point.DoesNotExist``, and
    ``ValueError`` for a window that is not from two minutes to six hours long or a lag beyond a
    third of it.
    """
    length = (end - start).total_seconds()
    if not SHORTEST_S <= length <= LONGEST_S:
        raise ValueError(
            f"a window of {length:g} s is not from {SHORTEST_S:g} s to {LONGEST_S:g} s long"
        )
    max_lag_s = length / 6 if max_lag_s is None else max_lag_s
    if not 0 <= max_lag_s <= length / 3:
        raise ValueError(f"max_lag_s {max_lag_s:g} is not from 0 to a third of the window")
    known = known_points()
    own = known.by_tag.get(tag)
    if own is None:
        raise Point.DoesNotExist(f"point {tag} is not in the data list")
    return _Search(known, own, start, end, max_lag_s, limit).run()


def correlate_alarm(*, alarm: Alarm, limit: int = 20, now: datetime | None = None) -> Correlation:
    """Find what moved with an alarm's point around the time it was raised."""
    end = min(alarm.raised_at + AFTER_ALARM, now or datetime.now(UTC))
    start = alarm.raised_at - BEFORE_ALARM
    return correlate(tag=alarm.point.tag, start=start, end=end, limit=limit)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


class _Evidence(NamedTuple):
    """A correlation and what it is worth."""

    found: Lagged
    effective: Floats
    p: Floats


def _look(series: Floats, part: int) -> Floats:
    """The series itself (0), or its change over this fraction of the window."""
    return changes(series, max(1, round(series.shape[-1] / part))) if part else series


def _evidence(target: Floats, series: Floats, lags: int) -> _Evidence:
    found = lagged(target, series, lags)
    effective = effective_pairs(target, series, found.pairs)
    return _Evidence(found, effective, p_values(found.r, effective, 2 * lags + 1, found.pairs))


class _Search:
    """One run of ``correlate``: screen everything coarsely, look at the best closely."""

    def __init__(
        self, known: Known, own: int, start: datetime, end: datetime, max_lag_s: float, limit: int
    ) -> None:
        self.known, self.own, self.limit = known, own, limit
        self.start, self.end, self.max_lag_s = start, end, max_lag_s
        self.ms: dict[str, float] = {}

    def run(self) -> Correlation:
        """Search. On a busy machine threads of the matrix products wait for one another longer
        than they save, so one does it.
        """
        with _blas().limit(limits=1, user_api="blas"):
            return self._run()

    def _run(self) -> Correlation:
        length = (self.end - self.start).total_seconds()
        coarse = fetch.Grid.over(self.start, self.end, 60.0 if length >= SCREEN_FROM_S else 10.0)
        began = time.perf_counter()
        matrix = fetch.facility(coarse)
        began = self._took("fetch_ms", began)
        target = matrix.row(self.own)
        fine = fetch.Grid.over(self.start, self.end, _fine_step(length))
        if target is None:
            return self._answer(fine, None, 0, [], "it has no usable readings in this window")
        ids = self._screen(matrix, target)
        began = self._took("screen_ms", began)
        close = fetch.some(fine, [self.own, *ids])
        began = self._took("fetch_close_ms", began)
        target = close.row(self.own)
        if target is None or np.nanmax(target) == np.nanmin(target):
            return self._answer(
                fine, target, len(matrix.ids), [], "it did not change in this window"
            )
        matches = self._compare(close, target, tried=max(len(matrix.ids) - 1, 1))
        self._took("compare_ms", began)
        reason = "" if matches else "nothing else moved with it more than chance would explain"
        return self._answer(fine, target, len(matrix.ids), matches, reason)

    def _took(self, what: str, since: float) -> float:
        now = time.perf_counter()
        self.ms[what] = round((now - since) * 1e3, 1)
        return now

    def _screen(self, matrix: fetch.Matrix, target: Floats) -> list[int]:
        """Ids of the candidates: the strongest agreement on the coarse grid, near ones preferred."""
        others = matrix.ids != self.own
        ids = matrix.ids[others]
        listed = np.array([int(pk) in self.known.by_id for pk in ids], dtype=bool)
        ids, values = ids[listed], matrix.values[others][listed]
        if len(ids) <= CANDIDATES:
            return [int(pk) for pk in ids]
        lags = int(self.max_lag_s // matrix.grid.step_s)
        strength = np.zeros(len(ids))
        for part in (CHANGES["level"], CHANGES["change"]):
            seen, others = _look(target, part), _look(values, part)
            strength = np.maximum(strength, np.abs(lagged(seen, others, lags).r))
        worth = strength * proximity(self.known.distances(self.own, ids))
        return [int(pk) for pk in ids[np.argsort(-worth)[:CANDIDATES]]]

    def _compare(self, close: fetch.Matrix, target: Floats, tried: int) -> list[Match]:
        others = close.ids != self.own
        ids, values = close.ids[others], close.values[others]
        if not len(ids):
            return []
        step = close.grid.step_s
        lags = int(self.max_lag_s // step)
        looks = [
            _evidence(_look(target, part), _look(values, part), lags) for part in CHANGES.values()
        ]
        best = np.stack([look.p for look in looks]).argmin(axis=0)
        at = np.arange(len(ids))
        r, lag, pairs = (
            np.stack([look.found[column] for look in looks])[best, at] for column in range(3)
        )
        found = Lagged(r, lag, pairs)
        effective = np.stack([look.effective for look in looks])[best, at]
        # As many tries at each pair as there are ways to look.
        p = np.minimum(len(looks) * np.stack([look.p for look in looks])[best, at], 1.0)
        distance = self.known.distances(self.own, ids)
        q = false_discovery(p, self.known.weights(self.own, ids), tried)
        certain = certain_part(found.r, effective)
        score = certain * proximity(distance)
        passed = np.nonzero((q <= DISCOVERY_RATE) & (np.abs(found.r) >= LEAST_R))[0]
        matches, ways = [], list(CHANGES)
        for at in passed[np.argsort(-score[passed], kind="stable")]:
            facts = self.known.by_id[int(ids[at])]
            steps = self.known.steps(self.own, int(ids[at]))
            r, lag = float(found.r[at]), int(found.lag[at])
            matches.append(
                Match(
                    tag=facts.tag,
                    name=facts.name,
                    asset=facts.asset,
                    unit=facts.unit,
                    basis=ways[best[at]],
                    r=round(r, 4),
                    lag_s=lag * step,
                    pairs=int(found.pairs[at]),
                    effective=round(float(effective[at]), 1),
                    q=float(q[at]),
                    distance=None if steps is None else steps.distance,
                    path=self.known.path(steps),
                    certain=round(float(certain[at]), 4),
                    proximity=round(float(proximity(distance[at : at + 1])[0]), 4),
                    score=round(float(score[at]), 4),
                    why=sentence(
                        r=r, basis=ways[best[at]], lag_s=lag * step,
                        effective=float(effective[at]),
                        steps=steps, path=self.known.path(steps),
                    ),
                    overlay=overlay(values[at], lag, r),
                )
            )  # fmt: skip
        return matches

    def _answer(
        self,
        grid: fetch.Grid,
        target: Floats | None,
        points: int,
        matches: list[Match],
        reason: str,
    ) -> Correlation:
        own = self.known.by_id[self.own]
        return Correlation(
            tag=own.tag,
            unit=own.unit,
            start=self.start,
            end=self.end,
            step_s=grid.step_s,
            max_lag_s=self.max_lag_s,
            points=points,
            significant=len(matches),
            reason=reason,
            ts=grid.times(),
            overlay=[] if target is None else overlay(target, 0, 1.0),
            matches=matches[: self.limit],
            ms=self.ms,
        )


def _fine_step(length_s: float) -> float:
    """Whole seconds, so that about ``FINE_STEPS`` steps cover the window; at least two."""
    return max(2.0, float(round(length_s / FINE_STEPS)))
