"""The control loop of a GPU in its own time: 10…100 ms steps, a few GPUs side by side.

sensors → two controllers → priority gate → DVFS → voltage regulator → power → heat → temperature.
The physics of silicon and heat sink is that of the coupled model; here the controllers act one
after another instead of being solved for their averages, so that one sees them hunt, hold and let
go. ``model`` and this loop agree on averages (a test holds them together).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..constants import Constants, constant
from ..site import AssetRecord, Floats, Site
from .devices import Device
from .layout import Layout
from .limits import IDLE_UTIL, Limits
from .nvml import Reason
from .parameters import GpuConstants


@dataclass(frozen=True)
class LoopConstants(Constants):
    """Times and steps of the controllers."""

    average_s: float = constant(1.0, "NVML: power is a 1 s average on Ampere (not GA100) and later")
    power_period_s: float = constant(0.2, "assumed: power limiter moves one clock step each 0.2 s")
    power_band: float = constant(0.015, "assumed: it steps up below 98.5 % of the limit")
    thermal_period_s: float = constant(
        0.5, "assumed: software thermal control, one step each 0.5 s"
    )
    thermal_band_k: float = constant(0.5, "assumed: it steps up 0.5 K below maximum operating")
    die_tau_s: float = constant(0.35, "assumed: die and lid, about 15 J/K")
    regulator_v_per_s: float = constant(5.0, "assumed: voltage regulator ramps 5 mV/ms")
    sensor_tau_s: float = constant(0.05, "reference B2: on-die diodes respond well below 1 s")


@dataclass(frozen=True, slots=True)
class Case:
    """One GPU in one situation; what is None follows the device or the model.

    ``burst_s`` > 0 makes the work come in training steps of that period: full load for the share
    ``util`` of it, waiting for the rest.
    """

    name: str
    inlet_c: float
    util: float = 1.0
    power_limit_w: float | None = None
    fan: float | None = None
    """Fixed fan speed 0..1; None: the server's BMC."""
    resistance: float = 1.0
    brake: bool = False
    burst_s: float = 0.0
    sensor_tau_s: float | None = None
    sensor_delay_s: float = 0.0
    liquid: bool = False
    """Cold plate: ``inlet_c`` is the water."""
    start: dict[str, float] = field(default_factory=dict)
    """Where to start: ``temp_c power_w clock_mhz fan``; empty: 20 K above the inlet, full clock."""


SERIES = (
    "temp_c",
    "sensed_c",
    "power_w",
    "average_w",
    "clock_mhz",
    "volts",
    "power_clock_mhz",
    "thermal_clock_mhz",
    "held",
    "reasons",
    "fan",
)


@dataclass(frozen=True)
class Trace:
    """What the loop did: every series (times, cases)."""

    cases: tuple[Case, ...]
    device: Device
    times_s: Floats
    series: dict[str, Floats]

    def of(self, name: str, case: int = 0) -> Floats:
        """One case's series, shape (times,)."""
        return self.series[name][:, case]

    def mean(self, name: str, *, after_s: float = 0.0) -> Floats:
        """Mean of a series by case from a time on, shape (cases,)."""
        return self.series[name][self.times_s >= after_s].mean(axis=0)

    def share(self, reason: Reason, *, after_s: float = 0.0) -> Floats:
        """Share of the time that a reason was present, by case."""
        bits = self.series["reasons"][self.times_s >= after_s].astype(np.int64)
        return ((bits & int(reason)) > 0).mean(axis=0)


class ControlLoop:
    """Simulates the control loop of one device model in several cases at once."""

    def __init__(
        self,
        asset: AssetRecord,
        cases: Sequence[Case],
        *,
        parameters: GpuConstants | None = None,
        constants: LoopConstants | None = None,
    ) -> None:
        self.cases = tuple(cases)
        self.p = parameters or GpuConstants()
        self.k = constants or LoopConstants()
        count = len(self.cases)
        records = [AssetRecord("rack", "rack")]
        for number in range(count):
            records.append(AssetRecord(f"server-{number}", "server", rack="rack"))
            records.append(
                AssetRecord(
                    f"gpu-{number}", "gpu", parent=f"server-{number}", attributes=asset.attributes
                )
            )
        self.layout = Layout(Site(records))
        self.limits = Limits(self.layout, self.p)
        self.device = self.layout.devices[0]
        self.clock_at, self.volts_at = np.array(self.device.volts).T

    def run(self, duration_s: float, *, dt_s: float = 0.05, every_s: float = 0.25) -> Trace:
        """Advance all cases; keeps a sample every ``every_s``.

        Cost: about 70 µs a step whatever the number of cases (up to hundreds).
        """
        state = _Start(self)
        every = max(1, round(every_s / dt_s))
        steps = round(duration_s / dt_s)
        samples = steps // every
        kept = {name: np.empty((samples, len(self.cases))) for name in SERIES}
        times = np.empty(samples)
        stepper = _Stepper(self, state, dt_s)
        for step in range(steps):
            stepper.step(step)
            if (step + 1) % every == 0:
                place = (step + 1) // every - 1
                times[place] = (step + 1) * dt_s
                for name in SERIES:
                    kept[name][place] = getattr(state, name)[0]
        return Trace(self.cases, self.device, times, kept)


