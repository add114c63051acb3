"""Faults that develop: level by time and severity, and traces long before the alarm."""

import copy

import pytest

from facilities.demo.plant.faults import FAULTS, FaultBook
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.tests.rules import Offline

#: fault -> (point, alarm, development in the test, s)
SLOW = {
    "crac-3-filter-clog": ("crac-3.filter_dp_pa", "CRAC filter loaded"),
    "crac-1-fan-wear": ("crac-1.power_w", "CRAC fault"),
    "ups-b-battery-weak": ("ups-b.battery_resistance_mohm", "UPS battery worn"),
    "gpu-paste-decay": ("srv-02-gpu-6.temp_c", "GPU hot"),
    "inlet-sensor-drift": ("rack-2-03.inlet_c", "Rack inlet high"),
}


def test_it_develops_with_time_up_to_its_severity(facility: FacilitySpec) -> None:
    book = FaultBook(facility)
    book.inject("crac-3-filter-clog", now_s=100.0, severity=0.5, over_s=1000.0)
    unit = facility.place("crac", "crac-3")
    seen = [book.conditions(now_s).crac_filter_resistance[unit] for now_s in (100, 600, 1100, 9e5)]
    assert seen == pytest.approx([1.0, 3.0, 5.0, 5.0])
    book.clear("crac-3-filter-clog")
    assert book.conditions(9e5).crac_filter_resistance[unit] == 1.0


def test_it_keeps_the_same_conditions_while_nothing_develops(facility: FacilitySpec) -> None:
    book = FaultBook(facility)
    book.inject("crac-2-trip", now_s=0.0)
    assert book.conditions(1.0) is book.conditions(2.0)


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        ("crac-2-trip", {"severity": 0.5}, "there or not"),
        ("crac-2-trip", {"over_s": 60.0}, "there or not"),
        ("crac-3-filter-clog", {"severity": 0.0}, "not above 0"),
        ("crac-3-filter-clog", {"severity": 1.5}, "at most 1"),
        ("crac-3-filter-clog", {"over_s": -1.0}, "not between 0"),
    ],
)
def test_it_refuses_numbers_that_a_fault_cannot_have(
    facility: FacilitySpec, name: str, numbers: dict[str, float], message: str
) -> None:
    book = FaultBook(facility)
    with pytest.raises(ValueError, match=message):
        book.inject(name, now_s=0.0, **numbers)
    assert book.present == {}


@pytest.mark.parametrize("name", SLOW)
def test_it_shows_in_its_point_before_the_alarm(warm_brisk: Offline, name: str) -> None:
    """At a third of the way there is a clear trace and no alarm; fully developed there is one."""
    point, alarm = SLOW[name]
    assert FAULTS[name].scales
    seen = {}
    for level in (None, 0.25, 1.0):
        plant = copy.deepcopy(warm_brisk)
        if level:
            plant.fail(name, severity=level, over_s=60.0)
        values = []
        for _ in range(10):
            plant.run(30)
            values.append(plant.readings[point])
        seen[level] = (sum(values[4:]) / 6, {rule for rule, _ in plant.raised})
    healthy, early, full = seen[None], seen[0.25], seen[1.0]
    assert healthy[1] == early[1] == set()
    assert alarm in full[1]
    assert early[0] - healthy[0] > 0.03 * healthy[0]
