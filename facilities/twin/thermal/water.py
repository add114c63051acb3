"""Chilled water and heat rejection: pumps, headers, chillers, towers, duty and standby."""

from __future__ import annotations

import math

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats

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
        self.loops_on_tower = int(layout.has_tower.sum())
        self.tower_w_k = layout.tower_heat_w / c.approach_k
        cop = np.where(np.isnan(layout.chiller_cop), c.cop_rated, layout.chiller_cop)
        self.cop = cop * c.chiller_cop
        self.delay_s = np.repeat([c.pump_changeover_s, c.chiller_changeover_s], layout.loops)

    def move(
        self,
        s: ThermalState,
        drive: Drive,
        *,
        pump_powered: Floats,
        chiller_powered: Floats,
        dt_s: float,
    ) -> None:
        """Duty and standby machines, pump speeds, flows and pump power."""
        c, layout, pumps = self.c, self.layout, self.layout.pumps
        pump_well = (1.0 - drive["pump", "tripped"]) * pump_powered
        chiller_well = (1.0 - drive["chiller", "tripped"]) * chiller_powered
        well = np.concatenate([pump_well, chiller_well], axis=1)
        command = np.concatenate([drive["pump", "run_cmd"], drive["chiller", "run_cmd"]], axis=1)
        lost = (layout.duty * command * (1.0 - well)) @ layout.group_machine > 0.5
        s.lost_s = (s.lost_s + dt_s) * lost
        s.well_s = (s.well_s + dt_s) * ~lost
        s.automatic = np.maximum(s.automatic, s.lost_s >= self.delay_s) * (s.well_s < c.settle_s)
        run = np.maximum(command, layout.standby * s.automatic.take(layout.group, axis=1)) * well
        s.pump_running, s.chiller_running = run[:, :pumps], run[:, pumps:]
        speed = s.pump_speed + (s.pump_running - s.pump_speed) * -math.expm1(-dt_s / c.pump_tau_s)
        speed *= speed > 1e-3
        s.pump_speed = speed
        s.pump_power_w = layout.pump_w * speed * speed * speed
        # pump curve h = h0 - (h0 - 1) q² against a system h = Q²: a second pump adds little
        share = layout.pump_lps * speed * drive["pump", "head"]
        pumps_on = np.maximum((share @ layout.loop_pump) / layout.loop_lps, 1e-9)
        shutoff = c.pump_shutoff
        parallel = np.sqrt(shutoff / (1.0 + (shutoff - 1.0) / (pumps_on * pumps_on)))
        factor = np.minimum(parallel / pumps_on, 1.0)
        s.flow_lps = share * factor.take(layout.loop_of["pump"], axis=1)

    def step(self, s: ThermalState, drive: Drive, *, tower_powered: Floats, dt_s: float) -> Floats:
        """Heat of the units into the return header, chillers, condensers, towers.

        Returns the heat given to the outside air, (M, L).
        """
        c, layout, per_s = self.c, self.layout, 1.0 / dt_s
        loop_of = layout.loop_of["chiller"]
        lps = s.flow_lps @ layout.loop_pump
        stream = lps * c.water_cp_j_kgk
        heat = s.unit_heat_w @ layout.loop_unit + s.pump_power_w @ layout.loop_pump
        kept = self.header_j_k * per_s
        arrived = kept * s.water_return_c + heat
        # what the machines should take: the stream to its setpoint, the header in header_tau_s
        flowing = (lps > self.least_lps).take(loop_of, axis=1)
        s.chiller_on_s = (s.chiller_on_s + dt_s) * (s.chiller_running * flowing)
        ready = s.chiller_on_s > c.chiller_start_s
        condenser = s.condenser_c.take(loop_of, axis=1)
        setpoint = drive["chiller", "supply_sp_c"]
        ratio = capacity_ratio(c, condenser, setpoint)
        available = layout.chiller_cap_w * ratio * drive["chiller", "capacity"]
        offered = available * ready
        total = np.maximum(offered @ layout.loop_chiller, 1.0)
        goal = (offered * setpoint) @ layout.loop_chiller / total
        returning = (arrived + stream * s.water_supply_c) / (kept + stream)
        wanted = stream * (returning - goal) + self.header_j_k / c.header_tau_s * (
            s.water_supply_c - goal
        )
        part = np.minimum(np.maximum(wanted / total, 0.0), 1.0)
        taken = s.chiller_w * ready
        taken += (offered * part.take(loop_of, axis=1) - taken) * -math.expm1(-dt_s / c.chiller_tau_s)
        s.chiller_w = taken
        load = taken / np.maximum(available, 1.0)
        electric = available / self.cop * full_load_ratio(c, ratio) * part_load_fraction(c, load)
        electric += c.chiller_idle_w * s.chiller_running
        s.chiller_power_w = electric
        # headers: implicit, the supply eliminated
        through = stream / (kept + stream)
        supply = (
            kept * s.water_supply_c + through * arrived - taken @ layout.loop_chiller
        ) / (kept + stream * (1.0 - through))
        s.water_return_c = (arrived + stream * supply) / (kept + stream)
        s.water_supply_c = supply
        rejected = (taken + electric) @ layout.loop_chiller
        return self._reject(s, drive, rejected, tower_powered=tower_powered, dt_s=dt_s)

    def _reject(
        self,
        s: ThermalState,
        drive: Drive,
        rejected: Floats,
        *,
        tower_powered: Floats,
        dt_s: float,
    ) -> Floats:
        c, layout = self.c, self.layout
        dry = drive["site", "dry_bulb_c"]
        if not self.loops_on_tower:  # condensers in the outside air
            s.condenser_c = np.broadcast_to(dry, rejected.shape).copy()
            return rejected
        loop_of, wet = layout.loop_of["tower"], drive["site", "wet_bulb_c"]
        run = drive["tower", "run_cmd"] * (1.0 - drive["tower", "tripped"]) * tower_powered
        s.tower_running = run
        heat = rejected + (layout.tower_pump_w * run) @ layout.loop_tower
        # fan: the conductance that the setpoint asks for, shared by the towers of a loop
        over = np.maximum(drive["tower", "leaving_sp_c"] - wet, 0.2)
        rated = np.maximum((self.tower_w_k * run) @ layout.loop_tower, 1.0)
        asked = (heat / rated).take(loop_of, axis=1) / over
        target = (asked - c.tower_natural) / (1.0 - c.tower_natural)
        target = np.minimum(np.maximum(target, 0.0), drive["tower", "fan_limit"]) * run
        s.tower_fan = s.tower_fan + (target - s.tower_fan) * -math.expm1(-dt_s / c.tower_tau_s)
        s.tower_power_w = layout.tower_fan_w * s.tower_fan * s.tower_fan * s.tower_fan + layout.tower_pump_w * run
        conductance = self.tower_w_k * (
            c.tower_natural * 0.2 + run * (c.tower_natural * 0.8) + (1 - c.tower_natural) * (
                s.tower_fan * run
            )
        )
        to_air = conductance @ layout.loop_tower
        kept = self.basin_j_k / dt_s
        leaving = (kept * s.condenser_c + heat + to_air * wet) / (kept + to_air)
        outside = to_air * (leaving - wet)
        if self.loops_on_tower < layout.loops:
            leaving = np.where(layout.has_tower, leaving, dry)
            outside = np.where(layout.has_tower, outside, rejected)
        s.condenser_c = leaving
        range_k = heat / np.maximum(layout.loop_tower_lps * c.water_cp_j_kgk, 1.0)
        evaporated = evaporation_lps(c, wet, range_k.take(loop_of, axis=1), layout.tower_heat_w) * run
        s.makeup_lps = evaporated * (1.0 + c.drift + 1.0 / (c.cycles - 1.0))
        return outside
