"""Servers and GPUs: clock, voltage, power, throttling, temperature, fans; the other racks.

GPU limits are those of an H100 SXM read with `nvidia-smi -q`: idle 72 W, 200 to 700 W, maximum
operating 87 °C, hardware slowdown 89 °C, shutdown 95 °C, highest SM clock 1980 MHz.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

IDLE, POWER_CAP, SW_THERMAL, HW_THERMAL, BRAKE = 0x1, 0x4, 0x20, 0x8 | 0x40, 0x8 | 0x80  # nvml.h


@dataclass(frozen=True)
class ComputeParameters:
    """Constants of the IT load."""

    gpu_max_w: float = 700.0  # nvidia-smi -q, H100 SXM; also `max_w` in facility.yaml
    clock_max_mhz: float = 1980.0  # nvidia-smi -q, H100 SXM
    clock_min_mhz: float = 345.0  # nvidia-smi -q, H100 SXM, idle
    clock_step_mhz: float = 15.0  # nvidia-smi -q -d SUPPORTED_CLOCKS steps
    volt_min: float = 0.67  # nvidia-smi -q, H100 SXM, idle
    volt_max: float = 1.05  # assumed at the highest clock
    volt_curve: float = 1.6  # assumed: flat first, steep near the top
    static_w: float = 40.0  # assumed: memory, fabric, regulators
    leak_w: float = 32.0  # assumed at 60 °C and the highest voltage
    leak_e_k: float = 55.0  # assumed e-fold of leakage
    dynamic_w: float = 625.0  # fits 575 W at 80 % use; 72 + 628 * 0.8 of the data sheet's ends
    slowdown_c: float = 89.0  # nvidia-smi -q, H100 SXM; clocks cut to half
    release_c: float = 86.0  # assumed, 3 K of hysteresis
    shutdown_c: float = 95.0  # nvidia-smi -q, H100 SXM
    software_c: float = 87.9  # assumed: the software limit regulates a little over its 87 °C
    software_per_k_s: float = 0.004  # assumed integral gain of the software thermal limit
    software_per_k: float = 0.012  # assumed proportional gain
    software_band_k: float = 0.8  # assumed: the proportional part begins this far below
    software_rise_s: float = 0.002  # assumed: clocks come back slowly
    software_hit: float = 0.10  # assumed: what a hardware slowdown teaches the software limit
    sink_k_w: float = 0.056  # assumed heat sink at the reference fan speed
    paste_k_w: float = 0.022  # assumed die to heat sink with fresh paste
    plate_k_w: float = 0.020  # assumed cold plate with rated water flow
    sink_tau_s: float = 24.0  # assumed
    die_tau_s: float = 1.5  # assumed
    fan_exponent: float = 0.4  # assumed, forced convection over fins
    fan_reference: float = 0.5  # fan speed at which the resistances hold; assumed
    util_noise: float = 0.02  # assumed standard deviation of a server's mix
    noise_tau_s: float = 300.0  # assumed correlation time of the mix
    server_base_w: float = 1400.0  # assumed: two CPUs, memory, NICs, NVMe without fans
    surge_cpu_w: float = 1500.0  # assumed: CPUs, memory and NICs at their limit
    cpu_follows_w: float = 120.0  # assumed: data loading on the CPUs at full GPU use
    server_fan_w: float = 600.0  # assumed, all fans at full speed
    server_fan_low: float = 0.5  # assumed fan speed at and below 24 °C under nominal load
    server_fan_load: float = 0.8  # assumed part of that speed that follows the GPU power
    gpu_nominal_w: float = 575.0  # GPU power at the mean utilisation
    fan_start_c: float = 24.0  # assumed start of the fan ramp
    fan_full_c: float = 38.0  # assumed end of the fan ramp
    leaf_switch_w: float = 900.0  # assumed, 32 x 400 Gb/s switch
    other_rack_w: float = 5000.0  # general IT, mean
    other_rack_day: float = 0.05  # assumed amplitude over a day
    other_rack_noise: float = 0.03  # assumed standard deviation


class Compute:
    """State of all servers; arrays are in file order of gpu, server and rack assets."""

    def __init__(
        self, facility: FacilitySpec, *, parameters: ComputeParameters, rng: np.random.Generator
    ) -> None:
        p = self.p = parameters
        self._rng = rng
        racks, servers = facility.of_kind("rack"), facility.of_kind("server")
        gpus = facility.of_kind("gpu")
        self.server_rack = np.array([facility.place("rack", str(s.rack)) for s in servers])
        self.gpu_server = np.array(
            [facility.place("server", g.tag.rsplit("-gpu-", 1)[0]) for g in gpus]
        )
        self._first_gpu = np.searchsorted(self.gpu_server, np.arange(len(servers)))
        self._gpus_of_server = np.bincount(self.gpu_server, minlength=len(servers))
        self.gpu_rack = self.server_rack[self.gpu_server]
        self.is_gpu_rack = np.isin(np.arange(len(racks)), self.server_rack)
        self._servers_of_rack = np.bincount(self.server_rack, minlength=len(racks))
        self._by_rack = np.zeros((len(servers), len(racks)))
        self._by_rack[np.arange(len(servers)), self.server_rack] = 1.0
        self.rack_max_w = np.array([float(a.attributes["rated_w"]) for a in racks])
        self.liquid_share = np.array(
            [float(a.attributes.get("liquid_fraction", 0.0)) for a in racks]
        )
        self._plated = self.liquid_share[self.gpu_rack] > 0
        # Silicon, paste and mounting differ from part to part: 3 % (assumed).
        count = len(gpus)
        self._dynamic = p.dynamic_w * (1.0 + 0.02 * rng.uniform(-1.0, 1.0, count))
        self._sink = p.sink_k_w * (1.0 + 0.03 * rng.uniform(-1.0, 1.0, count))
        self._paste = p.paste_k_w * (1.0 + 0.03 * rng.uniform(-1.0, 1.0, count))
        self._server_noise = rng.normal(0.0, p.util_noise, len(servers))
        self._rack_noise = rng.normal(0.0, p.other_rack_noise, len(racks))
        self.gpu_util = np.full(count, 0.8)
        self.gpu_c = np.full(count, 62.0)
        self.sink_c = np.full(count, 50.0)
        self.clock_mhz = np.full(count, p.clock_max_mhz)
        self.reasons = np.zeros(count)
        self._software = np.ones(count)  # share of the clock that the software limit allows
        self._slowed = np.zeros(count, dtype=bool)
        self._off = np.zeros(count, dtype=bool)
        self.gpu_w = np.full(count, p.gpu_nominal_w)
        self.fan = np.full(len(servers), p.server_fan_low)
        self.server_w = np.full(len(servers), 6000.0)
        self.rack_w = np.where(self.is_gpu_rack, 25000.0, p.other_rack_w)
        self.liquid_w = np.zeros(len(racks))

    @property
    def server_speed(self) -> Floats:
        """Clock of each server's slowest live GPU over the highest clock."""
        speed = np.where(self._gone, 1.0, self.clock_mhz / self.p.clock_max_mhz)
        return np.minimum.reduceat(speed, self._first_gpu)

    @property
    def _gone(self) -> Flags:
        return self._off | (self.clock_mhz <= 0)

    def server_alive(self, lost: Flags, powered: Flags, up: Flags) -> Flags:
        """Servers on which a job can run: powered, up, and every GPU there."""
        gone = np.maximum.reduceat((lost | self._off).astype(np.int8), self._first_gpu)
        return powered[self.server_rack] & up & (gone == 0)

    def step(
        self,
        dt_s: float,
        *,
        seconds_of_day: float,
        server_util: Floats,
        inlet_c: Floats,
        load_cap: Floats,
        power_limit_w: Floats,
        powered: Flags,
        up: Flags,
        brake: Flags,
        lost: Flags,
        sink: Floats,
        paste: Floats,
        plate_c: float,
        plate_flow: float,
        surge: Floats,
    ) -> None:
        """Advance by dt_s; ``inlet_c``, ``load_cap`` (0..1), ``powered``, ``surge`` are by rack,
        ``up`` (not switched off or restarting) by server.

        ``plate_c`` is the water in the cold plates of the liquid-cooled racks, ``plate_flow`` its
        share of the rated flow; ``sink`` and ``paste`` multiply the resistances of each GPU.
        """
        p = self.p
        self._step_utilisation(dt_s, server_util=server_util)
        server_on = powered[self.server_rack] & up
        on = server_on[self.gpu_server] & ~lost
        self._step_clocks(dt_s, brake=brake[self.gpu_server], on=on)
        limit_w = np.minimum(power_limit_w, p.gpu_max_w * load_cap[self.gpu_rack])
        self._step_power(limit_w, on=on & ~self._off)

        gpu_sum_w = np.add.reduceat(self.gpu_w, self._first_gpu)
        load = gpu_sum_w / (p.gpu_nominal_w * self._gpus_of_server)
        span = (inlet_c[self.server_rack] - p.fan_start_c) / (p.fan_full_c - p.fan_start_c)
        low = p.server_fan_low * (1.0 - p.server_fan_load + p.server_fan_load * load)
        target = np.where(server_on, low + (1.0 - low) * np.clip(span, 0.0, 1.0), 0.0)
        self.fan += (target - self.fan) * _share(dt_s, 5.0)  # 5 s ramp: assumed
        self._step_temperatures(
            dt_s,
            air_c=inlet_c[self.gpu_rack],
            sink=sink,
            paste=paste,
            plate_c=plate_c,
            plate_flow=plate_flow,
        )
        cpu_w = (
            p.server_base_w
            + p.cpu_follows_w
            * np.add.reduceat(self.gpu_util, self._first_gpu)
            / self._gpus_of_server
        )
        cpu_w = cpu_w + p.surge_cpu_w * surge[self.server_rack]
        self.server_w = np.where(server_on, cpu_w + p.server_fan_w * self.fan**3 + gpu_sum_w, 0.0)
        day = math.cos(2 * math.pi * (seconds_of_day / 86_400.0 - 0.6))
        others_w = p.other_rack_w * (1.0 + self._rack_noise + p.other_rack_day * day)
        others_w = others_w + surge * (self.rack_max_w - others_w)
        others_w = np.minimum(others_w, self.rack_max_w * load_cap)
        servers_w = self.server_w @ self._by_rack
        gpu_rack_w = p.leaf_switch_w + servers_w
        self.rack_w = np.where(powered, np.where(self.is_gpu_rack, gpu_rack_w, others_w), 0.0)
        self.liquid_w = self.liquid_share * servers_w * min(plate_flow * 4.0, 1.0)

    def rack_fan(self) -> Floats:
        """Mean server fan speed of each rack, 0..1; racks of general IT run at the reference."""
        total = self.fan @ self._by_rack
        count = self._servers_of_rack
        return np.where(count > 0, total / np.maximum(count, 1), self.p.fan_reference)

    def _step_utilisation(self, dt_s: float, *, server_util: Floats) -> None:
        p, rng = self.p, self._rng
        keep = math.exp(-dt_s / p.noise_tau_s)
        kick = math.sqrt(1.0 - keep * keep)
        self._server_noise = keep * self._server_noise + kick * rng.normal(
            0.0, p.util_noise, len(self._server_noise)
        )
        self._rack_noise = keep * self._rack_noise + kick * rng.normal(
            0.0, p.other_rack_noise, len(self._rack_noise)
        )
        busy = server_util + np.where(server_util > 0.2, self._server_noise, 0.0)
        jitter = rng.normal(0.0, 0.01, len(self.gpu_util))
        level = busy[self.gpu_server]
        self.gpu_util = np.clip(np.where(level > 0, level + jitter, 0.0), 0.0, 1.0)

    def _step_clocks(self, dt_s: float, *, brake: Flags, on: Flags) -> None:
        """Thermal limits: software regulates slowly, hardware halves at once."""
        p = self.p
        over_k = self.gpu_c - p.software_c
        change = np.clip(-p.software_per_k_s * over_k, -0.02, p.software_rise_s) * dt_s
        hit = ~self._slowed & (self.gpu_c >= p.slowdown_c)
        change = np.where(hit, -p.software_hit, np.where(self._slowed, 0.0, change))
        self._software = np.clip(self._software + change, 0.3, 1.0)
        near_k = np.maximum(over_k + p.software_band_k, 0.0)
        software = np.clip(self._software - p.software_per_k * near_k, 0.3, 1.0)
        self._slowed = (self._slowed | hit) & (self.gpu_c > p.release_c)
        self._off = (self._off | (self.gpu_c >= p.shutdown_c)) & (self.gpu_c > 55.0)
        share = np.where(self._slowed | brake, np.minimum(software, 0.5), software)
        clock = np.floor(p.clock_max_mhz * share / p.clock_step_mhz) * p.clock_step_mhz
        idle = self.gpu_util < 0.02
        clock = np.where(idle, p.clock_min_mhz, clock)
        self.clock_mhz = np.where(on & ~self._off, clock, 0.0)
        reasons = np.where(idle, IDLE, 0)
        reasons |= np.where(software < 1.0, SW_THERMAL, 0)
        reasons |= np.where(self._slowed, HW_THERMAL, 0)
        reasons |= np.where(brake, BRAKE, 0)
        self.reasons = np.where(on & ~self._off, reasons, 0)

    def _step_power(self, limit_w: Floats, *, on: Flags) -> None:
        """Power at the clock; above the limit the power controller lowers the clock."""
        p = self.p
        drawn_w, base_w = self._drawn_w(self.clock_mhz)
        over = on & (drawn_w > limit_w)
        if over.any():
            room = np.maximum(limit_w - base_w, 5.0) / np.maximum(drawn_w - base_w, 1.0)
            lower = self.clock_mhz * np.minimum(room, 1.0) ** (1.0 / 2.4)
            lower = np.floor(lower / p.clock_step_mhz) * p.clock_step_mhz
            self.clock_mhz = np.where(over, np.maximum(lower, p.clock_min_mhz), self.clock_mhz)
            drawn_w, _ = self._drawn_w(self.clock_mhz)
            drawn_w = np.where(over, np.minimum(drawn_w, limit_w), drawn_w)
            self.reasons = np.where(over, self.reasons.astype(int) | POWER_CAP, self.reasons)
        self.gpu_w = np.where(on, drawn_w, 0.0)
        self.reasons = self.reasons.astype(float)

    def _drawn_w(self, clock_mhz: Floats) -> tuple[Floats, Floats]:
        """Power at a clock, and the part of it that no clock changes: C V^2 f plus leakage."""
        p = self.p
        share = (clock_mhz - p.clock_min_mhz) / (p.clock_max_mhz - p.clock_min_mhz)
        share = np.maximum(share, 0.0)
        volt = (p.volt_min + (p.volt_max - p.volt_min) * share**p.volt_curve) / p.volt_max
        leak_w = p.leak_w * volt * np.exp((self.gpu_c - 60.0) / p.leak_e_k)
        base_w = p.static_w + leak_w
        dynamic_w = self._dynamic * self.gpu_util * volt**2 * (clock_mhz / p.clock_max_mhz)
        return base_w + dynamic_w, base_w

    def _step_temperatures(
        self,
        dt_s: float,
        *,
        air_c: Floats,
        sink: Floats,
        paste: Floats,
        plate_c: float,
        plate_flow: float,
    ) -> None:
        p = self.p
        cooling = np.maximum(self.fan, 0.1)[self.gpu_server] / p.fan_reference
        by_air = self._sink * sink / cooling**p.fan_exponent
        by_water = p.plate_k_w * sink / max(plate_flow, 0.03) ** 0.5
        resistance = np.where(self._plated, by_water, by_air)
        coolant_c = np.where(self._plated, plate_c, air_c)
        target_c = coolant_c + resistance * self.gpu_w
        self.sink_c += (target_c - self.sink_c) * _share(dt_s, p.sink_tau_s)
        die_c = self.sink_c + self._paste * paste * self.gpu_w
        self.gpu_c += (die_c - self.gpu_c) * _share(dt_s, p.die_tau_s)


def _share(dt_s: float, tau_s: float) -> float:
    """Part of the way to the target that a first-order lag goes in dt_s."""
    return 1.0 - math.exp(-dt_s / tau_s)
