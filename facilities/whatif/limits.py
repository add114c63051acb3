"""How far a drive may be moved in a what-if, and what the data list says of each point."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from facilities.models import Asset, DataListVersion, Point
from facilities.twin.drive import Key


class Span(NamedTuple):
    """Lowest and highest value that may be asked for, in the drive's unit."""

    low: float
    high: float


FLAG: Final = Span(0, 1)
SHARE: Final = Span(0, 1)

DRIVE_LIMITS: Final[dict[Key, Span]] = {
    ("crac", "run_cmd"): FLAG,
    ("crac", "fan_speed_sp_pct"): Span(0, 100),
    ("crac", "supply_sp_c"): Span(10, 30),
    ("crac", "damper_pct"): Span(0, 100),
    ("cdu", "run_cmd"): FLAG,
    ("cdu", "supply_sp_c"): Span(15, 50),
    ("cdu", "pump_speed_sp_pct"): Span(0, 100),
    ("chiller", "run_cmd"): FLAG,
    ("chiller", "supply_sp_c"): Span(4, 25),
    ("pump", "run_cmd"): FLAG,
    ("tower", "run_cmd"): FLAG,
    ("tower", "leaving_sp_c"): Span(10, 40),
    ("rack", "load_cap_pct"): Span(0, 100),
    ("gpu", "power_limit_w"): Span(50, 1500),
    ("pdu", "breaker_closed"): FLAG,
    ("ups", "bypass"): FLAG,
    ("link", "enabled"): FLAG,
    ("server", "in_service"): FLAG,
    ("crac", "tripped"): FLAG,
    ("crac", "fan_limit"): SHARE,
    ("crac", "fan_efficiency"): Span(0.1, 1.2),
    ("crac", "filter_resistance"): Span(0.5, 20),
    ("crac", "coil_ua"): Span(0.05, 1.5),
    ("crac", "valve_stuck"): SHARE,
    ("cdu", "tripped"): FLAG,
    ("cdu", "exchanger_ua"): Span(0.05, 1.5),
    ("chiller", "tripped"): FLAG,
    ("chiller", "capacity"): Span(0, 1.2),
    ("pump", "tripped"): FLAG,
    ("pump", "head"): Span(0, 1.2),
    ("tower", "tripped"): FLAG,
    ("tower", "fan_limit"): SHARE,
    ("hall", "containment_open"): SHARE,
    ("rack", "mixing_extra"): Span(0, 0.9),
    ("utility", "available"): FLAG,
    ("ups", "failed"): FLAG,
    ("ups", "isolated"): FLAG,
    ("ups", "battery_health"): Span(0, 1.2),
    ("generator", "fails_to_start"): FLAG,
    ("pdu", "failed"): FLAG,
    ("gpu", "thermal_resistance"): Span(0.5, 5),
    ("gpu", "lost"): FLAG,
    ("server", "power_brake"): FLAG,
    ("link", "capacity"): SHARE,
    ("link", "error_rate"): Span(0, 1e6),
    ("site", "dry_bulb_c"): Span(-40, 60),
    ("site", "wet_bulb_c"): Span(-40, 40),
    ("hall", "building_c"): Span(-10, 50),
    ("rack", "other_it_w"): Span(0, 200_000),
    ("gpu", "demand"): SHARE,
    ("job", "demand"): SHARE,
}
"""By drive, where no writable point has limits of its own. Shares and flags are exact; the others
are wide enough for any real machine and keep the physics inside its validity (assumed)."""


class Listed(NamedTuple):
    """A point as the data list has it. ``tau_s`` is 0 where it names no response time."""

    name: str
    unit: str
    tau_s: float
    write: Span | None


class DataList(NamedTuple):
    """Points by tag and names of the assets by tag, at one version of the data list."""

    points: dict[str, Listed]
    names: dict[str, str]

    def span(self, kind: str, asset: str, quantity: str) -> Span:
        """Limits of a drive of an asset: the point's own write limits where it has some."""
        point = self.points.get(f"{asset}.{quantity}")
        if point is not None and point.write:
            return point.write
        return DRIVE_LIMITS.get((kind, quantity), FLAG)

    def name(self, asset: str) -> str:
        """What people call an asset."""
        return "The site" if asset == "site" else self.names.get(asset) or asset


_lock = threading.Lock()
_lists: dict[int, DataList] = {}


def data_list() -> DataList:
    """What the data list says now. One query while nothing changed, else three."""
    version = DataListVersion.objects.filter(pk=1).values_list("version", flat=True).first()
    with _lock:
        if version is not None and version in _lists:
            return _lists[version]
        made = _read()
        if version is not None:
            _lists.clear()
            _lists[version] = made
        return made


def forget() -> None:
    """Read the data list again at the next use."""
    with _lock:
        _lists.clear()


def _read() -> DataList:
    points = {
        tag: Listed(
            f"{asset} {name}" if asset.lower() not in name.lower() else name,
            unit,
            tau or 0.0,
            Span(low, high) if writable and low is not None and high is not None else None,
        )
        for tag, asset, name, unit, tau, writable, low, high in Point.objects.values_list(
            "tag",
            "asset__name",
            "name",
            "unit",
            "response_time_s",
            "writable",
            "write_min",
            "write_max",
        )
    }
    return DataList(points, dict(Asset.objects.values_list("tag", "name")))
