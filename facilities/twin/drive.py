"""What acts on the site from outside: commands, the health of equipment, weather and demand.

One table names every drive. Commands carry the same (kind, quantity) as the points of the data
list; health keys have none there, faults and what-if set them.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np

from .site import Floats, Site

Key = tuple[str, str]
Role = Literal["command", "health", "boundary"]


class DriveSpec(NamedTuple):
    """One drive of every asset of a kind."""

    default: float
    unit: str
    role: Role
    meaning: str


DRIVES: Final[dict[Key, DriveSpec]] = {
    # commands: what an operator or an approved action sets
    ("crac", "run_cmd"): DriveSpec(1, "1", "command", "run; standby units start at 0"),
    ("crac", "fan_speed_sp_pct"): DriveSpec(70, "%", "command", "fan speed"),
    ("crac", "supply_sp_c"): DriveSpec(18, "Cel", "command", "supply air temperature"),
    ("crac", "damper_pct"): DriveSpec(100, "%", "command", "discharge damper: throttles the fan"),
    ("cdu", "run_cmd"): DriveSpec(1, "1", "command", "run"),
    ("cdu", "supply_sp_c"): DriveSpec(32, "Cel", "command", "technology water supply"),
    ("cdu", "pump_speed_sp_pct"): DriveSpec(70, "%", "command", "pump speed"),
    ("chiller", "run_cmd"): DriveSpec(1, "1", "command", "run; standby machines start at 0"),
    ("chiller", "supply_sp_c"): DriveSpec(10, "Cel", "command", "leaving chilled water"),
    ("pump", "run_cmd"): DriveSpec(1, "1", "command", "run; standby pumps start at 0"),
    ("tower", "run_cmd"): DriveSpec(1, "1", "command", "run"),
    ("tower", "leaving_sp_c"): DriveSpec(24, "Cel", "command", "leaving condenser water"),
    ("rack", "load_cap_pct"): DriveSpec(100, "%", "command", "cap of IT power, share of rating"),
    ("gpu", "power_limit_w"): DriveSpec(700, "W", "command", "NVML power management limit"),
    ("pdu", "breaker_closed"): DriveSpec(1, "1", "command", "main breaker"),
    ("ups", "bypass"): DriveSpec(0, "1", "command", "static bypass"),
    ("link", "enabled"): DriveSpec(1, "1", "command", "administrative state"),
    ("server", "in_service"): DriveSpec(1, "1", "command", "0: drained, its jobs left it"),
    # health: 1 is as new, unless said otherwise
    ("crac", "tripped"): DriveSpec(0, "1", "health", "unit tripped"),
    ("crac", "fan_limit"): DriveSpec(1, "1", "health", "highest fan speed, 0..1"),
    ("crac", "fan_efficiency"): DriveSpec(1, "1", "health", "air power per electric power"),
    ("crac", "filter_resistance"): DriveSpec(1, "1", "health", "times the clean filter"),
    ("crac", "coil_ua"): DriveSpec(1, "1", "health", "heat transfer of the coil"),
    ("crac", "valve_stuck"): DriveSpec(np.nan, "1", "health", "opening 0..1; NaN: moves freely"),
    ("cdu", "tripped"): DriveSpec(0, "1", "health", "unit tripped"),
    ("cdu", "exchanger_ua"): DriveSpec(1, "1", "health", "heat transfer of the exchanger"),
    ("chiller", "tripped"): DriveSpec(0, "1", "health", "machine tripped or locked out"),
    ("chiller", "capacity"): DriveSpec(1, "1", "health", "share of rated capacity"),
    ("pump", "tripped"): DriveSpec(0, "1", "health", "pump tripped"),
    ("pump", "head"): DriveSpec(1, "1", "health", "share of rated flow at full speed"),
    ("tower", "tripped"): DriveSpec(0, "1", "health", "fan and condenser pump tripped"),
    ("tower", "fan_limit"): DriveSpec(1, "1", "health", "highest fan speed, 0..1"),
    ("hall", "containment_open"): DriveSpec(0, "1", "health", "0 closed, 1 door wide open"),
    ("rack", "mixing_extra"): DriveSpec(0, "1", "health", "added recirculated share of inlet air"),
    ("utility", "available"): DriveSpec(1, "1", "health", "feed present"),
    ("ups", "failed"): DriveSpec(0, "1", "health", "inverter failed; load on bypass"),
    ("ups", "isolated"): DriveSpec(0, "1", "health", "output open: the whole feed is dead"),
    ("ups", "battery_health"): DriveSpec(1, "1", "health", "share of rated capacity"),
    ("generator", "fails_to_start"): DriveSpec(0, "1", "health", "does not start"),
    ("pdu", "failed"): DriveSpec(0, "1", "health", "breaker open and cannot close"),
    ("gpu", "thermal_resistance"): DriveSpec(1, "1", "health", "times new; paste or fins decay"),
    ("gpu", "lost"): DriveSpec(0, "1", "health", "fell off the bus (XID 79): no work, no power"),
    ("server", "power_brake"): DriveSpec(0, "1", "health", "external power brake asserted"),
    ("link", "capacity"): DriveSpec(1, "1", "health", "share of rated capacity; 0 is down"),
    ("link", "error_rate"): DriveSpec(0.1, "1/s", "health", "symbol errors per second"),
    # boundary: weather and demand
    ("site", "dry_bulb_c"): DriveSpec(15, "Cel", "boundary", "outside air"),
    ("site", "wet_bulb_c"): DriveSpec(11, "Cel", "boundary", "outside air"),
    ("hall", "building_c"): DriveSpec(24, "Cel", "boundary", "around the hall"),
    ("rack", "other_it_w"): DriveSpec(
        np.nan, "W", "boundary", "IT that is no server; NaN: default"
    ),
    ("gpu", "demand"): DriveSpec(0.8, "1", "boundary", "utilisation asked for, 0..1"),
    ("job", "demand"): DriveSpec(1, "1", "boundary", "1: runs, 0: paused"),
}
"""Every drive by (kind, quantity). Kind ``site`` has one element."""


class Drive:
    """The drives of a site: ``drive[kind, quantity]`` has shape (members, assets)."""

    def __init__(self, site: Site, *, members: int = 1) -> None:
        self.site = site
        self.members = members
        self.values: dict[Key, Floats] = {}
        for key, spec in DRIVES.items():
            count = 1 if key[0] == "site" else site.count(key[0])
            self.values[key] = np.full((members, count), spec.default, dtype=np.float64)
            if key[1] == "run_cmd":
                for index, asset in enumerate(site.of_kind(key[0])):
                    if asset.attributes.get("role") == "standby":
                        self.values[key][:, index] = 0.0
        limits = site.attribute("gpu", "max_w", DRIVES["gpu", "power_limit_w"].default)
        self.values["gpu", "power_limit_w"][:] = limits

    def __getitem__(self, key: Key) -> Floats:
        return self.values[key]

    def set(self, asset: str, quantity: str, value: float, *, members: slice = slice(None)) -> None:
        """Set one drive of one asset (or of ``site``), in all members or some.

        Raises ``SiteError`` for an unknown asset and ``KeyError`` for what is no drive.
        """
        kind, index = ("site", 0) if asset == "site" else self.site.locate(asset)
        self.values[kind, quantity][members, index] = value

    def copied(self) -> Drive:
        """A copy that shares no array."""
        copy = object.__new__(Drive)
        copy.site, copy.members = self.site, self.members
        copy.values = {key: value.copy() for key, value in self.values.items()}
        return copy

    def repeated(self, members: int) -> Drive:
        """A copy with ``members`` members; each is a copy of the first."""
        copy = object.__new__(Drive)
        copy.site, copy.members = self.site, members
        copy.values = {
            key: np.repeat(value[:1], members, axis=0) for key, value in self.values.items()
        }
        return copy
