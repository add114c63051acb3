"""What the thermal model tells, by (kind, quantity): one small function each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats
from facilities.twin.state import Key

from .humidity import relative_humidity_pct
from .state import ThermalState

if TYPE_CHECKING:
    from .model import Thermal

Value = Callable[["Thermal", ThermalState, Drive], Floats]


def _copy(field: str, scale: float = 1.0) -> Value:
    return lambda t, s, d: getattr(s, field) * scale


def _drive(kind: str, quantity: str) -> Value:
    return lambda t, s, d: d[kind, quantity].copy()


def _by_loop(kind: str, field: str) -> Value:
    return lambda t, s, d: getattr(s, field).take(t.layout.loop_of[kind], axis=1)


def _running(field: str) -> Value:
    return lambda t, s, d: (getattr(s, field) > 0.05) * 1.0


def _limited(kind: str) -> Value:
    """1 tripped, 2 fan drive limited."""
    return lambda t, s, d: np.where(d[kind, "tripped"] > 0, 1.0, 2.0 * (d[kind, "fan_limit"] < 1.0))


def _hall_humidity(t: Thermal, s: ThermalState, d: Drive) -> Floats:
    return relative_humidity_pct(t.cold_aisle_c(s), s.dew_point_c)


def _rack_humidity(t: Thermal, s: ThermalState, d: Drive) -> Floats:
    return relative_humidity_pct(s.inlet_c, t.air.at_racks(s.dew_point_c))


def _return(t: Thermal, s: ThermalState, d: Drive) -> Floats:
    return np.broadcast_to(t.air.at_units(s.room_c), s.fan.shape).copy()


def _filter(t: Thermal, s: ThermalState, d: Drive) -> Floats:
    relative = s.airflow_m3s / t.layout.crac_flow_m3s
    clean = t.parameters.filter_clean_pa * d["crac", "filter_resistance"]
    return np.asarray(clean * relative * relative)


def _weather(quantity: str) -> Value:
    return lambda t, s, d: np.repeat(d["site", quantity], t.site.count("weather"), axis=1)


VALUES: Final[dict[Key, Value]] = {
    ("hall", "humidity_pct"): _hall_humidity,
    ("hall", "return_c"): _copy("room_c"),
    ("hall", "door_open"): _drive("hall", "containment_open"),
    ("rack", "inlet_c"): _copy("inlet_c"),
    ("rack", "outlet_c"): _copy("outlet_c"),
    ("rack", "inlet_rh_pct"): _rack_humidity,
    ("rack", "airflow_m3s"): _copy("rack_flow_m3s"),
    ("rack", "recirculation"): _copy("recirculation"),
    ("crac", "supply_c"): _copy("supply_c"),
    ("crac", "return_c"): _return,
    ("crac", "fan_speed_pct"): _copy("fan", 100.0),
    ("crac", "running"): _running("fan"),
    ("crac", "fault"): _limited("crac"),
    ("crac", "power_w"): _copy("crac_power_w"),
    ("crac", "filter_dp_pa"): _filter,
    ("crac", "valve_pct"): lambda t, s, d: 100.0 * s.valve[:, : t.layout.cracs] * s.crac_running,
    ("crac", "airflow_m3s"): _copy("airflow_m3s"),
    ("crac", "cooling_w"): lambda t, s, d: s.unit_heat_w[:, : t.layout.cracs].copy(),
    ("cdu", "supply_c"): _copy("cdu_supply_c"),
    ("cdu", "return_c"): _copy("cdu_return_c"),
    ("cdu", "flow_lps"): lambda t, s, d: t.layout.cdu_lps * s.cdu_speed,
    ("cdu", "pump_speed_pct"): _copy("cdu_speed", 100.0),
    ("cdu", "valve_pct"): lambda t, s, d: 100.0 * s.valve[:, t.layout.cracs :] * s.cdu_running,
    ("cdu", "power_w"): _copy("cdu_power_w"),
    ("cdu", "running"): _running("cdu_speed"),
    ("cdu", "fault"): _drive("cdu", "tripped"),
    ("cdu", "cooling_w"): lambda t, s, d: s.unit_heat_w[:, t.layout.cracs :].copy(),
    ("chiller", "supply_c"): _by_loop("chiller", "water_supply_c"),
    ("chiller", "return_c"): _by_loop("chiller", "water_return_c"),
    ("chiller", "power_w"): _copy("chiller_power_w"),
    ("chiller", "running"): _copy("chiller_running"),
    ("chiller", "fault"): _drive("chiller", "tripped"),
    ("chiller", "load_pct"): lambda t, s, d: s.chiller_w * (100.0 / t.layout.chiller_cap_w),
    ("chiller", "cooling_w"): _copy("chiller_w"),
    ("pump", "running"): _copy("pump_running"),
    ("pump", "flow_lps"): _copy("flow_lps"),
    ("pump", "fault"): _drive("pump", "tripped"),
    ("pump", "power_w"): _copy("pump_power_w"),
    ("tower", "leaving_c"): _by_loop("tower", "condenser_c"),
    ("tower", "fan_speed_pct"): _copy("tower_fan", 100.0),
    ("tower", "power_w"): _copy("tower_power_w"),
    ("tower", "makeup_lps"): lambda t, s, d: t.water.makeup_lps(s, d["site", "wet_bulb_c"]),
    ("tower", "running"): _copy("tower_running"),
    ("tower", "fault"): _limited("tower"),
    ("weather", "dry_bulb_c"): _weather("dry_bulb_c"),
    ("weather", "wet_bulb_c"): _weather("wet_bulb_c"),
}
"""Every (kind, quantity) of the cooling plant; each gives a new array (members, assets)."""
