"""The setpoints of issue 7: dampers, static bypass, drained, cordoned and restarted servers."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.demo.plant.physics import RESET_S, Plant
from facilities.demo.plant.points import FacilitySpec, read_facility
from facilities.demo.tests.rules import START, Offline

FACILITY = read_facility()


def after(warm: Offline, *faults: str, writes: dict[str, float], seconds: int = 300) -> Offline:
    offline = copy.deepcopy(warm)
    offline.fail(*faults)
    offline.run(20)
    for tag, value in writes.items():
        offline.plant.write(tag, value)
    offline.run(seconds)
    return offline


def test_it_throttles_a_running_unit_with_its_damper(warm_brisk: Offline) -> None:
    """At 50 % the damper's 8 % of the pressure become 32 %: 1 / sqrt(1.24) = 0.898 of the air."""
    half = after(warm_brisk, writes={"crac-1.damper_pct": 50}).plant.air
    open_m3s = warm_brisk.plant.air.state.flow_m3s
    assert half.state.flow_m3s[0] == pytest.approx(0.898 * open_m3s[0], rel=2e-3)
    assert half.fan_w[0] < warm_brisk.plant.air.fan_w[0]
    shut = after(warm_brisk, writes={"crac-1.damper_pct": 0})
    assert shut.plant.air.state.flow_m3s[0] < 0.1 * open_m3s[0]
    assert shut.hottest_inlet_c() > warm_brisk.hottest_inlet_c() + 3


def test_it_stops_the_backflow_through_a_tripped_unit(warm_brisk: Offline) -> None:
    """3 % of the plenum's air goes back through the open damper; closing it, or the run command,
    keeps it in."""
    nothing = after(warm_brisk, "crac-2-trip", writes={}).plant.air.state
    for writes in ({"crac-2.damper_pct": 0.0}, {"crac-2.run_cmd": 0.0}):
        closed = after(warm_brisk, "crac-2-trip", writes=writes).plant.air.state
        assert nothing.damper[1] == 1.0 and closed.damper[1] == 0.0
        assert 0.1 < float(np.mean(nothing.inlet_c - closed.inlet_c)) < 1.0


def test_it_opens_the_damper_of_the_standby_before_its_fan(warm: Offline) -> None:
    offline = copy.deepcopy(warm)
    assert offline.plant.air.state.damper.tolist() == [1, 1, 1, 0]
    offline.plant.write("crac-4.run_cmd", 1)
    offline.run(5)
    assert offline.plant.air.state.damper[3] == 1.0 and offline.plant.air.state.fan[3] == 0.0


@settings(max_examples=8, deadline=None)
@given(first=st.integers(0, 100), more=st.integers(0, 100))
def test_it_never_blows_more_through_a_damper_that_is_more_closed(first: int, more: int) -> None:
    def flow_m3s(opening: int) -> float:
        plant = Plant(FACILITY, seed=3)
        plant.write("crac-1.damper_pct", opening)
        for _ in range(30):
            plant.step(2.0, at=START)
        return float(plant.air.state.flow_m3s[0])

    assert flow_m3s(min(100, first + more)) >= flow_m3s(first) - 1e-6


def test_it_carries_a_ups_with_a_failed_rectifier_on_bypass(warm_brisk: Offline) -> None:
    battery = after(warm_brisk, "ups-b-rectifier", writes={})
    mains = after(warm_brisk, "ups-b-rectifier", writes={"ups-b.bypass": 1})
    assert battery.readings["ups-b.on_battery"] == 1 and battery.readings["ups-b.battery_pct"] < 90
    assert mains.readings["ups-b.on_battery"] == 0 and mains.readings["ups-b.battery_pct"] > 98
    assert mains.readings["ups-b.load_w"] == pytest.approx(
        battery.readings["ups-b.load_w"], rel=0.02
    )
    assert mains.open == set()


def test_it_loses_a_feed_on_bypass_with_its_input(warm_brisk: Offline) -> None:
    offline = after(warm_brisk, "feed-a-loss", writes={"ups-a.bypass": 1}, seconds=20)
    assert offline.readings["ups-a.load_w"] == 0 and offline.readings["ups-a.on_battery"] == 0
    assert offline.readings["ups-b.load_w"] > 150_000
    both = after(
        warm_brisk, "utility-loss", writes={"ups-a.bypass": 1, "ups-b.bypass": 1}, seconds=20
    )
    assert both.readings["hall-1.it_power_w"] > 100_000  # the generator carries them by now
    dark = copy.deepcopy(warm_brisk)
    dark.plant.write("ups-a.bypass", 1)
    dark.plant.write("ups-b.bypass", 1)
    dark.fail("utility-loss")
    dark.run(8)
    assert dark.readings["hall-1.it_power_w"] < 1_000  # meters have a time constant


