"""Read interface of the facility: what other apps may ask. Reads only, plain results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db.models import Case, Count, F, IntegerField, Max, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, NullIf

from facilities.inventory import AssetName, Inventory, QuantityName, Reached, inventory
from facilities.models import Alarm, AlarmRule, Asset, AssetLink, Hall, LatestReading, Quality
from facilities.models.alarm import SEVERITY_ORDER
from facilities.models.asset import AssetKind
from facilities.series import MAX_SERIES_POINTS, Series, point_series, wall_series
from facilities.snapshots import Snapshot, SnapshotValue, snapshot

__all__ = [
    "MAX_SERIES_POINTS",
    "AssetContext",
    "AssetName",
    "CracOverview",
    "HallOverview",
    "Inventory",
    "Neighbour",
    "PointValue",
    "QuantityName",
    "RackOverview",
    "Reached",
    "Series",
    "Snapshot",
    "SnapshotValue",
    "alarm_subjects",
    "alarms",
    "asset_context",
    "hall_overview",
    "inventory",
    "kind_values",
    "latest_values",
    "open_alarms",
    "point_series",
    "snapshot",
    "wall_series",
]


class PointValue(NamedTuple):
    """A point's latest value, in ``unit``, with its QARTOD quality flag."""

    tag: str
    asset: str
    quantity: str
    unit: str
    ts: datetime
    value: float
    quality: int


@dataclass(frozen=True, slots=True)
class RackOverview:
    """A rack on the hall map; a value is None when it was never measured."""

    tag: str
    row: int
    position: int
    x_m: float
    y_m: float
    rated_w: float
    inlet_c: float | None
    outlet_c: float | None
    power_w: float | None
    servers: int


@dataclass(frozen=True, slots=True)
class CracOverview:
    """A cooling unit on the hall map."""

    tag: str
    name: str
    x_m: float | None
    y_m: float | None
    running: bool | None
    fault: bool | None
    supply_c: float | None
    return_c: float | None
    fan_speed_pct: float | None


@dataclass(frozen=True, slots=True)
class HallOverview:
    """One hall at a glance. Powers in W; ``ts`` is the time of its newest value."""

    slug: str
    name: str
    width_m: float
    depth_m: float
    racks: list[RackOverview]
    cracs: list[CracOverview]
    it_power_w: float | None
    facility_power_w: float | None
    pue: float | None
    max_inlet_c: float | None
    max_inlet_rack: str | None
    ts: datetime | None
    flags: dict[str, int] = field(default_factory=dict)
    """Quality flag by tag of every value above that is not good."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An asset at the other end of a link, seen from the asset that was asked for."""

    tag: str
    name: str
    kind: str
    link: str
    direction: str


@dataclass(frozen=True, slots=True)
class AssetContext:
    """An asset with what surrounds it; ``neighbours`` by link kind, parent and children too."""

    asset: Asset
    values: list[PointValue]
    neighbours: dict[str, list[Neighbour]] = field(default_factory=dict)
    open_alarms: list[Alarm] = field(default_factory=list)


class AlarmSubject(NamedTuple):
    """What an alarm can be about: one rule, on one kind of asset."""

    rule: str
    asset_kind: str
    asset_kind_name: str
    severity: str
    message: str
    raised: int
    last_raised: datetime | None


def alarm_subjects(*, since: datetime) -> list[AlarmSubject]:
    """Every enabled alarm rule, and every other that raised an alarm since then, with how often it
    did. One query; most often raised first.
    """
    rows = (
        AlarmRule.objects.annotate(
            raised=Count("alarms", filter=Q(alarms__raised_at__gte=since)),
            last=Max("alarms__raised_at"),
            of_kind=Coalesce(NullIf("asset_kind", Value("")), "point__asset__kind"),
        )
        .filter(Q(enabled=True) | Q(raised__gt=0))
        .order_by("-raised", "name")
        .values_list("name", "of_kind", "severity", "message", "raised", "last")
    )
    names = dict(AssetKind.choices)
    return [
        AlarmSubject(rule, kind, str(names.get(kind, kind)), severity, message, raised, last)
        for rule, kind, severity, message, raised, last in rows
    ]


def latest_values(*, tags: Iterable[str] | None = None) -> dict[str, PointValue]:
    """Latest value by tag (None: of every point). Points without a reading are left out."""
    rows = LatestReading.objects.all()
    if tags is not None:
        rows = rows.filter(point__tag__in=list(tags))
    return {value.tag: value for value in _point_values(rows)}


def kind_values(*, kind: str, quantities: Iterable[str]) -> list[PointValue]:
    """Latest values of some quantities of every asset of a kind, by tag. One query."""
    return _point_values(
        LatestReading.objects.filter(point__asset__kind=kind, point__quantity__in=list(quantities))
    )


def _point_values(rows: QuerySet[LatestReading]) -> list[PointValue]:
    return [
        PointValue(*row)
        for row in rows.order_by("point__tag").values_list(
            "point__tag",
            "point__asset__tag",
            "point__quantity",
            "point__unit",
            "ts",
            "value",
            "quality",
        )
    ]


