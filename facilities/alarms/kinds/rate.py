"""How fast the value changes: slope over a window, in the point's unit per minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from facilities.alarms.samples import Sample

from .base import Kind, number

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair

WINDOW_S: Final = 60.0
"""Assumed: longer than the response time of an air sensor, short against a room's warming."""

COVER: Final = 0.5
"""Readings must span this share of the window, or two readings close together would divide noise
by almost nothing; assumed."""


def slope(samples: Sequence[Sample], window_s: float) -> float | None:
    """Return the least-squares slope per minute over the window that ends at the last sample.

    None when the samples span too little of the window.
    """
    if len(samples) < 2:
        return None
    end = samples[-1].ts
    points = [
        (age / 60.0, sample.value)
        for sample in samples
        if (age := (sample.ts - end).total_seconds()) >= -window_s
    ]
    if len(points) < 2 or -points[0][0] * 60.0 < COVER * window_s:
        return None
    mean_t = sum(t for t, _ in points) / len(points)
    mean_v = sum(v for _, v in points) / len(points)
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    if spread <= 0.0:
        return None
    return sum((t - mean_t) * (v - mean_v) for t, v in points) / spread


class Rate(Kind):
    """Slope of the good readings. ``either`` takes its size, whichever way it goes."""

    name = "rate"
    unit = "/min"
    keys = ("window_s", "direction")

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return one sample, at the newest reading. One query for all pairs."""
        longest = max(float(p.rule.parameters.get("window_s", WINDOW_S)) for p in pairs)
        history = context.history({p.point.id for p in pairs}, timedelta(seconds=longest))
        found: list[Sequence[Sample]] = []
        for pair in pairs:
            window_s = float(pair.rule.parameters.get("window_s", WINDOW_S))
            samples = history.get(pair.point.id, ())
            rate = slope(samples, window_s)
            if rate is None:
                found.append(())
                continue
            if pair.rule.parameters.get("direction") == "either":
                rate = abs(rate)
            found.append((Sample(samples[-1].ts, rate, samples[-1].quality),))
        return found

    def problems(self, parameters: Any) -> list[str]:
        """Check window and direction."""
        found = super().problems(parameters)
        if found:
            return found
        if parameters.get("direction", "signed") not in ("signed", "either"):
            found.append(f"direction {parameters['direction']!r} is not signed or either")
        return found + number(parameters, "window_s", WINDOW_S, 2.0, 3600.0)
