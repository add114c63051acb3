"""The readings that one evaluation looks at: those handed over, and the latest stored ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection

from facilities.models import LatestReading, Quality

from .many import any_of
from .samples import Sample

MAX_HISTORY = 600
"""Readings of one point that a rate looks at; a window of 10 min at 1 s. Newest first kept."""


@dataclass(slots=True)
class Context:
    """Readings by point. ``passed`` in time order; ``latest`` from the database."""

    now: datetime
    passed: Mapping[int, Sequence[Sample]] = field(default_factory=dict)
    latest: Mapping[int, Sample] = field(default_factory=dict)

    def all(self, point_id: int) -> Sequence[Sample]:
        """What is known to be new of a point, in time order, ending with its newest reading."""
        passed = self.passed.get(point_id, ())
        latest = self.latest.get(point_id)
        if latest is None:
            return passed
        if not passed:
            return (latest,)
        return passed if passed[-1].ts >= latest.ts else (*passed, latest)

    def good(self, point_id: int) -> Sequence[Sample]:
        """The same without readings of quality suspect or worse: bad data drives no alarm."""
        samples = self.all(point_id)
        if all(sample.quality <= Quality.UNKNOWN for sample in samples):
            return samples
        return [sample for sample in samples if sample.quality <= Quality.UNKNOWN]

    def newest(self, point_id: int) -> Sample | None:
        """The newest reading, good or not."""
        samples = self.all(point_id)
        return samples[-1] if samples else None

    def history(self, point_ids: Iterable[int], window: timedelta) -> dict[int, Sequence[Sample]]:
        """Good readings of each point in the window that ends at its newest one. One query."""
        ids = sorted(set(point_ids))
        newest = [sample.ts for pk in ids if (sample := self.newest(pk)) is not None]
        if not newest:
            return {}
        rows: dict[int, dict[datetime, Sample]] = defaultdict(dict)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT point_id, ts, value, quality FROM facilities_reading "
                "WHERE point_id = ANY(%s) AND ts >= %s AND quality <= %s",
                [ids, min(newest) - window, Quality.UNKNOWN],
            )
            for point, ts, value, quality in cursor.fetchall():
                rows[point][ts] = Sample(ts, value, quality)
        for pk in ids:
            for sample in self.good(pk):
                rows[pk].setdefault(sample.ts, sample)
        return {
            pk: sorted(found.values(), key=lambda sample: sample.ts)[-MAX_HISTORY:]
            for pk, found in rows.items()
            if found
        }


def read_latest(point_ids: Sequence[int] | None) -> dict[int, Sample]:
    """Latest readings of these points (None: of all). One query."""
    rows = LatestReading.objects.all()
    if point_ids is not None:
        rows = rows.filter(point__in=any_of(point_ids))
    return {
        point: Sample(ts, value, quality)
        for point, ts, value, quality in rows.values_list("point_id", "ts", "value", "quality")
    }
