"""Readings into the thermal state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facilities.twin.site import Floats, Ints
from facilities.twin.state import Key

from .layout import Layout
from .state import ThermalState

_DIRECT: tuple[tuple[Key, str, float], ...] = (
    (("rack", "inlet_c"), "inlet_c", 1.0),
    (("rack", "outlet_c"), "outlet_c", 1.0),
    (("crac", "supply_c"), "supply_c", 1.0),
    (("crac", "fan_speed_pct"), "fan", 0.01),
    (("crac", "power_w"), "crac_power_w", 1.0),
    (("cdu", "supply_c"), "cdu_supply_c", 1.0),
    (("cdu", "return_c"), "cdu_return_c", 1.0),
    (("cdu", "pump_speed_pct"), "cdu_speed", 0.01),
    (("cdu", "power_w"), "cdu_power_w", 1.0),
    (("chiller", "power_w"), "chiller_power_w", 1.0),
    (("pump", "running"), "pump_speed", 1.0),
    (("pump", "flow_lps"), "flow_lps", 1.0),
    (("tower", "fan_speed_pct"), "tower_fan", 0.01),
    (("tower", "power_w"), "tower_power_w", 1.0),
)


def observe(layout: Layout, s: ThermalState, readings: Mapping[Key, Floats]) -> None:
    """Write readings (1, n), NaN where unknown, into all members of the state."""
    for key, field, scale in _DIRECT:
        reading = readings.get(key)
        if reading is not None and reading.size:
            present = getattr(s, field)
            setattr(s, field, np.where(np.isfinite(reading), reading * scale, present))
    valves = [readings.get((kind, "valve_pct")) for kind in ("crac", "cdu")]
    starts = (slice(0, layout.cracs), slice(layout.cracs, None))
    for reading, part in zip(valves, starts, strict=True):
        if reading is not None and reading.size:
            # a closed valve belongs to a unit at rest, which starts from its own opening
            known = np.isfinite(reading) & (reading > 1.0)
            s.valve[:, part] = np.where(known, reading * 0.01, s.valve[:, part])
    for key, field, index, count in (
        (("crac", "return_c"), "room_c", layout.crac_hall, layout.halls),
        (("hall", "return_c"), "room_c", np.arange(layout.halls), layout.halls),
        (("chiller", "supply_c"), "water_supply_c", layout.loop_of["chiller"], layout.loops),
        (("chiller", "return_c"), "water_return_c", layout.loop_of["chiller"], layout.loops),
        (("tower", "leaving_c"), "condenser_c", layout.loop_of["tower"], layout.loops),
    ):
        reading = readings.get(key)
        if reading is not None and reading.size:
            mean = _mean_by(reading, index, count)
            setattr(s, field, np.where(np.isfinite(mean), mean, getattr(s, field)))
    load = readings.get(("chiller", "load_pct"))
    if load is not None and load.size:
        s.chiller_w = np.where(np.isfinite(load), load * 0.01 * layout.chiller_cap_w, s.chiller_w)
    running = readings.get(("chiller", "running"))
    if running is not None and running.size:
        on = np.where(running > 0.5, np.maximum(s.chiller_on_s, 1e6 * (s.chiller_w > 0)), 0.0)
        s.chiller_on_s = np.where(np.isfinite(running), on, s.chiller_on_s)


def _mean_by(reading: Floats, index: Ints, count: int) -> Floats:
    """Mean of the known readings of each group, NaN where none is known: (1, count)."""
    known = np.isfinite(reading[0])
    sums = np.bincount(index[known], weights=reading[0][known], minlength=count)
    numbers = np.bincount(index[known], minlength=count)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)[None]
