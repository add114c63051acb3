"""Balances and monotonicities of the physics, and figures worked by hand."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.demo.plant.faults import FAULTS, conditions_of
from facilities.demo.plant.moisture import relative_humidity_pct
from facilities.demo.plant.physics import Plant
from facilities.demo.plant.points import FacilitySpec, read_facility
from facilities.demo.tests.rules import Offline

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FACILITY = read_facility()


def test_it_has_a_true_value_for_every_point(facility: FacilitySpec) -> None:
    wanted: dict[tuple[str, str], int] = {}
    for point in facility.points:
        key = (point.kind, point.quantity)
        wanted[key] = wanted.get(key, 0) + 1
    values = Plant(facility).values()
    assert {key: len(value) for key, value in values.items()} == wanted
    assert 1_200 <= len(facility.points) <= 1_300


def test_it_starts_with_setpoints_inside_their_limits(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    writable = {point.tag for point in facility.points if point.writable}
    assert set(plant.setpoint_tags) == writable
    for tag in writable:
        point = facility.point(tag)
        assert point is not None
        assert point.write_min <= plant.setpoint(tag) <= point.write_max


@pytest.mark.parametrize("fault", [None, "crac-2-trip", "utility-loss", "pdu-a1-breaker-trip"])
def test_it_closes_the_heat_balance_of_the_hall(facility: FacilitySpec, fault: str | None) -> None:
    plant = Plant(facility)
    plant.conditions = conditions_of([fault] if fault else [], facility)
    stored_j = plant.air.balance.stored_j
    net_j = turnover_j = 0.0
    for _ in range(300):
        plant.step(1.0, at=AT)
        b = plant.air.balance
        net_j += b.racks_w + b.fans_w + b.envelope_w + b.other_w - b.coils_w
        turnover_j += b.racks_w
    assert plant.air.balance.stored_j - stored_j == pytest.approx(net_j, abs=1e-6 * turnover_j)


def test_it_closes_the_heat_balance_of_the_water(facility: FacilitySpec) -> None:
    plant = Plant(facility)
    water = plant.water
    capacity_j_k = water.p.header_j_k
    before_c, net_j = water.supply_c + water.return_c, 0.0
    for _ in range(300):
        plant.step(1.0, at=AT)
        net_j += float(plant.air.coil_w.sum()) - float(water.chiller_w.sum())
        net_j += plant.cdu.to_water_w + water.pump_heat_w + water.pipe_w
    stored_j = capacity_j_k * (water.supply_c + water.return_c - before_c)
    assert stored_j == pytest.approx(net_j, abs=1.0)


@pytest.mark.parametrize("fault", [None, "cdu-1-trip", "tower-1-fan-trip", "chiller-1-trip"])
def test_it_closes_the_energy_balance_from_racks_to_tower(
    facility: FacilitySpec, fault: str | None
) -> None:
    """What racks, fans, pumps and compressors put in is stored, rejected, or gone to the building:
    within 0.1 % of the racks' energy."""
    plant = Plant(facility)
    plant.conditions = conditions_of([fault] if fault else [], facility)
    air, water, cdu, tower = plant.air, plant.water, plant.cdu, plant.tower

    def stored_j() -> float:
        return (
            air.balance.stored_j
            + cdu.stored_j
            + water.p.header_j_k * (water.supply_c + water.return_c)
            + tower.p.basin_j_k * tower.leaving_c
        )

    before_j = stored_j()
    into_j = racks_j = 0.0
    for _ in range(600):
        plant.step(1.0, at=AT)
        b = air.balance
        lighting_and_losses_w = b.other_w - cdu.to_hall_w
        into_j += b.racks_w + float(plant.compute.liquid_w.sum()) + b.fans_w
        into_j += b.envelope_w + lighting_and_losses_w + water.pump_heat_w + water.pipe_w
        into_j += float(water.electric_w.sum()) - tower.rejected_w
        racks_j += float(plant.compute.rack_w.sum())
    assert stored_j() - before_j == pytest.approx(into_j, abs=1e-3 * racks_j)


def test_it_balances_electric_power_from_utility_to_racks(offline: Offline) -> None:
    plant = offline.plant
    p = plant.power.p
    racks_w = float(plant.compute.rack_w.sum())
    pdu_w = racks_w / p.pdu_efficiency
    ups_w = pdu_w / p.ups_efficiency + 2 * p.ups_fixed_w
    # The racks' demand of this second is metered in the next one, so one step of noise is allowed.
    assert float(plant.power.ups_input_w.sum()) == pytest.approx(ups_w, rel=0.01)
    assert plant.power.utility_w == pytest.approx(ups_w + plant.mechanical_w, rel=0.01)


