"""CRACs and CDUs up to their exchange with the chilled water: fans, pumps, valves, coils."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats

from .constants import ThermalConstants
from .exchangers import conductance_w_k
from .layout import Layout
from .state import ThermalState


@dataclass(frozen=True)
class UnitFlows:
    """Streams of the units during one step; U is the CRACs, then the CDUs."""

    air_w_k: Floats  # (M, C) heat capacity rate of the supply air
    technology_w_k: Floats  # (M, D) of the technology water
    exchange_w_k: Floats  # (M, U) heat per kelvin between entering hot stream and entering water


class Units:
    """Moves actuators and gives the streams; the air solves for temperatures afterwards."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c
        self.air = c.air_density_kg_m3 * c.air_cp_j_kgk
        n = layout.cracs
        self.full_air_w_k = layout.crac_flow_m3s * self.air * c.fan_flow
        self.full_fan_w = layout.crac_fan_w * c.fan_power
        self.full_technology_w_k = layout.cdu_lps * c.water_cp_j_kgk
        # a CDU's plates: half of the resistance on each side, both turbulent water
        self.hot_share = np.repeat([1.0, 0.5], [n, layout.cdus])
        self.hot_share[:n] = c.coil_air_share
        self.hot_power = np.repeat([-1.0, -c.water_power], [n, layout.cdus])
        self.hot_power[:n] = -c.coil_air_power
        crac_ua = np.atleast_2d(layout.unit_ua_w_k[:n] * c.coil_ua)
        cdu_ua = np.atleast_2d(layout.unit_ua_w_k[n:] * c.exchanger_ua)
        rows = max(len(crac_ua), len(cdu_ua))
        self.ua_w_k = np.concatenate(
            [np.broadcast_to(part, (rows, part.shape[1])) for part in (crac_ua, cdu_ua)], axis=1
        )

    def step(
        self,
        s: ThermalState,
        drive: Drive,
        *,
        crac_powered: Floats,
        cdu_powered: Floats,
        dt_s: float,
    ) -> UnitFlows:
        """Move fans, pumps and stuck valves; sets the power drawn."""
        c, n = self.c, self.layout.cracs
        run = drive["crac", "run_cmd"] * (1.0 - drive["crac", "tripped"]) * crac_powered
        s.crac_running = run
        s.crac_on_s = (s.crac_on_s + dt_s) * run
        target = np.minimum(drive["crac", "fan_speed_sp_pct"] * 0.01, drive["crac", "fan_limit"])
        target *= s.crac_on_s > c.fan_start_s
        fan = s.fan + (target - s.fan) * -math.expm1(-dt_s / c.fan_tau_s)
        fan *= fan > 1e-3
        s.fan = fan
        # at one speed a stiffer system moves the fan along its curve: dp_total ~ flow²
        choke = 1.0 / np.sqrt(1.0 + c.filter_share * (drive["crac", "filter_resistance"] - 1.0))
        relative = fan * choke
        air_w_k = self.full_air_w_k * relative
        s.airflow_m3s = air_w_k * (1.0 / self.air)
        s.crac_power_w = self.full_fan_w * relative * (fan * fan) / drive["crac", "fan_efficiency"]
        stuck = drive["crac", "valve_stuck"]
        health = drive["crac", "coil_ua"]
        if self.layout.cdus:
            run_cdu = drive["cdu", "run_cmd"] * (1.0 - drive["cdu", "tripped"]) * cdu_powered
            wanted = drive["cdu", "pump_speed_sp_pct"] * 0.01 * run_cdu
            speed = s.cdu_speed + (wanted - s.cdu_speed) * -math.expm1(-dt_s / c.cdu_tau_s)
            speed *= speed > 1e-3
            s.cdu_speed, s.cdu_running = speed, run_cdu
            s.cdu_power_w = self.layout.cdu_pump_w * speed * speed * speed
            run = np.concatenate([run, run_cdu], axis=1)
            stuck = np.concatenate([stuck, np.full_like(speed, np.nan)], axis=1)
            health = np.concatenate([health, drive["cdu", "exchanger_ua"]], axis=1)
            relative = np.concatenate([relative, speed], axis=1)
            technology_w_k = self.full_technology_w_k * speed
            hot_w_k = np.concatenate([air_w_k, technology_w_k], axis=1)
        else:
            technology_w_k, hot_w_k = s.cdu_speed, air_w_k
        # a stopped unit closes its valve to the water and starts again from a known opening
        valve = np.where(run > 0.5, s.valve, c.valve_start)
        s.valve = np.where(np.isnan(stuck), valve, stuck)
        opening = s.valve * run
        # too little water is shared by the openings
        asked = opening * self.layout.unit_cold_w_k
        available = s.flow_lps @ self.layout.loop_pump * c.water_cp_j_kgk
        enough = np.minimum(available / np.maximum(asked @ self.layout.loop_unit, 1e-3), 1.0)
        enough = enough.take(self.layout.unit_loop, axis=1)
        cold_w_k = asked * enough
        resistance = self.hot_share * np.maximum(relative, 0.01) ** self.hot_power
        resistance += (1.0 - self.hot_share) * np.maximum(opening * enough, 0.01) ** (
            -c.water_power
        )
        exchange = conductance_w_k(self.ua_w_k * health / resistance, hot_w_k, cold_w_k)
        exchange *= relative > 1e-3
        return UnitFlows(air_w_k, technology_w_k, exchange)

    def control(self, s: ThermalState, drive: Drive, *, needed_w: Floats, dt_s: float) -> None:
        """Valves follow the heat that the setpoint asks for.

        The opening is multiplied by (needed / given)^α, α the lag's share: heat grows with less
        than the first power of the opening, so this converges at any step width.
        """
        share = -math.expm1(-dt_s / self.c.valve_tau_s)
        ratio = np.maximum(needed_w, 1.0) / np.maximum(s.unit_heat_w, 1.0)
        np.minimum(np.maximum(ratio, 0.25, out=ratio), 4.0, out=ratio)
        valve = s.valve * ratio**share
        s.valve = np.minimum(np.maximum(valve, self.c.valve_least, out=valve), 1.0, out=valve)
