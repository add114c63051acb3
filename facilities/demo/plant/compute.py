"""IT load: GPU utilisation, power, temperature and throttling; server fans; the other racks.

GPU limits are those of an H100 SXM read with `nvidia-smi -q`: idle 72 W, at most 700 W, maximum
operating 87 °C, hardware slowdown 89 °C.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ComputeParameters:
    """Constants of the IT load."""

    gpu_idle_w: float = 72.0  # nvidia-smi -q, H100 SXM
    gpu_max_w: float = 700.0  # nvidia-smi -q, H100 SXM; also `max_w` in facility.yaml
    gpu_clock_exponent: float = 2.5  # P ~ f^2..f^3 near the top clock
    gpu_operating_limit_c: float = 87.0  # nvidia-smi -q, H100 SXM
    gpu_slowdown_c: float = 89.0  # nvidia-smi -q, H100 SXM; clocks cut to half
    gpu_slowdown_release_c: float = 86.0  # assumed, 3 K of hysteresis
    gpu_clock_loss_per_k: float = 0.2  # assumed slope of the software thermal limit
    gpu_resistance_k_per_w: float = 0.078  # assumed; 575 W gives 45 K over the inlet
    gpu_tau_s: float = 20.0  # assumed heat-sink time constant
    gpu_fan_exponent: float = 0.4  # assumed, forced convection over fins
    fan_reference: float = 0.5  # fan speed at which the resistance above holds; assumed
    utilisation_mean: float = 0.80  # assumed, training jobs
    utilisation_diurnal: float = 0.03  # assumed amplitude over a day
    utilisation_noise: float = 0.02  # assumed standard deviation of a server's job mix
    noise_tau_s: float = 300.0  # assumed correlation time of the job mix
    server_base_w: float = 1400.0  # assumed: two CPUs, memory, NICs, NVMe without fans
    server_fan_w: float = 600.0  # assumed, all fans at full speed
    server_fan_low: float = 0.5  # assumed fan speed at and below 24 °C under nominal load
    server_fan_load: float = 0.8  # assumed part of that speed that follows the GPU power
    gpu_nominal_w: float = 575.0  # GPU power at the mean utilisation: 72 + 628 * 0.8
    server_fan_start_c: float = 24.0  # assumed start of the fan ramp
    server_fan_full_c: float = 38.0  # assumed end of the fan ramp
    leaf_switch_w: float = 900.0  # assumed, 32 x 400 Gb/s switch
    other_rack_w: float = 5000.0  # general IT, mean
    other_rack_noise: float = 0.03  # assumed standard deviation


class Compute:
    """State of all servers; arrays are in file order of gpu, server and rack assets."""

    def __init__(
        self, facility: FacilitySpec, *, parameters: ComputeParameters, rng: np.random.Generator
    ) -> None:
        self.p = parameters
        self._rng = rng
        racks = [asset.tag for asset in facility.of_kind("rack")]
        servers = [asset.tag for asset in facility.of_kind("server")]
        gpus = facility.of_kind("gpu")
        self.server_rack = np.array(
            [racks.index(str(asset.rack)) for asset in facility.of_kind("server")]
        )
        self.gpu_server = np.array(
            [servers.index(asset.tag.rsplit("-gpu-", 1)[0]) for asset in gpus]
        )
        self._gpus_per_server = np.bincount(self.gpu_server, minlength=len(servers))
        self.gpu_rack = self.server_rack[self.gpu_server]
        self.is_gpu_rack = np.isin(np.arange(len(racks)), self.server_rack)
        self.rack_max_w = np.array(
            [float(a.attributes["rated_w"]) for a in facility.of_kind("rack")]
        )
        # Silicon and mounting differ a little from part to part: 3 % (assumed).
        self._gpu_spread = 1.0 + 0.03 * rng.uniform(-1.0, 1.0, len(gpus))
        self._server_noise = rng.normal(0.0, parameters.utilisation_noise, len(servers))
        self._rack_noise = rng.normal(0.0, parameters.other_rack_noise, len(racks))
        self.gpu_util = np.full(len(gpus), parameters.utilisation_mean)
        self.gpu_c = np.full(len(gpus), 62.0)
        self.gpu_clock = np.ones(len(gpus))
        self._slowed = np.zeros(len(gpus), dtype=bool)
        self.gpu_w = np.full(len(gpus), 575.0)
        self.fan = np.full(len(servers), parameters.server_fan_low)
        self.server_w = np.full(len(servers), 6000.0)
        self.rack_w = np.where(self.is_gpu_rack, 25000.0, parameters.other_rack_w)

    def step(
        self,
        dt_s: float,
        *,
        seconds_of_day: float,
        inlet_c: Floats,
        load_cap: Floats,
        powered: NDArray[np.bool_],
        gpu_resistance: Floats,
    ) -> None:
        """Advance by dt_s; `inlet_c`, `load_cap` (0..1) and `powered` are by rack."""
        p = self.p
        self._step_utilisation(dt_s, seconds_of_day=seconds_of_day)
        self._step_clocks()
        on = powered[self.gpu_rack]
        wanted_w = p.gpu_idle_w + (p.gpu_max_w - p.gpu_idle_w) * self.gpu_util * (
            self.gpu_clock**p.gpu_clock_exponent
        )
        limit_w = p.gpu_max_w * load_cap[self.gpu_rack]
        self.gpu_w = np.where(on, np.minimum(wanted_w, limit_w), 0.0)

        server_inlet_c = inlet_c[self.server_rack]
        span = np.clip(
            (server_inlet_c - p.server_fan_start_c) / (p.server_fan_full_c - p.server_fan_start_c),
            0.0,
            1.0,
        )
        server_on = powered[self.server_rack]
        gpu_sum_w = np.bincount(self.gpu_server, weights=self.gpu_w, minlength=len(self.fan))
        load = gpu_sum_w / (p.gpu_nominal_w * self._gpus_per_server)
        low = p.server_fan_low * (1.0 - p.server_fan_load + p.server_fan_load * load)
        target = np.where(server_on, low + (1.0 - low) * span, 0.0)
        self.fan += (target - self.fan) * _share(dt_s, 5.0)  # 5 s ramp: assumed
        cooling = np.maximum(self.fan, 0.1)[self.gpu_server] / p.fan_reference
        resistance = (
            p.gpu_resistance_k_per_w
            * self._gpu_spread
            * gpu_resistance
            / cooling**p.gpu_fan_exponent
        )
        target_c = inlet_c[self.gpu_rack] + resistance * self.gpu_w
        self.gpu_c += (target_c - self.gpu_c) * _share(dt_s, p.gpu_tau_s)

        self.server_w = np.where(
            server_on, p.server_base_w + p.server_fan_w * self.fan**3 + gpu_sum_w, 0.0
        )
        others_w = p.other_rack_w * (1.0 + self._rack_noise)
        others_w = np.minimum(others_w, self.rack_max_w * load_cap)
        gpu_rack_w = p.leaf_switch_w + np.bincount(
            self.server_rack, weights=self.server_w, minlength=len(self.rack_w)
        )
        self.rack_w = np.where(powered, np.where(self.is_gpu_rack, gpu_rack_w, others_w), 0.0)

    def rack_fan(self) -> Floats:
        """Mean server fan speed of each rack, 0..1; racks of general IT run at the reference."""
        count = np.bincount(self.server_rack, minlength=len(self.rack_w))
        total = np.bincount(self.server_rack, weights=self.fan, minlength=len(self.rack_w))
        return np.where(count > 0, total / np.maximum(count, 1), self.p.fan_reference)

    def _step_utilisation(self, dt_s: float, *, seconds_of_day: float) -> None:
        p, rng = self.p, self._rng
        keep = math.exp(-dt_s / p.noise_tau_s)
        kick = math.sqrt(1.0 - keep * keep)
        self._server_noise = keep * self._server_noise + kick * rng.normal(
            0.0, p.utilisation_noise, len(self._server_noise)
        )
        self._rack_noise = keep * self._rack_noise + kick * rng.normal(
            0.0, p.other_rack_noise, len(self._rack_noise)
        )
        # Demand peaks at 15:00 UTC (assumed).
        diurnal = p.utilisation_diurnal * math.cos(2 * math.pi * (seconds_of_day / 86400 - 0.625))
        level = p.utilisation_mean + diurnal + self._server_noise[self.gpu_server]
        self.gpu_util = np.clip(level + rng.normal(0.0, 0.01, len(self.gpu_util)), 0.0, 1.0)

    def _step_clocks(self) -> None:
        """Software limit: clocks follow the temperature; hardware slowdown: half at once."""
        p = self.p
        over_k = np.maximum(self.gpu_c - p.gpu_operating_limit_c, 0.0)
        software = np.clip(1.0 - p.gpu_clock_loss_per_k * over_k, 0.3, 1.0)
        hot = self.gpu_c >= p.gpu_slowdown_c
        released = self.gpu_c <= p.gpu_slowdown_release_c
        self._slowed = (self._slowed | hot) & ~released
        self.gpu_clock = np.where(self._slowed, np.minimum(software, 0.5), software)


def _share(dt_s: float, tau_s: float) -> float:
    """Part of the way to the target that a first-order lag goes in dt_s."""
    return 1.0 - math.exp(-dt_s / tau_s)
