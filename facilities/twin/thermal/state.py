"""What the thermal model remembers between two steps."""

from __future__ import annotations

from dataclasses import dataclass

from facilities.twin.site import Floats
from facilities.twin.state import PartState


@dataclass
class ThermalState(PartState):
    """Arrays (members, n). Letters of the axes: R racks, C CRACs, D CDUs, U = C then D, H halls,
    L loops of chilled water, P pumps, K chillers, T towers, G = pumps' then chillers' loops.
    """

    # temperatures that store heat, °C
    inlet_c: Floats  # R
    outlet_c: Floats  # R
    supply_c: Floats  # C
    room_c: Floats  # H, the hot side; what CRACs draw
    wall_c: Floats  # H
    cdu_supply_c: Floats  # D
    water_supply_c: Floats  # L, header after the chillers
    water_return_c: Floats  # L
    condenser_c: Floats  # L, water leaving the towers
    # actuators and machines
    fan: Floats  # C, speed 0..1
    crac_on_s: Floats  # C, seconds since the start
    valve: Floats  # U, opening 0..1
    cdu_speed: Floats  # D, 0..1
    pump_speed: Floats  # P, 0..1
    chiller_on_s: Floats  # K
    chiller_w: Floats  # K, heat taken from the water
    tower_fan: Floats  # T, 0..1
    lost_s: Floats  # G, seconds since a duty machine was lost
    well_s: Floats  # G, seconds since all duty machines are well
    automatic: Floats  # G, 1 while the sequence runs the standby machines
    dew_point_c: Floats  # H
    # results of the last step
    rack_flow_m3s: Floats  # R
    recirculation: Floats  # R, share of hot air in the inlet
    crac_running: Floats  # C, commanded, healthy and powered
    airflow_m3s: Floats  # C
    unit_heat_w: Floats  # U, heat given to the chilled water
    cdu_return_c: Floats  # D
    cdu_running: Floats  # D
    flow_lps: Floats  # P
    pump_running: Floats  # P
    chiller_running: Floats  # K
    tower_running: Floats  # T
    crac_power_w: Floats  # C
    cdu_power_w: Floats  # D
    pump_power_w: Floats  # P
    chiller_power_w: Floats  # K
    tower_power_w: Floats  # T
    heat_in_w: Floats  # 1: into air, water and condensers
    heat_out_w: Floats  # 1: to outside and the building
    heat_stored_w: Floats  # 1: change of stored heat over the step
