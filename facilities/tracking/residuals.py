"""Residuals go back as readings: ``<tag>_residual`` and ``<tag>_residual_sigma``.

The points are made by themselves under the source ``twin`` and count as verified, so that alarm
rules, anomaly detection and charts work on them. They declare no sampling interval: nobody waits
for the twin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from django.db import transaction

from facilities.converters.derived import tell
from facilities.ingest.internal import InternalReading, make_partitions, store_internal
from facilities.models import Point, Quality, Source
from facilities.services.sources import SourceExists, source_create
from facilities.twin.estimate.tracker import PointResult

SOURCE: Final = "twin"
SUFFIX: Final = "_residual"
SIGMA_SUFFIX: Final = "_residual_sigma"
MOVED: Final = 0.1
"""A sigma that moved by this share is written at once …"""
REFRESH_S: Final = 600.0
"""… and every sigma after this."""

BATCH: Final = 500


class _Own(NamedTuple):
    residual: Point
    sigma: Point


def twin_source() -> Source:
    """The source ``twin``; made when there is none. Its token is thrown away: nobody pushes."""
    found = Source.objects.filter(name=SOURCE).first()
    if found is not None:
        return found
    try:
        return source_create(name=SOURCE, owner="the digital twin").source
    except SourceExists:  # another process was quicker
        return Source.objects.get(name=SOURCE)


class Residuals:
    """Writes residuals; remembers the points it made and the sigmas it wrote."""

    def __init__(self) -> None:
        self.source = twin_source()
        self._own: dict[str, _Own] = {}
        self._sigma: dict[str, tuple[float, float]] = {}

    def write(self, *, at_s: float, results: Iterable[PointResult]) -> int:
        """Store and tell the residuals of one snapshot; returns how many readings are new."""
        wanted = list(results)
        self._make({result.tag: result.unit for result in wanted})
        ts_us = round(at_s * 1e6)
        made: list[tuple[Point, InternalReading]] = []
        for result in wanted:
            own = self._own.get(result.tag)
            if own is None:
                continue
            made.append((own.residual, self._reading(own.residual, ts_us, result.residual)))
            if self._due(result, at_s):
                made.append((own.sigma, self._reading(own.sigma, ts_us, result.sigma)))
        if not made:
            return 0
        readings = [reading for _, reading in made]
        make_partitions(readings)
        stored = store_internal(readings, source_id=self.source.pk)
        tell(made)
        return stored

    def _reading(self, point: Point, ts_us: int, value: float) -> InternalReading:
        return InternalReading(point.pk, ts_us, float(f"{value:.4g}"), int(Quality.GOOD))

    def _due(self, result: PointResult, at_s: float) -> bool:
        written, when = self._sigma.get(result.tag, (0.0, -1e18))
        due = abs(result.sigma - written) > MOVED * written or at_s - when >= REFRESH_S
        if due:
            self._sigma[result.tag] = (result.sigma, at_s)
        return due

    def _make(self, units: dict[str, str]) -> None:
        """Look the points up that are not known yet, and make those that do not exist."""
        missing = [tag for tag in units if tag not in self._own]
        if not missing:
            return
        with transaction.atomic():
            made = []
            for point in Point.objects.filter(tag__in=missing):
                for suffix, what in ((SUFFIX, "residual"), (SIGMA_SUFFIX, "residual sigma")):
                    made.append(
                        Point(
                            tag=f"{point.tag}{suffix}",
                            asset_id=point.asset_id,
                            name=f"{point.name}, twin {what}"[:200],
                            quantity=f"{point.quantity}{suffix}",
                            unit=units[point.tag],
                            precision=point.precision and point.precision / 10,
                            source=self.source,
                            source_interface="twin",
                            owner=self.source.owner,
                            verified=True,
                            auto_registered=True,
                        )
                    )
            Point.objects.bulk_create(made, batch_size=BATCH, ignore_conflicts=True)
        tags = [f"{tag}{suffix}" for tag in missing for suffix in (SUFFIX, SIGMA_SUFFIX)]
        own = {point.tag: point for point in Point.objects.filter(tag__in=tags)}
        for tag in missing:
            pair = own.get(f"{tag}{SUFFIX}"), own.get(f"{tag}{SIGMA_SUFFIX}")
            if pair[0] is not None and pair[1] is not None:
                self._own[tag] = _Own(pair[0], pair[1])