class _Start:
    """State of the loop, each (1, cases)."""

    def __init__(self, loop: ControlLoop) -> None:
        device, p = loop.device, loop.p

        def begin(name: str, default: float) -> Floats:
            return np.array([[case.start.get(name, default) for case in loop.cases]])

        inlet = np.array([[case.inlet_c for case in loop.cases]])
        health = np.array([[case.resistance for case in loop.cases]])
        self.power_w = begin("power_w", device.idle_w)
        self.temp_c = np.array(
            [[case.start.get("temp_c", case.inlet_c + 20.0) for case in loop.cases]]
        )
        self.sink_c = np.maximum(
            self.temp_c - float(np.mean(p.die_k_per_w)) * health * self.power_w, inlet
        )
        self.sensed_c = self.temp_c.copy()
        self.average_w = self.power_w.copy()
        self.clock_mhz = begin("clock_mhz", device.max_clock_mhz)
        self.power_clock_mhz = begin("clock_mhz", device.max_clock_mhz)
        self.thermal_clock_mhz = begin("clock_mhz", device.max_clock_mhz)
        self.volts = loop.layout.tables.volts(self.clock_mhz)
        self.held = np.zeros_like(self.temp_c)
        self.reasons = np.zeros_like(self.temp_c)
        self.fan = np.array(
            [[case.start.get("fan", 0.5) if case.fan is None else case.fan for case in loop.cases]]
        )


