"""GPUs in a step of seconds: both controllers in their averages, heat, and the servers' fans.

The controllers act within milliseconds to seconds, a step is 1…15 s: what they do is solved in
closed form. The power limiter and the software thermal control are both allowances of power, the
smaller one is in charge; the hardware slowdown, which halves the clock at once and releases with
hysteresis, is the share of the step that it must hold. ``loop`` shows the same controllers in
their own time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..drive import Drive
from ..site import Floats, Site
from ..state import Key, PartState, Values
from .layout import Layout
from .limits import IDLE_UTIL, Limits
from .nvml import FELL_OFF_BUS
from .parameters import GpuConstants


@dataclass
class GpuState(PartState):
    """Per GPU (members, gpus), per server (members, servers)."""

    temp_c: Floats
    sink_c: Floats
    power_w: Floats
    util: Floats
    clock_mhz: Floats
    thermal_mhz: Floats
    """Where the software thermal control has stepped to."""
    speed: Floats
    """Clock that work gets over the unthrottled clock; 0 when lost or without power."""
    reasons: Floats
    """NVML's clock-event bits."""
    held: Floats
    """Share of the last step under hardware slowdown."""
    off: Floats
    """1 after a thermal shutdown, until the server is powered anew."""
    xid: Floats
    fan: Floats
    """Server fan speed, 0..1."""
    server_w: Floats
    """Drawn at the plug, as Redfish reports it: the loss of the supplies is inside ``base_w``."""
    airflow_m3s: Floats


