"""The two controllers and the priority gate, solved for a step of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..site import Flags, Floats
from .commands import Commands
from .layout import Groups, Layout
from .nvml import Reason
from .parameters import GpuConstants

IDLE_UTIL = 0.01
"""A GPU busy for less than this share rests at its idle clock (assumed)."""
_IDLE = np.array(IDLE_UTIL)
_HW_THERMAL = float(Reason.HW_SLOWDOWN | Reason.HW_THERMAL_SLOWDOWN)
_HW_BRAKE = float(Reason.HW_SLOWDOWN | Reason.HW_POWER_BRAKE_SLOWDOWN)


@dataclass
class Solved:
    """Averages over the step, each (members, gpus)."""

    power_w: Floats
    clock_mhz: Floats
    speed: Floats
    reasons: Floats
    held: Floats
    thermal_mhz: Floats


class _Full(NamedTuple):
    """Constants (members, gpus): NumPy takes three times as long where it has to broadcast."""

    clock: Floats
    one: Floats
    g: Floats
    volts: Floats
    board_w: Floats
    activity_0: Floats
    activity_1: Floats
    leak_w_per_v: Floats


class Limits:
    """Power of a GPU at a clock, and the clock that the limits leave it."""

    def __init__(self, layout: Layout, parameters: GpuConstants) -> None:
        self.layout = layout
        self.p = p = parameters
        self._calibrate()
        self._half = layout.max_clock * p.hardware_share
        self._floor = layout.max_clock * p.thermal_floor
        self._die_to_memory = np.asarray(p.memory_extra_k_per_w)
        self._leakage_ref_c = np.asarray(p.leakage_ref_c)
        tops = (layout.max_op_c, layout.memory_max_op_c)
        self._lowest_c = min((float(top.min()) for top in tops if len(top)), default=0.0)
        self._kept: _Full | None = None
        self._sync = Groups.of(layout.sync_groups) if layout.sync_groups is not None else None

    def _calibrate(self) -> None:
        """Board power and capacitance such that idle and full load are the device's figures."""
        p, layout = self.p, self.layout
        eta = np.asarray(p.regulator_efficiency)
        full_w = layout.max_w * p.full_load_share
        self.leak_w_per_v = p.leakage_share * layout.max_w / layout.max_volts / eta
        self.leak_per_k = np.asarray(p.leakage_per_k)
        cooler = np.exp(self.leak_per_k * (np.asarray(p.idle_die_c) - p.leakage_ref_c))
        idle_leak = self.leak_w_per_v * layout.idle_volts * cooler
        full_leak = self.leak_w_per_v * layout.max_volts
        idle_g = layout.idle_g * p.idle_activity
        # idle_w = board + c·idle_g + idle_leak;  full_w = board + c·max_g + full_leak
        self.c_w = (full_w - full_leak - layout.idle_w + idle_leak) / (layout.max_g - idle_g)
        self.board_w = layout.idle_w - idle_leak - self.c_w * idle_g
        self._activity_0 = p.idle_activity * self.c_w * p.power_scale
        self._activity_1 = self.c_w * p.power_scale - self._activity_0

    def activity(self, util: Floats) -> Floats:
        """Switched power per V²·MHz at a busy share, W/(V²·MHz)."""
        return self._activity_0 + self._activity_1 * util

    def leakage(self, temp_c: Floats, leak_w_per_v: Floats | None = None) -> Floats:
        """Leakage per volt at a die temperature, W/V; ``leak_w_per_v`` with every member."""
        hot = temp_c - self._leakage_ref_c
        hot *= self.leak_per_k
        np.exp(hot, out=hot)
        hot *= self.leak_w_per_v if leak_w_per_v is None else leak_w_per_v
        return hot

    def _full(self, members: int) -> _Full:
        """Constants of all GPUs unthrottled, kept for the number of members used last."""
        if self._kept is None or len(self._kept.clock) != members:
            layout, none = self.layout, np.zeros((members, self.layout.gpus))
            self._kept = _Full(
                clock=none + layout.max_clock,
                one=none + 1.0,
                g=none + layout.max_g,
                volts=none + layout.max_volts,
                board_w=none + self.board_w,
                activity_0=none + self._activity_0,
                activity_1=none + self._activity_1,
                leak_w_per_v=none + self.leak_w_per_v,
            )
            for array in self._kept:
                array.setflags(write=False)  # states may share them
        return self._kept

    def power(self, clock_mhz: Floats, activity: Floats, leakage: Floats) -> Floats:
        """Board power at a clock, W."""
        volts = self.layout.tables.volts(clock_mhz)
        total = volts * clock_mhz
        total *= activity
        total += leakage
        total *= volts
        total += self.board_w
        return total

    def clock_within(self, allowed_w: Floats, activity: Floats, leakage: Floats) -> Floats:
        """Highest clock whose power stays within an allowance, MHz; not below the idle clock."""
        tables, layout = self.layout.tables, self.layout
        room = allowed_w - self.board_w
        clock = tables.clock((room - leakage * layout.max_volts) / activity)
        for _ in range(2):  # the voltage of the last guess carries the leakage
            clock = tables.clock((room - leakage * tables.volts(clock)) / activity)
        return np.maximum(clock, layout.idle_clock)

    def solve(
        self,
        temp_c: Floats,
        thermal_mhz: Floats,
        told: Commands,
        *,
        util: Floats,
        rest_c: Floats,
        gain_k_per_w: Floats,
        dt_s: float,
    ) -> Solved:
        """The averages of a step whose die ends at rest_c + P·(gain_k_per_w + die_k_per_w)."""
        layout, full, limit = self.layout, self._full(len(temp_c)), told.limit_w
        activity = util * full.activity_1
        activity += full.activity_0
        leakage = self.leakage(temp_c, full.leak_w_per_v)
        clock = full.clock
        power = activity * full.g
        power += leakage * full.volts
        power += full.board_w
        reasons = np.zeros(power.shape)
        held = np.zeros(power.shape)

        over = power > limit
        if np.count_nonzero(over):
            capped = self.clock_within(limit, activity, leakage)
            clock = np.where(over, capped, clock)
            power = np.where(over, self.power(clock, activity, leakage), power)
            reasons += over * float(Reason.SW_POWER_CAP)

        rise = gain_k_per_w + told.die_k_per_w
        stepped = clock
        end_c = power * rise
        end_c += rest_c
        if self._may_be_hot(end_c, power) and np.count_nonzero(self._too_hot(end_c, power)):
            hot = _Heat(self, activity, leakage, rest_c, rise, dt_s)
            clock, power, reasons, held, stepped = hot.solve(clock, power, reasons, thermal_mhz)

        if told.braked is not None:
            braked = told.braked
            clock = np.where(braked, np.minimum(clock, self._half), clock)
            power = np.where(braked, self.power(clock, activity, leakage), power)
            reasons = np.where(braked, _with(reasons, _HW_BRAKE), reasons)

        clock, power, reasons = self._boost_together(clock, power, reasons, activity, leakage)

        speed = full.one if clock is full.clock else clock / layout.max_clock
        idle = util < _IDLE
        if np.count_nonzero(idle):
            resting = np.minimum(clock, layout.idle_clock)
            clock = np.where(idle, resting, clock)
            power = np.where(idle, self.power(clock, activity, leakage), power)
            reasons = np.where(idle, float(Reason.GPU_IDLE), reasons)
        return Solved(power, clock, speed, reasons, held, stepped)

    def _may_be_hot(self, temp_c: Floats, power: Floats) -> bool:
        """Whether any memory, which no die exceeds, is above the lowest of all limits."""
        memory = power * self._die_to_memory
        memory += temp_c
        return bool(memory.max() > self._lowest_c)

    def _too_hot(self, temp_c: Floats, power: Floats) -> Flags:
        memory = temp_c + power * self._die_to_memory
        return (temp_c > self.layout.max_op_c) | (memory > self.layout.memory_max_op_c)

    def _boost_together(
        self, clock: Floats, power: Floats, reasons: Floats, activity: Floats, leakage: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Sync boost: every GPU of a group runs at the lowest clock of the group."""
        groups, number = self._sync, self.layout.sync_groups
        if groups is None or number is None:
            return clock, power, reasons
        lowest = groups.reduce(np.minimum, clock)
        together = lowest[:, np.searchsorted(groups.present, number)]
        slower = together < clock - 0.5
        if np.count_nonzero(slower):
            clock = np.where(slower, together, clock)
            power = np.where(slower, self.power(clock, activity, leakage), power)
            reasons = np.where(slower, _with(reasons, float(Reason.SYNC_BOOST)), reasons)
        return clock, power, reasons


@dataclass
class _Heat:
    """Software thermal control and hardware slowdown of one step."""

    limits: Limits
    activity: Floats
    leakage: Floats
    rest_c: Floats
    rise: Floats
    dt_s: float

    def solve(
        self, clock: Floats, power: Floats, reasons: Floats, before_mhz: Floats
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Clock, power, reasons, share under hardware slowdown, clock of the software control."""
        limits, layout, p = self.limits, self.limits.layout, self.limits.p
        # the power that ends the step at the maximum operating temperature of die or memory
        allowed = np.minimum(
            (layout.max_op_c - self.rest_c) / self.rise,
            (layout.memory_max_op_c - self.rest_c) / (self.rise + limits._die_to_memory),
        )
        hot = power > allowed
        wanted = limits.clock_within(allowed, self.activity, self.leakage)
        # slow: it steps down, and not below its floor
        slowest = np.maximum(
            before_mhz - np.asarray(p.thermal_mhz_per_s) * self.dt_s, limits._floor
        )
        software = np.minimum(np.maximum(wanted, slowest), clock)
        stepped = np.where(hot, software, layout.max_clock)
        clock = np.where(hot, software, clock)
        power = np.where(hot, limits.power(clock, self.activity, self.leakage), power)
        reasons = reasons + hot * float(Reason.SW_THERMAL_SLOWDOWN)

        # fast: what is still above the slowdown threshold toggles between full and half clock,
        # between the threshold and its release
        over = hot & (self.rest_c + power * self.rise >= layout.slowdown_c)
        held = np.zeros(power.shape)
        if np.count_nonzero(over):
            half = np.minimum(clock, limits._half)
            half_w = limits.power(half, self.activity, self.leakage)
            middle = layout.slowdown_c - 0.5 * np.asarray(p.release_k)
            target_w = (middle - self.rest_c) / self.rise
            share = (power - target_w) / np.maximum(power - half_w, 1e-9)
            held = np.where(over, np.clip(share, 0.0, 1.0), 0.0)
            clock = clock + (half - clock) * held
            power = power + (half_w - power) * held
            reasons = np.where(over, _with(reasons, _HW_THERMAL), reasons)
        return clock, power, reasons, held, stepped


def _with(reasons: Floats, bits: float) -> Floats:
    """The bits added to those already set."""
    return (reasons.astype(np.int64) | int(bits)).astype(np.float64)
