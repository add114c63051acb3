"""What a series probably is: a unit and a Brick class out of its name and its format's hint.

Only suggestions: a person accepts them. Classes are Brick 1.4; where Brick has no closer one
(fan speed, rack inlet) its parent stands, as in the demo facility file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from facilities.converters.keys import SeriesKey, distinct, snake, tag
from facilities.converters.units import UnitError, ucum

ASSET_LABELS: Final = (
    "asset",
    "Hostname",
    "hostname",
    "ups_name",
    "source",
    "server",
    "device_name",
    "agent_host",
    "host",
    "node",
    "instance",
)
"""Labels that name the equipment, best first. ``host`` is Telegraf's own host for remote plugins, so
what names the device itself comes before it."""

PASSING_LABELS: Final = frozenset(
    (
        *("state", "health", "health_rollup", "chassis_health", "chassis_powerstate", "status"),
        *("chassis_state", "status_code", "status_desc", "pstate", "container", "namespace", "pod"),
        *("DCGM_FI_DRIVER_VERSION", "compute_mode", "modelName", "model", "chassis_model", "url"),
        *("address", "rack", "room", "row", "datacenter", "job", "UUID", "uuid", "pci_bus_id"),
        *("serial", "serial_num", "firmware_version", "unit", "entity_id", "agent_host", "host"),
    )
)
"""Labels that change, or repeat what others say, while the sensor stays the same: never part of a
point's identity."""

_GENERIC: Final = frozenset(("value", "gauge", "counter", "reading"))


class Guess(NamedTuple):
    """A unit, a Brick class and the interface's name; each may be empty."""

    unit: str = ""
    brick: str = ""


_PATTERNS: Final[tuple[tuple[str, Guess], ...]] = (
    (r"dew_?point", Guess("Cel", "Dewpoint_Sensor")),
    (r"setpoint|_sp_", Guess("", "Setpoint")),
    (r"battery.*volt", Guess("V", "Battery_Voltage_Sensor")),
    (r"energy.*(joule|_j$)", Guess("J", "Electrical_Energy_Usage_Sensor")),
    (r"energy|kwh", Guess("kW.h", "Electrical_Energy_Usage_Sensor")),
    (r"power_?factor", Guess("1", "Power_Factor_Sensor")),
    (r"humidity|_rh(_|$)", Guess("%", "Relative_Humidity_Sensor")),
    (r"(temp|temperature)_?f(_|$)|fahrenheit", Guess("[degF]", "Temperature_Sensor")),
    (r"temp|celsius|inlet_c$|_c$|degrees_c", Guess("Cel", "Temperature_Sensor")),
    (r"fan.*rpm|rpm|fan.*speed.*rpm", Guess("/min", "Motor_Speed_Sensor")),
    (r"fan.*(pct|percent)|fan_speed", Guess("%", "Motor_Speed_Sensor")),
    (r"valve", Guess("%", "Valve_Position_Sensor")),
    (r"flow", Guess("L/s", "Flow_Sensor")),
    (r"(diff|filter|static).*press|_dp_", Guess("Pa", "Differential_Pressure_Sensor")),
    (r"press|_pa$|_kpa$", Guess("Pa", "Pressure_Sensor")),
    (r"apparent|_va$", Guess("V.A", "Electric_Power_Sensor")),
    (r"watt|power|_w$|_kw$", Guess("W", "Electric_Power_Sensor")),
    (r"volt|_v$", Guess("V", "Voltage_Sensor")),
    (r"current|amps?(_|$)|_a$", Guess("A", "Current_Sensor")),
    (r"freq|_hz$", Guess("Hz", "Frequency_Sensor")),
    (r"clock", Guess("MHz", "Frequency_Sensor")),
    (r"leak", Guess("1", "Leak_Alarm")),
    (r"smoke|fire", Guess("1", "Smoke_Alarm")),
    (r"util|percent|pct|charge|load", Guess("%", "Usage_Sensor")),
    (r"bytes|octets", Guess("By", "Sensor")),
    (r"seconds|_s$|duration|uptime", Guess("s", "Duration_Sensor")),
    (r"alerts?(_|$)|alarm", Guess("1", "Alarm")),
    (r"status|state|running|health|fault", Guess("1", "Status")),
)
_COMPILED: Final = tuple((re.compile(pattern), guess) for pattern, guess in _PATTERNS)
_ENDINGS: Final = {"_kw": "kW", "_mw": "mW", "_kpa": "kPa", "_khz": "kHz", "_mhz": "MHz"}


def guess(quantity: str, hint: str = "") -> Guess:
    """Suggest a unit and a class for a quantity; a hint that is a unit wins over the name."""
    found = next((made for pattern, made in _COMPILED if pattern.search(quantity)), Guess())
    for ending, unit in _ENDINGS.items():
        if quantity.endswith(ending):
            found = found._replace(unit=unit)
    if hint:
        with suppress(UnitError):  # a description, not a unit
            found = found._replace(unit=ucum(hint))
    return found


class Identity(NamedTuple):
    """Where a series belongs. ``asset`` is empty when no label names equipment."""

    asset: str
    quantity: str


def identity(key: SeriesKey) -> Identity:
    """Asset and quantity of a foreign series, by its labels and its name."""
    used, asset = "", ""
    for label in ASSET_LABELS:
        asset = tag(_without_port(key.labels.get(label, "")))
        if asset:
            used = label
            break
    measurement, dot, last = key.name.rpartition(".")
    words = [measurement if dot and last in _GENERIC else key.name.replace(".", "_")]
    words += [
        f"{key.labels[label]}" if label in ("name", "sensor") else f"{label}_{key.labels[label]}"
        for label in sorted(key.labels)
        if label != used and not _passes(label) and key.labels[label]
    ]
    quantity = snake("_".join(words), 200)
    if len(quantity) > 60:
        quantity = distinct(quantity, repr(lasting(key)), 60)
    return Identity(asset, quantity)


def lasting(key: SeriesKey) -> tuple[str, Mapping[str, str]]:
    """What stays the same of a series: its name and the labels that do not pass."""
    return key.name, {k: v for k, v in key.labels.items() if not _passes(k)}


def _passes(label: str) -> bool:
    return label in PASSING_LABELS or label.startswith("status_")  # NUT: status_OL, status_OB …


def _without_port(host: str) -> str:
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host
