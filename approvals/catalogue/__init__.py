"""All that the platform can do to the plant. What is not here cannot be proposed."""

from __future__ import annotations

from approvals.catalogue.base import (
    Action,
    ActionKind,
    Checked,
    Condition,
    Expectation,
    Write,
    check_conditions,
)
from approvals.catalogue.set_fan_speed import SetFanSpeed
from approvals.catalogue.set_supply_setpoint import SetSupplySetpoint
from approvals.catalogue.shed_rack_load import ShedRackLoad
from approvals.catalogue.start_standby_crac import StartStandbyCrac

KINDS: dict[str, ActionKind] = {
    kind.name: kind
    for kind in (StartStandbyCrac(), SetFanSpeed(), SetSupplySetpoint(), ShedRackLoad())
}

__all__ = [
    "KINDS",
    "Action",
    "ActionKind",
    "Checked",
    "Condition",
    "Expectation",
    "Write",
    "check_conditions",
]