def test_it_spends_less_on_bypass(warm_brisk: Offline) -> None:
    """85 kW through 0.995 and 0.4 kW instead of 0.965 and 2.5 kW: 4.8 kW less."""
    before = after(warm_brisk, writes={}, seconds=20).plant.power
    bypass = after(warm_brisk, writes={"ups-a.bypass": 1}, seconds=20).plant.power
    saved_w = float(before.ups_input_w[0] - bypass.ups_input_w[0])
    assert saved_w == pytest.approx(4_800, abs=500)


def test_it_drains_a_server_and_its_job_regroups(warm_brisk: Offline) -> None:
    offline = after(warm_brisk, writes={"srv-02.in_service": 0}, seconds=20)
    assert offline.readings["job-1.running"] == 0
    offline.run(180)
    assert offline.readings["job-1.running"] == 1
    assert offline.readings["srv-02-gpu-0.util_pct"] < 3
    assert offline.readings["srv-03-gpu-0.util_pct"] > 60
    assert offline.readings["srv-02.power_w"] < 2_500 < offline.readings["srv-03.power_w"]
    offline.plant.write("srv-02.in_service", 1)
    offline.run(30)
    assert offline.readings["srv-02-gpu-0.util_pct"] > 60


def test_it_gives_the_requests_of_a_drained_server_to_the_others(warm_brisk: Offline) -> None:
    before = warm_brisk.readings["srv-13-gpu-0.util_pct"]
    offline = after(warm_brisk, writes={"srv-14.in_service": 0}, seconds=20)
    assert offline.readings["job-3.running"] == 1
    assert offline.readings["srv-13-gpu-0.util_pct"] > min(before * 4 / 3, 100) - 5


def test_it_leaves_a_cordoned_server_out_at_the_next_launch(warm_brisk: Offline) -> None:
    offline = after(warm_brisk, writes={"srv-02.cordoned": 1}, seconds=60)
    assert offline.readings["srv-02-gpu-0.util_pct"] > 60  # what runs there goes on
    offline.plant.write("srv-05.in_service", 0)  # the job has to regroup
    offline.run(200)
    assert offline.readings["job-1.running"] == 1
    assert offline.readings["srv-02-gpu-0.util_pct"] < 3
    offline.plant.write("srv-02.cordoned", 0)
    offline.run(60)
    assert offline.readings["srv-02-gpu-0.util_pct"] < 3  # until it is launched again
    offline.plant.write("srv-06.in_service", 0)
    offline.run(200)
    assert offline.readings["srv-02-gpu-0.util_pct"] > 60


@pytest.mark.parametrize(
    ("fault", "server", "gpu"),
    [("gpu-xid-79", "srv-11", "srv-11-gpu-2"), ("gpu-xid-74", "srv-03", "srv-03-gpu-1")],
)
def test_it_heals_an_xid_with_a_reset(
    warm_brisk: Offline, fault: str, server: str, gpu: str
) -> None:
    offline = after(warm_brisk, fault, writes={f"{server}.reset_cmd": 1}, seconds=60)
    assert offline.readings[f"{server}.power_w"] < 50
    assert offline.readings[f"{server}.reset_cmd"] == 1
    assert offline.readings[f"{gpu}.xid"] > 0
    offline.run(round(RESET_S))
    assert offline.readings[f"{server}.reset_cmd"] == 0
    assert offline.readings[f"{gpu}.xid"] == 0 and offline.book.present == {}
    offline.run(180)
    assert offline.open == set()
    assert offline.readings[f"{gpu}.util_pct"] > 60


def test_it_does_not_heal_with_a_reset_what_is_broken(warm_brisk: Offline) -> None:
    """A failed power supply, and the XID of another server, are there after the restart."""
    offline = after(
        warm_brisk, "server-power-brake", "gpu-xid-79", writes={"srv-10.reset_cmd": 1}, seconds=150
    )
    assert set(offline.book.present) == {"server-power-brake", "gpu-xid-79"}
    assert offline.readings["srv-10-gpu-0.throttle_reasons"] >= 64


def test_it_keeps_the_healthy_state_of_all_commands_quiet(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    assert plant.setpoint("crac-4.damper_pct") == 100 and plant.setpoint("ups-b.bypass") == 0
    assert plant.setpoint("srv-16.in_service") == 1 and plant.setpoint("srv-16.cordoned") == 0
