"""The coupled plant: work becomes power, power heat, heat temperature, temperature throttling, and
throttling slows the work.

One `step` of one second costs under a millisecond. Nothing here knows Django, HTTP or clocks: the
caller passes the time, so a test steps an hour in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.air import Air, AirParameters
from facilities.demo.plant.cdu import Cdu, CduParameters
from facilities.demo.plant.compute import Compute, ComputeParameters
from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.jobs import JobParameters, Jobs
from facilities.demo.plant.moisture import Moisture
from facilities.demo.plant.network import Network, NetworkParameters
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.plant.power import Power, PowerParameters
from facilities.demo.plant.report import values_of
from facilities.demo.plant.tower import Tower, TowerParameters
from facilities.demo.plant.water import Water, WaterParameters
from facilities.demo.plant.weather import Climate, Weather

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Values = dict[tuple[str, str], Floats]

#: Setpoints at first start, by kind and quantity; a list gives one value per asset.
DEFAULTS: Mapping[tuple[str, str], float | list[float]] = {
    ("crac", "fan_speed_sp_pct"): 70.0,
    ("crac", "supply_sp_c"): 18.0,
    ("crac", "run_cmd"): [1.0, 1.0, 1.0, 0.0],
    ("crac", "damper_pct"): 100.0,
    ("rack", "load_cap_pct"): 100.0,
    ("chiller", "run_cmd"): [1.0, 0.0],
    ("chiller", "supply_sp_c"): 10.0,
    ("pump", "run_cmd"): [1.0, 0.0],
    ("cdu", "run_cmd"): 1.0,
    ("cdu", "supply_sp_c"): 32.0,
    ("cdu", "pump_speed_sp_pct"): 70.0,
    ("tower", "run_cmd"): 1.0,
    ("tower", "leaving_sp_c"): 24.0,
    ("ups", "bypass"): 0.0,
    ("server", "in_service"): 1.0,
    ("server", "cordoned"): 0.0,
    ("server", "reset_cmd"): 0.0,
    ("gpu", "power_limit_w"): 700.0,
    ("link", "enabled"): 1.0,
}

LIGHTING_W = 2_500.0  # assumed: hall lighting and small loads, as heat in the hall
PUMP_RESTART_S = 5.0  # assumed: drives restart after power returns
LOAD_S = 60.0  # assumed: how quickly a demanded load comes up
RESET_S = 90.0  # assumed: power cycle, firmware and operating system of a host

#: Commands that the plant itself takes back; they are not put back after a restart of the plant.
MOMENTARY = frozenset({"reset_cmd"})


@dataclass(frozen=True)
class Settings:
    """What a scenario may change of the plant's surroundings."""

    climate: Climate = field(default_factory=Climate)
    load: float = 1.0
    """Multiplies what the jobs and general IT ask for; 1 is the demo's usual day."""


