"""Faults of the electrical side."""

from facilities.demo.plant.conditions import Conditions
from facilities.demo.plant.points import FacilitySpec

from .base import fault, index_of

HOUR_S = 3600.0


@fault(
    "utility-loss",
    group="Power",
    title="The utility feed is lost",
    cause="utility-1",
    alarms=("Utility lost", "UPS on battery"),
    procedure="EOP-UPS-01",
)
def _utility_loss(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.utility_available = False


@fault(
    "generator-no-start",
    group="Power",
    title="The utility feed is lost and the generator does not start",
    cause="gen-1",
    alarms=("Utility lost", "UPS on battery", "Generator start failure"),
    procedure="EOP-UPS-01",
)
def _generator_no_start(conditions: Conditions, _facility: FacilitySpec, _level: float) -> None:
    conditions.utility_available = False
    conditions.generator_fails = True


@fault(
    "feed-a-loss",
    group="Power",
    title="Feed A is lost between the switchboard and UPS A",
    cause="ups-a",
    alarms=("UPS on battery",),
    procedure="EOP-UPS-01",
)
def _feed_a_loss(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.ups_input_lost[index_of(facility, "ups", "ups-a")] = True


@fault(
    "ups-b-rectifier",
    group="Power",
    title="The rectifier of UPS B fails: on battery with the mains present",
    cause="ups-b",
    alarms=("UPS on battery",),
    procedure="EOP-UPS-01",
)
def _ups_b_rectifier(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.ups_rectifier_failed[index_of(facility, "ups", "ups-b")] = True


@fault(
    "ups-b-battery-weak",
    group="Power",
    title="The battery of UPS B ages: resistance up, capacity down",
    cause="ups-b",
    alarms=("UPS battery worn",),
    procedure="MOP-UPS-02",
    scales=True,
    over_s=8 * HOUR_S,
)
def _ups_b_battery_weak(conditions: Conditions, facility: FacilitySpec, level: float) -> None:
    conditions.ups_battery_wear[index_of(facility, "ups", "ups-b")] = level


@fault(
    "pdu-a1-breaker-trip",
    group="Power",
    title="PDU A1 main breaker opens",
    cause="pdu-a1",
    alarms=("PDU breaker open",),
    procedure="EOP-PDU-01",
)
def _pdu_a1_breaker_trip(conditions: Conditions, facility: FacilitySpec, _level: float) -> None:
    conditions.pdu_breaker_open[index_of(facility, "pdu", "pdu-a1")] = True
