"""The DVFS unit: voltage for every clock, and the clock whose V²·f is allowed.

Tables for all device models of a site; a GPU's row is its model. Lookups are one ``take`` each, so
that a step over thousands of GPUs makes no Python loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..site import Floats, Ints
from .devices import Device

RESOLUTION = 2048
"""Entries of the inverse table of a model: 1 MHz or finer, below the 15 MHz clock step."""


class DvfsTables:
    """V(f) and its inverse by V²·f for several device models.

    ``row`` arguments are the model's index of each GPU, shape (gpus,); clocks are in MHz.
    """

    def __init__(self, devices: Sequence[Device], row: Ints) -> None:
        top = int(max((device.max_clock_mhz for device in devices), default=1.0))
        volts = np.zeros((len(devices), top + 2))
        clocks = np.zeros((len(devices), RESOLUTION + 1))
        self.max_g = np.zeros(len(devices))
        for index, device in enumerate(devices):
            at, value = np.array(device.volts).T
            grid = np.arange(top + 2, dtype=np.float64)
            volts[index] = np.interp(grid, at, value)
            fine = np.linspace(0.0, device.max_clock_mhz, 4 * RESOLUTION + 1)
            g = np.interp(fine, at, value) ** 2 * fine
            self.max_g[index] = g[-1]
            clocks[index] = np.interp(np.linspace(0.0, g[-1], RESOLUTION + 1), g, fine)
        self._volts = volts.ravel()
        self._clocks = clocks.ravel()
        self._volts_row = row * volts.shape[1]
        self._clocks_row = row * (RESOLUTION + 1)
        self._g_scale = RESOLUTION / self.max_g[row] if len(devices) else np.ones(0)

    def volts(self, clock_mhz: Floats) -> Floats:
        """Voltage the regulator is asked for at a clock, V; shape (members, gpus)."""
        index = clock_mhz.astype(np.int64)
        index += self._volts_row
        return self._volts.take(index)

    def clock(self, g: Floats) -> Floats:
        """Highest clock whose V²·f stays within ``g`` (V²·MHz), MHz; never above the model's top.

        Rounded down to the table's resolution, so that an allowance is never exceeded.
        """
        position = g * self._g_scale
        np.clip(position, 0.0, RESOLUTION, out=position)
        index = position.astype(np.int64)
        index += self._clocks_row
        return self._clocks.take(index)
