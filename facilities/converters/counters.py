"""Counters to rates, safe against resets, across requests, processes and restarts.

The rate at a sample is (count - previous count) / (time - previous time), per second, where
*previous* is the newest sample of the series that is older. A count that fell is a reset: with
``wraps_at`` it is taken as a wrap when that makes the smaller step; otherwise counting began again
at zero, and the rate is count / time (Prometheus' rule: a lower bound). The first sample of a series
ever gives no rate.

State is a row of ``CounterState`` per series with its last ``KEPT`` samples, read and written by
every request that holds counters, so any process may take the next one. The history reaches back
further than one sample: a repeated request (its commit failed) finds the same predecessors and
gives the same rates. Two processes that take requests of one series at the same moment may lose one
sample of the history; the next rate then spans a longer time and is still right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from facilities.converters.resolution import Target
from facilities.ingest.samples import Floats, Rejected, Samples
from facilities.models import CounterState

KEPT: Final = 8
"""Samples of history per series; assumed: a request repeats at most a few."""

_STORE: Final = """
INSERT INTO facilities_counterstate (source_id, key, history, updated_at)
SELECT %s, key, history::jsonb, now() FROM unnest(%s::text[], %s::text[]) AS new (key, history)
ORDER BY key
ON CONFLICT (source_id, key) DO UPDATE
SET history = EXCLUDED.history, updated_at = EXCLUDED.updated_at
"""


@dataclass(slots=True)
class Rates:
    """Positions in the samples that have a rate, and the rates; what could not be used."""

    position: npt.NDArray[np.intp]
    per_s: Floats
    rejected: list[Rejected] = field(default_factory=list)


Step = tuple[int, float]
"""(ts_us, count)"""


def rates(
    source_id: int,
    samples: Samples,
    positions: npt.NDArray[np.intp],
    place: npt.NDArray[np.intp],
    targets: Sequence[Target],
) -> Rates:
    """Rates of the counter samples at these positions; reads and writes ``CounterState``."""
    by_series: dict[str, list[int]] = {}
    rejected = []
    for at in positions.tolist():
        if not np.isfinite(samples.value[at]):
            continue  # NaN, infinity and stale markers say nothing about a count
        if samples.value[at] < 0:
            target = targets[place[at]]
            rejected.append(
                Rejected(
                    int(samples.index[at]),
                    "bad_value",
                    f"point {target.tag}: {samples.value[at]:g} is below zero, and {target.rule} "
                    "says it is a counter",
                    samples.raw(at),
                )
            )
            continue
        by_series.setdefault(samples.names[samples.series[at]], []).append(at)
    histories = load(source_id, by_series)
    position, per_s, changed = [], [], {}
    for key, at_list in by_series.items():
        rule = targets[place[at_list[0]]].rule
        wraps_at = rule.wraps_at if rule is not None else None
        history = histories.get(key, [])
        before = list(history)
        for at in sorted(at_list, key=lambda at: int(samples.ts_us[at])):
            step = (int(samples.ts_us[at]), float(samples.value[at]))
            rate = rate_at(history, step, wraps_at)
            if rate is not None:
                position.append(at)
                per_s.append(rate)
            history = remember(history, step)
        if history != before:
            changed[key] = history
    store(source_id, changed)
    return Rates(np.array(position, np.intp), np.array(per_s, np.float64), rejected)


def rate_at(history: Sequence[Step], step: Step, wraps_at: float | None = None) -> float | None:
    """The rate at ``step`` after the newest older sample of ``history``; None without one."""
    at = bisect_left(history, (step[0],)) - 1
    if at < 0:
        return None
    ts_us, count = history[at]
    grown = step[1] - count
    if grown < 0:
        wrapped = None if wraps_at is None else grown + wraps_at
        grown = wrapped if wrapped is not None and 0 <= wrapped < step[1] + count else step[1]
    return grown / ((step[0] - ts_us) / 1e6)


def remember(history: Sequence[Step], step: Step) -> list[Step]:
    """The history with this sample in its place; one at the same time stays as it was."""
    at = bisect_left(history, (step[0],))
    if at < len(history) and history[at][0] == step[0]:
        return list(history)
    return [*history[:at], step, *history[at:]][-KEPT:]


def load(source_id: int, keys: Iterable[str]) -> dict[str, list[Step]]:
    """The histories of these series. One query."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = CounterState.objects.filter(source_id=source_id, key__in=wanted)
    return {
        key: [(int(ts_us), float(count)) for ts_us, count in history]
        for key, history in rows.values_list("key", "history")
    }


def store(source_id: int, histories: dict[str, list[Step]]) -> None:
    """Write these histories. One statement; its commit does not wait for the disk.

    What a power cut takes with it are histories of the last moments: the next rate spans a longer
    time.
    """
    if not histories:
        return
    keys = sorted(histories)
    texts = [
        "[" + ",".join(f"[{ts_us},{count!r}]" for ts_us, count in histories[key]) + "]"
        for key in keys
    ]
    nested = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if not nested:
            cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_STORE, [source_id, keys, texts])