def test_it_follows_the_fan_laws(facility: FacilitySpec) -> None:
    """At half speed 6.2 m3/s becomes 3.1, less 1.4 % that crac-2 at 70 % takes; 7.5 kW is 938 W."""
    plant = Plant(facility)
    plant.write("crac-1.fan_speed_sp_pct", 50)
    for _ in range(60):
        plant.step(1.0, at=AT)
    assert plant.air.state.flow_m3s[0] == pytest.approx(3.1 * 0.986, rel=1e-3)
    assert plant.air.fan_w[0] == pytest.approx(937.5, rel=1e-3)


def test_it_rates_a_coil_at_90_kw_in_30_degree_air(facility: FacilitySpec) -> None:
    """6.2 m3/s x 1.2 x 1005 x (1 - exp(-0.92)) x 20 K = 90 kW."""
    plant = Plant(facility)
    plant.air.state.fan[:3] = 1.0
    plant.air.state.valve[:3] = plant.air.state.stem[:3] = 1.0
    plant.air.state.room_c = 30.0
    plant.air.state.started_s[:] = 100.0
    plant.setpoints["crac", "fan_speed_sp_pct"][:] = 100.0
    plant.step(1.0, at=AT)
    # Its neighbour takes 2 % of the air, and with it a little more than half of that in heat.
    assert plant.air.coil_w[0] == pytest.approx(88_900, rel=0.02)


def test_it_never_supplies_more_tiles_than_the_units_blow(facility: FacilitySpec) -> None:
    assert Plant(facility).air.reach.sum(axis=1) == pytest.approx(np.ones(4))


@settings(max_examples=6, deadline=None)
@given(low=st.integers(30, 95), step=st.integers(5, 60))
def test_it_is_never_hotter_with_faster_fans(low: int, step: int) -> None:
    def hottest_c(speed: int) -> float:
        plant = Plant(FACILITY, seed=3)
        plant.conditions = conditions_of(["crac-2-trip"], FACILITY)
        for unit in (1, 3):
            plant.write(f"crac-{unit}.fan_speed_sp_pct", speed)
        for _ in range(180):
            plant.step(1.0, at=AT)
        return float(plant.air.state.inlet_c.max())

    assert hottest_c(min(100, low + step)) <= hottest_c(low) + 0.1


@settings(max_examples=4, deadline=None)
@given(setpoint=st.integers(14, 23))
def test_it_is_never_colder_with_a_higher_supply_setpoint(setpoint: int) -> None:
    def mean_c(supply_c: int) -> float:
        plant = Plant(FACILITY, seed=3)
        plant.setpoints["crac", "supply_sp_c"][:] = supply_c
        for _ in range(240):
            plant.step(1.0, at=AT)
        return float(plant.air.state.inlet_c.mean())

    assert mean_c(setpoint + 1) >= mean_c(setpoint) - 0.05


@settings(max_examples=12, deadline=None)
@given(
    faults=st.sets(st.sampled_from(sorted(FAULTS))),
    caps=st.integers(40, 100),
    fans=st.integers(30, 100),
)
def test_it_stays_physical_whatever_fails(faults: set[str], caps: int, fans: int) -> None:
    plant = Plant(FACILITY, seed=5)
    plant.conditions = conditions_of(faults, FACILITY)
    plant.setpoints["rack", "load_cap_pct"][:] = caps
    plant.setpoints["crac", "fan_speed_sp_pct"][:] = fans
    for _ in range(150):
        plant.step(2.0, at=AT)
    for (kind, quantity), values in plant.values().items():
        assert np.all(np.isfinite(values)), (kind, quantity)
    assert np.all(plant.air.state.inlet_c > 5) and np.all(plant.air.state.inlet_c < 70)
    assert np.all(plant.compute.rack_w >= 0)


def test_it_drains_a_full_battery_at_full_load_in_ten_minutes(facility: FacilitySpec) -> None:
    power = Plant(facility).power
    power.p = replace(power.p, ups_fixed_w=0.0, ups_efficiency=1.0)
    power.ups_load_w = np.array([300_000.0, 150_000.0])
    assert power.runtime_s == pytest.approx([600.0, 1200.0])


@pytest.mark.parametrize(("air_c", "expected_pct"), [(8.5, 100.0), (20.0, 47.6), (27.0, 31.2)])
def test_it_gives_the_humidity_of_a_psychrometric_table(air_c: float, expected_pct: float) -> None:
    assert relative_humidity_pct(np.array(air_c), dew_point_c=8.5) == pytest.approx(
        expected_pct, abs=0.6
    )
