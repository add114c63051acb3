"""CRACs and CDUs up to their exchange with the chilled water: fans, pumps, valves, coils."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facilities.twin.site import Flags, Floats

from .commands import Commands
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
        self.cold_share = 1.0 - self.hot_share
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
        k: Commands,
        lps: Floats,
        *,
        crac_powered: Flags,
        cdu_powered: Flags,
        dt_s: float,
    ) -> UnitFlows:
        """Move fans, pumps and stuck valves; sets the power drawn. ``lps`` (M, L) chilled water."""
        c = self.c
        run = k.crac_ready * crac_powered
        s.crac_running = run
        s.crac_on_s = (s.crac_on_s + dt_s) * run
        fan = k.fan_target * (s.crac_on_s > c.fan_start_s)
        fan -= s.fan
        fan *= -math.expm1(-dt_s / c.fan_tau_s)
        fan += s.fan
        fan *= fan > 1e-3
        s.fan = fan
        relative = fan * k.flow_share
        air_w_k = self.full_air_w_k * relative
        s.airflow_m3s = air_w_k * (1.0 / self.air)
        power = self.full_fan_w * relative
        power *= fan
        power *= fan
        power /= k.fan_efficiency
        s.crac_power_w = power
        if self.layout.cdus:
            run_cdu = k.cdu_ready * cdu_powered
            speed = k.cdu_target * cdu_powered
            speed -= s.cdu_speed
            speed *= -math.expm1(-dt_s / c.cdu_tau_s)
            speed += s.cdu_speed
            speed *= speed > 1e-3
            s.cdu_speed, s.cdu_running = speed, run_cdu
            s.cdu_power_w = self.layout.cdu_pump_w * speed * speed * speed
            run = np.concatenate([run, run_cdu], axis=1)
            relative = np.concatenate([relative, speed], axis=1)
            technology_w_k = self.full_technology_w_k * speed
            hot_w_k = np.concatenate([air_w_k, technology_w_k], axis=1)
        else:
            technology_w_k, hot_w_k = s.cdu_speed, air_w_k
        # a stopped unit closes its valve to the water and starts again from a known opening
        valve = np.where(run > 0.5, s.valve, c.valve_start)
        s.valve = valve if k.stuck is None else np.where(np.isnan(k.stuck), valve, k.stuck)
        opening = s.valve * run
        # too little water is shared by the openings
        asked = opening * self.layout.unit_cold_w_k
        enough = lps * c.water_cp_j_kgk
        enough /= np.maximum(asked @ self.layout.loop_unit, 1e-3)
        shared = np.minimum(enough, 1.0, out=enough).take(self.layout.unit_loop, axis=1)
        asked *= shared
        opening *= shared
        hot = np.maximum(relative, 0.01) ** self.hot_power
        hot *= self.hot_share
        cold = np.maximum(opening, 0.01) ** -c.water_power
        cold *= self.cold_share
        hot += cold
        ua_w_k = self.ua_w_k * k.unit_health
        ua_w_k = ua_w_k / hot
        exchange = conductance_w_k(ua_w_k, hot_w_k, asked)
        exchange *= relative > 1e-3
        return UnitFlows(air_w_k, technology_w_k, exchange)

    def control(self, s: ThermalState, *, needed_w: Floats, dt_s: float) -> None:
        """Valves follow the heat that the setpoint asks for.

        The opening is multiplied by (needed / given)^α, α the lag's share: heat grows with less
        than the first power of the opening, so this converges at any step width.
        """
        share = -math.expm1(-dt_s / self.c.valve_tau_s)
        ratio = np.maximum(needed_w, 1.0) / np.maximum(s.unit_heat_w, 1.0)
        np.minimum(np.maximum(ratio, 0.25, out=ratio), 4.0, out=ratio)
        valve = s.valve * ratio**share
        s.valve = np.minimum(np.maximum(valve, self.c.valve_least, out=valve), 1.0, out=valve)
