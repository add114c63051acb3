"""Which alarms a trajectory would raise: the enabled rules, on what instruments would read.

Rules of the kinds threshold, rate and expression are followed; staleness, quality and anomaly
speak of instruments, which the twin does not simulate. A rule is evaluated for all draws and
points at once: an alarm is raised when the condition has held for the rule's delay, and ends at
the clear level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facilities.alarms.table import Pair, rule_table
from facilities.models import Alarm, RuleState
from facilities.models.alarm import Comparator
from facilities.twin.drive import Key
from facilities.twin.site import Flags, Floats, Site
from facilities.twin.trajectory import Trajectory

from .limits import DataList
from .signals import MAX_PAIRS, expression_keys, expression_signal, lagged, rate_signal

FOLLOWED: Final = ("threshold", "rate", "expression")
MARGIN_SD: Final = 4.0
"""A point whose true value never comes within so many standard deviations is not looked at."""


class Fired(NamedTuple):
    """One rule on one point: seconds until raised and until cleared, (variants, draws).

    NaN where it is not; an alarm that is on already was raised at 0.
    """

    watch: Watch
    column: int
    raised_s: Floats
    cleared_s: Floats

    @property
    def pair(self) -> Pair:
        """Rule, point and levels."""
        return self.watch.pairs[self.column]

    @property
    def active(self) -> bool:
        """Whether the alarm is on now."""
        return bool(self.watch.active[self.column])


@dataclass(frozen=True, eq=False)
class Watch:
    """One rule on all its points that the twin computes. Arrays are (points,)."""

    key: Key
    keys: tuple[Key, ...]
    pairs: tuple[Pair, ...]
    rows: NDArray[np.int64]
    raise_level: Floats
    clear_level: Floats
    delay_s: Floats
    tau_s: Floats
    active: Flags
    held_s: Floats
    above: bool

    @property
    def kind(self) -> str:
        """Kind of the rule."""
        return self.pairs[0].rule.kind

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the rule."""
        return self.pairs[0].rule.parameters


def watches_read(site: Site, listed: DataList, *, now: float) -> tuple[list[Watch], int]:
    """The rules to follow, and how many enabled rules are of kinds that cannot be.

    ``now`` is the time of the state in epoch seconds. Three queries when no rule changed.
    """
    by_rule: dict[int, list[Pair]] = {}
    others: set[int] = set()
    for pairs in rule_table().by_point.values():
        for pair in pairs:
            if pair.rule.kind not in FOLLOWED:
                others.add(pair.rule.id)
            elif pair.point.asset in site.place:
                by_rule.setdefault(pair.rule.id, []).append(pair)
    on = set(
        Alarm.objects.filter(cleared_at__isnull=True, rule__in=by_rule).values_list(
            "rule_id", "point_id"
        )
    )
    since = {
        (rule, point): moment.timestamp()
        for rule, point, moment in RuleState.objects.filter(rule__in=by_rule).values_list(
            "rule_id", "point_id", "condition_since"
        )
    }
    made = []
    for rule, found in by_rule.items():
        if len(found) > MAX_PAIRS and found[0].rule.kind == "expression":
            others.add(rule)
            continue
        made.append(_watch(site, listed, found, on, since, now))
    return made, len(others)


def _watch(
    site: Site,
    listed: DataList,
    pairs: list[Pair],
    on: set[tuple[int, int]],
    since: dict[tuple[int, int], float],
    now: float,
) -> Watch:
    first = pairs[0]
    key = (first.point.asset_kind, first.point.quantity)
    keys = expression_keys(pairs, site) if first.rule.kind == "expression" else (key,)
    ids = [(pair.rule.id, pair.point.id) for pair in pairs]
    return Watch(
        key,
        keys,
        tuple(pairs),
        np.array([site.place[pair.point.asset].row for pair in pairs], dtype=np.int64),
        np.array([pair.levels.raise_level for pair in pairs]),
        np.array([pair.levels.clear_level for pair in pairs]),
        np.array([pair.levels.delay_s for pair in pairs]),
        np.array([listed.points[pair.point.tag].tau_s for pair in pairs]),
        np.array([one in on for one in ids]),
        np.array([max(0.0, now - since[one]) if one in since else 0.0 for one in ids]),
        first.levels.comparator == Comparator.ABOVE,
    )


