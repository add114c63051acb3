"""The anomaly detector's score of the newest reading, 0 (as ever) to 1 (never seen)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facilities.alarms.samples import Sample
from facilities.models import AnomalyScore

from .base import Kind

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair


class Anomaly(Kind):
    """Scores of points that the detector has learned; a point in warm-up has none."""

    name = "anomaly"
    unit = "score"
    on_clock = True

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return the newest scores. One query."""
        scores = {
            point: Sample(ts, score)
            for point, ts, score in AnomalyScore.objects.filter(
                point__in={pair.point.id for pair in pairs}
            ).values_list("point_id", "ts", "score")
        }
        return [(scores[pair.point.id],) if pair.point.id in scores else () for pair in pairs]
