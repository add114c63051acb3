"""Faults of servers and GPUs, and of what is asked of them."""

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault, index_of

HOUR_S = 3600.0


@fault(
    "gpu-heatsink-fouled",
    group="Compute",
    title="Server 05 GPU 3 has a fouled heat sink",
    cause="srv-05-gpu-3",
    alarms=("GPU hot",),
    procedure="EOP-GPU-01",
    scales=True,
)
def _gpu_heatsink_fouled(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.gpu_resistance[index_of(facility, "gpu", "srv-05-gpu-3")] = 1.0 + 1.2 * level


@fault(
    "gpu-paste-decay",
    group="Compute",
    title="Server 02 GPU 6: the thermal paste dries out",
    cause="srv-02-gpu-6",
    alarms=("GPU hot",),
    procedure="EOP-GPU-01",
    scales=True,
    over_s=8 * HOUR_S,
)
def _gpu_paste_decay(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.gpu_paste[index_of(facility, "gpu", "srv-02-gpu-6")] = 1.0 + 2.4 * level


@fault(
    "gpu-xid-79",
    group="Compute",
    title="Server 11 GPU 2 falls off the bus (XID 79): job 2 restarts without the server",
    cause="srv-11-gpu-2",
    alarms=("GPU XID error",),
    procedure="EOP-GPU-02",
    reset_heals=True,
)
def _gpu_xid_79(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    gpu = index_of(facility, "gpu", "srv-11-gpu-2")
    conditions.gpu_lost[gpu] = True
    conditions.gpu_xid[gpu] = 79.0


@fault(
    "gpu-xid-74",
    group="Compute",
    title="Server 03 GPU 1 has NVLink errors (XID 74): tensors of job 1 crawl",
    cause="srv-03-gpu-1",
    alarms=("GPU XID error", "Job slowed"),
    procedure="EOP-GPU-02",
    within_s=240,
    reset_heals=True,
)
def _gpu_xid_74(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.gpu_xid[index_of(facility, "gpu", "srv-03-gpu-1")] = 74.0
    conditions.server_nvlink[index_of(facility, "server", "srv-03")] = 0.2


@fault(
    "server-power-brake",
    group="Compute",
    title="Server 10: a power supply fails, the power brake halves its clocks",
    cause="srv-10",
    alarms=("GPU slowed by hardware", "Job slowed"),
    procedure="EOP-GPU-02",
    within_s=240,
)
def _server_power_brake(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.server_brake[index_of(facility, "server", "srv-10")] = True


@fault(
    "load-surge",
    group="Compute",
    title="A load surge: all GPUs at full use and general IT at its rating",
    cause="hall-1",
    alarms=("Rack inlet high",),
    procedure="EOP-LOAD-01",
    within_s=600,
    scales=True,
)
def _load_surge(conditions: Conditions, _facility: FacilitySpec, level: float) -> None:
    conditions.rack_surge[:] = level
