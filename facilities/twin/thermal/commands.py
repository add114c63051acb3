"""What of the drive the thermal model needs, worked out once until the drive changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facilities.twin.drive import DRIVES, Drive
from facilities.twin.site import Floats

from .constants import ThermalConstants
from .layout import Layout


@dataclass(frozen=True, slots=True)
class Commands:
    """Arrays (M, n) that follow from drive and constants alone; ``ready`` is commanded and not
    tripped, U is the CRACs, then the CDUs, ``machine`` the pumps, then the chillers.
    """

    crac_ready: Floats
    fan_target: Floats  # speed 0..1
    flow_share: Floats  # of the clean system's flow, for the filter
    fan_efficiency: Floats
    supply_sp_c: Floats
    cdu_ready: Floats
    cdu_target: Floats
    cdu_sp_c: Floats
    unit_health: Floats  # U, share of the exchange
    stuck: Floats | None  # U, NaN where the valve moves; None: all move
    machine_command: Floats
    machine_well: Floats
    pump_lps: Floats  # at full speed
    chiller_sp_c: Floats
    capacity_w: Floats  # before the temperatures
    tower_ready: Floats
    tower_limit: Floats
    tower_over_k: Floats  # setpoint over wet bulb
    wet_bulb_c: Floats
    dry_bulb_c: Floats
    fresh: Floats  # R, 1 - mixing
    building_c: Floats


def commands(layout: Layout, c: ThermalConstants, drive: Drive) -> Commands:
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
    return Commands(
        crac_ready=_ready(drive, "crac"),
        fan_target=np.minimum(drive["crac", "fan_speed_sp_pct"] * 0.01, drive["crac", "fan_limit"]),
        # at one speed a stiffer system moves the fan along its curve: dp_total ~ flow²
        flow_share=1.0 / np.sqrt(1.0 + c.filter_share * (drive["crac", "filter_resistance"] - 1.0)),
        fan_efficiency=drive["crac", "fan_efficiency"].copy(),
        supply_sp_c=drive["crac", "supply_sp_c"].copy(),
        cdu_ready=cdu_ready,
        cdu_target=drive["cdu", "pump_speed_sp_pct"] * 0.01 * cdu_ready,
        cdu_sp_c=drive["cdu", "supply_sp_c"].copy(),
        unit_health=np.concatenate(
            [drive["crac", "coil_ua"], drive["cdu", "exchanger_ua"]], axis=1
        ),
        stuck=None if np.isnan(stuck).all() else stuck,
        machine_command=np.concatenate(
            [drive["pump", "run_cmd"], drive["chiller", "run_cmd"]], axis=1
        ),
        machine_well=1.0
        - np.concatenate([drive["pump", "tripped"], drive["chiller", "tripped"]], axis=1),
        pump_lps=layout.pump_lps * drive["pump", "head"],
        chiller_sp_c=drive["chiller", "supply_sp_c"].copy(),
        capacity_w=layout.chiller_cap_w * drive["chiller", "capacity"],
        tower_ready=_ready(drive, "tower"),
        tower_limit=drive["tower", "fan_limit"].copy(),
        tower_over_k=np.maximum(drive["tower", "leaving_sp_c"] - drive["site", "wet_bulb_c"], 0.2),
        wet_bulb_c=drive["site", "wet_bulb_c"].copy(),
        dry_bulb_c=drive["site", "dry_bulb_c"].copy(),
        fresh=1.0 - np.clip(mixing, 0.0, 0.95),
        building_c=building_c.copy(),
    )


def _ready(drive: Drive, kind: str) -> Floats:
    return drive[kind, "run_cmd"] * (1.0 - drive[kind, "tripped"])
