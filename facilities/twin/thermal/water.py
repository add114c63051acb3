"""Chilled water and heat rejection: pumps, headers, chillers, towers, duty and standby."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facilities.twin.site import Floats

from .commands import Commands
from .constants import ThermalConstants
from .layout import Layout
from .state import ThermalState


def capacity_ratio(c: ThermalConstants, condenser_c: Floats, leaving_c: Floats) -> Floats:
    """Available over nominal capacity of a chiller at entering condenser and leaving water."""
    lift = condenser_c - c.condenser_design_c
    lift /= c.temperature_rise
    lift -= leaving_c
    lift += c.evaporator_design_c
    ratio = c.capacity_2 * lift
    ratio += c.capacity_1
    ratio *= lift
    ratio += c.capacity_0
    return np.maximum(ratio, _LEAST_RATIO, out=ratio)


def full_load_ratio(c: ThermalConstants, ratio: Floats) -> Floats:
    """Power per capacity over nominal, from the capacity ratio."""
    # the parabola's least value lies at a ratio of 1.61; it must not rise beyond
    ratio = np.minimum(ratio, -c.full_load_1 / (2 * c.full_load_2))
    power = c.full_load_2 * ratio
    power += c.full_load_1
    power *= ratio
    power += c.full_load_0
    return power


def part_load_fraction(c: ThermalConstants, load: Floats) -> Floats:
    """Share of full-load power at a part load 0..1; below the least load the machine cycles."""
    held = np.maximum(load, c.least_part_load)
    fraction = c.part_load_2 * held
    fraction += c.part_load_1
    fraction *= held
    fraction += c.part_load_0
    cycling = load / c.least_part_load
    fraction *= np.minimum(cycling, _ONE, out=cycling)
    return fraction


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


# scalars as arrays: NumPy takes twice as long with a number of Python
_ZERO, _ONE, _HALF = np.array(0.0), np.array(1.0), np.array(0.5)
_LEAST_RATIO = np.array(0.05)
_AT_REST = np.array(1e-3)


@dataclass(frozen=True)
class Rates:
    """Constants with a value for every member, for one width of the step; kept streams in W/K."""

    dt_s: float
    members: int
    loop_lps: Floats
    header: Floats  # L, heat capacity over the step
    header_w_k: Floats  # L, what corrects the header
    basin: Floats  # L
    delay_s: Floats
    pump_w: Floats
    tower_w_k: Floats
    tower_fan_w: Floats
    tower_pump_w: Floats
    pump: Floats  # share of the way of a step
    chiller: Floats
    tower: Floats


class Water:
    """The water side; ``move`` runs pumps and sequences, ``step`` moves heat."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c.arrays()
        self._kept: Rates | None = None
        self.header_j_k = layout.loop_lps * c.water_cp_j_kgk * c.header_s
        self.basin_j_k = np.maximum(layout.loop_tower_lps, 1.0) * c.water_cp_j_kgk * c.basin_s
        self.least_lps = c.least_flow * layout.loop_lps
        self.header_rate_w_k = self.header_j_k / c.header_tau_s
        self.tower_stream_w_k = np.maximum(layout.loop_tower_lps * c.water_cp_j_kgk, 1.0)
        self.loops_on_tower = int(layout.has_tower.sum())
        self.tower_w_k = layout.tower_heat_w / c.approach_k
        cop = np.where(np.isnan(layout.chiller_cop), c.cop_rated, layout.chiller_cop)
        self.cop = cop * c.chiller_cop
        natural = np.asarray(c.tower_natural)
        self._driven, self._over_natural = np.asarray(1.0 - natural), np.asarray(1 / (1 - natural))
        self._falling, self._standing = np.asarray(0.8 * natural), np.asarray(0.2 * natural)
        self.delay_s = np.repeat([c.pump_changeover_s, c.chiller_changeover_s], layout.loops)

    def _rates(self, k: Commands, dt_s: float) -> Rates:
        """Constants at full width, kept for the members and the step used last."""
        if self._kept is None or self._kept.dt_s != dt_s or self._kept.members != k.members:
            layout, c = self.layout, self.c

            def wide(constant: Floats) -> Floats:
                return np.zeros((k.members, np.shape(constant)[-1])) + constant

            self._kept = Rates(
                dt_s,
                k.members,
                loop_lps=wide(layout.loop_lps),
                header=wide(self.header_j_k / dt_s),
                header_w_k=wide(self.header_rate_w_k),
                basin=wide(self.basin_j_k / dt_s),
                delay_s=wide(self.delay_s),
                pump_w=wide(layout.pump_w),
                tower_w_k=wide(self.tower_w_k),
                tower_fan_w=wide(layout.tower_fan_w),
                tower_pump_w=wide(layout.tower_pump_w),
                pump=np.array(-math.expm1(-dt_s / c.pump_tau_s)),
                chiller=np.array(-math.expm1(-dt_s / c.chiller_tau_s)),
                tower=np.array(-math.expm1(-dt_s / c.tower_tau_s)),
            )
        return self._kept

    def move(
        self,
        s: ThermalState,
        k: Commands,
        *,
        machine_powered: Floats,
        dt_s: float,
    ) -> Floats:
        """Duty and standby machines, pump speeds and power. Returns the flow of each loop, L/s."""
        c, layout, pumps, rates = self.c, self.layout, self.layout.pumps, self._rates(k, dt_s)
        well = k.machine_well * machine_powered
        missing = _ONE - well
        missing *= k.machine_duty
        lost = (missing @ layout.group_machine > _HALF).astype(np.float64)
        s.lost_s = s.lost_s + dt_s
        s.lost_s *= lost
        s.well_s = s.well_s + dt_s
        s.well_s *= _ONE - lost
        automatic = np.maximum(s.automatic, s.lost_s >= rates.delay_s)
        automatic *= (s.well_s < c.settle_s).astype(np.float64)
        s.automatic = automatic
        run = k.machine_standby * automatic.take(layout.group, axis=1)
        np.maximum(k.machine_command, run, out=run)
        run *= well
        s.pump_running, s.chiller_running = run[:, :pumps], run[:, pumps:]
        speed = s.pump_running - s.pump_speed
        speed *= rates.pump
        speed += s.pump_speed
        speed *= (speed > _AT_REST).astype(np.float64)
        s.pump_speed = speed
        power = rates.pump_w * speed
        power *= speed
        power *= speed
        s.pump_power_w = power
        # pump curve h = h0 - (h0 - 1) q² against a system h = Q²: a second pump adds little
        share = k.pump_lps * speed
        lps = share @ layout.loop_pump
        # factor = sqrt(h0 / (N² + h0 - 1)), at most 1
        factor = lps / rates.loop_lps
        factor *= factor
        factor -= _ONE
        factor += c.pump_shutoff
        np.divide(c.pump_shutoff, factor, out=factor)
        np.minimum(np.sqrt(factor, out=factor), _ONE, out=factor)
        s.flow_lps = share * factor.take(layout.loop_of["pump"], axis=1)
        lps *= factor
        return np.asarray(lps)

    def step(
        self, s: ThermalState, k: Commands, lps: Floats, *, tower_powered: Floats, dt_s: float
    ) -> Floats:
        """Heat of the units into the return header, chillers, condensers, towers.

        Returns the heat given to the outside air, (M, L).
        """
        c, layout, rates = self.c, self.layout, self._rates(k, dt_s)
        loop_of = layout.loop_of["chiller"]
        stream = lps * c.water_cp_j_kgk
        kept = rates.header
        arrived = s.unit_heat_w @ layout.loop_unit
        arrived += s.pump_power_w @ layout.loop_pump
        arrived += kept * s.water_return_c
        # what the machines should take: the stream to its setpoint, the header in header_tau_s
        flowing = (lps > self.least_lps).astype(np.float64).take(loop_of, axis=1)
        s.chiller_on_s = s.chiller_on_s + dt_s
        s.chiller_on_s *= s.chiller_running * flowing
        ready = (s.chiller_on_s > c.chiller_start_s).astype(np.float64)
        condenser = s.condenser_c.take(loop_of, axis=1)
        ratio = capacity_ratio(c, condenser, k.chiller_sp_c)
        available = k.capacity_w * ratio
        offered = available * ready
        total = np.maximum(offered @ layout.loop_chiller, _ONE)
        goal = (offered * k.chiller_sp_c) @ layout.loop_chiller
        goal /= total
        both = kept + stream
        through = stream / both
        returning = arrived / both
        returning += through * s.water_supply_c
        part = (returning - goal) * stream
        part += rates.header_w_k * (s.water_supply_c - goal)
        part /= total
        np.minimum(np.maximum(part, _ZERO, out=part), _ONE, out=part)
        taken = s.chiller_w * ready
        change = offered * part.take(loop_of, axis=1)
        change -= taken
        change *= rates.chiller
        taken += change
        s.chiller_w = taken
        load = taken / np.maximum(available, _ONE)
        electric = k.full_load_w * ratio
        electric *= full_load_ratio(c, ratio)
        electric *= part_load_fraction(c, load)
        electric += c.chiller_idle_w * s.chiller_running
        s.chiller_power_w = electric
        # headers: implicit, the supply eliminated
        supply = kept * s.water_supply_c
        supply += through * arrived
        supply -= taken @ layout.loop_chiller
        supply /= kept + stream * (_ONE - through)
        arrived /= both
        arrived += through * supply
        s.water_return_c = arrived
        s.water_supply_c = supply
        rejected = (taken + electric) @ layout.loop_chiller
        return self._reject(s, k, rejected, tower_powered=tower_powered, dt_s=dt_s)

    def _reject(
        self, s: ThermalState, k: Commands, rejected: Floats, *, tower_powered: Floats, dt_s: float
    ) -> Floats:
        c, layout, wet, rates = self.c, self.layout, k.wet_bulb_c, self._rates(k, dt_s)
        if not self.loops_on_tower:  # condensers in the outside air
            s.condenser_c = np.broadcast_to(k.dry_bulb_c, rejected.shape).copy()
            return rejected
        loop_of = layout.loop_of["tower"]
        run = k.tower_ready * tower_powered
        s.tower_running = run
        pumps_w = rates.tower_pump_w * run
        heat = rejected + pumps_w @ layout.loop_tower
        # fan: the conductance that the setpoint asks for, shared by the towers of a loop
        rated = np.maximum((rates.tower_w_k * run) @ layout.loop_tower, _ONE)
        target = (heat / rated).take(loop_of, axis=1)
        target /= k.tower_over_k
        target -= c.tower_natural
        target *= self._over_natural
        np.minimum(np.maximum(target, _ZERO, out=target), k.tower_limit, out=target)
        target *= run
        target -= s.tower_fan
        target *= rates.tower
        target += s.tower_fan
        s.tower_fan = fan = target
        power = rates.tower_fan_w * fan
        power *= fan
        power *= fan
        power += pumps_w
        s.tower_power_w = power
        # water that falls without a fan gives a tenth of the rating, a fifth of that when it stands
        wetted = fan * self._driven
        wetted += self._falling
        wetted *= run
        wetted += self._standing
        wetted *= rates.tower_w_k
        to_air = wetted @ layout.loop_tower
        kept = rates.basin
        leaving = kept * s.condenser_c
        leaving += heat
        leaving += to_air * wet
        leaving /= kept + to_air
        outside = to_air * (leaving - wet)
        if self.loops_on_tower < layout.loops:
            leaving = np.where(layout.has_tower, leaving, k.dry_bulb_c)
            outside = np.where(layout.has_tower, outside, rejected)
        s.condenser_c = leaving
        return outside

    def makeup_lps(self, s: ThermalState, wet_bulb_c: Floats) -> Floats:
        """Water that the towers of the last step lost by evaporation, drift and blowdown, L/s."""
        c, layout = self.c, self.layout
        heat = (s.chiller_w + s.chiller_power_w) @ layout.loop_chiller
        heat += (layout.tower_pump_w * s.tower_running) @ layout.loop_tower
        range_k = (heat / self.tower_stream_w_k).take(layout.loop_of["tower"], axis=1)
        evaporated = evaporation_lps(c, wet_bulb_c, range_k, layout.tower_heat_w)
        evaporated *= s.tower_running * (1.0 + c.drift + 1.0 / (c.cycles - 1.0))
        return evaporated
