"""GPUs in a step of seconds: both controllers in their averages, heat, and the servers' fans.

The controllers act within milliseconds to seconds, a step is 1…15 s: what they do is solved in
closed form. The power limiter and the software thermal control are both allowances of power, the
smaller one is in charge; the hardware slowdown, which halves the clock at once and releases with
hysteresis, is the share of the step that it must hold. ``loop`` shows the same controllers in
their own time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..drive import Drive
from ..site import Floats, Site
from ..state import Key, PartState, Values
from .commands import Commands, commands, enforced
from .layout import Layout
from .limits import IDLE_UTIL, Limits
from .nvml import FELL_OFF_BUS
from .parameters import GpuConstants

# scalars as arrays: NumPy takes twice as long with a number of Python
_WHOLE = np.array(1.0)
_LEAST_FAN, _LEAST_FLOW = np.array(0.05), np.array(0.01)


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
        self._sink_k_per_w = np.asarray(p.sink_k_per_w * np.sqrt(p.fan_reference))
        self._kept_share: tuple[float, Floats] | None = None
        self._lowest_shutdown_c = layout.shutdown_c.min() if layout.gpus else np.inf

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

    def commands(self, drive: Drive) -> Commands:
        """What a step needs of the drive; hand it to ``step`` for as long as the drive stays."""
        return commands(self.layout, self.parameters, drive)

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
        told: Commands | None = None,
    ) -> None:
        """Advance by ``dt_s`` (1…15 s).

        ``util`` (members, gpus) is the busy share, ``inlet_c`` and ``powered`` (members, servers)
        the air before each server and whether its rack has power. ``coolant_c`` (members, servers)
        is the technology water at servers with cold plates, NaN at the others, ``coolant_flow``
        its share of rated flow. ``told`` spares reading the drive.
        """
        p, layout = self.parameters, self.layout
        self._step_fans(state, powered, dt_s)
        if not layout.gpus:
            state.server_w = powered * (self._base_w + p.fan_w * state.fan**3)
            return
        k = told or self.commands(drive)
        server = layout.gpu_server
        medium, resistance = self._cooling(state, inlet_c, coolant_c, coolant_flow)
        sink = resistance.take(server, axis=1)
        sink *= k.resistance
        # the heat sink over the step, exactly: T' = rest + P·gain, linear in the power
        decay = sink * self._sink_j_per_k
        np.divide(-dt_s, decay, out=decay)
        np.exp(decay, out=decay)
        gain = sink * decay
        np.subtract(sink, gain, out=gain)
        rest = medium.take(server, axis=1)
        decay *= state.sink_c - rest
        rest += decay

        result = self.limits.solve(
            state.temp_c,
            state.thermal_mhz,
            k,
            util=util,
            rest_c=rest,
            gain_k_per_w=gain,
            dt_s=dt_s,
        )
        alive = self._alive(state, k, powered)
        state.util = util if alive is None else util * alive
        for name in ("power_w", "clock_mhz", "speed", "reasons", "held"):
            value = getattr(result, name)
            setattr(state, name, value if alive is None else value * alive)
        state.thermal_mhz = result.thermal_mhz
        gain *= state.power_w
        rest += gain
        state.sink_c = rest
        state.temp_c = state.power_w * k.die_k_per_w
        state.temp_c += rest
        if state.temp_c.max() >= self._lowest_shutdown_c:
            there = 1.0 if alive is None else alive
            state.off = np.where(there * (state.temp_c >= layout.shutdown_c) > 0, 1.0, state.off)
        drawn = state.fan * state.fan
        drawn *= state.fan
        drawn *= p.fan_w
        drawn += self._base_w
        drawn += self._sum(state)
        drawn *= powered
        state.server_w = drawn

    def _alive(self, state: GpuState, k: Commands, powered: Floats) -> Floats | None:
        """Share of the step in which each GPU works, (members, gpus); None: all of it, all of them.

        A GPU that shut itself down comes back when its server is powered anew.
        """
        whole = np.count_nonzero(powered >= _WHOLE) == powered.size
        off = np.count_nonzero(state.off)
        if whole and not off and k.there is None:
            return None
        alive = powered.take(self.layout.gpu_server, axis=1)
        if off:
            state.off = state.off * (alive > 0)
            alive *= 1.0 - state.off
        if k.there is not None:
            alive *= k.there
        return alive

    def _cooling(
        self,
        state: GpuState,
        inlet_c: Floats,
        coolant_c: Floats | None,
        coolant_flow: Floats | None,
    ) -> tuple[Floats, Floats]:
        """What takes the heat, °C, and the resistance to it, K/W; both by server."""
        p = self.parameters
        air = np.maximum(state.fan, _LEAST_FAN)
        air = self._sink_k_per_w / np.sqrt(air, out=air)
        if coolant_c is None:
            return inlet_c, air
        in_air = np.isnan(coolant_c)
        plate = p.plate_k_per_w
        if coolant_flow is not None:
            flow = np.maximum(coolant_flow, _LEAST_FLOW)
            plate = plate / np.sqrt(flow, out=flow)
        return np.where(in_air, inlet_c, coolant_c), np.where(in_air, air, plate)

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
        target = target - p.fan_start_c
        target *= p.fan_per_k
        np.maximum(target, 0.0, out=target)
        np.minimum(target, self._fan_span, out=target)
        target += p.fan_low
        target *= powered
        target -= state.fan
        target *= self._fan_share(dt_s)
        state.fan += target
        state.airflow_m3s = state.fan * p.airflow_m3s

    def _fan_share(self, dt_s: float) -> Floats:
        """Share of its way that a fan goes in a step, kept for the width used last."""
        if self._kept_share is None or self._kept_share[0] != dt_s:
            share = np.asarray(1.0 - np.exp(-dt_s / np.asarray(self.parameters.fan_tau_s)))
            self._kept_share = dt_s, share
        return self._kept_share[1]

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

    def values(self, state: GpuState, drive: Drive, keys: Collection[Key] | None = None) -> Values:
        """What the part computes, by (kind, quantity), or some of it."""
        wanted = VALUES if keys is None else [key for key in keys if key in VALUES]
        return {key: VALUES[key](self, state, drive) for key in wanted}

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


def _xid(gpu: Gpu, state: GpuState, drive: Drive) -> Floats:
    return np.where(np.maximum(drive["gpu", "lost"], state.off) > 0, FELL_OFF_BUS, state.xid)


VALUES: Final[dict[Key, Callable[[Gpu, GpuState, Drive], Floats]]] = {
    ("gpu", "temp_c"): lambda g, s, d: s.temp_c,
    ("gpu", "power_w"): lambda g, s, d: s.power_w,
    ("gpu", "util_pct"): lambda g, s, d: s.util * 100.0,
    ("gpu", "sm_clock_mhz"): lambda g, s, d: s.clock_mhz,
    ("gpu", "throttle_reasons"): lambda g, s, d: s.reasons,
    ("gpu", "power_limit_w"): lambda g, s, d: enforced(g.layout, d),
    ("gpu", "xid"): _xid,
    ("gpu", "speed"): lambda g, s, d: s.speed,
    ("server", "power_w"): lambda g, s, d: s.server_w,
    ("server", "fan_pct"): lambda g, s, d: s.fan * 100.0,
    ("server", "airflow_m3s"): lambda g, s, d: s.airflow_m3s,
}
"""Every (kind, quantity) of GPUs and servers; arrays may be the state's."""
