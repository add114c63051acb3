"""What of the drive the thermal model needs, worked out once until the drive changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facilities.twin.damper import throttled
from facilities.twin.drive import DRIVES, Drive
from facilities.twin.site import Floats

from .constants import ThermalConstants
from .layout import Layout

if TYPE_CHECKING:
    from .units import Units
    from .water import Water


@dataclass(frozen=True, slots=True)
class Commands:
    """Arrays (M, n) that follow from drive and constants alone; ``ready`` is commanded and not
    tripped, U is the CRACs, then the CDUs, ``machine`` the pumps, then the chillers. All have every
    member: NumPy takes three times as long where it has to broadcast.
    """

    members: int

    crac_ready: Floats
    fan_target: Floats  # speed 0..1
    flow_share: Floats  # of the clean, open system's flow, for filter and damper
    air_w_k: Floats  # CRACs' air at full speed
    fan_w: Floats  # CRACs' power at full speed
    supply_sp_c: Floats
    cdu_ready: Floats
    cdu_target: Floats
    cdu_sp_c: Floats
    cdu_pump_w: Floats  # at full speed
    technology_w_k: Floats  # at full speed
    technology_j_k: Floats
    liquid_share: Floats  # of the racks with cold plates
    unit_ua_w_k: Floats  # U, clean and with rated streams
    unit_cold_w_k: Floats  # U, water through an open valve
    stuck: Floats | None  # U, NaN where the valve moves; None: all move
    machine_command: Floats
    machine_well: Floats
    machine_duty: Floats  # commanded duty machines
    machine_standby: Floats
    pump_lps: Floats  # at full speed
    chiller_sp_c: Floats
    capacity_w: Floats  # before the temperatures
    full_load_w: Floats  # electric power at it, before the temperatures
    tower_ready: Floats
    tower_limit: Floats
    tower_over_k: Floats  # setpoint over wet bulb
    wet_bulb_c: Floats
    dry_bulb_c: Floats
    fresh: Floats  # R, 1 - mixing
    building_c: Floats


def commands(
    layout: Layout, c: ThermalConstants, drive: Drive, *, units: Units, water: Water
) -> Commands:
    """The commands of a drive; valid until the drive changes."""
    stuck = np.concatenate(
        [drive["crac", "valve_stuck"], np.full((drive.members, layout.cdus), np.nan)], axis=1
    )
    # halls that are only named by their racks have no drive of their own
    building_c, door = drive["hall", "building_c"], drive["hall", "containment_open"]
    if building_c.shape[1] != layout.halls:
        shape = (drive.members, layout.halls)
        building_c, door = np.full(shape, DRIVES["hall", "building_c"].default), np.zeros(shape)
    mixing = door * c.containment_mixing
    mixing = mixing.take(layout.rack_hall, axis=1) if layout.halls != 1 else mixing
    mixing = mixing + drive["rack", "mixing_extra"] + c.mixing
    cdu_ready = _ready(drive, "cdu")
    # at one speed a stiffer system moves the fan along its curve: dp_total ~ flow²
    stiffer = c.filter_share * (drive["crac", "filter_resistance"] - 1.0)
    stiffer = stiffer + throttled(
        drive["crac", "damper_pct"], share=c.damper_share, leak=c.damper_leak
    )
    flow_share = 1.0 / np.sqrt(1.0 + stiffer)
    health = np.concatenate([drive["crac", "coil_ua"], drive["cdu", "exchanger_ua"]], axis=1)
    machine = np.concatenate([drive["pump", "run_cmd"], drive["chiller", "run_cmd"]], axis=1)
    capacity_w = layout.chiller_cap_w * drive["chiller", "capacity"]
    return Commands(
        members=drive.members,
        crac_ready=_ready(drive, "crac"),
        fan_target=np.minimum(drive["crac", "fan_speed_sp_pct"] * 0.01, drive["crac", "fan_limit"]),
        flow_share=flow_share,
        air_w_k=units.full_air_w_k * flow_share,
        fan_w=units.full_fan_w * flow_share / drive["crac", "fan_efficiency"],
        supply_sp_c=drive["crac", "supply_sp_c"].copy(),
        cdu_ready=cdu_ready,
        cdu_target=drive["cdu", "pump_speed_sp_pct"] * 0.01 * cdu_ready,
        cdu_sp_c=drive["cdu", "supply_sp_c"].copy(),
        cdu_pump_w=wide(layout.cdu_pump_w, cdu_ready),
        technology_w_k=wide(units.full_technology_w_k, cdu_ready),
        technology_j_k=wide(units.full_technology_w_k * c.cdu_s, cdu_ready),
        liquid_share=np.repeat(layout.liquid_share[None], drive.members, axis=0),
        unit_ua_w_k=units.ua_w_k * health,
        unit_cold_w_k=wide(layout.unit_cold_w_k, health),
        stuck=None if np.isnan(stuck).all() else stuck,
        machine_command=machine,
        machine_well=1.0
        - np.concatenate([drive["pump", "tripped"], drive["chiller", "tripped"]], axis=1),
        machine_duty=machine * layout.duty,
        machine_standby=wide(layout.standby, machine),
        pump_lps=layout.pump_lps * drive["pump", "head"],
        chiller_sp_c=drive["chiller", "supply_sp_c"].copy(),
        capacity_w=capacity_w,
        full_load_w=capacity_w / water.cop,
        tower_ready=_ready(drive, "tower"),
        tower_limit=drive["tower", "fan_limit"].copy(),
        tower_over_k=np.maximum(drive["tower", "leaving_sp_c"] - drive["site", "wet_bulb_c"], 0.2),
        wet_bulb_c=drive["site", "wet_bulb_c"].copy(),
        dry_bulb_c=drive["site", "dry_bulb_c"].copy(),
        fresh=1.0 - np.clip(mixing, 0.0, 0.95),
        building_c=building_c.copy(),
    )


def wide(constant: Floats | float, like: Floats) -> Floats:
    """A constant with a value for every element of an array like that."""
    return np.zeros_like(like) + constant


def _ready(drive: Drive, kind: str) -> Floats:
    return drive[kind, "run_cmd"] * (1.0 - drive[kind, "tripped"])
