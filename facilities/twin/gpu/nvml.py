"""What NVML and DCGM call things: clock-event reasons, field numbers, thresholds, XIDs. Data only.

Numbers are stable across releases while DCGM 4.6 renamed many fields, so the number is what is
stored. Sources: nvml.h, dcgm_fields.h and NVIDIA's XID catalogue (reference, B3).
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final, NamedTuple


class Reason(IntFlag):
    """Why the clock is below its maximum: ``nvmlClocksEventReasons``, bit values of nvml.h.

    DCGM_FI_DEV_CLOCKS_EVENT_REASONS (112) carries the same bits.
    """

    NONE = 0x0
    GPU_IDLE = 0x1
    APPLICATIONS_CLOCKS_SETTING = 0x2
    SW_POWER_CAP = 0x4
    HW_SLOWDOWN = 0x8
    SYNC_BOOST = 0x10
    SW_THERMAL_SLOWDOWN = 0x20
    HW_THERMAL_SLOWDOWN = 0x40
    HW_POWER_BRAKE_SLOWDOWN = 0x80
    DISPLAY_CLOCK_SETTING = 0x100


class ReasonText(NamedTuple):
    """How a reason is shown."""

    name: str
    label: str
    meaning: str


REASONS: Final[dict[Reason, ReasonText]] = {
    Reason.HW_THERMAL_SLOWDOWN: ReasonText(
        "HwThermalSlowdown",
        "hw_thermal",
        "hardware: too hot, clocks cut to half or less at once",
    ),
    Reason.HW_POWER_BRAKE_SLOWDOWN: ReasonText(
        "HwPowerBrakeSlowdown",
        "hw_power_brake",
        "hardware: the server asserts the power brake, clocks cut to half or less",
    ),
    Reason.HW_SLOWDOWN: ReasonText(
        "HwSlowdown", "hw_slowdown", "hardware slowdown: heat, power brake or fast power trigger"
    ),
    Reason.SW_THERMAL_SLOWDOWN: ReasonText(
        "SwThermalSlowdown",
        "sw_thermal",
        "driver: holds GPU and memory at their maximum operating temperature",
    ),
    Reason.SW_POWER_CAP: ReasonText(
        "SwPowerCap", "power_cap", "driver: holds the averaged power at the limit"
    ),
    Reason.SYNC_BOOST: ReasonText(
        "SyncBoost", "sync_boost", "held to the lowest clock of its sync boost group"
    ),
    Reason.APPLICATIONS_CLOCKS_SETTING: ReasonText(
        "ApplicationsClocksSetting", "clocks_setting", "a clock setting (deprecated reason)"
    ),
    Reason.DISPLAY_CLOCK_SETTING: ReasonText(
        "DisplayClockSetting", "display_clocks", "a display needs this clock"
    ),
    Reason.GPU_IDLE: ReasonText("GpuIdle", "gpu_idle", "nothing runs, the clock rests"),
}
"""Every reason; the order is the priority gate: the first one present is in charge."""

PRIORITY: Final[tuple[Reason, ...]] = tuple(REASONS)
LIMITING: Final = (
    Reason.HW_THERMAL_SLOWDOWN,
    Reason.HW_POWER_BRAKE_SLOWDOWN,
    Reason.HW_SLOWDOWN,
    Reason.SW_THERMAL_SLOWDOWN,
    Reason.SW_POWER_CAP,
    Reason.SYNC_BOOST,
    Reason.APPLICATIONS_CLOCKS_SETTING,
)
"""Reasons that cost throughput, in order of priority; an idle GPU loses none."""


def decode(bits: float) -> list[Reason]:
    """The reasons in a bit mask, the one in charge first. Unknown bits are left out."""
    mask = int(bits)
    return [reason for reason in PRIORITY if mask & reason]


def in_charge(bits: float) -> Reason:
    """The priority gate: the one limit that sets the clock; ``NONE`` when nothing does."""
    return next(iter(decode(bits)), Reason.NONE)


class Field(NamedTuple):
    """A DCGM field: its number never changes, its names do."""

    number: int
    name: str
    meaning: str


FIELDS: Final[dict[str, Field]] = {
    "sm_clock_mhz": Field(100, "DCGM_FI_DEV_SM_CLOCK", "SM clock, MHz"),
    "mem_clock_mhz": Field(101, "DCGM_FI_DEV_MEM_CLOCK", "memory clock, MHz"),
    "throttle_reasons": Field(
        112, "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "clock-event reasons, bits as in NVML"
    ),
    "memory_temp_c": Field(140, "DCGM_FI_DEV_MEMORY_TEMP", "memory temperature, °C"),
    "temp_c": Field(150, "DCGM_FI_DEV_GPU_TEMP", "GPU temperature, °C"),
    "memory_max_op_c": Field(151, "DCGM_FI_DEV_MEM_MAX_OP_TEMP", "memory maximum operating, °C"),
    "max_op_c": Field(152, "DCGM_FI_DEV_GPU_MAX_OP_TEMP", "GPU maximum operating, °C"),
    "temp_margin_c": Field(153, "DCGM_FI_DEV_GPU_TEMP_LIMIT", "margin to the limit, K"),
    "power_w": Field(155, "DCGM_FI_DEV_POWER_USAGE", "board power, 1 s average, W"),
    "energy_mj": Field(156, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "energy counter, mJ"),
    "power_instant_w": Field(157, "DCGM_FI_DEV_POWER_USAGE_INSTANT", "board power at once, W"),
    "slowdown_c": Field(158, "DCGM_FI_DEV_SLOWDOWN_TEMP", "hardware slowdown, °C"),
    "shutdown_c": Field(159, "DCGM_FI_DEV_SHUTDOWN_TEMP", "shutdown, °C"),
    "power_limit_w": Field(160, "DCGM_FI_DEV_POWER_MGMT_LIMIT", "power limit set, W"),
    "power_limit_min_w": Field(161, "DCGM_FI_DEV_POWER_MGMT_LIMIT_MIN", "lowest power limit, W"),
    "power_limit_max_w": Field(162, "DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX", "highest power limit, W"),
    "power_limit_default_w": Field(163, "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF", "default limit, W"),
    "enforced_limit_w": Field(164, "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "limit in force, W"),
    "pstate": Field(190, "DCGM_FI_DEV_PSTATE", "performance state"),
    "pcie_replay": Field(202, "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe replays"),
    "util_pct": Field(203, "DCGM_FI_DEV_GPU_UTIL", "utilisation, %"),
    "xid": Field(230, "DCGM_FI_DEV_XID_ERRORS", "last XID"),
    "power_violation_ns": Field(240, "DCGM_FI_DEV_POWER_VIOLATION", "time held by the power cap"),
    "thermal_violation_ns": Field(241, "DCGM_FI_DEV_THERMAL_VIOLATION", "time held by heat"),
    "sync_boost_violation_ns": Field(242, "DCGM_FI_DEV_SYNC_BOOST_VIOLATION", "time in sync boost"),
    "framebuffer_used_mib": Field(252, "DCGM_FI_DEV_FB_USED", "framebuffer in use, MiB"),
}
"""DCGM fields by our quantity. 252 is the framebuffer; the memory's temperature is 140."""

