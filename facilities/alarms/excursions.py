"""Follows one rule on one point over several readings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from .rules import NORMAL, Levels, Phase, State, step
from .samples import Sample


class Known(NamedTuple):
    """What the database says about a pair: its state, and the open alarm when active."""

    state: State
    alarm_id: int | None = None
    peak: float = 0.0


NORMAL_STATE: Final = Known(NORMAL)


class Excursion(NamedTuple):
    """A new alarm: the sample that raised it, its worst value, and when it cleared already."""

    sample: Sample
    peak: float
    cleared_at: datetime | None = None


class Excursions(NamedTuple):
    """What the samples changed. ``peak`` and ``cleared_at`` are about the alarm known before."""

    after: State
    peak: float
    cleared_at: datetime | None
    raised: tuple[Excursion, ...]


def follow(levels: Levels, known: Known, samples: Sequence[Sample]) -> Excursions | None:
    """Step through the samples (in time order); None when nothing changes.

    Samples from before the known state began are old and change nothing.
    """
    state, peak, cleared_at = known.state, known.peak, None
    raised: list[Excursion] = []
    for sample in samples:
        if state.since is not None and sample.ts < state.since:
            continue
        after = step(levels, state, ts=sample.ts, value=sample.value)
        if after.phase is Phase.ACTIVE:
            if state.phase is not Phase.ACTIVE:
                raised.append(Excursion(sample, sample.value))
            elif raised:
                if levels.is_worse(sample.value, raised[-1].peak):
                    raised[-1] = raised[-1]._replace(peak=sample.value)
            elif levels.is_worse(sample.value, peak):
                peak = sample.value
        elif state.phase is Phase.ACTIVE:
            if raised:
                raised[-1] = raised[-1]._replace(cleared_at=sample.ts)
            else:
                cleared_at = sample.ts
        state = after
    if state == known.state and peak == known.peak and cleared_at is None and not raised:
        return None
    return Excursions(state, peak, cleared_at, tuple(raised))
