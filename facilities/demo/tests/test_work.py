"""Jobs, GPUs and links: hand-worked step times, throttling, setpoints that act."""

from datetime import UTC, datetime

import numpy as np
import pytest

from facilities.demo.plant.faults import conditions_of
from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import FacilitySpec
from facilities.demo.tests.rules import Offline

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def settled(plant: Plant, seconds: int = 240) -> Plant:
    for _ in range(seconds // 2):
        plant.step(2.0, at=AT)
    return plant


def test_it_takes_the_step_time_of_a_hand_calculation(facility: FacilitySpec) -> None:
    """job-1: tensors 60/380 = 0.158 s, ring 2*7/8*14/46 = 0.533 s plus 14 hops of 14 us; 70 % of
    0.691 s hide behind 1.1 s of computing: 1.1 + 0.3 * 0.691 = 1.307 s."""
    assert Plant(facility).jobs.jobs[0].healthy_s == pytest.approx(1.307, abs=0.002)


def test_it_doubles_the_ring_when_a_link_halves(facility: FacilitySpec) -> None:
    """Ring 1.065 s, communication 1.223 s: 1.1 hides 0.77 of it; 1.1 + 0.453 = 1.553 s, 84 %."""
    plant = Plant(facility)
    plant.conditions = conditions_of(["link-degraded"], facility)
    assert settled(plant).jobs.throughput_pct[0] == pytest.approx(84.2, abs=4.0)
    link, twin = (
        plant.network.util[facility.place("link", f"link-leaf-2-spine-{n}")] for n in (1, 2)
    )
    assert link / twin == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("lanes", [0.8, 0.5, 0.25, 0.125])
def test_it_is_never_faster_with_less_bandwidth(facility: FacilitySpec, lanes: float) -> None:
    plant = Plant(facility)
    link = facility.place("link", "link-leaf-1-spine-1")
    speeds = []
    for capacity in (1.0, lanes, lanes / 2):
        plant.conditions.link_capacity[link] = capacity
        settled(plant, 20)
        speeds.append(plant.jobs.throughput_pct[0])
    assert speeds[0] + 3 >= speeds[1] >= speeds[2] - 3


def test_it_stops_a_job_without_a_path_and_frees_its_gpus(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    plant.write("link-leaf-1-spine-1.enabled", 0)
    plant.write("link-leaf-1-spine-2.enabled", 0)
    settled(plant)
    assert plant.jobs.throughput_pct[0] == 0
    assert plant.jobs.step_time_s[0] == 600
    assert plant.values()["gpu", "util_pct"][:32].max() < 2.0
    assert plant.jobs.throughput_pct[1] > 90


def test_it_moves_the_traffic_to_the_other_spine(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    plant.write("link-leaf-2-spine-1.enabled", 0)
    settled(plant)
    values = plant.values()
    first, twin = (facility.place("link", f"link-leaf-2-spine-{n}") for n in (1, 2))
    assert values["link", "util_pct"][first] == 0 and values["link", "up"][first] == 0
    assert 60 < values["link", "util_pct"][twin] < 90


def test_it_caps_a_gpu_at_its_power_limit(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    plant.write("srv-01-gpu-0.power_limit_w", 400)
    settled(plant)
    values = plant.values()
    gpu = facility.place("gpu", "srv-01-gpu-0")
    assert values["gpu", "power_w"][gpu] <= 400.0
    assert values["gpu", "sm_clock_mhz"][gpu] < 1_850
    assert values["gpu", "throttle_reasons"][gpu] == 4
    assert values["gpu", "sm_clock_mhz"][gpu + 1] == 1_980
    assert values["job", "throughput_pct"][0] < 97  # all 64 wait for the slowest


def test_it_loses_less_speed_than_power_to_a_cap(facility: FacilitySpec) -> None:
    """P goes with C V^2 f: near the top a share of power costs a smaller share of clock."""
    plant = settled(Plant(facility))
    before_w, before_mhz = plant.compute.gpu_w.copy(), plant.compute.clock_mhz.copy()
    plant.setpoints["gpu", "power_limit_w"][:] = 450.0
    settled(plant)
    power = plant.compute.gpu_w / before_w
    clock = plant.compute.clock_mhz / before_mhz
    assert np.all(clock[power < 0.9] > power[power < 0.9])


def test_it_restarts_a_job_without_the_server_of_a_lost_gpu(offline: Offline) -> None:
    offline.fail("gpu-xid-79")
    offline.run(20)
    assert offline.readings["job-2.running"] == 0
    assert offline.readings["srv-11-gpu-2.xid"] == 79
    assert offline.readings["srv-11-gpu-2.power_w"] == 0
    offline.run(160)
    assert offline.readings["job-2.running"] == 1
    assert offline.readings["srv-11-gpu-0.util_pct"] < 2
    assert offline.readings["srv-09-gpu-0.util_pct"] > 60


def test_it_follows_the_setpoints_of_tower_and_cdu(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    plant.write("tower-1.leaving_sp_c", 27)
    plant.write("cdu-1.supply_sp_c", 36)
    plant.write("cdu-1.pump_speed_sp_pct", 90)
    settled(plant, 2400)
    values = plant.values()
    assert values["tower", "leaving_c"][0] == pytest.approx(27, abs=0.5)
    assert values["cdu", "supply_c"][0] == pytest.approx(36, abs=0.5)
    assert values["cdu", "flow_lps"][0] == pytest.approx(1.2 * 0.9, abs=0.01)
    plant.write("cdu-1.run_cmd", 0)
    settled(plant, 20)
    assert plant.values()["cdu", "running"][0] == 0


def test_it_evaporates_what_the_heat_asks_for(facility: FacilitySpec) -> None:
    """220 kW * 0.82 / 2.45 MJ/kg = 0.074 L/s, a quarter more for blowdown: 0.092 L/s."""
    plant = settled(Plant(facility), 1800)
    heat_w = plant.tower.rejected_w
    assert 190_000 < heat_w < 240_000
    assert plant.tower.makeup_lps == pytest.approx(heat_w * 0.82 / 2.45e6 * 1.25, rel=0.05)


def test_it_needs_more_power_for_the_same_cold_in_warm_air(facility: FacilitySpec) -> None:
    power = []
    for day in (datetime(2026, 1, 20, 13, tzinfo=UTC), datetime(2026, 7, 20, 13, tzinfo=UTC)):
        plant = Plant(facility)
        for _ in range(900):
            plant.step(2.0, at=day)
        power.append(plant.tower.power_w + float(plant.water.electric_w.sum()))
    assert power[1] > power[0]


def test_it_has_a_wet_bulb_below_the_dry_bulb_on_every_hour_of_a_year(
    facility: FacilitySpec,
) -> None:
    weather = Plant(facility).weather
    hours = [weather.at(datetime.fromtimestamp(1.77e9 + 3600.0 * h, tz=UTC)) for h in range(8760)]
    dry = np.array([hour.dry_bulb_c for hour in hours])
    wet = np.array([hour.wet_bulb_c for hour in hours])
    assert np.all(wet <= dry)
    assert -18 < dry.min() < 0 and 25 < dry.max() < 42 and 8 < dry.mean() < 12
    assert wet.max() < 26
    again = Plant(facility).weather.at(datetime.fromtimestamp(1.77e9, tz=UTC))
    assert again == hours[0]
