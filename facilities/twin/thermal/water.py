"""Chilled water and heat rejection: pumps, headers, chillers, towers, duty and standby."""

from __future__ import annotations

import math

import numpy as np

from facilities.twin.site import Flags, Floats

from .commands import Commands
from .constants import ThermalConstants
from .layout import Layout
from .state import ThermalState


def capacity_ratio(c: ThermalConstants, condenser_c: Floats, leaving_c: Floats) -> Floats:
    """Available over nominal capacity of a chiller at entering condenser and leaving water."""
    lift = (condenser_c - c.condenser_design_c) / c.temperature_rise
    lift = lift - (leaving_c - c.evaporator_design_c)
    ratio = c.capacity_0 + lift * (c.capacity_1 + c.capacity_2 * lift)
    return np.maximum(ratio, 0.05)


def full_load_ratio(c: ThermalConstants, ratio: Floats) -> Floats:
    """Power per capacity over nominal, from the capacity ratio."""
    # the parabola's least value lies at a ratio of 1.61; it must not rise beyond
    ratio = np.minimum(ratio, -c.full_load_1 / (2 * c.full_load_2))
    return c.full_load_0 + ratio * (c.full_load_1 + c.full_load_2 * ratio)


def part_load_fraction(c: ThermalConstants, load: Floats) -> Floats:
    """Share of full-load power at a part load 0..1; below the least load the machine cycles."""
    held = np.maximum(load, c.least_part_load)
    fraction = c.part_load_0 + held * (c.part_load_1 + c.part_load_2 * held)
    return fraction * np.minimum(load / c.least_part_load, 1.0)


def evaporation_lps(
    c: ThermalConstants, wet_bulb_c: Floats, range_k: Floats, heat_w: Floats
) -> Floats:
    """Water evaporated by towers of rated heat ``heat_w``, L/s (dc-rl's formula, by size)."""
    cubic_m_h = (
        c.water_wet_bulb * np.maximum(wet_bulb_c, 0.0)
        + c.water_range * np.maximum(range_k, 0.0)
        + c.water_base
    )
    return cubic_m_h * (heat_w / c.water_tower_w) / 3.6


