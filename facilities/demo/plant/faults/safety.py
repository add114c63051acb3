"""Faults that concern people and the building."""

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault


@fault(
    "leak-hall-1",
    group="Safety",
    title="Water under the floor of hall 1",
    cause="leak-1",
    alarms=("Water leak",),
    procedure="EOP-LEAK-01",
)
def _leak_hall_1(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.leak = True


@fault(
    "fire-panel-trouble",
    group="Safety",
    title="The fire panel reports trouble",
    cause="fire-1",
    alarms=("Fire panel trouble",),
    procedure="EOP-FIRE-01",
)
def _fire_panel_trouble(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.fire_trouble = True