class Gpu:
    """Power, clock and temperature of every GPU of a site, and its servers' fans and power."""

    def __init__(self, site: Site, parameters: GpuConstants | None = None) -> None:
        self.site = site
        self.parameters = p = parameters or GpuConstants()
        self.layout = layout = Layout(site)
        self.limits = Limits(layout, p)
        self._sink_j_per_k = p.sink_tau_s / np.asarray(p.sink_k_per_w)
        self._fan_span = 1.0 - np.asarray(p.fan_low)
        self._base_w = np.asarray(p.base_w) * layout.base_share
        self._fan_scale = np.sqrt(p.fan_reference)

    def initial(self, drive: Drive, *, inlet_c: float = 22.0) -> GpuState:
        """Steady state at one inlet temperature, everything powered, load as the drive demands."""
        gpus, servers = self.layout.gpus, self.layout.servers
        members = drive.members

        def full(count: int, value: float) -> Floats:
            return np.full((members, count), value)

        state = GpuState(
            temp_c=full(gpus, inlet_c + 40.0),
            sink_c=full(gpus, inlet_c + 28.0),
            power_w=np.repeat(self.layout.max_w[None] * 0.8, members, axis=0),
            util=np.clip(drive["gpu", "demand"], 0.0, 1.0),
            clock_mhz=np.repeat(self.layout.max_clock[None], members, axis=0),
            thermal_mhz=np.repeat(self.layout.max_clock[None], members, axis=0),
            speed=full(gpus, 1.0),
            reasons=full(gpus, 0.0),
            held=full(gpus, 0.0),
            off=full(gpus, 0.0),
            xid=full(gpus, 0.0),
            fan=full(servers, 0.5),
            server_w=full(servers, 0.0),
            airflow_m3s=full(servers, 0.0),
        )
        util = state.util.copy()
        inlet, powered = full(servers, inlet_c), full(servers, 1.0)
        for _ in range(40):
            self.step(state, drive, util=util, inlet_c=inlet, powered=powered, dt_s=15.0)
        return state

    def step(
        self,
        state: GpuState,
        drive: Drive,
        *,
        util: Floats,
        inlet_c: Floats,
        powered: Floats,
        dt_s: float,
        coolant_c: Floats | None = None,
        coolant_flow: Floats | None = None,
    ) -> None:
        """Advance by ``dt_s`` (1…15 s).

        ``util`` (members, gpus) is the busy share, ``inlet_c`` and ``powered`` (members, servers)
        the air before each server and whether its rack has power. ``coolant_c`` (members, servers)
        is the technology water at servers with cold plates, NaN at the others, ``coolant_flow``
        its share of rated flow.
        """
        p, layout = self.parameters, self.layout
        self._step_fans(state, powered, dt_s)
        if not layout.gpus:
            state.server_w = powered * (self._base_w + p.fan_w * state.fan**3)
            return
        server = layout.gpu_server
        medium, resistance = self._cooling(state, inlet_c, coolant_c, coolant_flow)
        health = drive["gpu", "thermal_resistance"]
        sink = resistance.take(server, axis=1)
        sink *= health
        die = p.die_k_per_w * health
        # the heat sink over the step, exactly: T' = rest + P·gain, linear in the power
        decay = np.exp(-dt_s / (sink * self._sink_j_per_k))
        gain = sink - sink * decay
        rest = medium.take(server, axis=1)
        rest = rest + (state.sink_c - rest) * decay

        on = powered.take(server, axis=1)
        state.off *= on > 0
        alive = on * (1.0 - drive["gpu", "lost"])
        alive *= 1.0 - state.off

        result = self.limits.solve(
            state.temp_c,
            state.thermal_mhz,
            drive,
            util=util,
            rest_c=rest,
            gain_k_per_w=gain,
            die_k_per_w=die,
            dt_s=dt_s,
        )
        state.util = util * alive
        state.power_w = result.power_w * alive
        state.clock_mhz = result.clock_mhz * alive
        state.speed = result.speed * alive
        state.reasons = result.reasons * alive
        state.held = result.held * alive
        state.thermal_mhz = result.thermal_mhz
        state.sink_c = rest + state.power_w * gain
        state.temp_c = state.sink_c + state.power_w * die
        if float((state.temp_c - layout.shutdown_c).max()) >= 0.0:
            state.off = np.where(alive * (state.temp_c >= layout.shutdown_c) > 0, 1.0, state.off)
        state.server_w = powered * (self._base_w + p.fan_w * state.fan**3 + self._sum(state))

    def _cooling(
        self,
        state: GpuState,
        inlet_c: Floats,
        coolant_c: Floats | None,
        coolant_flow: Floats | None,
    ) -> tuple[Floats, Floats]:
        """What takes the heat, °C, and the resistance to it, K/W; both by server."""
        p = self.parameters
        air = p.sink_k_per_w * self._fan_scale / np.sqrt(np.maximum(state.fan, 0.05))
        if coolant_c is None:
            return inlet_c, air
        liquid = ~np.isnan(coolant_c)
        if not np.count_nonzero(liquid):
            return inlet_c, air
        flow = 1.0 if coolant_flow is None else np.maximum(coolant_flow, 0.01)
        plate = p.plate_k_per_w / np.sqrt(flow)
        return np.where(liquid, coolant_c, inlet_c), np.where(liquid, plate, air)

    def _step_fans(self, state: GpuState, powered: Floats, dt_s: float) -> None:
        """The BMC follows the hottest GPU of the server."""
        p = self.parameters
        target = np.zeros(state.fan.shape)
        if self.layout.by_server is not None:
            hottest = self.layout.by_server.reduce(np.maximum, state.temp_c)
            if self.layout.every_server_has_gpus:
                target = hottest
            else:
                target[:, self.layout.by_server.present] = hottest
        target = (target - p.fan_start_c) * p.fan_per_k
        target = np.clip(target, 0.0, self._fan_span) + p.fan_low
        target *= powered
        state.fan += (target - state.fan) * (1.0 - np.exp(-dt_s / np.asarray(p.fan_tau_s)))
        state.airflow_m3s = state.fan * p.airflow_m3s

    def _sum(self, state: GpuState) -> Floats:
        """GPU power by server."""
        groups = self.layout.by_server
        if groups is None:
            return np.zeros(state.fan.shape)
        total = groups.reduce(np.add, state.power_w)
        if self.layout.every_server_has_gpus:
            return total
        spread = np.zeros(state.fan.shape)
        spread[:, groups.present] = total
        return spread

    def values(self, state: GpuState, drive: Drive) -> Values:
        """What the part computes, by (kind, quantity)."""
        lost = np.maximum(drive["gpu", "lost"], state.off)
        return {
            ("gpu", "temp_c"): state.temp_c,
            ("gpu", "power_w"): state.power_w,
            ("gpu", "util_pct"): state.util * 100.0,
            ("gpu", "sm_clock_mhz"): state.clock_mhz,
            ("gpu", "throttle_reasons"): state.reasons,
            ("gpu", "power_limit_w"): self.limits.enforced(drive) + 0.0 * lost,
            ("gpu", "xid"): np.where(lost > 0, FELL_OFF_BUS, state.xid),
            ("gpu", "speed"): state.speed,
            ("server", "power_w"): state.server_w,
            ("server", "fan_pct"): state.fan * 100.0,
            ("server", "airflow_m3s"): state.airflow_m3s,
        }

    def observe(self, state: GpuState, readings: Mapping[Key, Floats]) -> None:
        """Put what instruments say into the state; NaN keeps what the model has."""

        def seen(quantity: str, kept: Floats, *, kind: str = "gpu", scale: float = 1.0) -> Floats:
            value = readings.get((kind, quantity))
            if value is None:
                return kept
            return np.where(np.isnan(value), kept, value * scale)

        state.power_w = seen("power_w", state.power_w)
        before = state.temp_c - state.sink_c
        state.temp_c = seen("temp_c", state.temp_c)
        told = readings.get(("gpu", "power_w"))
        rise = before if told is None else self.parameters.die_k_per_w * state.power_w
        state.sink_c = state.temp_c - rise
        state.util = seen("util_pct", state.util, scale=0.01)
        state.clock_mhz = seen("sm_clock_mhz", state.clock_mhz)
        state.reasons = seen("throttle_reasons", state.reasons)
        state.xid = seen("xid", state.xid)
        if ("gpu", "sm_clock_mhz") in readings:
            busy = state.util >= IDLE_UTIL
            share = np.clip(state.clock_mhz / self.layout.max_clock, 0.0, 1.0)
            state.speed = np.where(busy, share, state.speed)
        state.fan = seen("fan_pct", state.fan, kind="server", scale=0.01)
        state.server_w = seen("power_w", state.server_w, kind="server")
        state.airflow_m3s = state.fan * self.parameters.airflow_m3s