class Plant:
    """The whole facility; `setpoints` may be written between steps, `conditions` breaks things."""

    def __init__(
        self, facility: FacilitySpec, *, seed: int = 1, settings: Settings = Settings()
    ) -> None:
        rng = np.random.default_rng(seed)
        self.facility = facility
        self.settings = settings
        self.conditions = Conditions.healthy(facility)
        self.compute = Compute(facility, parameters=ComputeParameters(), rng=rng)
        self.air = Air(facility, parameters=AirParameters(), seed=seed)
        self.water = Water(facility, parameters=WaterParameters())
        self.tower = Tower(facility, parameters=TowerParameters())
        self.cdu = Cdu(facility, parameters=CduParameters())
        self.power = Power(facility, parameters=PowerParameters())
        self.network = Network(facility, parameters=NetworkParameters(), rng=rng)
        storage = facility.of_kind("storage")[0].attributes
        self.jobs = Jobs(
            facility,
            parameters=JobParameters(),
            seed=seed,
            write_gb_s=float(storage["write_gb_s"]),
        )
        self.weather = Weather(seed=seed, climate=settings.climate)
        self.moisture = Moisture()
        self._reset_left_s: Floats = np.zeros(len(facility.of_kind("server")))
        self._restarted: list[str] = []
        self.outside = self.weather.at(datetime.fromisoformat("2026-03-02T09:00:00+00:00"))
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
            + self.tower.power_w
            + self.cdu.power_w
            + LIGHTING_W
        )

    def step(self, dt_s: float, *, at: datetime) -> None:
        """Advance by dt_s seconds (at most 2) to the UTC time `at`."""
        self.outside = self.weather.at(at)
        self._step_work(dt_s, seconds=at.timestamp())
        c, power = self.conditions, self.power
        power.step(
            dt_s,
            utility_available=c.utility_available,
            breaker_open=c.pdu_breaker_open,
            rack_w=self.compute.rack_w,
            mechanical_w=self.mechanical_w,
            input_lost=c.ups_input_lost,
            rectifier_failed=c.ups_rectifier_failed,
            battery_wear=c.ups_battery_wear,
            generator_fails=c.generator_fails,
            bypass=self.setpoints["ups", "bypass"] > 0.5,
        )
        self._step_cooling(dt_s)
        self.moisture.step(
            dt_s,
            outside=self.outside,
            stuck=c.humidifier_stuck,
            powered=power.mains,
            coldest_c=float(self.water.supply_c),
        )

    def take_restarted(self) -> list[str]:
        """Servers that came back from a reset since the last call: what it cures is healed."""
        restarted, self._restarted = self._restarted, []
        return restarted

    def _step_resets(self, dt_s: float) -> Flags:
        """Servers that are up: a reset takes one down for RESET_S and then takes itself back."""
        commands, left_s = self.setpoints["server", "reset_cmd"], self._reset_left_s
        begins = (commands > 0.5) & (left_s <= 0)
        left_s[begins] = RESET_S + dt_s
        down = left_s > 0
        left_s[down] -= dt_s
        done = down & (left_s <= 0)
        commands[done] = 0.0
        servers = self.facility.of_kind("server")
        self._restarted += [servers[place].tag for place in np.flatnonzero(done)]
        return np.asarray(~down | done)

    def _step_work(self, dt_s: float, *, seconds: float) -> None:
        """Jobs ask, servers work, links carry."""
        c, sp, compute, network = self.conditions, self.setpoints, self.compute, self.network
        powered = self.power.rack_powered
        up = self._step_resets(dt_s)
        network.settle(
            dt_s,
            enabled=sp["link", "enabled"],
            capacity=c.link_capacity,
            flapping=c.link_flapping,
        )
        self.jobs.step(
            dt_s,
            seconds=seconds,
            server_speed=compute.server_speed,
            server_alive=compute.server_alive(c.gpu_lost, powered, up),
            in_service=sp["server", "in_service"] > 0.5,
            cordoned=sp["server", "cordoned"] > 0.5,
            nvlink=c.server_nvlink,
            uplinks=network.uplinks,
            weakest=network.weakest,
            surge=float(c.rack_surge.max()),
        )
        cdu = self.cdu
        compute.step(
            dt_s,
            seconds_of_day=seconds % 86_400.0,
            server_util=np.minimum(self.jobs.server_util * self.settings.load, 1.0),
            inlet_c=self.air.state.inlet_c,
            load_cap=sp["rack", "load_cap_pct"] / 100.0,
            power_limit_w=sp["gpu", "power_limit_w"],
            powered=powered,
            up=up,
            brake=c.server_brake,
            lost=c.gpu_lost,
            sink=c.gpu_resistance,
            paste=c.gpu_paste,
            plate_c=0.5 * (cdu.supply_c + cdu.return_c),
            plate_flow=cdu.speed / 0.7,
            surge=c.rack_surge,
        )
        network.carry(leaf_gb_s=self.jobs.leaf_gb_s, added_errors=c.link_errors)

    def _step_cooling(self, dt_s: float) -> None:
        """Air, technology water, chilled water and condenser water."""
        c, sp, power, water = self.conditions, self.setpoints, self.power, self.water
        for kind, tripped in (("pump", c.pump_tripped), ("chiller", c.chiller_tripped)):
            sp[kind, "run_cmd"] = water.sequence(
                dt_s, commands=sp[kind, "run_cmd"], tripped=tripped, of=kind
            )
        live = power.mains
        restarted = live and power.mains_on_s > PUMP_RESTART_S
        flow_lps = float(water.flow_lps.sum())
        self.cdu.step(
            dt_s,
            heat_w=float(self.compute.liquid_w.sum()),
            run=bool(sp["cdu", "run_cmd"][0] > 0.5 and not c.cdu_tripped[0] and live),
            speed_sp=float(sp["cdu", "pump_speed_sp_pct"][0]) / 100.0,
            supply_sp_c=float(sp["cdu", "supply_sp_c"][0]),
            exchanger=float(c.cdu_exchanger_ua[0]),
            water_c=water.supply_c,
            water_share=flow_lps / float(water.rated_lps[0]),
            hall_c=self.air.state.room_c,
        )
        self.air.step(
            dt_s,
            run=(sp["crac", "run_cmd"] > 0.5) & ~c.crac_tripped & live,
            damper_sp=np.where(sp["crac", "run_cmd"] > 0.5, sp["crac", "damper_pct"] / 100.0, 0.0),
            fan_sp=sp["crac", "fan_speed_sp_pct"] / 100.0,
            supply_sp_c=sp["crac", "supply_sp_c"],
            fan_limit=c.crac_fan_limit,
            fan_wear=c.crac_fan_wear,
            filter_resistance=c.crac_filter_resistance,
            coil_ua=c.crac_coil_ua,
            valve_stuck=c.crac_valve_stuck,
            door_open=c.door_open,
            outside_c=self.outside.dry_bulb_c,
            water_c=water.supply_c,
            water_lps=flow_lps,
            rack_w=self.compute.rack_w - self.compute.liquid_w,
            rack_fan=self.compute.rack_fan(),
            fan_reference=self.compute.p.fan_reference,
            other_w=power.pdu_loss_w + self.cdu.to_hall_w + (LIGHTING_W if live else 0.0),
        )
        chiller_run = (sp["chiller", "run_cmd"] > 0.5) & ~c.chiller_tripped & live
        water.step(
            dt_s,
            pump_run=(sp["pump", "run_cmd"] > 0.5) & ~c.pump_tripped & restarted,
            chiller_run=chiller_run,
            supply_sp_c=float(sp["chiller", "supply_sp_c"][int(np.argmax(chiller_run))]),
            coils_w=float(self.air.coil_w.sum()) + self.cdu.to_water_w,
            condenser_c=self.tower.leaving_c,
            head=c.pump_head,
        )
        self.tower.step(
            dt_s,
            heat_w=water.condenser_w,
            wet_bulb_c=self.outside.wet_bulb_c,
            run=bool(sp["tower", "run_cmd"][0] > 0.5),
            powered=restarted,
            fan_tripped=bool(c.tower_tripped[0]),
            setpoint_c=float(sp["tower", "leaving_sp_c"][0]),
            fill=float(c.tower_fill[0]),
        )

    def values(self) -> Values:
        """True value of every point, by (asset kind, quantity), in file order of the assets."""
        return values_of(self)
