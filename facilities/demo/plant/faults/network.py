"""Faults of the leaf-spine network."""

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault, index_of


@fault(
    "link-degraded",
    group="Network",
    title="Link leaf 2 to spine 1 has symbol errors and runs at half capacity",
    cause="link-leaf-2-spine-1",
    alarms=("Link errors",),
    procedure="EOP-NET-01",
    scales=True,
)
def _link_degraded(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    link = index_of(facility, "link", "link-leaf-2-spine-1")
    conditions.link_capacity[link] = 1.0 - 0.5 * level
    conditions.link_errors[link] = 180.0 * level


@fault(
    "link-crawls",
    group="Network",
    title="Link leaf 1 to spine 2 has lost seven of eight lanes: job 1 waits for it",
    cause="link-leaf-1-spine-2",
    alarms=("Link errors", "Job slowed"),
    procedure="EOP-NET-01",
    within_s=240,
)
def _link_crawls(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    link = index_of(facility, "link", "link-leaf-1-spine-2")
    conditions.link_capacity[link] = 0.125
    conditions.link_errors[link] = 40.0


@fault(
    "link-flap",
    group="Network",
    title="Link leaf 3 to spine 2 goes down and up every half minute",
    cause="link-leaf-3-spine-2",
    alarms=("Link down",),
    procedure="EOP-NET-01",
)
def _link_flap(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.link_flapping[index_of(facility, "link", "link-leaf-3-spine-2")] = True


@fault(
    "link-down",
    group="Network",
    title="Link leaf 1 to spine 1 is down",
    cause="link-leaf-1-spine-1",
    alarms=("Link down",),
    procedure="EOP-NET-01",
)
def _link_down(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.link_capacity[index_of(facility, "link", "link-leaf-1-spine-1")] = 0.0
