"""GPUs and their servers: clocks, power, temperature, and the controllers that limit them."""

from .devices import DEVICES, Device, device_of
from .model import Gpu, GpuState
from .parameters import GpuConstants

__all__ = ["DEVICES", "Device", "Gpu", "GpuConstants", "GpuState", "device_of"]
