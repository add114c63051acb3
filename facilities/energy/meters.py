"""Which points of the data list count for energy, and in what role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from facilities.models import Asset, Point

from .prices import Tariff, tariff_from

POWER: Final = "power"
COUNTER: Final = "counter"
FLOW: Final = "flow"

ROLES: Final[dict[tuple[str, str], str]] = {
    ("utility", "power_w"): "utility",
    ("generator", "power_w"): "generator",
    ("hall", "facility_power_w"): "facility",
    ("hall", "it_power_w"): "hall_it",
    ("ups", "load_w"): "ups",
    ("pdu", "power_w"): "pdu",
    ("rack", "power_w"): "rack",
    ("crac", "power_w"): "crac",
    ("chiller", "power_w"): "chiller",
    ("tower", "power_w"): "tower",
    ("cdu", "power_w"): "cdu",
    ("pump", "power_w"): "pump",
    ("pump", "flow_lps"): "pump_flow",
    ("tower", "makeup_lps"): "water",
}
"""Role of a (kind, quantity). An energy counter of the same kind takes the place of the power."""

_COUNTED: Final = {"energy_wh": 1.0, "energy_kwh": 1000.0}
"""Quantities of counters, and Wh of one unit."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One point in its role. ``scale`` makes W, Wh or L/s of its value."""

    point: int
    tag: str
    asset: str
    role: str
    kind: str
    sampling_s: float | None
    scale: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """The meters of the site by role, and what its feeds cost."""

    meters: tuple[Meter, ...]
    tariff: Tariff

    def of(self, role: str) -> list[int]:
        """Positions in ``meters`` of a role."""
        return [n for n, meter in enumerate(self.meters) if meter.role == role]

    def tags(self, role: str) -> list[str]:
        """Tags of a role's points."""
        return [meter.tag for meter in self.meters if meter.role == role]


def metering_plan() -> Plan:
    """Find the meters of the data list. Two queries."""
    kinds = {kind for kind, _ in ROLES}
    quantities = {quantity for _, quantity in ROLES} | set(_COUNTED)
    rows = Point.objects.filter(asset__kind__in=kinds, quantity__in=quantities).values_list(
        "pk",
        "tag",
        "quantity",
        "sampling_interval_s",
        "asset__tag",
        "asset__kind",
        "asset__attributes",
    )
    found: list[Meter] = []
    counted: set[str] = set()
    for pk, tag, quantity, sampling_s, asset, kind, attributes in rows.order_by("asset_id", "pk"):
        attributes = attributes or {}
        if quantity in _COUNTED:
            role = _counter_role(kind)
            if role is None or asset in counted:
                continue
            counted.add(asset)
            scale, shape = _COUNTED[quantity], COUNTER
        else:
            role = ROLES.get((kind, quantity))
            if role is None:
                continue
            scale, shape = 1.0, POWER if quantity.endswith("_w") else FLOW
        found.append(Meter(pk, tag, asset, role, shape, sampling_s, scale, attributes))
    kept = tuple(m for m in found if m.kind != POWER or m.asset not in counted)
    feeds = Asset.objects.filter(kind="utility").order_by("pk").values_list("attributes", flat=True)
    return Plan(kept, tariff_from(feed or {} for feed in feeds))


def _counter_role(kind: str) -> str | None:
    for (of, quantity), role in ROLES.items():
        if of == kind and quantity in ("power_w", "load_w"):
            return role
    return None
