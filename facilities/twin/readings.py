"""Readings by tag into arrays, and what of them is a command, a fault or the weather."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .damper import throttled
from .drive import DRIVES, Drive
from .site import Floats, Site
from .state import Key

if TYPE_CHECKING:
    from .thermal import Thermal

_FAULT_KINDS = ("crac", "cdu", "chiller", "pump", "tower")
_FELL_OFF_BUS = 79.0  # NVIDIA XID catalogue
_POWER_BRAKE = 0x80  # nvml.h, HwPowerBrakeSlowdown


def placed(site: Site, readings: Mapping[str, float]) -> dict[Key, Floats]:
    """Readings by (kind, quantity), each (1, n), NaN where no finite reading is given.

    Tags of unknown assets are left out.
    """
    arrays: dict[Key, Floats] = {}
    for tag, value in readings.items():
        asset, _, quantity = tag.rpartition(".")
        place = site.place.get(asset)
        if place is None:
            continue
        key = (place.kind, quantity)
        if key not in arrays:
            arrays[key] = np.full((1, site.count(place.kind)), np.nan)
        arrays[key][0, place.row] = value if np.isfinite(value) else np.nan
    return arrays


def to_drive(thermal: Thermal, drive: Drive, known: Mapping[Key, Floats]) -> None:
    """Put what readings say of commands, health and weather into the drive (all members)."""
    for key, reading in known.items():
        spec = DRIVES.get(key)
        # a reading of the same name as a drive is that drive: setpoints, breakers, utility
        if spec is not None and (spec.role == "command" or key == ("utility", "available")):
            _put(drive, key, reading)
    door = known.get(("hall", "door_open"))
    if door is not None:
        _put(drive, ("hall", "containment_open"), door)
    for quantity in ("dry_bulb_c", "wet_bulb_c"):
        weather = known.get(("weather", quantity))
        if weather is not None and np.isfinite(weather).any():
            drive["site", quantity][:] = np.nanmean(weather)
    for kind in _FAULT_KINDS:
        fault = known.get((kind, "fault"))
        if fault is None:
            continue
        _put(drive, (kind, "tripped"), np.where(np.isnan(fault), np.nan, fault == 1.0))
        speed = known.get((kind, "fan_speed_pct"))
        if kind in ("crac", "tower") and speed is not None:
            limit = np.where(fault == 2.0, np.clip(speed * 0.01, 0.0, 1.0), 1.0)
            _put(drive, (kind, "fan_limit"), np.where(np.isnan(fault), np.nan, limit))
    _filters(thermal, drive, known)
    failed = known.get(("generator", "start_fail"))
    if failed is not None:
        _put(drive, ("generator", "fails_to_start"), failed)
    xid = known.get(("gpu", "xid"))
    if xid is not None:
        _put(drive, ("gpu", "lost"), np.where(np.isnan(xid), np.nan, xid == _FELL_OFF_BUS))
    errors = known.get(("link", "error_rate"))
    if errors is not None:
        _put(drive, ("link", "error_rate"), errors)
    _power_brake(thermal.site, drive, known)


def healthy(drive: Drive) -> Drive:
    """A copy with no machine tripped, lost or without utility, for a settled start."""
    copy = drive.copied()
    for key in (
        *((kind, "tripped") for kind in _FAULT_KINDS),
        ("utility", "available"),
        ("pdu", "failed"),
        ("pdu", "breaker_closed"),
        ("ups", "failed"),
        ("gpu", "lost"),
        ("server", "power_brake"),
    ):
        copy[key][:] = DRIVES[key].default
    return copy


def _filters(thermal: Thermal, drive: Drive, known: Mapping[Key, Floats]) -> None:
    """Filter resistance that explains the pressure drop at the measured speed.

    dp = clean · r · n² / (1 + f (r - 1) + d), d of the damper, solved for r.
    """
    pressure, speed = known.get(("crac", "filter_dp_pa")), known.get(("crac", "fan_speed_pct"))
    if pressure is None or speed is None:
        return
    c = thermal.parameters
    fan = np.where(speed > 20.0, speed * 0.01, np.nan)
    ratio = pressure / (c.filter_clean_pa * (np.asarray(c.fan_flow) * fan) ** 2)
    damper = throttled(drive["crac", "damper_pct"], share=c.damper_share, leak=c.damper_leak)
    open_share = 1.0 - c.filter_share + damper
    resistance = ratio * open_share / (1.0 - np.minimum(ratio * c.filter_share, 0.9))
    _put(drive, ("crac", "filter_resistance"), np.clip(resistance[:1], 0.2, 20.0))


def _power_brake(site: Site, drive: Drive, known: Mapping[Key, Floats]) -> None:
    reasons = known.get(("gpu", "throttle_reasons"))
    if reasons is None or not site.count("server"):
        return
    server = site.within("gpu", "server")
    known_bits = np.nan_to_num(reasons[0]).astype(np.int64)
    braked = np.zeros(site.count("server"))
    held = (known_bits & _POWER_BRAKE > 0) & (server >= 0)
    braked[server[held]] = 1.0
    _put(drive, ("server", "power_brake"), braked[None])


def _put(drive: Drive, key: Key, reading: Floats) -> None:
    present = drive.values[key]
    drive.values[key] = np.where(np.isfinite(reading), reading, present)
