"""What the electrical part tells, by (kind, quantity): one small function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats
from facilities.twin.state import Key

from .cords import TINY
from .state import PowerState

if TYPE_CHECKING:
    from .model import Power

Value = Callable[["Power", PowerState, Drive], Floats]


def _state(field: str, scale: float = 1.0) -> Value:
    if scale == 1.0:
        return lambda p, s, d: getattr(s, field)
    return lambda p, s, d: getattr(s, field) * scale


def _pue(p: Power, s: PowerState, d: Drive) -> Floats:
    hall_w, it_w = p.hall_w(s), p.hall_it_w(s)
    return np.divide(hall_w, it_w, out=np.zeros(hall_w.shape), where=it_w > 1.0)


def _on_battery(p: Power, s: PowerState, d: Drive) -> Floats:
    return (s.ups_out > s.ups_mains + TINY).astype(np.float64)


def _breaker_closed(p: Power, s: PowerState, d: Drive) -> Floats:
    closed = (d["pdu", "breaker_closed"] > 0.5) & (d["pdu", "failed"] < 0.5)
    return (closed & (s.breaker_tripped < 0.5)).astype(np.float64)


def _present(d: Drive) -> Floats:
    return (d["utility", "available"] > 0.5).astype(np.float64)


VALUES: Final[dict[Key, Value]] = {
    ("hall", "it_power_w"): lambda p, s, d: p.hall_it_w(s),
    ("hall", "facility_power_w"): lambda p, s, d: p.hall_w(s),
    ("hall", "pue"): _pue,
    ("rack", "power_w"): _state("rack_w"),
    ("ups", "load_w"): _state("ups_w"),
    ("ups", "load_pct"): lambda p, s, d: 100.0 * s.ups_w / p.ups_rated_w,
    ("ups", "battery_pct"): lambda p, s, d: 100.0 * np.clip(s.charge, 0.0, 1.0),
    ("ups", "runtime_s"): lambda p, s, d: p.runtime_s(s, d),
    ("ups", "on_battery"): _on_battery,
    ("ups", "input_v"): lambda p, s, d: p.volts * (s.ups_mains > 0),
    ("ups", "loss_w"): _state("ups_loss_w"),
    ("pdu", "power_w"): _state("pdu_w"),
    ("pdu", "loss_w"): _state("pdu_loss_w"),
    ("pdu", "current_a"): lambda p, s, d: s.pdu_w / p.w_per_a,
    ("pdu", "breaker_closed"): _breaker_closed,
    ("generator", "running"): lambda p, s, d: p.sources.running(s),
    ("generator", "power_w"): _state("generator_w"),
    ("generator", "fuel_pct"): _state("fuel", 100.0),
    ("generator", "start_fail"): lambda p, s, d: p.sources.start_failed(s),
    ("utility", "power_w"): _state("utility_w"),
    ("utility", "voltage_v"): lambda p, s, d: _present(d) * p.nominal_v,
    ("utility", "available"): lambda p, s, d: _present(d),
}
"""Every (kind, quantity) of the power chain; arrays may be the state's."""
