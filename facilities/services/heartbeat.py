"""A silent source raises an alarm like any other: its heartbeat is a point.

A source with ``heartbeat_timeout_s`` has an asset ``source-<name>`` with the point ``silent`` (0
heard, 1 silent), and one rule holds for all of them: "Source silent" on kind *source*, quantity
``silent``. Beat writes the point when it changes, and again every ``REPEAT_S``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from facilities.alarms.reporting import SILENT as QUANTITY
from facilities.alarms.reporting import SILENT_RULE as RULE_NAME
from facilities.converters.derived import tell
from facilities.ingest.internal import InternalReading, make_partitions, store_internal
from facilities.models import AlarmRule, LatestReading, Point, Quality, Source
from facilities.models.alarm import Comparator, Severity
from facilities.models.asset import AssetKind
from facilities.services.own_asset import source_asset

REPEAT_S: Final = 30.0


def heartbeat_beat() -> int:
    """Write the heartbeats that changed or are due; return how many sources are silent."""
    sources = list(
        Source.objects.filter(heartbeat_timeout_s__isnull=False, active=True).select_related(
            "asset"
        )
    )
    if not sources:
        return 0
    points = {source.pk: heartbeat_point(source=source) for source in sources}
    latest = {row.point_id: row for row in LatestReading.objects.filter(point__in=points.values())}
    now = timezone.now()
    made = []
    for source in sources:
        point = points[source.pk]
        value = 1.0 if source.silent else 0.0
        before = latest.get(point.pk)
        due = before is None or now - before.ts >= timedelta(seconds=REPEAT_S)
        if due or (before is not None and before.value != value):
            reading = InternalReading(
                point.pk, round(now.timestamp() * 1e6), value, int(Quality.GOOD)
            )
            made.append((point, reading))
    if made:
        readings = [reading for _, reading in made]
        make_partitions(readings)
        store_internal(readings)
        tell(made)
    return sum(source.silent for source in sources)


@transaction.atomic
def heartbeat_point(*, source: Source) -> Point:
    """The point that says whether the source is silent; made with its rule when there is none."""
    asset = source_asset(source=source)
    found = Point.objects.filter(asset=asset, quantity=QUANTITY).first()
    if found is not None:
        return found
    AlarmRule.objects.get_or_create(
        name=RULE_NAME,
        defaults={
            "asset_kind": AssetKind.SOURCE,
            "quantity": QUANTITY,
            "comparator": Comparator.ABOVE,
            "raise_level": 0.5,
            "clear_level": 0.5,
            "severity": Severity.HIGH,
            "message": "A source of readings is silent; what it measures is no longer seen",
            "basis": "the source's own heartbeat_timeout_s",
        },
    )
    return Point.objects.create(
        tag=f"{asset.tag}.{QUANTITY}",
        asset=asset,
        name=f"{asset.name} silent",
        quantity=QUANTITY,
        brick_class="Communication_Loss_Alarm",
        unit="1",
        min_value=0,
        max_value=1,
        precision=1,
        sampling_interval_s=REPEAT_S,
        enum={"0": "heard", "1": "silent"},
    )
