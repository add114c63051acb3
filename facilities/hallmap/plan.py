"""The plan of a hall: what stands where, what feeds and cools it, and the plant behind it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from facilities.models import Asset, AssetLink, Hall, Rack
from facilities.models.asset import AssetKind, LinkKind

BESIDE_ROW_M: Final = 0.95
"""From the centre of a row's last rack to a PDU drawn beside it (assumed: a rack and a gap)."""

ALCOVE_M: Final = 0.55
"""From the wall to a unit without a place of its own in the data list (assumed)."""

BEHIND: Final = (
    AssetKind.UTILITY,
    AssetKind.GENERATOR,
    AssetKind.UPS,
    AssetKind.CHILLER,
    AssetKind.PUMP,
    "tower",
    "weather",
)
"""Kinds that stand outside the hall and are drawn as a strip under it, in this order."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One asset on the plan, metres from the south-west corner of the hall; None in the strip.

    ``front`` of a rack or CRAC is -1 where its cold side looks to smaller y, else 1. ``rated`` is
    in W, of a CRAC the air flow in m³/s at full speed. ``feeds`` and ``cools`` are tags that
    supply it; ``holds`` counts the servers of a rack.
    """

    tag: str
    kind: str
    name: str
    x_m: float | None
    y_m: float | None
    row: int = 0
    front: int = -1
    rated: float | None = None
    role: str = ""
    feeds: list[str] = field(default_factory=list)
    cools: list[str] = field(default_factory=list)
    holds: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A network link between the racks of two switches."""

    tag: str
    name: str
    ends: tuple[str, str]
    racks: tuple[str, str]
    capacity_gbps: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A hall to scale."""

    slug: str
    name: str
    width_m: float
    depth_m: float
    units: list[Unit]
    lines: list[Line]
    behind: list[Unit]

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def hall_plan(slug: str) -> Plan:
    """The plan of one hall. Four queries. Raises ``Hall.DoesNotExist``."""
    hall = Hall.objects.get(slug=slug)
    racks = list(hall.racks.order_by("row", "position"))
    shown = {AssetKind.CRAC, AssetKind.PDU, "cdu", AssetKind.LEAF, AssetKind.SPINE, AssetKind.LINK}
    assets = list(
        Asset.objects.filter(
            hall=hall,
            kind__in=[*shown, AssetKind.SERVER, AssetKind.RACK, AssetKind.LEAK_DETECTOR],
        ).select_related("rack")
    ) + list(Asset.objects.filter(hall=None, kind__in=BEHIND))
    feeds, cools = _supplies(hall)
    cracs = [asset for asset in assets if asset.kind == AssetKind.CRAC]
    servers: dict[str, int] = defaultdict(int)
    for asset in assets:
        if asset.kind == AssetKind.SERVER and asset.rack:
            servers[asset.rack.tag] += 1
    names = {asset.tag: asset.name for asset in assets if asset.kind == AssetKind.RACK}
    fronts = {rack.tag: _front(rack, cracs, hall) for rack in racks}
    units = [
        Unit(
            rack.tag,
            AssetKind.RACK,
            names.get(rack.tag, rack.tag),
            rack.x_m,
            rack.y_m,
            row=rack.row,
            front=fronts[rack.tag],
            rated=rack.rated_w,
            feeds=feeds[rack.tag],
            cools=cools[rack.tag],
            holds=servers[rack.tag],
        )
        for rack in racks
    ]
    units += [_crac(asset, hall, cools) for asset in cracs]
    units += _beside([a for a in assets if a.kind == AssetKind.PDU], racks, feeds)
    units += _alcove([a for a in assets if a.kind == "cdu"], hall, cools)
    units += _alcove([a for a in assets if a.kind == AssetKind.LEAK_DETECTOR], hall, cools)
    order = {kind: number for number, kind in enumerate(BEHIND)}
    behind = [
        Unit(
            asset.tag,
            asset.kind,
            asset.name,
            None,
            None,
            rated=_rated(asset),
            role=str(asset.attributes.get("role", "")),
            feeds=feeds[asset.tag],
            cools=cools[asset.tag],
        )
        for asset in sorted(
            (a for a in assets if a.hall_id is None), key=lambda a: (order[a.kind], a.tag)
        )
    ]
    return Plan(hall.slug, hall.name, hall.width_m, hall.depth_m, units, _lines(assets), behind)


