"""Which quantities each layer of the hall map draws, and what the map needs in any layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Key = tuple[str, str]

ALWAYS: Final[tuple[Key, ...]] = (
    ("rack", "inlet_c"),
    ("rack", "power_w"),
    ("crac", "supply_c"),
    ("crac", "fan_speed_pct"),
    ("crac", "running"),
    ("crac", "fault"),
    ("cdu", "supply_c"),
    ("cdu", "running"),
    ("pdu", "power_w"),
    ("leak_detector", "wet"),
    ("hall", "door_open"),
    ("hall", "it_power_w"),
    ("hall", "pue"),
    ("chiller", "running"),
    ("chiller", "fault"),
    ("chiller", "supply_c"),
    ("pump", "running"),
    ("pump", "fault"),
    ("pump", "flow_lps"),
    ("tower", "running"),
    ("tower", "leaving_c"),
    ("weather", "dry_bulb_c"),
    ("ups", "load_pct"),
    ("ups", "on_battery"),
    ("generator", "running"),
    ("utility", "available"),
)
"""Drawn in every layer: the units of the plan and the strip of the plant behind them."""

LAYERS: Final[dict[str, tuple[Key, ...]]] = {
    "heat": (("rack", "outlet_c"), ("crac", "return_c"), ("cdu", "return_c")),
    "air": (("rack", "outlet_c"), ("crac", "return_c")),
    "power": (
        ("pdu", "breaker_closed"),
        ("ups", "battery_pct"),
        ("utility", "power_w"),
        ("rack", "load_cap_pct"),
    ),
    "network": (("link", "util_pct"), ("link", "up"), ("link", "error_rate")),
}

FIELD: Final[tuple[Key, ...]] = (
    ("rack", "airflow_m3s"),
    ("rack", "recirculation"),
    ("crac", "airflow_m3s"),
    ("link", "load_gbps"),
)
"""What only the twin knows: no instrument of the data list measures it."""

WORST_HIGH: Final = frozenset({"fault", "wet", "on_battery", "door_open"})
"""States of which a frame that stands for a longer time shows the highest value."""

WORST_LOW: Final = frozenset({"running", "breaker_closed", "available", "up"})
"""States of which such a frame shows the lowest value."""


def keys_of(layers: Iterable[str]) -> tuple[Key, ...]:
    """The (kind, quantity) pairs of these layers. Raises ``ValueError`` for an unknown one."""
    found = dict.fromkeys(ALWAYS)
    for layer in layers:
        if layer not in LAYERS:
            raise ValueError(f"layer {layer!r} is not one of {', '.join(LAYERS)}")
        found |= dict.fromkeys(LAYERS[layer])
    return tuple(found)