REASON_TIMERS: Final[dict[Reason, int]] = {
    Reason.SW_POWER_CAP: 1420,
    Reason.SYNC_BOOST: 1421,
    Reason.SW_THERMAL_SLOWDOWN: 1422,
    Reason.HW_THERMAL_SLOWDOWN: 1423,
    Reason.HW_POWER_BRAKE_SLOWDOWN: 1424,
}
"""DCGM fields that count the nanoseconds spent under each reason."""


class Threshold(NamedTuple):
    """A temperature threshold of ``nvmlTemperatureThresholds_t``."""

    number: int
    name: str
    meaning: str


THRESHOLDS: Final[dict[str, Threshold]] = {
    "shutdown_c": Threshold(0, "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN", "the GPU switches off"),
    "slowdown_c": Threshold(1, "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN", "hardware slowdown"),
    "memory_max_op_c": Threshold(2, "NVML_TEMPERATURE_THRESHOLD_MEM_MAX", "software, memory"),
    "max_op_c": Threshold(3, "NVML_TEMPERATURE_THRESHOLD_GPU_MAX", "software, GPU"),
}


class Xid(NamedTuple):
    """A driver error and what NVIDIA says to do."""

    number: int
    meaning: str
    action: str


XIDS: Final[dict[int, Xid]] = {
    row.number: row
    for row in (
        Xid(13, "graphics engine exception", "restart the application"),
        Xid(31, "memory page fault", "restart the application"),
        Xid(43, "GPU stopped processing", "ignore"),
        Xid(45, "preemptive cleanup after another XID", "follow the other XID"),
        Xid(46, "timeout", "reset the GPU"),
        Xid(48, "double-bit ECC error", "follow the ECC workflow"),
        Xid(62, "power management unit halted", "reset the GPU"),
        Xid(63, "row remapping recorded", "ignore"),
        Xid(64, "row remapping failed", "reset the GPU"),
        Xid(74, "NVLink error", "follow the NVLink workflow"),
        Xid(79, "GPU fell off the bus", "restart the machine"),
        Xid(92, "high single-bit ECC rate", "contact support"),
        Xid(94, "contained memory error", "restart the application"),
        Xid(95, "uncontained memory error", "reset the GPU"),
        Xid(119, "GSP firmware timeout", "reset the GPU"),
        Xid(120, "GSP firmware error", "reset the GPU"),
        Xid(121, "C2C link corrected error", "ignore"),
        Xid(140, "unrecovered ECC error", "reset the GPU"),
        Xid(143, "initialisation error", "reset the GPU"),
        Xid(154, "recovery action changed", "read the action that the driver names"),
        Xid(156, "resource retirement", "reset the GPU"),
    )
}
"""XIDs by number (NVIDIA's catalogue as carried in gpud, 2025-10-29)."""

FELL_OFF_BUS: Final = 79
