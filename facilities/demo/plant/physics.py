"""The coupled plant: power becomes heat, heat becomes temperature, temperature becomes throttling.

One `step` of one second costs well under a millisecond. Nothing here knows Django, HTTP or clocks:
the caller passes the time, so a test steps an hour in seconds.
"""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.air import Air, AirParameters
from facilities.demo.plant.compute import Compute, ComputeParameters
from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.network import Network, NetworkParameters
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.power import Power, PowerParameters
from facilities.demo.plant.water import Water, WaterParameters

Floats = NDArray[np.float64]
Values = dict[tuple[str, str], Floats]

#: Setpoints at first start, by kind and quantity; a list gives one value per asset.
DEFAULTS: Mapping[tuple[str, str], float | list[float]] = {
    ("crac", "fan_speed_sp_pct"): 70.0,
    ("crac", "supply_sp_c"): 18.0,
    ("crac", "run_cmd"): [1.0, 1.0, 1.0, 0.0],
    ("rack", "load_cap_pct"): 100.0,
    ("chiller", "run_cmd"): [1.0, 0.0],
    ("chiller", "supply_sp_c"): 10.0,
    ("pump", "run_cmd"): [1.0, 0.0],
}

HEAT_REJECTION_W = 6_000.0  # assumed: dry-cooler pumps and controls
LIGHTING_W = 2_500.0  # assumed: hall lighting and small loads, as heat in the hall
PUMP_RESTART_S = 5.0  # assumed: drives restart after power returns
DEW_POINT_C = 8.5  # assumed: held by the fresh-air unit; recommended range is -9..15 °C