def open_alarms() -> QuerySet[Alarm]:
    """Active alarms, worst first, then newest; point, asset, rule and user are selected."""
    return (
        alarms().filter(cleared_at__isnull=True).order_by(F("severity_rank"), "-raised_at", "-id")
    )


def alarms() -> QuerySet[Alarm]:
    """Every alarm with its relations, and ``severity_rank`` (0 is critical)."""
    return Alarm.objects.select_related(
        "point__asset__hall", "rule", "acknowledged_by", "assignee", "maintenance"
    ).annotate(
        severity_rank=Case(
            *(When(severity=name, then=Value(rank)) for name, rank in SEVERITY_ORDER.items()),
            output_field=IntegerField(),
        )
    )


def hall_overview(*, hall_slug: str | None = None) -> HallOverview:
    """One hall (None: the first by slug). Four queries. Raises ``Hall.DoesNotExist``."""
    halls = Hall.objects.order_by("slug")
    hall = halls.get(slug=hall_slug) if hall_slug is not None else halls.first()
    if hall is None:
        raise Hall.DoesNotExist("no hall is loaded; run load_facility with a facility file")
    places = (AssetKind.RACK, AssetKind.CRAC, AssetKind.HALL)
    values: dict[str, dict[str, float]] = defaultdict(dict)
    newest: datetime | None = None
    flags: dict[str, int] = {}
    for value in _point_values(
        LatestReading.objects.filter(point__asset__hall=hall, point__asset__kind__in=places)
    ):
        values[value.asset][value.quantity] = value.value
        if value.quality != Quality.GOOD:
            flags[value.tag] = value.quality
        newest = value.ts if newest is None else max(newest, value.ts)
    racks = [
        RackOverview(
            tag=rack.tag,
            row=rack.row,
            position=rack.position,
            x_m=rack.x_m,
            y_m=rack.y_m,
            rated_w=rack.rated_w,
            inlet_c=values[rack.tag].get("inlet_c"),
            outlet_c=values[rack.tag].get("outlet_c"),
            power_w=values[rack.tag].get("power_w"),
            servers=rack.servers,
        )
        for rack in hall.racks.annotate(
            servers=Count("assets", filter=Q(assets__kind=AssetKind.SERVER))
        ).order_by("row", "position")
    ]
    cracs = [
        _crac_overview(asset, values[asset.tag])
        for asset in Asset.objects.filter(hall=hall, kind=AssetKind.CRAC).order_by("tag")
    ]
    hottest = max(
        (rack for rack in racks if rack.inlet_c is not None),
        key=lambda rack: rack.inlet_c or 0.0,
        default=None,
    )
    own = values[hall.slug]
    return HallOverview(
        slug=hall.slug,
        name=hall.name,
        width_m=hall.width_m,
        depth_m=hall.depth_m,
        racks=racks,
        cracs=cracs,
        it_power_w=own.get("it_power_w"),
        facility_power_w=own.get("facility_power_w"),
        pue=own.get("pue"),
        max_inlet_c=hottest.inlet_c if hottest else None,
        max_inlet_rack=hottest.tag if hottest else None,
        ts=newest,
        flags=flags,
    )


def _crac_overview(asset: Asset, values: dict[str, float]) -> CracOverview:
    running, fault = values.get("running"), values.get("fault")
    return CracOverview(
        tag=asset.tag,
        name=asset.name,
        x_m=asset.attributes.get("x_m"),
        y_m=asset.attributes.get("y_m"),
        running=None if running is None else running >= 0.5,
        fault=None if fault is None else fault >= 0.5,
        supply_c=values.get("supply_c"),
        return_c=values.get("return_c"),
        fan_speed_pct=values.get("fan_speed_pct"),
    )


def asset_context(*, tag: str) -> AssetContext:
    """An asset, its values, neighbours and open alarms. Six queries at most.

    Raises ``Asset.DoesNotExist``.
    """
    asset = Asset.objects.select_related("site", "hall", "rack", "parent").get(tag=tag)
    neighbours: dict[str, list[Neighbour]] = defaultdict(list)
    for link in (
        AssetLink.objects.filter(source=asset).select_related("target").order_by("target__tag")
    ):
        neighbours[link.kind].append(_neighbour(link.target, link.kind, "downstream"))
    for link in (
        AssetLink.objects.filter(target=asset).select_related("source").order_by("source__tag")
    ):
        neighbours[link.kind].append(_neighbour(link.source, link.kind, "upstream"))
    if asset.parent is not None:
        neighbours["part_of"].append(_neighbour(asset.parent, "part_of", "upstream"))
    for child in asset.children.order_by("tag"):
        neighbours["part_of"].append(_neighbour(child, "part_of", "downstream"))
    return AssetContext(
        asset=asset,
        values=_point_values(LatestReading.objects.filter(point__asset=asset)),
        neighbours=dict(neighbours),
        open_alarms=list(open_alarms().filter(point__asset=asset)),
    )


def _neighbour(asset: Asset, link: str, direction: str) -> Neighbour:
    return Neighbour(asset.tag, asset.name, asset.kind, link, direction)
