"""Constants of the thermal model. Those the site's own readings can teach are marked ``estimated``
in their source; they are factors, or arrays of shape (1, assets) or (members, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from facilities.twin.constants import Constants, constant

_ENERGYPLUS = "EnergyPlus ChillerElectric unit test (NREL/EnergyPlus tst/ChillerElectric.unit.cc)"
_TOWER = "HPE SustainDC (dc-rl) envs/datacenter.py, tower water use"


@dataclass(frozen=True)
class ThermalConstants(Constants):
    """Air, coils, water and heat rejection of a site."""

    # air
    air_density_kg_m3: float = constant(1.204, "dry air at 20 Cel and 101.325 kPa")
    air_cp_j_kgk: float = constant(1006.0, "HPE SustainDC (dc-rl) utils/dc_config.json, dry air")
    water_cp_j_kgk: float = constant(4186.0, "water at 15 Cel; one litre is taken as one kilogram")
    mixing: float = constant(
        0.06, "assumed: least share of hot air in an inlet; estimated", spread=0.3
    )
    own_exhaust: float = constant(
        0.5, "assumed: part of a rack's recirculated air that is its own exhaust", spread=0.2
    )
    containment_mixing: float = constant(
        0.25, "assumed: hot air added to every inlet by an open containment door", spread=0.3
    )
    reach_m: float = constant(
        1.3, "assumed, of the order that one trip of a CRAC of the demo hall tells (1 K rms)"
    )
    reach_uniform: float = constant(
        0.0, "assumed, as reach_m: part of a unit's air spread over all tiles"
    )
    tile_power: float = constant(0.8, "assumed: tiles of a rack grow as its rating to this power")
    tile: float = constant(1.0, "assumed: factor on a rack's tiles; estimated, shape (1, racks)")
    least_rack_flow_m3s: float = constant(0.01, "assumed: buoyancy through a rack without fans")
    other_rise_k: float = constant(12.0, "assumed: air's rise through IT that is no server")
    # heat storage
    aisle_j_k: float = constant(10_000.0, "assumed: 4 m3 of cold air and its tiles at one rack")
    rack_j_k: float = constant(15_000.0, "assumed: frame and air of a rack", spread=0.2)
    rack_j_k_per_w: float = constant(
        2.5, "assumed: 130 kg of server per 10 kW at 480 J/kgK, 0.4 of it in minutes", spread=0.2
    )
    room_m3_per_rack: float = constant(20.0, "assumed: 6.75 m2 and 3 m of height for a rack")
    room_metal: float = constant(
        1.6, "assumed: trays, ceiling, doors, as times the air", spread=0.2
    )
    wall_j_k_per_rack: float = constant(1.2e6, "assumed: 20 m2 of 30 mm concrete", spread=0.3)
    wall_w_k_per_rack: float = constant(
        60.0, "assumed: 20 m2 at 3 W/m2K, natural convection", spread=0.3
    )
    envelope_w_k_per_rack: float = constant(15.0, "assumed: walls to the building", spread=0.3)
    # CRAC fans
    fan_flow: float = constant(
        1.0, "assumed: flow at 100 % over the rating; estimated", spread=0.03
    )
    fan_power: float = constant(
        1.0, "assumed: power at 100 % over the rating; estimated", spread=0.03
    )
    fan_tau_s: float = constant(3.0, "assumed: ramp of the fan drive")
    fan_start_s: float = constant(6.0, "assumed: the damper opens before the fan starts")
    filter_share: float = constant(
        0.12, "assumed: a clean filter takes this share of the fan's pressure"
    )
    damper_share: float = constant(
        0.10, "assumed: the open discharge damper takes this share of the fan's pressure"
    )
    damper_leak: float = constant(
        0.02, "assumed: free area of a closed damper over that of the open one"
    )
    filter_clean_pa: float = constant(150.0, "assumed: clean filter at rated flow; estimated")
    # coils and exchangers
    coil_ua: float = constant(1.0, "assumed: UA over that of the rating; estimated", spread=0.08)
    coil_air_c: float = constant(30.0, "assumed: air entering at the rating of sensible_w")
    coil_water_c: float = constant(10.0, "assumed: water entering at the rating of sensible_w")
    coil_rise_k: float = constant(5.5, "assumed: water rise at the rating of sensible_w")
    coil_air_share: float = constant(0.7, "assumed: air side's share of the coil's resistance")
    coil_air_power: float = constant(0.65, "assumed: finned tubes, h ~ v^0.6...0.7")
    water_power: float = constant(0.8, "Dittus-Boelter: turbulent flow in tubes, h ~ v^0.8")
    coil_j_k: float = constant(25_000.0, "assumed: coil, casing and water of a unit")
    stopped_w_k: float = constant(250.0, "assumed: a stopped unit follows the room in 100 s")
    valve_tau_s: float = constant(20.0, "assumed: supply loop, actuator and tuning")
    valve_least: float = constant(0.02, "assumed: leakage of a closed valve")
    valve_start: float = constant(0.5, "assumed: opening at the start of a unit")
    exchanger_ua: float = constant(
        1.0, "assumed: UA of a CDU over its rating; estimated", spread=0.08
    )
    cdu_s: float = constant(60.0, "assumed: technology water, seconds of rated flow")
    cdu_tau_s: float = constant(3.0, "assumed: ramp of the CDU pump")
    cdu_wet: float = constant(0.3, "assumed: below this speed cold plates lose heat to the air")
    # chilled water
    header_s: float = constant(65.0, "assumed: one header holds this many seconds of rated flow")
    pump_tau_s: float = constant(3.0, "assumed: run-up and run-down of a pump")
    pump_shutoff: float = constant(1.25, "assumed: shut-off head over duty head")
    pump_changeover_s: float = constant(10.0, "assumed: the standby pump starts after this")
    chiller_changeover_s: float = constant(20.0, "assumed: the standby chiller starts after this")
    settle_s: float = constant(30.0, "assumed: the standby stops when duty was healthy so long")
    least_flow: float = constant(0.3, "assumed: flow switch of a chiller, share of rated flow")
    chiller_start_s: float = constant(60.0, "assumed: quick restart of a screw machine", spread=0.2)
    chiller_tau_s: float = constant(12.0, "assumed: loading of a chiller")
    header_tau_s: float = constant(30.0, "assumed: leaving water control")
    chiller_cop: float = constant(1.0, "assumed: COP over the rating; estimated", spread=0.05)
    cop_rated: float = constant(3.0, f"{_ENERGYPLUS}: reference COP")
    condenser_design_c: float = constant(35.0, f"{_ENERGYPLUS}: design condenser inlet")
    evaporator_design_c: float = constant(6.67, f"{_ENERGYPLUS}: design evaporator outlet")
    temperature_rise: float = constant(2.778, f"{_ENERGYPLUS}: temperature rise coefficient")
    capacity_0: float = constant(0.944836, f"{_ENERGYPLUS}: capacity ratio")
    capacity_1: float = constant(-0.0570088, f"{_ENERGYPLUS}: capacity ratio")
    capacity_2: float = constant(0.00185486, f"{_ENERGYPLUS}: capacity ratio")
    full_load_0: float = constant(2.333, f"{_ENERGYPLUS}: full load power ratio")
    full_load_1: float = constant(-1.975, f"{_ENERGYPLUS}: full load power ratio")
    full_load_2: float = constant(0.6121, f"{_ENERGYPLUS}: full load power ratio")
    part_load_0: float = constant(0.03303, f"{_ENERGYPLUS}: part load fraction of power")
    part_load_1: float = constant(0.6852, f"{_ENERGYPLUS}: part load fraction of power")
    part_load_2: float = constant(0.2818, f"{_ENERGYPLUS}: part load fraction of power")
    least_part_load: float = constant(0.05, f"{_ENERGYPLUS}: minimum part load ratio")
    chiller_idle_w: float = constant(1000.0, "assumed: oil heater and controls of a machine on")
    # tower
    approach_k: float = constant(4.0, "assumed: leaving water over wet bulb at rated heat")
    tower_natural: float = constant(0.1, "assumed: share of the rating with the fan at rest")
    tower_tau_s: float = constant(20.0, "assumed: fan and control of the tower")
    basin_s: float = constant(180.0, "assumed: basin and piping, seconds of rated flow")
    water_wet_bulb: float = constant(0.044, f"{_TOWER}: m3/h per Cel of wet bulb")
    water_range: float = constant(0.3528, f"{_TOWER}: m3/h per K of range")
    water_base: float = constant(0.101, f"{_TOWER}: m3/h")
    water_tower_w: float = constant(
        2.1e6, "assumed: the tower of the water formula, where it equals the latent heat"
    )
    drift: float = constant(0.01, f"{_TOWER}: drift, share of the water")
    cycles: float = constant(4.0, "assumed: cycles of concentration; blowdown = evaporation / 3")
    # humidity
    dew_point_c: float = constant(9.0, "assumed: held by the fresh-air unit; read from humidity")
