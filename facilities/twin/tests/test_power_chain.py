"""Losses, batteries and protection: hand-worked and published figures."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.twin.power import PowerConstants, chain
from facilities.twin.power.battery import Battery
from facilities.twin.power.protection import Allowance, Breaker

C = PowerConstants()


def test_it_gives_a_source_for_every_constant() -> None:
    for constant in C.listed():
        assert len(constant.source) > 8, constant.name
        assert math.isfinite(constant.value)
    assert len(dataclasses.fields(C)) == len(C.listed())


def test_it_reproduces_the_published_power_of_frontier() -> None:
    """RAPS' config of Frontier: 74 racks of 128 nodes, 32 switches a rack, 25 CDU pumps."""

    def system_mw(node_w: float) -> float:
        behind_psu = chain.psu(C).input_w(node_w)
        four_nodes = chain.rectifier(C).input_w(4 * behind_psu)
        rack_w = 128 / 4 * four_nodes + 32 * 250
        return float(74 * rack_w + 25 * 8473) / 1e6

    idle_w = 90 + 4 * 88 + 74.26 + 4 * 20 + 30
    peak_w = 280 + 4 * 560 + 74.26 + 4 * 20 + 30
    assert system_mw(idle_w) == pytest.approx(7.28, abs=0.005)
    assert system_mw(peak_w) == pytest.approx(28.20, abs=0.005)
    into_chain = chain.rectifier(C).input_w(4 * chain.psu(C).input_w(peak_w))
    assert 4 * peak_w / into_chain == pytest.approx(0.935, abs=0.0005)


def test_it_loses_what_a_calculation_by_hand_says() -> None:
    # PDU of 150 kW at 35 %: 390 W of core + 150 kW · 0.35² · 1.25 % = 229.7 W of winding.
    pdu = chain.pdu(C)
    assert pdu.loss_w(52_500.0, 150_000.0) == pytest.approx(390 + 229.6875)
    # UPS of 300 kW at half load: 3,000 + 150,000 · 2.6 % + 300,000 · 0.25 · 1.2 % = 7,800 W.
    ups = chain.ups(C)
    assert ups.loss_w(150_000.0, 300_000.0) == pytest.approx(3_000 + 3_900 + 900)
    assert ups.efficiency(150_000.0, 300_000.0) == pytest.approx(150 / 157.8)


def test_it_meets_the_regulated_efficiency_of_a_transformer() -> None:
    """10 CFR 431.196: a 150 kVA dry-type transformer has 98.83 % at 35 % load."""
    assert chain.pdu(C).efficiency(52_500.0, 150_000.0) == pytest.approx(0.9883, abs=0.0003)


def test_it_inverts_a_stage() -> None:
    stage = chain.rectifier(C)
    assert stage.output_w(stage.input_w(1234.0)) == pytest.approx(1234.0)


@pytest.fixture
def battery() -> Battery:
    return Battery(C, reference_w=np.array([[300_000.0]]), rated_s=np.array([[600.0]]))


def test_it_runs_for_the_rated_minutes_at_rated_power(battery: Battery) -> None:
    full, as_new = np.ones((1, 1)), np.ones((1, 1))
    assert battery.runtime_s(full, np.array([[300_000.0]]), as_new)[0, 0] == pytest.approx(600)
    # Peukert at half the power: 600 s · 2^1.25 = 1,427 s, more than twice as long.
    half = battery.runtime_s(full, np.array([[150_000.0]]), as_new)[0, 0]
    assert half == pytest.approx(600 * 2**1.25)
    assert battery.runtime_s(full, np.array([[150_000.0]]), 0.5 * as_new)[0, 0] == pytest.approx(
        half / 2
    )


def test_it_empties_when_the_runtime_is_over(battery: Battery) -> None:
    charge, one = np.ones((1, 1)), np.ones((1, 1))
    for _ in range(120):
        battery.step(
            charge, power_w=np.array([[300_000.0]]), share=one, can_charge=0 * one,
            limit_w=18_000.0, health=one, dt_s=5.0,
        )  # fmt: skip
    assert charge[0, 0] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 400_000), st.floats(0, 1), st.floats(1, 15)), max_size=20),
    st.floats(0.3, 1.0),
    st.floats(0.0, 1.0),
)
def test_it_conserves_the_energy_of_a_battery(
    steps: list[tuple[float, float, float]], health: float, start: float
) -> None:
    """Store out = terminals out + heat - charged; heat is never negative, charge never above 1."""
    cell = Battery(C, reference_w=np.array([[300_000.0]]), rated_s=np.array([[600.0]]))
    charge, well = np.full((1, 1), start), np.full((1, 1), health)
    out = heat = charged = 0.0
    for power, share, dt in steps:
        flow = cell.step(
            charge,
            power_w=np.array([[power * share]]),
            share=np.array([[share]]),
            can_charge=np.array([[1.0 - share]]),
            limit_w=18_000.0,
            health=well,
            dt_s=dt,
        )
        out += power * share * dt
        heat += flow.loss_w[0, 0] * dt
        charged += flow.charging_w[0, 0] * dt
        assert flow.loss_w[0, 0] >= -1e-6
        assert charge[0, 0] <= 1.0 + 1e-12
    change = (charge[0, 0] - start) * cell.capacity_j[0, 0] * health
    assert change == pytest.approx(charged - out - heat, rel=1e-9, abs=1.0)


def test_it_trips_a_breaker_as_the_standard_says() -> None:
    """IEC 60947-2: holds at 1.05, trips at 1.30 within the conventional two hours."""
    breaker = Breaker(C)
    assert math.isinf(breaker.tolerated_s(1.05))
    assert 60 < breaker.tolerated_s(1.30) < 7200
    assert breaker.tolerated_s(2.0) < 300
    assert breaker.tolerated_s(8.0) == 0
    for dt in (1.0, 5.0, 15.0):
        heat, tripped, time = np.zeros((1, 1)), np.zeros((1, 1)), 0.0
        while not tripped.any() and time < 7200:
            breaker.follow(heat, tripped, np.array([[1.5]]), dt)
            time += dt
        assert time == pytest.approx(float(breaker.tolerated_s(1.5)), abs=dt)


def test_it_allows_the_overloads_of_the_manual() -> None:
    """Liebert Series 610: 125 % for 10 min, 150 % for 30 s, 104 % for good."""
    ups = Allowance(
        start=C.ups_overload_from, a_s=C.ups_overload_s, power=C.ups_overload_power, recovery_s=600
    )
    assert float(ups.tolerated_s(1.25)) == pytest.approx(600, rel=0.01)
    assert float(ups.tolerated_s(1.50)) == pytest.approx(30, rel=0.01)
    used = np.zeros((1, 1))
    for _ in range(1000):
        ups.follow(used, np.array([[1.03]]), 15.0)
    assert used[0, 0] == 0
    for _ in range(10):
        ups.follow(used, np.array([[1.25]]), 15.0)
    assert used[0, 0] == pytest.approx(0.25, rel=0.02)
    for _ in range(20):
        ups.follow(used, np.array([[0.5]]), 15.0)
    assert used[0, 0] == 0
