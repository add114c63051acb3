"""How long nothing was heard, in sampling intervals of the point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from facilities.alarms.reporting import untold
from facilities.alarms.samples import Sample

from .base import Kind, number

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair

INTERVAL_S: Final = 60.0
"""Assumed for a point whose data list names no sampling interval."""


class Staleness(Kind):
    """Age of the newest reading over the sampling interval; raise above 5, say.

    A point that never had a reading has no age: that is a matter of commissioning, not of alarm.
    Where the whole source is silent, its heartbeat speaks first.
    """

    name = "staleness"
    unit = "intervals"
    keys = ("default_interval_s", "min_age_s")
    on_clock = True
    of_instrument = True

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return the age now. One query where something is stale, otherwise none."""
        found: list[Sequence[Sample]] = []
        for pair in pairs:
            last = context.newest(pair.point.id)
            if last is None:
                found.append(())
                continue
            age_s = max((context.now - last.ts).total_seconds(), 0.0)
            if age_s < float(pair.rule.parameters.get("min_age_s", 0.0)):
                age_s = 0.0
            interval_s = pair.point.interval_s or float(
                pair.rule.parameters.get("default_interval_s", INTERVAL_S)
            )
            found.append((Sample(context.now, age_s / interval_s),))
        stale = {
            pair.point.id
            for pair, samples in zip(pairs, found, strict=True)
            if samples and pair.levels.is_abnormal(samples[0].value)
        }
        waits = untold(stale, now=context.now)
        return [
            () if pair.point.id in waits else samples
            for pair, samples in zip(pairs, found, strict=True)
        ]

    def problems(self, parameters: Any) -> list[str]:
        """Check the intervals."""
        found = super().problems(parameters)
        if found:
            return found
        return number(parameters, "default_interval_s", INTERVAL_S, 0.1, 86400.0) + number(
            parameters, "min_age_s", 0.0, 0.0, 86400.0
        )