def _supplies(hall: Hall) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Tags of what feeds and of what cools each asset."""
    feeds: dict[str, list[str]] = defaultdict(list)
    cools: dict[str, list[str]] = defaultdict(list)
    rows = (
        AssetLink.objects.filter(kind__in=[LinkKind.POWER, LinkKind.COOLING])
        .order_by("source__tag")
        .values_list("kind", "source__tag", "target__tag")
    )
    for kind, source, target in rows:
        (feeds if kind == LinkKind.POWER else cools)[target].append(source)
    return feeds, cools


def _front(rack: Rack, cracs: list[Asset], hall: Hall) -> int:
    """The side of a rack's cold air: where the nearest CRAC stands across the row."""
    ahead = [float(a.attributes["y_m"]) for a in cracs if "y_m" in a.attributes]
    if not ahead:
        return -1 if rack.y_m <= hall.depth_m / 2 else 1
    nearest = min(ahead, key=lambda y: abs(y - rack.y_m))
    return -1 if nearest <= rack.y_m else 1


def _crac(asset: Asset, hall: Hall, cools: dict[str, list[str]]) -> Unit:
    y = float(asset.attributes.get("y_m", ALCOVE_M))
    return Unit(
        asset.tag,
        asset.kind,
        asset.name,
        float(asset.attributes.get("x_m", hall.width_m / 2)),
        y,
        front=1 if y <= hall.depth_m / 2 else -1,
        rated=float(asset.attributes.get("airflow_m3s", 0)) or None,
        role=str(asset.attributes.get("role", "")),
        cools=cools[asset.tag],
    )


def _beside(pdus: list[Asset], racks: list[Rack], feeds: dict[str, list[str]]) -> list[Unit]:
    """PDUs at the two ends of the row that they feed; more than two stand in a line."""
    units = []
    taken: dict[tuple[float, int], int] = defaultdict(int)
    for asset in sorted(pdus, key=lambda a: a.tag):
        fed = [rack for rack in racks if asset.tag in feeds[rack.tag]]
        x, y = asset.attributes.get("x_m"), asset.attributes.get("y_m")
        if x is None or y is None:
            row = fed or racks
            if not row:
                continue
            y = sum(rack.y_m for rack in row) / len(row)
            side = -1 if str(asset.attributes.get("feed", "a")).lower() == "a" else 1
            end = min(r.x_m for r in row) if side < 0 else max(r.x_m for r in row)
            x = end + side * BESIDE_ROW_M * (1 + taken[y, side])
            taken[y, side] += 1
        units.append(
            Unit(
                asset.tag,
                asset.kind,
                asset.name,
                float(x),
                float(y),
                rated=_rated(asset),
                role=str(asset.attributes.get("feed", "")),
                feeds=feeds[asset.tag],
            )
        )
    return units


def _alcove(assets: list[Asset], hall: Hall, cools: dict[str, list[str]]) -> list[Unit]:
    """Units without a place: along the east wall, one below the other."""
    return [
        Unit(
            asset.tag,
            asset.kind,
            asset.name,
            float(asset.attributes.get("x_m", hall.width_m - ALCOVE_M)),
            float(asset.attributes.get("y_m", hall.depth_m / 2 + 1.1 * number)),
            rated=_rated(asset),
            cools=cools[asset.tag],
        )
        for number, asset in enumerate(sorted(assets, key=lambda a: (a.kind, a.tag)))
    ]


def _rated(asset: Asset) -> float | None:
    for name in ("rated_w", "cooling_w", "power_w"):
        value = asset.attributes.get(name)
        if isinstance(value, int | float):
            return float(value)
    return None


def _lines(assets: list[Asset]) -> list[Line]:
    racks = {asset.tag: asset.rack.tag for asset in assets if asset.rack}
    lines = []
    for asset in sorted(assets, key=lambda a: a.tag):
        ends = (asset.attributes.get("from"), asset.attributes.get("to"))
        if asset.kind != AssetKind.LINK or not all(end in racks for end in ends):
            continue
        first, second = str(ends[0]), str(ends[1])
        lines.append(
            Line(
                asset.tag,
                asset.name,
                (first, second),
                (racks[first], racks[second]),
                float(asset.attributes.get("capacity_gbps", 0)),
            )
        )
    return lines
