"""Device models: limits, clocks and the voltage–frequency curve, each row with its source.

Thresholds are properties of the device in the slot, not of the model: where a card can be read
(``nvidia-smi -q -d TEMPERATURE,POWER,CLOCK``), what it prints goes into the asset's attributes
(``max_op_c``, ``slowdown_c``, ``shutdown_c``, ``memory_max_op_c``, ``max_w``) and replaces the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VOLTS_SOURCE: Final = (
    "assumed shape: flat near the lowest voltage, steep near the top, so that P ~ f^2…f^3 there "
    "(reference B3: 1980 → 1590 MHz saves 35…45 % of the power)"
)


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU model. Temperatures in °C, power in W, clocks in MHz, voltage in V."""

    name: str
    max_op_c: float
    slowdown_c: float
    shutdown_c: float
    memory_max_op_c: float
    idle_w: float
    max_w: float
    min_limit_w: float
    max_clock_mhz: float
    idle_clock_mhz: float
    volts: tuple[tuple[float, float], ...]
    source: str
    read_from_device: bool = True
    """Whether the thresholds were read from a card; where not, read yours before trusting them."""
    step_mhz: float = 15.0
    """Step of the clock domain; no source found, ``assumed`` from nvidia-smi's clock lists."""


_HOPPER_SXM_VOLTS = ((345.0, 0.67), (1000.0, 0.69), (1300.0, 0.75), (1590.0, 0.86), (1980.0, 1.045))

DEVICES: Final[dict[str, Device]] = {
    device.name.lower().replace(" ", "-"): device
    for device in (
        Device(
            name="H100 SXM",
            max_op_c=87.0,
            slowdown_c=89.0,
            shutdown_c=95.0,
            memory_max_op_c=95.0,
            idle_w=72.0,
            max_w=700.0,
            min_limit_w=200.0,
            max_clock_mhz=1980.0,
            idle_clock_mhz=345.0,
            volts=_HOPPER_SXM_VOLTS,
            source=(
                "nvidia-smi -q dump of Princeton's Della (reference B3): T.Limit 0/-2/-8 at 87 °C, "
                "200–700 W, 1980 MHz, idle 345 MHz 72 W 0.67 V; memory 95 °C as for H100 PCIe"
            ),
        ),
        Device(
            name="H100 PCIe",
            max_op_c=87.0,
            slowdown_c=89.0,
            shutdown_c=92.0,
            memory_max_op_c=95.0,
            idle_w=48.0,
            max_w=350.0,
            min_limit_w=200.0,
            max_clock_mhz=1755.0,
            idle_clock_mhz=345.0,
            volts=((345.0, 0.67), (1000.0, 0.69), (1300.0, 0.77), (1755.0, 0.98)),
            source=(
                "course note quoting NVIDIA's brief (reference B3): 87/89/92 °C, HBM 95 °C, 350 W; "
                "idle power, clocks and lowest limit assumed"
            ),
            read_from_device=False,
        ),
        Device(
            name="H200 SXM",
            max_op_c=87.0,
            slowdown_c=89.0,
            shutdown_c=95.0,
            memory_max_op_c=95.0,
            idle_w=75.0,
            max_w=700.0,
            min_limit_w=200.0,
            max_clock_mhz=1980.0,
            idle_clock_mhz=345.0,
            volts=_HOPPER_SXM_VOLTS,
            source=(
                "power limit 700 W, allowed 200–700 W: NVIDIA's DGX manual example (reference B3); "
                "thresholds assumed as H100 SXM: read them from the device"
            ),
            read_from_device=False,
        ),
        Device(
            name="A100 SXM",
            max_op_c=85.0,
            slowdown_c=89.0,
            shutdown_c=92.0,
            memory_max_op_c=95.0,
            idle_w=88.0,
            max_w=400.0,
            min_limit_w=100.0,
            max_clock_mhz=1410.0,
            idle_clock_mhz=210.0,
            volts=((210.0, 0.70), (800.0, 0.72), (1000.0, 0.78), (1410.0, 0.98)),
            source=(
                "nvidia-smi log of an 8-GPU node, driver 525 (reference B3): 85/89/92 °C, memory "
                "95 °C, 400 W; idle 88 W: RAPS selene.yaml; clocks and lowest limit assumed"
            ),
        ),
    )
}
"""Every device model by what the ``model`` attribute of a GPU carries: ``h100-sxm``."""

DEFAULT: Final = "h100-sxm"


def device_of(name: str | None) -> Device:
    """The device of a ``model`` attribute; H100 SXM where none is given.

    Raises ``KeyError`` naming the known models.
    """
    try:
        return DEVICES[(name or DEFAULT).lower().replace(" ", "-")]
    except KeyError:
        known = ", ".join(DEVICES)
        raise KeyError(f"no device model is called {name!r}; known: {known}") from None
