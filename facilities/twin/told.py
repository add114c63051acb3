"""What of a drive a step of the coupled twin needs."""

from __future__ import annotations

from typing import NamedTuple

from .gpu.commands import Commands as GpuCommands
from .network.pace import Commands as NetworkCommands
from .power.commands import Commands as PowerCommands
from .thermal.commands import Commands as ThermalCommands


class Told(NamedTuple):
    """What of a drive each part needs, worked out once until the drive changes."""

    network: NetworkCommands
    gpu: GpuCommands
    power: PowerCommands
    thermal: ThermalCommands
