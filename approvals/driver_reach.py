"""Which quantities a kind of driver has no business with, and why. Data only, like
`driver_settings.py`: the admin console refuses a binding by it, the executor an order.

By the last part of a point's tag; whatever is not named here may be bound.
"""

from __future__ import annotations

from typing import Final

_SCHEDULER = "the cluster's scheduler keeps it, no field device; bind it to a webhook"
_BMC = "a BMC sets it (redfish), or a webhook"
_CONTROLLER = "a building controller sets it (modbus), or a webhook"

REFUSED: Final[dict[str, dict[str, str]]] = {
    "plant": {},
    "webhook": {},
    "modbus": {
        "in_service": _SCHEDULER,
        "cordoned": _SCHEDULER,
        "load_cap_pct": _SCHEDULER,
        "power_limit_w": _BMC,
        "enabled": "a switch sets it (redfish), or a webhook",
    },
    "redfish": {
        "in_service": _SCHEDULER,
        "cordoned": _SCHEDULER,
        "load_cap_pct": _SCHEDULER,
        "damper_pct": _CONTROLLER,
        "bypass": "Redfish has no transfer of a UPS to its bypass; " + _CONTROLLER,
    },
}


def refusal_of(driver: str, tag: str) -> str:
    """Why this driver must not write the point; '' where it may."""
    return REFUSED.get(driver, {}).get(tag.rpartition(".")[2], "")
