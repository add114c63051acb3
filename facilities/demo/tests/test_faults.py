"""The healthy plant is quiet; every fault raises the alarms that it promises, and clears."""

import copy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from facilities.demo.plant.faults import FAULTS
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.tests.rules import START, Offline


@pytest.mark.parametrize("start", [START, datetime(2026, 7, 20, 13, 0, tzinfo=UTC)])
def test_it_raises_no_alarm_in_healthy_hours(facility: FacilitySpec, start: datetime) -> None:
    """An hour of March and of a July afternoon, with checkpoints and relaunches."""
    offline = Offline(facility, seed=3, start=start, step_s=2.0)
    offline.run(3600)
    assert offline.raised == {}
    assert 19.0 < offline.hottest_inlet_c() < 25.0
    assert 1.25 < offline.readings["hall-1.pue"] < 1.5


@pytest.mark.parametrize("name", FAULTS)
def test_it_raises_the_promised_alarms_and_recovers(brisk: Offline, name: str) -> None:
    fault = FAULTS[name]
    brisk.fail(name, over_s=0.0 if fault.scales else None)
    brisk.run(fault.within_s)
    names = {rule for rule, _ in brisk.raised}
    assert set(fault.alarms) <= names
    brisk.fail()
    for _ in range(12):
        brisk.run(150)
        if not brisk.open:
            break
    assert brisk.open == set()


def test_it_promises_only_alarms_of_the_facility_file(facility: FacilitySpec) -> None:
    known = {rule["name"] for rule in facility.rules}
    for fault in FAULTS.values():
        assert fault.alarms or fault.flags
        assert set(fault.alarms) <= known


def crac_2_tripped(offline: Offline) -> float:
    """Trip crac-2 and return the seconds until the hottest inlet reads over 27 °C."""
    offline.fail("crac-2-trip")
    while offline.hottest_inlet_c() <= 27.0:
        offline.run(2)
        assert offline.elapsed_s < 300
    return offline.elapsed_s


def test_it_passes_27_degrees_within_90_seconds_of_a_crac_trip(offline: Offline) -> None:
    assert 60 <= crac_2_tripped(offline) <= 90


def test_it_settles_between_30_and_33_degrees_without_action(offline: Offline) -> None:
    offline.fail("crac-2-trip")
    offline.run(900)
    assert 29.5 <= offline.hottest_inlet_c() <= 33.0


def test_it_recovers_within_120_seconds_of_starting_the_standby(offline: Offline) -> None:
    crac_2_tripped(offline)
    offline.run(40)  # alarm delay and an operator who signs quickly
    offline.plant.write("crac-4.run_cmd", 1)
    offline.run(120)
    assert offline.hottest_inlet_c() < 26.0


def test_it_helps_less_to_raise_the_fans_than_to_start_the_standby(warm: Offline) -> None:
    final_c = {}
    for action, writes in {
        "none": {},
        "fans": {"crac-1.fan_speed_sp_pct": 100, "crac-3.fan_speed_sp_pct": 100},
        "standby": {"crac-4.run_cmd": 1},
    }.items():
        offline = copy.deepcopy(warm)
        crac_2_tripped(offline)
        for tag, value in writes.items():
            offline.plant.write(tag, value)
        offline.run(400)
        final_c[action] = offline.hottest_inlet_c()
    assert final_c["none"] - final_c["fans"] > 2.0
    assert final_c["fans"] - final_c["standby"] > 1.0


def test_it_cools_the_rack_whose_load_is_shed(offline: Offline, warm: Offline) -> None:
    without = copy.deepcopy(warm)
    for plant in (offline, without):
        crac_2_tripped(plant)
    offline.plant.write("rack-1-03.load_cap_pct", 60)
    for plant in (offline, without):
        plant.run(300)
    tag = "rack-1-03.inlet_c"
    assert without.readings[tag] - offline.readings[tag] > 2.0
    assert offline.readings["rack-1-03.power_w"] < 0.85 * without.readings["rack-1-03.power_w"]


def test_it_carries_the_load_through_a_utility_loss(offline: Offline) -> None:
    offline.fail("utility-loss")
    offline.run(6)
    assert offline.readings["ups-a.on_battery"] == 1
    assert offline.readings["gen-1.running"] == 0
    offline.run(14)
    assert offline.readings["gen-1.running"] == 1
    assert offline.readings["ups-a.on_battery"] == 0
    assert offline.readings["hall-1.it_power_w"] > 150_000
    assert 99.0 < offline.readings["ups-a.battery_pct"] < 100.0
    offline.fail()
    offline.run(120)
    assert offline.readings["gen-1.running"] == 0
    assert offline.readings["utility-1.power_w"] > 200_000


def test_it_moves_the_load_to_the_other_feed_when_a_breaker_opens(offline: Offline) -> None:
    before_w = offline.readings["pdu-b1.power_w"]
    offline.fail("pdu-a1-breaker-trip")
    offline.run(20)
    assert offline.readings["pdu-a1.power_w"] == 0
    assert offline.readings["pdu-b1.power_w"] == pytest.approx(2 * before_w, rel=0.05)


def test_it_throttles_a_gpu_with_a_fouled_heat_sink(offline: Offline) -> None:
    offline.fail("gpu-heatsink-fouled")
    offline.run(120)
    assert 87 <= offline.readings["srv-05-gpu-3.temp_c"] <= 89
    assert offline.readings["srv-05-gpu-3.power_w"] < offline.readings["srv-05-gpu-2.power_w"] - 50


def test_it_starts_the_standby_pump_and_stops_it_after_the_repair(offline: Offline) -> None:
    offline.fail("chwp-1-trip")
    offline.run(30)
    assert offline.readings["chwp-2.running"] == 1
    assert offline.readings["chwp-2.flow_lps"] == pytest.approx(12, abs=0.3)
    offline.fail()
    offline.run(60)
    assert offline.readings["chwp-2.running"] == 0
    assert offline.readings["chwp-1.running"] == 1


def test_it_documents_every_fault() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "demo-plant.md").read_text()
    for fault in FAULTS.values():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{fault.name}`")]
        assert len(rows) == 1 and fault.procedure in rows[0], fault.name