def fired(
    watch: Watch,
    trajectory: Trajectory,
    residuals: dict[Key, float],
    rng: np.random.Generator,
    *,
    draws: int,
    skip: int,
) -> dict[tuple[int, str], Fired]:
    """The alarms of one rule that are raised in any draw, or on now.

    Residual uncertainty is one offset per point and draw, the same in every course of events and
    none in the first ``skip`` draws.
    """
    variants, sign = trajectory.variants, 1.0 if watch.above else -1.0
    deviation = residuals.get(watch.key, 0.0) if watch.kind == "threshold" else 0.0
    offsets = rng.standard_normal((draws, len(watch.pairs))) * deviation
    offsets[:skip] = 0.0
    if watch.kind == "expression":
        signal = expression_signal(watch.pairs, trajectory)
        near = np.arange(len(watch.pairs))
    else:
        values = trajectory.values[watch.key]
        near = _near(watch, values, sign, deviation)
        if not len(near):
            return {}
        signal = lagged(values[:, :, watch.rows[near]], trajectory.times_s, watch.tau_s[near])
        if deviation > 0:
            signal = signal + np.tile(offsets[:, near], (variants, 1))[None]
        if watch.kind == "rate":
            signal = rate_signal(signal, trajectory.times_s, watch.parameters)
    raised, cleared = excursions(
        signal * sign,
        trajectory.times_s,
        raise_level=watch.raise_level[near] * sign,
        clear_level=watch.clear_level[near] * sign,
        delay_s=watch.delay_s[near],
        held_s=watch.held_s[near],
        active=watch.active[near],
    )
    found = {}
    for place, column in enumerate(near):
        if np.isnan(raised[:, place]).all():
            continue
        pair = watch.pairs[column]
        found[pair.rule.id, pair.point.tag] = Fired(
            watch,
            int(column),
            raised[:, place].reshape(variants, draws),
            cleared[:, place].reshape(variants, draws),
        )
    return found


def _near(
    watch: Watch, values: NDArray[np.float32], sign: float, deviation: float
) -> NDArray[np.int64]:
    """Points that may pass their level at all: an instrument's lag never adds to an extreme."""
    if watch.kind == "rate":
        return np.arange(len(watch.pairs))
    extreme = values.max(axis=(0, 1)) if watch.above else values.min(axis=(0, 1))
    past = sign * extreme[watch.rows] + MARGIN_SD * deviation > sign * watch.raise_level
    return np.flatnonzero(past | watch.active)


def excursions(
    signal: NDArray[np.floating[Any]],
    times_s: Floats,
    *,
    raise_level: Floats,
    clear_level: Floats,
    delay_s: Floats,
    held_s: Floats,
    active: Flags,
) -> tuple[Floats, Floats]:
    """When the first alarm is raised and when it clears, each (members, points), NaN for never.

    ``signal`` is (times, members, points) and bad when above; the others are (points,). A
    condition that holds at the start has held for ``held_s`` already; what is ``active`` was
    raised at 0. NaN is no value: it neither raises nor clears.
    """
    with np.errstate(invalid="ignore"):
        bad = signal > raise_level
        calm = signal <= clear_level
    index = np.arange(len(times_s))[:, None, None]
    last_good = np.maximum.accumulate(np.where(bad, -1, index), axis=0)
    began = np.where(last_good < 0, -held_s, times_s[np.minimum(last_good + 1, len(times_s) - 1)])
    on = bad & (times_s[:, None, None] - began >= delay_s - 1e-9)
    on[0] |= active
    first = on.argmax(axis=0)
    never = ~on.any(axis=0)
    raised = np.where(never, np.nan, times_s[first])
    after = calm & (index > first) & ~never
    cleared = np.where(after.any(axis=0), times_s[after.argmax(axis=0)], np.nan)
    return raised, cleared
