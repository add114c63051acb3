"""CRACs and CDUs up to their exchange with the chilled water: fans, pumps, valves, coils."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facilities.twin.site import Floats

from .commands import Commands, wide
from .constants import ThermalConstants
from .exchangers import conductance_w_k
from .layout import Layout
from .state import ThermalState

# scalars as arrays: NumPy takes twice as long with a number of Python
_ONE, _HALF = np.array(1.0), np.array(0.5)
_AT_REST = np.array(1e-3)
_LEAST_W_K = np.array(1e-3)
_LEAST_SHARE = np.array(0.01)
_CLOSING, _OPENING = np.array(0.25), np.array(4.0)
"""By how much a valve's opening may be asked to change, of its way in a step."""


@dataclass(frozen=True)
class UnitFlows:
    """Streams of the units during one step; U is the CRACs, then the CDUs."""

    air_w_k: Floats  # (M, C) heat capacity rate of the supply air
    technology_w_k: Floats  # (M, D) of the technology water
    exchange_w_k: Floats  # (M, U) heat per kelvin between entering hot stream and entering water


class Lags(NamedTuple):
    """How much of its way each actuator goes in a step."""

    dt_s: float
    fan: Floats
    cdu: Floats
    valve: Floats


class Wide(NamedTuple):
    """Constants of the exchange, (M, U)."""

    members: int
    hot_power: Floats
    hot_share: Floats
    cold_power: Floats
    cold_share: Floats


class Units:
    """Moves actuators and gives the streams; the air solves for temperatures afterwards."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c.arrays()
        self._lags: Lags | None = None
        self._wide: Wide | None = None
        self._valve_least = np.asarray(c.valve_least)
        self.air = c.air_density_kg_m3 * c.air_cp_j_kgk
        self._air = np.asarray(self.air)
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
        crac_powered: Floats,
        cdu_powered: Floats,
        dt_s: float,
    ) -> UnitFlows:
        """Move fans, pumps and stuck valves; sets the power drawn. ``lps`` (M, L) chilled water."""
        c, at, rates = self.c, self._widened(k), self._rates(dt_s)
        run = k.crac_ready * crac_powered
        s.crac_running = run
        s.crac_on_s = (s.crac_on_s + dt_s) * run
        fan = k.fan_target * (s.crac_on_s > c.fan_start_s).astype(np.float64)
        fan -= s.fan
        fan *= rates.fan
        fan += s.fan
        fan *= (fan > _AT_REST).astype(np.float64)
        s.fan = fan
        relative = fan * k.flow_share
        air_w_k = k.air_w_k * fan
        s.airflow_m3s = air_w_k / self._air
        power = k.fan_w * fan
        power *= fan
        power *= fan
        s.crac_power_w = power
        if self.layout.cdus:
            run_cdu = k.cdu_ready * cdu_powered
            speed = k.cdu_target * cdu_powered
            speed -= s.cdu_speed
            speed *= rates.cdu
            speed += s.cdu_speed
            speed *= (speed > _AT_REST).astype(np.float64)
            s.cdu_speed, s.cdu_running = speed, run_cdu
            power = k.cdu_pump_w * speed
            power *= speed
            power *= speed
            s.cdu_power_w = power
            run = np.concatenate([run, run_cdu], axis=1)
            relative = np.concatenate([relative, speed], axis=1)
            technology_w_k = k.technology_w_k * speed
            hot_w_k = np.concatenate([air_w_k, technology_w_k], axis=1)
        else:
            technology_w_k, hot_w_k = s.cdu_speed, air_w_k
        # a stopped unit closes its valve to the water and starts again from a known opening
        valve = np.where(run > _HALF, s.valve, c.valve_start)
        s.valve = valve if k.stuck is None else np.where(np.isnan(k.stuck), valve, k.stuck)
        opening = s.valve * run
        # too little water is shared by the openings
        asked = opening * k.unit_cold_w_k
        enough = lps * c.water_cp_j_kgk
        enough /= np.maximum(asked @ self.layout.loop_unit, _LEAST_W_K)
        shared = np.minimum(enough, _ONE, out=enough).take(self.layout.unit_loop, axis=1)
        asked *= shared
        opening *= shared
        hot = np.maximum(relative, _LEAST_SHARE)
        hot **= at.hot_power
        hot *= at.hot_share
        cold = np.maximum(opening, _LEAST_SHARE)
        cold **= at.cold_power
        cold *= at.cold_share
        hot += cold
        exchange = conductance_w_k(k.unit_ua_w_k / hot, hot_w_k, asked)
        exchange *= (relative > _AT_REST).astype(np.float64)
        return UnitFlows(air_w_k, technology_w_k, exchange)

    def control(self, s: ThermalState, *, needed_w: Floats, dt_s: float) -> None:
        """Valves follow the heat that the setpoint asks for.

        The opening is multiplied by (needed / given)^α, α the lag's share: heat grows with less
        than the first power of the opening, so this converges at any step width.
        """
        ratio = np.maximum(needed_w, _ONE)
        ratio /= np.maximum(s.unit_heat_w, _ONE)
        np.minimum(np.maximum(ratio, _CLOSING, out=ratio), _OPENING, out=ratio)
        ratio **= self._rates(dt_s).valve
        ratio *= s.valve
        np.maximum(ratio, self._valve_least, out=ratio)
        s.valve = np.minimum(ratio, _ONE, out=ratio)

    def _rates(self, dt_s: float) -> Lags:
        """The lags' shares, kept for the width used last."""
        if self._lags is None or self._lags.dt_s != dt_s:
            c = self.c
            self._lags = Lags(
                dt_s,
                fan=np.array(-math.expm1(-dt_s / c.fan_tau_s)),
                cdu=np.array(-math.expm1(-dt_s / c.cdu_tau_s)),
                valve=np.array(-math.expm1(-dt_s / c.valve_tau_s)),
            )
        return self._lags

    def _widened(self, k: Commands) -> Wide:
        """Constants with a value for every member, kept for the number of members used last."""
        if self._wide is None or self._wide.members != k.members:
            like, cold = k.unit_ua_w_k, -np.asarray(self.c.water_power)
            self._wide = Wide(
                k.members,
                wide(self.hot_power, like),
                wide(self.hot_share, like),
                wide(cold, like),
                wide(self.cold_share, like),
            )
        return self._wide