class Plant:
    """The whole facility; `setpoints` may be written between steps, `conditions` breaks things."""

    def __init__(self, facility: FacilitySpec, *, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.facility = facility
        self.conditions = Conditions.healthy(facility)
        self.compute = Compute(facility, parameters=ComputeParameters(), rng=rng)
        self.air = Air(facility, parameters=AirParameters())
        self.water = Water(facility, parameters=WaterParameters())
        self.power = Power(facility, parameters=PowerParameters())
        self.network = Network(facility, parameters=NetworkParameters(), rng=rng)
        self.setpoints: Values = {}
        self._place: dict[str, tuple[tuple[str, str], int]] = {}
        for key, default in DEFAULTS.items():
            assets = facility.of_kind(key[0])
            self.setpoints[key] = np.broadcast_to(
                np.asarray(default, dtype=float), len(assets)
            ).copy()
            for index, asset in enumerate(assets):
                self._place[f"{asset.tag}.{key[1]}"] = (key, index)

    def setpoint(self, tag: str) -> float:
        """Present value of a setpoint; KeyError for a tag that is not one."""
        key, index = self._place[tag]
        return float(self.setpoints[key][index])

    def write(self, tag: str, value: float) -> float:
        """Set a setpoint and return its previous value; limits are the caller's business."""
        key, index = self._place[tag]
        previous = float(self.setpoints[key][index])
        self.setpoints[key][index] = value
        return previous

    @property
    def setpoint_tags(self) -> list[str]:
        return list(self._place)

    @property
    def mechanical_w(self) -> float:
        """Electric demand of cooling and building, W."""
        return (
            float(self.air.fan_w.sum() + self.water.pump_w.sum() + self.water.electric_w.sum())
            + HEAT_REJECTION_W
            + LIGHTING_W
        )

    def step(self, dt_s: float, *, at: datetime) -> None:
        """Advance by dt_s seconds (at most 2) to the UTC time `at`."""
        c, sp, power, water = self.conditions, self.setpoints, self.power, self.water
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        self.compute.step(
            dt_s,
            seconds_of_day=(at - midnight).total_seconds(),
            inlet_c=self.air.state.inlet_c,
            load_cap=sp["rack", "load_cap_pct"] / 100.0,
            powered=power.rack_powered,
            gpu_resistance=c.gpu_resistance,
        )
        power.step(
            dt_s,
            utility_available=c.utility_available,
            breaker_open=c.pdu_breaker_open,
            rack_w=self.compute.rack_w,
            mechanical_w=self.mechanical_w,
        )
        for kind, tripped in (("pump", c.pump_tripped), ("chiller", c.chiller_tripped)):
            sp[kind, "run_cmd"] = water.sequence(
                dt_s, commands=sp[kind, "run_cmd"], tripped=tripped, of=kind
            )
        live = power.mains
        restarted = live and power.mains_on_s > PUMP_RESTART_S
        self.air.step(
            dt_s,
            run=(sp["crac", "run_cmd"] > 0.5) & ~c.crac_tripped & live,
            fan_sp=sp["crac", "fan_speed_sp_pct"] / 100.0,
            supply_sp_c=sp["crac", "supply_sp_c"],
            fan_limit=c.crac_fan_limit,
            filter_resistance=c.crac_filter_resistance,
            water_c=water.supply_c,
            water_lps=float(water.flow_lps.sum()),
            rack_w=self.compute.rack_w,
            rack_fan=self.compute.rack_fan(),
            fan_reference=self.compute.p.fan_reference,
            other_w=power.pdu_loss_w + (LIGHTING_W if live else 0.0),
        )
        chiller_run = (sp["chiller", "run_cmd"] > 0.5) & ~c.chiller_tripped & live
        water.step(
            dt_s,
            pump_run=(sp["pump", "run_cmd"] > 0.5) & ~c.pump_tripped & restarted,
            chiller_run=chiller_run,
            supply_sp_c=float(sp["chiller", "supply_sp_c"][int(np.argmax(chiller_run))]),
            coils_w=float(self.air.coil_w.sum()),
        )
        server_util = np.bincount(self.compute.gpu_server, weights=self.compute.gpu_util) / 8.0
        self.network.step(
            server_util=server_util, capacity=c.link_capacity, added_errors=c.link_errors
        )

    def values(self) -> Values:
        """True value of every point, by (asset kind, quantity), in file order of the assets."""
        air, water, power, compute = self.air.state, self.water, self.power, self.compute
        it_w = float(compute.rack_w.sum())
        facility_w = power.facility_w(self.mechanical_w)
        conditions = self.conditions
        crac_fault = np.where(
            conditions.crac_tripped, 1.0, np.where(conditions.crac_fan_limit < 1.0, 2.0, 0.0)
        )
        headers = np.ones(len(water.cooling_w))
        feed_v = power.utility_v if not power.on_generator else power.p.phase_v
        cold_aisle_c = np.mean(air.inlet_c, keepdims=True)
        values: Values = {
            ("hall", "it_power_w"): np.array([it_w]),
            ("hall", "facility_power_w"): np.array([facility_w]),
            ("hall", "pue"): np.array([facility_w / it_w if it_w > 0 else 0.0]),
            ("hall", "humidity_pct"): relative_humidity_pct(cold_aisle_c),
            ("rack", "inlet_c"): air.inlet_c,
            ("rack", "outlet_c"): air.outlet_c,
            ("rack", "power_w"): compute.rack_w,
            ("rack", "inlet_rh_pct"): relative_humidity_pct(air.inlet_c),
            ("crac", "supply_c"): air.supply_c,
            ("crac", "return_c"): np.full(len(air.fan), air.room_c),
            ("crac", "fan_speed_pct"): air.fan * 100.0,
            ("crac", "running"): (air.fan > 0.05).astype(float),
            ("crac", "fault"): crac_fault,
            ("crac", "power_w"): self.air.fan_w,
            ("crac", "filter_dp_pa"): self.air.filter_dp_pa,
            ("crac", "valve_pct"): air.valve * 100.0,
            ("chiller", "supply_c"): headers * water.supply_c,
            ("chiller", "return_c"): headers * water.return_c,
            ("chiller", "power_w"): water.electric_w,
            ("chiller", "running"): water.chiller_running.astype(float),
            ("chiller", "fault"): conditions.chiller_tripped.astype(float),
            ("chiller", "load_pct"): 100.0 * water.chiller_w / water.cooling_w,
            ("pump", "running"): water.pump_running.astype(float),
            ("pump", "flow_lps"): water.flow_lps,
            ("pump", "fault"): conditions.pump_tripped.astype(float),
            ("ups", "load_w"): power.ups_load_w,
            ("ups", "load_pct"): 100.0 * power.ups_load_w / power.ups_rated_w,
            ("ups", "battery_pct"): power.charge * 100.0,
            ("ups", "runtime_s"): power.runtime_s,
            ("ups", "on_battery"): power.on_battery.astype(float),
            ("ups", "input_v"): np.full(len(power.charge), feed_v),
            ("pdu", "power_w"): power.pdu_w,
            ("pdu", "current_a"): power.current_a,
            ("pdu", "breaker_closed"): power.pdu_closed.astype(float),
            ("generator", "running"): np.array([float(power.gen_running)]),
            ("generator", "power_w"): np.array([power.gen_w]),
            ("generator", "fuel_pct"): np.array([power.fuel * 100.0]),
            ("generator", "start_fail"): np.array([0.0]),
            ("utility", "power_w"): np.array([power.utility_w]),
            ("utility", "voltage_v"): np.array([power.utility_v]),
            ("utility", "available"): np.array([float(power.utility_available)]),
            ("server", "power_w"): compute.server_w,
            ("server", "inlet_c"): air.inlet_c[compute.server_rack],
            ("server", "fan_pct"): compute.fan * 100.0,
            ("gpu", "temp_c"): compute.gpu_c,
            ("gpu", "power_w"): compute.gpu_w,
            ("gpu", "util_pct"): compute.gpu_util * 100.0,
            ("link", "util_pct"): self.network.util * 100.0,
            ("link", "error_rate"): self.network.errors_per_s,
            ("link", "up"): self.network.up,
            ("leak_detector", "wet"): np.array([float(conditions.leak)]),
            ("fire_panel", "alarm"): np.array([0.0]),
            ("fire_panel", "trouble"): np.array([float(conditions.fire_trouble)]),
        }
        return values | self.setpoints


def relative_humidity_pct(air_c: Floats, *, dew_point_c: float = DEW_POINT_C) -> Floats:
    """Relative humidity of air with the given dew point (Magnus, Alduchov & Eskridge 1996)."""
    b, c = 17.625, 243.04
    exponent = b * dew_point_c / (c + dew_point_c) - b * air_c / (c + air_c)
    return np.minimum(100.0, 100.0 * np.exp(exponent))