class Water:
    """The water side; ``move`` runs pumps and sequences, ``step`` moves heat."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c
        self.header_j_k = layout.loop_lps * c.water_cp_j_kgk * c.header_s
        self.basin_j_k = np.maximum(layout.loop_tower_lps, 1.0) * c.water_cp_j_kgk * c.basin_s
        self.least_lps = c.least_flow * layout.loop_lps
        self.header_rate_w_k = self.header_j_k / c.header_tau_s
        self.tower_stream_w_k = np.maximum(layout.loop_tower_lps * c.water_cp_j_kgk, 1.0)
        self.loops_on_tower = int(layout.has_tower.sum())
        self.tower_w_k = layout.tower_heat_w / c.approach_k
        cop = np.where(np.isnan(layout.chiller_cop), c.cop_rated, layout.chiller_cop)
        self.cop = cop * c.chiller_cop
        self.delay_s = np.repeat([c.pump_changeover_s, c.chiller_changeover_s], layout.loops)

    def move(
        self,
        s: ThermalState,
        k: Commands,
        *,
        pump_powered: Flags,
        chiller_powered: Flags,
        dt_s: float,
    ) -> Floats:
        """Duty and standby machines, pump speeds and power. Returns the flow of each loop, L/s."""
        c, layout, pumps = self.c, self.layout, self.layout.pumps
        well = k.machine_well * np.concatenate([pump_powered, chiller_powered], axis=1)
        missing = 1.0 - well
        missing *= k.machine_command
        missing *= layout.duty
        lost = missing @ layout.group_machine > 0.5
        s.lost_s = (s.lost_s + dt_s) * lost
        s.well_s = (s.well_s + dt_s) * ~lost
        s.automatic = np.maximum(s.automatic, s.lost_s >= self.delay_s) * (s.well_s < c.settle_s)
        run = layout.standby * s.automatic.take(layout.group, axis=1)
        np.maximum(k.machine_command, run, out=run)
        run *= well
        s.pump_running, s.chiller_running = run[:, :pumps], run[:, pumps:]
        speed = s.pump_running - s.pump_speed
        speed *= -math.expm1(-dt_s / c.pump_tau_s)
        speed += s.pump_speed
        speed *= speed > 1e-3
        s.pump_speed = speed
        s.pump_power_w = layout.pump_w * speed * speed * speed
        # pump curve h = h0 - (h0 - 1) q² against a system h = Q²: a second pump adds little
        share = k.pump_lps * speed
        lps = share @ layout.loop_pump
        pumps_on = np.maximum(lps / layout.loop_lps, 1e-9)
        # factor = sqrt(h0 / (N² + h0 - 1)), at most 1
        factor = pumps_on * pumps_on
        factor += c.pump_shutoff - 1.0
        factor = np.minimum(np.sqrt(c.pump_shutoff / factor), 1.0)
        s.flow_lps = share * factor.take(layout.loop_of["pump"], axis=1)
        lps *= factor
        return np.asarray(lps)

    def step(
        self, s: ThermalState, k: Commands, lps: Floats, *, tower_powered: Flags, dt_s: float
    ) -> Floats:
        """Heat of the units into the return header, chillers, condensers, towers.

        Returns the heat given to the outside air, (M, L).
        """
        c, layout = self.c, self.layout
        loop_of = layout.loop_of["chiller"]
        stream = lps * c.water_cp_j_kgk
        kept = self.header_j_k / dt_s
        arrived = s.unit_heat_w @ layout.loop_unit
        arrived += s.pump_power_w @ layout.loop_pump
        arrived += kept * s.water_return_c
        # what the machines should take: the stream to its setpoint, the header in header_tau_s
        flowing = (lps > self.least_lps).take(loop_of, axis=1)
        s.chiller_on_s = (s.chiller_on_s + dt_s) * (s.chiller_running * flowing)
        ready = s.chiller_on_s > c.chiller_start_s
        condenser = s.condenser_c.take(loop_of, axis=1)
        ratio = capacity_ratio(c, condenser, k.chiller_sp_c)
        available = k.capacity_w * ratio
        offered = available * ready
        total = np.maximum(offered @ layout.loop_chiller, 1.0)
        goal = (offered * k.chiller_sp_c) @ layout.loop_chiller
        goal /= total
        both = kept + stream
        through = stream / both
        returning = arrived / both
        returning += through * s.water_supply_c
        part = (returning - goal) * stream
        part += self.header_rate_w_k * (s.water_supply_c - goal)
        part /= total
        part = np.minimum(np.maximum(part, 0.0, out=part), 1.0, out=part)
        taken = s.chiller_w * ready
        change = offered * part.take(loop_of, axis=1)
        change -= taken
        change *= -math.expm1(-dt_s / c.chiller_tau_s)
        taken += change
        s.chiller_w = taken
        load = taken / np.maximum(available, 1.0)
        electric = available / self.cop
        electric *= full_load_ratio(c, ratio)
        electric *= part_load_fraction(c, load)
        electric += c.chiller_idle_w * s.chiller_running
        s.chiller_power_w = electric
        # headers: implicit, the supply eliminated
        supply = kept * s.water_supply_c
        supply += through * arrived
        supply -= taken @ layout.loop_chiller
        supply /= kept + stream * (1.0 - through)
        s.water_return_c = arrived / both + through * supply
        s.water_supply_c = supply
        rejected = (taken + electric) @ layout.loop_chiller
        return self._reject(s, k, rejected, tower_powered=tower_powered, dt_s=dt_s)

    def _reject(
        self, s: ThermalState, k: Commands, rejected: Floats, *, tower_powered: Flags, dt_s: float
    ) -> Floats:
        c, layout, wet = self.c, self.layout, k.wet_bulb_c
        if not self.loops_on_tower:  # condensers in the outside air
            s.condenser_c = np.broadcast_to(k.dry_bulb_c, rejected.shape).copy()
            return rejected
        loop_of = layout.loop_of["tower"]
        run = k.tower_ready * tower_powered
        s.tower_running = run
        pumps_w = layout.tower_pump_w * run
        heat = rejected + pumps_w @ layout.loop_tower
        # fan: the conductance that the setpoint asks for, shared by the towers of a loop
        rated = np.maximum((self.tower_w_k * run) @ layout.loop_tower, 1.0)
        target = (heat / rated).take(loop_of, axis=1)
        target /= k.tower_over_k
        target -= c.tower_natural
        target *= 1.0 / (1.0 - c.tower_natural)
        target = np.minimum(np.maximum(target, 0.0, out=target), k.tower_limit)
        target *= run
        target -= s.tower_fan
        target *= -math.expm1(-dt_s / c.tower_tau_s)
        target += s.tower_fan
        s.tower_fan = fan = target
        s.tower_power_w = layout.tower_fan_w * fan * fan * fan + pumps_w
        # water that falls without a fan gives a tenth of the rating, a fifth of that when it stands
        wetted = fan * (1.0 - c.tower_natural)
        wetted += 0.8 * c.tower_natural
        wetted *= run
        wetted += 0.2 * c.tower_natural
        to_air = (self.tower_w_k * wetted) @ layout.loop_tower
        kept = self.basin_j_k / dt_s
        leaving = kept * s.condenser_c
        leaving += heat
        leaving += to_air * wet
        leaving /= kept + to_air
        outside = to_air * (leaving - wet)
        if self.loops_on_tower < layout.loops:
            leaving = np.where(layout.has_tower, leaving, k.dry_bulb_c)
            outside = np.where(layout.has_tower, outside, rejected)
        s.condenser_c = leaving
        range_k = (heat / self.tower_stream_w_k).take(loop_of, axis=1)
        evaporated = evaporation_lps(c, wet, range_k, layout.tower_heat_w)
        evaporated *= run * (1.0 + c.drift + 1.0 / (c.cycles - 1.0))
        s.makeup_lps = evaporated
        return outside
