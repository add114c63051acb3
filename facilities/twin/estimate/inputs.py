"""What was done to the plant, read from its instruments: commands, states, weather, demand.

The twin does not predict these, so they are no part of its accuracy: setpoints, run states and
faults, breakers, weather, utilisation asked of the GPUs, and the power of racks without servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from facilities.twin.coupled import Twin, TwinState
from facilities.twin.drive import Drive
from facilities.twin.readings import to_drive
from facilities.twin.site import Floats, Ints, Site

Key = tuple[str, str]

FAN_SHORT_PCT: Final = 4.0
"""A running fan this far below its setpoint is limited (assumed; drives hold 1 %)."""


class Inputs:
    """Reads the drives of one site out of readings by (kind, quantity), arrays (n,) with NaN."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._has_servers = np.zeros(site.count("rack"), dtype=bool)
        racks = site.within("server", "rack")
        self._has_servers[racks[racks >= 0]] = True
        self._switches = _switch_racks(site)

    @property
    def bare_racks(self) -> np.ndarray:
        """Which racks have neither servers nor switches: their power is an input, (racks,)."""
        return ~self._has_servers & ~self._switches

    def apply(
        self, twin: Twin, state: TwinState, drive: Drive, readings: Mapping[Key, Floats]
    ) -> None:
        """Set the drives, in all members, to what the readings say; unknown ones stay."""
        known = {key: values[None] for key, values in readings.items()}
        to_drive(twin.thermal, drive, known)
        self._links(drive, readings)
        _set(drive, ("job", "demand"), readings.get(("job", "running")))
        self._fans(drive, readings)
        busy = known.get(("gpu", "util_pct"))
        if busy is not None:
            asked = twin.network.demanded(state.network, busy / 100.0)
            drive.values["gpu", "demand"] = np.where(
                np.isfinite(asked), asked, drive["gpu", "demand"]
            )
        power = readings.get(("rack", "power_w"))
        if power is not None:
            _set(drive, ("rack", "other_it_w"), np.where(self.bare_racks, power, np.nan))

    def _links(self, drive: Drive, readings: Mapping[Key, Floats]) -> None:
        up = readings.get(("link", "up"))
        if up is not None:
            before = drive["link", "capacity"]
            back = np.where((up >= 0.5) & (before <= 0.0), 1.0, before)
            before[:] = np.where(up < 0.5, 0.0, back)

    def _fans(self, drive: Drive, readings: Mapping[Key, Floats]) -> None:
        speed = readings.get(("crac", "fan_speed_pct"))
        if speed is None:
            return
        wanted = drive["crac", "fan_speed_sp_pct"][0]
        running = readings.get(("crac", "running"), np.ones_like(speed))
        limited = (running >= 0.5) & (speed < wanted - FAN_SHORT_PCT) & (speed > 1.0)
        limit = np.where(limited, speed / 100.0, 1.0)
        _set(drive, ("crac", "fan_limit"), np.where(np.isnan(speed), np.nan, limit))


def _set(drive: Drive, key: Key, values: Floats | None) -> None:
    if values is not None:
        known = np.isfinite(values)
        drive[key][:, known] = values[known]


def _switch_racks(site: Site) -> np.ndarray:
    racks = np.zeros(site.count("rack"), dtype=bool)
    for kind in ("leaf", "spine", "storage"):
        places: Ints = site.within(kind, "rack")
        racks[places[places >= 0]] = True
    return racks
