"""Reads the facility into the catalogue's pure `Situation`: four queries, whatever the size of the
hall.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings

from approvals.catalogue.situation import CoolingUnit, Limits, Measured, RackState, Situation
from facilities import selectors
from facilities.models import Alarm, Asset, Point, Quality


class Place(NamedTuple):
    """Kind of an asset and the slug of the hall it stands in ("" for plant outside the halls)."""

    kind: str
    hall: str


def hall_of(tag: str) -> Place | None:
    """Where an asset is; None when the tag is unknown."""
    asset = Asset.objects.filter(tag=tag).select_related("hall", "rack__hall").first()
    if asset is None:
        return None
    hall = asset.hall or (asset.rack.hall if asset.rack else None)
    return Place(asset.kind, hall.slug if hall else "")


def asset_name(tag: str) -> str:
    """The asset's name, or its tag when it has none."""
    return Asset.objects.filter(tag=tag).values_list("name", flat=True).first() or tag


def latest_measured(*, tags: Iterable[str] | None = None) -> dict[str, Measured]:
    """Latest values by tag (None: all), without those the quality tests failed: they are no basis
    for an action.
    """
    return {
        tag: Measured(v.value, v.ts, v.unit)
        for tag, v in selectors.latest_values(tags=tags).items()
        if v.quality not in (Quality.FAIL, Quality.MISSING)
    }


def measured_at(snapshot: selectors.Snapshot) -> dict[str, Measured]:
    """Values of a snapshot, without those the quality tests failed."""
    return {
        tag: Measured(v.value, v.ts, v.unit)
        for tag, v in snapshot.values.items()
        if v.quality not in (Quality.FAIL, Quality.MISSING)
    }


def situation_read(
    *, hall: str, alarm: Alarm | None = None, snapshot: selectors.Snapshot | None = None
) -> Situation:
    """One hall and the plant that serves it, at the time of `snapshot` (None: latest values).

    `alarm` sets the subject.
    """
    assets = list(
        Asset.objects.filter(kind__in=("crac", "rack", "chiller", "pump"))
        .select_related("hall")
        .order_by("tag")
    )
    inside = [a for a in assets if a.hall is not None and a.hall.slug == hall]
    values = latest_measured() if snapshot is None else measured_at(snapshot)
    limits = {
        tag: Limits(low, high, unit)
        for tag, low, high, unit in Point.objects.filter(writable=True).values_list(
            "tag", "write_min", "write_max", "unit"
        )
        if low is not None and high is not None
    }
    subject = alarm.point.asset if alarm else None
    return Situation(
        hall=hall,
        values=values,
        limits=limits,
        units=tuple(_unit(a, values) for a in inside if a.kind == "crac"),
        racks=tuple(
            _rack(a, values) for a in inside if a.kind == "rack" and f"{a.tag}.inlet_c" in values
        ),
        chillers=tuple(a.tag for a in assets if a.kind == "chiller"),
        pumps=tuple(a.tag for a in assets if a.kind == "pump"),
        subject=subject.tag if subject else "",
        subject_kind=subject.kind if subject else "",
        subject_rack=_rack_of(subject) if subject else "",
        quantity=alarm.point.quantity if alarm else "",
        window_s=float(settings.EFFECT_WINDOW_S),
    )


def _unit(asset: Asset, values: dict[str, Measured]) -> CoolingUnit:
    def value(quantity: str, default: float = 0.0) -> float:
        measured = values.get(f"{asset.tag}.{quantity}")
        return default if measured is None else measured.value

    return CoolingUnit(
        tag=asset.tag,
        name=asset.name,
        sensible_w=float(asset.attributes.get("sensible_w", 0)),
        airflow_m3s=float(asset.attributes.get("airflow_m3s", 0)),
        running=value("running") >= 1,
        fault=value("fault") >= 1,
        commanded=value("run_cmd") >= 1,
        fan_sp_pct=value("fan_speed_sp_pct"),
        supply_sp_c=value("supply_sp_c"),
    )


def _rack(asset: Asset, values: dict[str, Measured]) -> RackState:
    power = values.get(f"{asset.tag}.power_w")
    cap = values.get(f"{asset.tag}.load_cap_pct")
    return RackState(
        tag=asset.tag,
        name=asset.name,
        inlet_c=values[f"{asset.tag}.inlet_c"].value,
        power_w=power.value if power else 0.0,
        load_cap_pct=cap.value if cap else 100.0,
    )


def _rack_of(asset: Asset) -> str:
    """The rack an alarm is about: the asset itself, or the rack that it or its parent stands in."""
    if asset.kind == "rack":
        return asset.tag
    for place in (asset, asset.parent):
        if place is not None and place.rack is not None:
            return place.rack.tag
    return ""
