"""Findings of predictive maintenance as rows, and as alarms so that operators hear of them.

Each asset with a finding gets the point ``<asset>.maintenance_due`` (0 nothing, 1 found), and each
kind of asset the rule "Maintenance due", as a silent source has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction

from facilities.converters.derived import tell
from facilities.ingest.internal import InternalReading, make_partitions, store_internal
from facilities.models import AlarmRule, Asset, Point, Quality, TwinFinding
from facilities.models.alarm import Comparator, Severity
from facilities.twin.estimate.maintenance import FORGET_S, Finding

from .residuals import twin_source

QUANTITY: Final = "maintenance_due"


def findings_store(*, found: Sequence[Finding], at: datetime) -> tuple[int, int]:
    """Open, renew and close findings; returns how many were opened and closed.

    What is no longer seen for three hours is closed. Assets whose state changed get a reading.
    """
    opened, closed = 0, 0
    touched: set[int] = set()
    assets = {a.tag: a for a in Asset.objects.filter(tag__in=[f.asset for f in found])}
    points = {p.tag: p for p in Point.objects.filter(tag__in=[f.point for f in found if f.point])}
    with transaction.atomic():
        for finding in found:
            asset = assets.get(finding.asset)
            if asset is None:
                continue
            key = {"asset": asset, "what": finding.what, "parameter": finding.parameter}
            _, new = TwinFinding.objects.update_or_create(
                **key,
                closed_at=None,
                defaults=_fields(finding, points.get(finding.point), at),
                create_defaults=_fields(finding, points.get(finding.point), at)
                | key
                | {"found_at": at},
            )
            if new:
                opened += 1
                touched.add(asset.pk)
        over = TwinFinding.objects.filter(
            closed_at=None, last_at__lt=at - timedelta(seconds=FORGET_S)
        )
        touched |= set(over.values_list("asset_id", flat=True))
        closed = over.update(closed_at=at)
    for asset in Asset.objects.filter(pk__in=touched):
        _say(asset, at)
    return opened, closed


def _fields(finding: Finding, point: Point | None, at: datetime) -> dict[str, object]:
    def then(seconds: float | None) -> datetime | None:
        return None if seconds is None else at + timedelta(seconds=seconds)

    return {
        "point": point,
        "unit": finding.unit[:20],
        "value": finding.value,
        "sigma": finding.sigma,
        "slope_per_h": finding.slope_per_h,
        "slope_sigma_per_h": finding.slope_sigma_per_h,
        "level": finding.level if abs(finding.level) < 1e300 else 0.0,
        "last_at": at,
        "expected_at": then(finding.lead_s),
        "earliest_at": then(finding.lead_low_s),
        "latest_at": then(finding.lead_high_s),
        "confidence": finding.confidence,
        "text": finding.text[:400],
    }


def _say(asset: Asset, at: datetime) -> None:
    """Write whether the asset has an open finding; its rule raises or clears the alarm."""
    due = TwinFinding.objects.filter(asset=asset, closed_at=None).exists()
    point = due_point(asset=asset)
    ts_us = round(at.astimezone(UTC).timestamp() * 1e6)
    reading = InternalReading(point.pk, ts_us, float(due), int(Quality.GOOD))
    make_partitions([reading])
    store_internal([reading], source_id=point.source_id, replace=True)
    tell([(point, reading)])


@transaction.atomic
def due_point(*, asset: Asset) -> Point:
    """The point that says whether maintenance is due; made with its rule when there is none."""
    found = Point.objects.filter(asset=asset, quantity=QUANTITY).first()
    if found is not None:
        return found
    AlarmRule.objects.get_or_create(
        name=f"Maintenance due ({asset.get_kind_display()})",
        defaults={
            "asset_kind": asset.kind,
            "quantity": QUANTITY,
            "comparator": Comparator.ABOVE,
            "raise_level": 0.5,
            "clear_level": 0.5,
            "severity": Severity.LOW,
            "message": "Something wears out here; the page Twin accuracy says what and by when",
            "basis": "trend of an estimated health parameter, docs/twin-tracking.md",
        },
    )
    return Point.objects.create(
        tag=f"{asset.tag}.{QUANTITY}",
        asset=asset,
        name=f"{asset.name} maintenance due",
        quantity=QUANTITY,
        brick_class="Maintenance_Required_Alarm",
        unit="1",
        min_value=0,
        max_value=1,
        precision=1,
        source=twin_source(),
        source_interface="twin",
        auto_registered=True,
        enum={"0": "nothing", "1": "found"},
    )
