"""What stands at every instrument: the plant's state by (asset kind, quantity)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.moisture import relative_humidity_pct

if TYPE_CHECKING:
    from facilities.demo.plant.physics import Plant

Floats = NDArray[np.float64]
Values = dict[tuple[str, str], Floats]

FOULED_UA = 0.3  # assumed: a CDU reports its exchanger below this share of the clean transfer


def values_of(plant: Plant) -> Values:
    """True value at every point, arrays in file order of the assets; setpoints included."""
    compute, power = plant.compute, plant.power
    it_w = float(compute.rack_w.sum())
    facility_w = power.facility_w(plant.mechanical_w)
    return {
        ("hall", "it_power_w"): _one(it_w),
        ("hall", "facility_power_w"): _one(facility_w),
        ("hall", "pue"): _one(facility_w / it_w if it_w > 0 else 0.0),
        **_air(plant),
        **_water(plant),
        **_electrical(plant),
        **_work(plant),
        ("weather", "dry_bulb_c"): _one(plant.outside.dry_bulb_c),
        ("weather", "wet_bulb_c"): _one(plant.outside.wet_bulb_c),
        ("leak_detector", "wet"): _one(plant.conditions.leak),
        ("fire_panel", "alarm"): _one(0.0),
        ("fire_panel", "trouble"): _one(plant.conditions.fire_trouble),
        **plant.setpoints,
    }


def _one(value: float) -> Floats:
    return np.array([float(value)])


def _air(plant: Plant) -> Values:
    air, state, conditions = plant.air, plant.air.state, plant.conditions
    fault = np.where(
        conditions.crac_tripped, 1.0, np.where(conditions.crac_fan_limit < 0.999, 2.0, 0.0)
    )
    dew_point_c = plant.moisture.dew_point_c
    inlet_c = air.inlet_probe_c
    return {
        ("hall", "humidity_pct"): relative_humidity_pct(
            np.mean(state.inlet_c, keepdims=True), dew_point_c=dew_point_c
        ),
        ("hall", "return_c"): _one(state.room_c),
        ("hall", "door_open"): _one(conditions.door_open > 0.05),
        ("rack", "inlet_c"): inlet_c,
        ("rack", "outlet_c"): state.outlet_c,
        ("rack", "power_w"): plant.compute.rack_w,
        ("rack", "inlet_rh_pct"): relative_humidity_pct(inlet_c, dew_point_c=dew_point_c),
        ("crac", "supply_c"): state.supply_c,
        ("crac", "return_c"): air.return_probe_c,
        ("crac", "fan_speed_pct"): state.fan * 100.0,
        ("crac", "running"): (state.fan > 0.05).astype(float),
        ("crac", "fault"): fault,
        ("crac", "power_w"): air.fan_w,
        ("crac", "filter_dp_pa"): air.filter_dp_pa,
        ("crac", "valve_pct"): state.stem * 100.0,
        ("server", "inlet_c"): state.inlet_c[plant.compute.server_rack],
    }


def _water(plant: Plant) -> Values:
    water, tower, cdu, conditions = plant.water, plant.tower, plant.cdu, plant.conditions
    headers = np.ones(len(water.cooling_w))
    cdu_fault = 1.0 if conditions.cdu_tripped[0] else 0.0
    if not cdu_fault and conditions.cdu_exchanger_ua[0] < FOULED_UA:
        cdu_fault = 2.0
    return {
        ("chiller", "supply_c"): headers * water.supply_c,
        ("chiller", "return_c"): headers * water.return_c,
        ("chiller", "power_w"): water.electric_w,
        ("chiller", "running"): water.chiller_running.astype(float),
        ("chiller", "fault"): conditions.chiller_tripped.astype(float),
        ("chiller", "load_pct"): 100.0 * water.chiller_w / water.cooling_w,
        ("pump", "running"): water.pump_running.astype(float),
        ("pump", "flow_lps"): water.flow_lps,
        ("pump", "fault"): conditions.pump_tripped.astype(float),
        ("cdu", "supply_c"): _one(cdu.supply_c),
        ("cdu", "return_c"): _one(cdu.return_c),
        ("cdu", "flow_lps"): _one(cdu.flow_lps),
        ("cdu", "pump_speed_pct"): _one(cdu.speed * 100.0),
        ("cdu", "valve_pct"): _one(cdu.valve * 100.0),
        ("cdu", "power_w"): _one(cdu.power_w),
        ("cdu", "running"): _one(cdu.running),
        ("cdu", "fault"): _one(cdu_fault),
        ("tower", "leaving_c"): _one(tower.leaving_c),
        ("tower", "fan_speed_pct"): _one(tower.fan * 100.0),
        ("tower", "power_w"): _one(tower.power_w),
        ("tower", "makeup_lps"): _one(tower.makeup_lps),
        ("tower", "running"): _one(tower.running),
        ("tower", "fault"): conditions.tower_tripped.astype(float),
    }


def _electrical(plant: Plant) -> Values:
    power = plant.power
    feed_v = power.utility_v if not power.on_generator else power.p.phase_v
    return {
        ("ups", "load_w"): power.ups_load_w,
        ("ups", "load_pct"): 100.0 * power.ups_load_w / power.ups_rated_w,
        ("ups", "battery_pct"): power.charge * 100.0,
        ("ups", "runtime_s"): power.runtime_s,
        ("ups", "on_battery"): power.on_battery.astype(float),
        ("ups", "input_v"): np.where(power.input_good, feed_v, 0.0),
        ("ups", "battery_resistance_mohm"): power.battery_resistance_mohm,
        ("pdu", "power_w"): power.pdu_w,
        ("pdu", "current_a"): power.current_a,
        ("pdu", "breaker_closed"): power.pdu_closed.astype(float),
        ("generator", "running"): _one(power.gen_running),
        ("generator", "power_w"): _one(power.gen_w),
        ("generator", "fuel_pct"): _one(power.fuel * 100.0),
        ("generator", "start_fail"): _one(power.gen_start_failed),
        ("utility", "power_w"): _one(power.utility_w),
        ("utility", "voltage_v"): _one(power.utility_v),
        ("utility", "available"): _one(power.utility_available),
    }


def _work(plant: Plant) -> Values:
    compute, jobs, network = plant.compute, plant.jobs, plant.network
    return {
        ("server", "power_w"): compute.server_w,
        ("server", "fan_pct"): compute.fan * 100.0,
        ("gpu", "temp_c"): compute.gpu_c,
        ("gpu", "power_w"): compute.gpu_w,
        ("gpu", "util_pct"): compute.gpu_util * 100.0,
        ("gpu", "sm_clock_mhz"): compute.clock_mhz,
        ("gpu", "throttle_reasons"): compute.reasons,
        ("gpu", "xid"): plant.conditions.gpu_xid,
        ("link", "util_pct"): network.util * 100.0,
        ("link", "error_rate"): network.errors_per_s,
        ("link", "up"): network.up,
        ("job", "step_time_s"): jobs.step_time_s,
        ("job", "throughput_pct"): jobs.throughput_pct,
        ("job", "exposed_comm_pct"): jobs.exposed_pct,
        ("job", "running"): jobs.running,
    }
