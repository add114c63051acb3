"""The QARTOD flag of the newest reading: 1 good, 2 unknown, 3 suspect, 4 fail, 9 missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facilities.alarms.samples import Sample

from .base import Kind

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair


class QualityFlag(Kind):
    """Raise above 2.5 for suspect and worse, above 3.5 for failed readings.

    The only kind that bad readings drive: what it reports is that they are bad.
    """

    name = "quality"
    unit = "QARTOD flag"
    of_instrument = True

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return the flags of all readings. No query."""
        return [
            [Sample(s.ts, float(s.quality), s.quality) for s in context.all(pair.point.id)]
            for pair in pairs
        ]
