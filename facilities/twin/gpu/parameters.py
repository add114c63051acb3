"""Constants of GPUs and their servers."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import Constants, constant
from ..site import Floats


@dataclass(frozen=True)
class GpuConstants(Constants):
    """Per GPU: (members or 1, gpus or 1); per server: (members or 1, servers or 1)."""

    # silicon: P = board + (a·C·V²·f + leakage(V, T)) / regulator efficiency
    power_scale: float | Floats = constant(
        1.0, "assumed: switched capacitance of a part against its model; estimated", spread=0.03
    )
    full_load_share: float | Floats = constant(
        1.0, "assumed: power at full activity and full clock over the default limit"
    )
    idle_activity: float | Floats = constant(
        0.12, "assumed: share of the switching that clock trees do without work"
    )
    leakage_share: float | Floats = constant(
        0.10, "assumed: leakage at 65 °C and full voltage over the default limit", spread=0.15
    )
    leakage_per_k: float | Floats = constant(
        0.015, "assumed: leakage grows 1.5 % a kelvin, doubling in 46 K"
    )
    leakage_ref_c: float | Floats = constant(65.0, "assumed: die temperature of leakage_share")
    idle_die_c: float | Floats = constant(35.0, "assumed: die temperature of the idle power read")
    regulator_efficiency: float | Floats = constant(
        0.92, "assumed: multiphase regulator between half and full load"
    )
    # heat: die on a heat sink in the server's air stream, or on a cold plate
    die_k_per_w: float | Floats = constant(
        0.024, "assumed: junction to heat sink base; 17 K at 700 W", spread=0.05
    )
    sink_k_per_w: float | Floats = constant(
        0.050, "assumed: sink to inlet air at the reference fan speed; estimated", spread=0.05
    )
    sink_tau_s: float | Floats = constant(
        25.0, "assumed: heat sink of about 0.5 kJ/K at the reference fan speed", spread=0.1
    )
    fan_reference: float | Floats = constant(0.5, "assumed: fan speed at which sink_k_per_w holds")
    plate_k_per_w: float | Floats = constant(
        0.030, "assumed: cold plate to technology water at rated flow; 21 K at 700 W", spread=0.05
    )
    memory_extra_k_per_w: float | Floats = constant(
        0.007, "assumed: HBM runs 5 K above the die at 700 W"
    )
    # controllers
    thermal_mhz_per_s: float | Floats = constant(
        30.0, "assumed: software thermal control moves one 15 MHz step every 0.5 s"
    )
    thermal_floor: float | Floats = constant(
        0.3, "assumed: software thermal control goes no lower than this share of the top clock"
    )
    hardware_share: float | Floats = constant(
        0.5, "nvml.h: hardware slowdown reduces clocks by a factor of 2 or more"
    )
    release_k: float | Floats = constant(
        3.0, "assumed (reference B3: 2–5 K): hysteresis of the hardware slowdown"
    )
    # the server around them
    base_w: float | Floats = constant(
        1400.0, "assumed: two CPUs, memory, NICs, NVMe, supply losses; no fans", spread=0.05
    )
    fan_w: float | Floats = constant(600.0, "assumed: all fans at full speed", spread=0.05)
    airflow_m3s: float | Floats = constant(
        0.96, "assumed: 26 kW a rack of four at 11 K and half speed", spread=0.05
    )
    fan_low: float | Floats = constant(0.30, "assumed: lowest fan speed of a server that runs")
    fan_start_c: float | Floats = constant(
        55.0, "assumed: hottest GPU at which the fans leave their lowest speed"
    )
    fan_per_k: float | Floats = constant(
        0.020, "assumed: fan speed gained per kelvin above fan_start_c; full at 90 °C"
    )
    fan_tau_s: float | Floats = constant(8.0, "assumed: the BMC's ramp and the rotors")