class _Stepper:
    """One step of all cases."""

    def __init__(self, loop: ControlLoop, state: _Start, dt_s: float) -> None:
        p, k, cases = loop.p, loop.k, loop.cases
        self.loop, self.s, self.dt = loop, state, dt_s
        self.inlet = np.array([[case.inlet_c for case in cases]])
        self.health = np.array([[case.resistance for case in cases]])
        self.brake = np.array([[case.brake for case in cases]])
        self.bmc = np.array([[case.fan is None for case in cases]])
        self.any_bmc, self.any_burst = bool(self.bmc.any()), any(case.burst_s for case in cases)
        self.liquid = np.array([[case.liquid for case in cases]])
        self.util = np.array([[case.util for case in cases]])
        self.burst = np.array([[case.burst_s for case in cases]])
        top = loop.layout.max_w
        self.limit = np.array([[case.power_limit_w or top[0] for case in cases]])
        self.limit = np.clip(self.limit, loop.layout.min_limit_w, top)
        tau = [k.sensor_tau_s if case.sensor_tau_s is None else case.sensor_tau_s for case in cases]
        self.sensor_share = 1.0 - np.exp(-dt_s / np.maximum(np.array([tau]), 1e-6))
        self.die_share = 1.0 - math.exp(-dt_s / k.die_tau_s)
        self.fan_share = 1.0 - np.exp(-dt_s / np.mean(p.fan_tau_s))
        self.window = max(1, round(k.average_s / dt_s))
        self.recent_w = np.repeat(state.power_w, self.window, axis=0)
        self.delay = np.array([round(case.sensor_delay_s / dt_s) for case in cases])
        self.past_c = np.repeat(state.temp_c, int(self.delay.max(initial=0)) + 1, axis=0)
        self.columns = np.arange(len(cases))
        self.power_every = max(1, round(k.power_period_s / dt_s))
        self.thermal_every = max(1, round(k.thermal_period_s / dt_s))
        self.die = float(np.mean(p.die_k_per_w)) * self.health
        self.plate = float(np.mean(p.plate_k_per_w)) * self.health
        reference = math.sqrt(float(np.mean(p.fan_reference)))
        self.sink = float(np.mean(p.sink_k_per_w)) * reference * self.health
        self.fan_low, self.fan_per_k = float(np.mean(p.fan_low)), float(np.mean(p.fan_per_k))
        self.fan_start_c = float(np.mean(p.fan_start_c))
        self.sink_j_per_k = float(np.mean(p.sink_tau_s) / np.mean(p.sink_k_per_w))

    def step(self, number: int) -> None:
        """Sensors, controllers, gate, DVFS, regulator, power, heat; in this order."""
        s, k, layout, limits = self.s, self.loop.k, self.loop.layout, self.loop.limits
        self._sense(number)
        if number % self.power_every == 0:
            down = s.average_w > self.limit
            up = s.average_w < self.limit * (1.0 - k.power_band)
            s.power_clock_mhz = self._moved(s.power_clock_mhz, up, down)
        if number % self.thermal_every == 0:
            memory = s.sensed_c + limits._die_to_memory * s.average_w
            margin = np.minimum(layout.max_op_c - s.sensed_c, layout.memory_max_op_c - memory)
            down = margin <= 0.0
            # from the clock in force; never up while hardware holds the clock
            begin = np.minimum(s.thermal_clock_mhz, s.power_clock_mhz)
            begin = np.where(down, begin, s.thermal_clock_mhz)
            moved = self._moved(begin, (margin > k.thermal_band_k) & (s.held == 0), down)
            s.thermal_clock_mhz = np.maximum(moved, limits._floor)
        hot = s.sensed_c >= layout.slowdown_c
        still = s.sensed_c > layout.slowdown_c - self.loop.p.release_k
        held = hot | ((s.held > 0) & still)
        s.held = held.astype(np.float64)

        util = self._util(number)
        wanted = self._gate(held, util)
        self._regulate(wanted)
        activity = limits.activity(util)
        leakage = limits.leakage(s.temp_c)
        s.power_w = limits.board_w + s.volts * (leakage + s.volts * s.clock_mhz * activity)
        self._heat()

    def _sense(self, number: int) -> None:
        s = self.s
        self.recent_w[number % self.window] = s.power_w[0]
        if number % self.power_every == 0:
            s.average_w = self.recent_w.mean(axis=0, keepdims=True)
        depth = self.past_c.shape[0]
        self.past_c[number % depth] = s.temp_c[0]
        seen = self.past_c[(number - self.delay) % depth, self.columns][None]
        s.sensed_c = s.sensed_c + (seen - s.sensed_c) * self.sensor_share

    def _moved(self, clock: Floats, up: np.ndarray, down: np.ndarray) -> Floats:
        """Linear stepping: one clock step up or down."""
        layout = self.loop.layout
        moved = clock + layout.step_mhz * (up.astype(np.float64) - down)
        return np.minimum(np.maximum(moved, layout.idle_clock), layout.max_clock)

    def _util(self, number: int) -> Floats:
        if not self.any_burst:
            return self.util
        phase = np.mod(number * self.dt, np.maximum(self.burst, 1e-9)) / np.maximum(
            self.burst, 1e-9
        )
        return np.where(self.burst > 0, (phase < self.util).astype(np.float64), self.util)

    def _gate(self, held: np.ndarray, util: Floats) -> Floats:
        """The priority gate: the lowest clock wins; hardware before software."""
        s, layout, limits = self.s, self.loop.layout, self.loop.limits
        wanted = np.minimum(s.power_clock_mhz, s.thermal_clock_mhz)
        wanted = np.floor(wanted / layout.step_mhz + 1e-9) * layout.step_mhz
        thermal = s.thermal_clock_mhz <= s.power_clock_mhz
        thermal &= s.thermal_clock_mhz < layout.max_clock
        capped = (s.power_clock_mhz <= s.thermal_clock_mhz) & (s.power_clock_mhz < layout.max_clock)
        fast = held | self.brake
        wanted = np.where(fast, np.minimum(wanted, limits._half), wanted)
        idle = (util < IDLE_UTIL) & (self.burst <= 0)
        wanted = np.where(idle, layout.idle_clock, wanted)
        s.reasons = (
            capped * float(Reason.SW_POWER_CAP)
            + thermal * float(Reason.SW_THERMAL_SLOWDOWN)
            + fast * float(Reason.HW_SLOWDOWN)
            + held * float(Reason.HW_THERMAL_SLOWDOWN)
            + self.brake * float(Reason.HW_POWER_BRAKE_SLOWDOWN)
        )
        s.reasons = np.where(idle, float(Reason.GPU_IDLE), s.reasons)
        return np.asarray(wanted)

    def _regulate(self, wanted: Floats) -> None:
        """Down: the clock falls first; up: it waits for the voltage."""
        s, loop = self.s, self.loop
        target = loop.layout.tables.volts(wanted)
        ramp = loop.k.regulator_v_per_s * self.dt
        s.volts = s.volts + np.minimum(np.maximum(target - s.volts, -ramp), ramp)
        reachable = np.interp(s.volts, loop.volts_at, loop.clock_at)
        s.clock_mhz = np.where(s.volts >= target - 1e-9, wanted, np.minimum(wanted, reachable))

    def _heat(self) -> None:
        s = self.s
        sink = np.where(self.liquid, self.plate, self.sink / np.sqrt(np.maximum(s.fan, 0.05)))
        share = 1.0 - np.exp(-self.dt / (sink * self.sink_j_per_k))
        s.sink_c = s.sink_c + (self.inlet + sink * s.power_w - s.sink_c) * share
        s.temp_c = s.temp_c + (s.sink_c + self.die * s.power_w - s.temp_c) * self.die_share
        if self.any_bmc:
            target = (s.sensed_c - self.fan_start_c) * self.fan_per_k
            target = np.minimum(np.maximum(target, 0.0) + self.fan_low, 1.0)
            s.fan = np.where(self.bmc, s.fan + (target - s.fan) * self.fan_share, s.fan)
