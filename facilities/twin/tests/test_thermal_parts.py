"""Laws of the thermal parts against published relations and hand calculation."""

import numpy as np
import psychrolib
import pytest

from facilities.twin.damper import throttled
from facilities.twin.drive import Drive
from facilities.twin.read import multiplied, read_site
from facilities.twin.readings import to_drive
from facilities.twin.site import AssetRecord, LinkRecord, Site, SiteError
from facilities.twin.thermal import ENVELOPES, Thermal, ThermalConstants, envelope_of
from facilities.twin.thermal.envelope import outside
from facilities.twin.thermal.exchangers import conductance_w_k, rated_ua_w_k
from facilities.twin.thermal.humidity import dew_point_c, relative_humidity_pct, saturation_pa
from facilities.twin.thermal.transient import first_crossing_s
from facilities.twin.thermal.water import (
    capacity_ratio,
    evaporation_lps,
    full_load_ratio,
    part_load_fraction,
)

C = ThermalConstants()


def test_it_states_a_source_for_every_constant():
    listed = C.listed()
    assert len(listed) > 50
    assert all(constant.source.strip() for constant in listed)


@pytest.mark.parametrize(
    ("ntu", "ratio", "effectiveness"),
    [
        (1.0, 0.0, 0.6321),  # 1 - 1/e: one side at constant temperature
        (1.0, 0.5, 0.5647),  # (1 - e^-0.5) / (1 - 0.5 e^-0.5)
        (2.0, 0.5, 0.7746),  # (1 - e^-1) / (1 - 0.5 e^-1)
        (1.0, 1.0, 0.5),  # NTU / (1 + NTU)
        (3.0, 1.0, 0.75),
    ],
)
def test_it_follows_the_counterflow_effectiveness(ntu, ratio, effectiveness):
    small = 2000.0
    large = small / ratio if ratio else 1e12
    got = conductance_w_k(np.array([ntu * small]), np.array([small]), np.array([large]))
    assert got[0] / small == pytest.approx(effectiveness, abs=2e-4)


def test_it_exchanges_nothing_without_a_stream():
    none = conductance_w_k(np.array([8000.0]), np.array([7500.0]), np.array([0.0]))
    assert none[0] == pytest.approx(0.0, abs=1e-5)


def test_it_meets_the_rating_of_a_coil():
    """90 kW from 30 °C air at 6.2 m³/s with 10 °C water, the rating of the demo CRACs."""
    hot, cold = np.array([6.2 * 1.204 * 1006]), np.array([90_000 / 5.5])
    ua = rated_ua_w_k(np.array([90_000.0]), 20.0, hot, cold)
    assert conductance_w_k(ua, hot, cold)[0] * 20.0 == pytest.approx(90_000, rel=1e-6)
    # by hand: r = 7509/16364 = 0.4589, ε = 90000/(7509·20) = 0.5993
    # NTU = ln((1 - ε r)/(1 - ε)) / (1 - r) = ln(0.7250/0.4007)/0.5411 = 1.096
    assert ua[0] == pytest.approx(1.096 * 7509, rel=2e-3)


def test_it_has_the_published_chiller_curves():
    design = np.array([35.0])
    assert capacity_ratio(C, design, np.array([6.67]))[0] == pytest.approx(0.944836)
    # 24 °C condenser, 10 °C leaving: ΔT = -11/2.778 - 3.33 = -7.2897
    # 0.944836 + 0.0570088·7.2897 + 0.00185486·53.140 = 1.45898
    assert capacity_ratio(C, np.array([24.0]), np.array([10.0]))[0] == pytest.approx(
        1.45898, abs=2e-4
    )
    assert full_load_ratio(C, np.array([1.0]))[0] == pytest.approx(2.333 - 1.975 + 0.6121)
    assert part_load_fraction(C, np.array([1.0]))[0] == pytest.approx(1.00003)
    # half load: 0.03303 + 0.3426 + 0.07045
    assert part_load_fraction(C, np.array([0.5]))[0] == pytest.approx(0.44608)


def test_it_lets_a_chiller_cycle_below_its_least_load():
    least = part_load_fraction(C, np.array([0.05]))[0]
    assert part_load_fraction(C, np.array([0.025]))[0] == pytest.approx(least / 2)
    assert part_load_fraction(C, np.array([0.0]))[0] == 0.0


def test_it_has_the_tower_water_formula():
    """0.044·20 + 0.3528·5 + 0.101 = 2.745 m³/h for the tower of the formula."""
    water = evaporation_lps(C, np.array([20.0]), np.array([5.0]), np.array([C.water_tower_w]))
    assert water[0] * 3.6 == pytest.approx(2.745)


def test_it_agrees_with_psychrolib():
    psychrolib.SetUnitSystem(psychrolib.SI)
    for air_c in (5.0, 18.0, 27.0, 45.0):
        assert saturation_pa(np.array(air_c)) == pytest.approx(
            psychrolib.GetSatVapPres(air_c), rel=1e-6
        )
        humidity = float(relative_humidity_pct(np.array(air_c), np.array(4.0)))
        assert psychrolib.GetTDewPointFromRelHum(air_c, humidity / 100) == pytest.approx(
            4.0, abs=0.01
        )
        assert dew_point_c(np.array(air_c), np.array(humidity)) == pytest.approx(4.0, abs=1e-6)


def test_it_knows_the_envelopes():
    recommended = envelope_of("recommended")
    assert (recommended.low_c, recommended.high_c, recommended.confirmed) == (18, 27, True)
    assert envelope_of("A1").high_c == 32
    assert not envelope_of("A3").confirmed
    order = [ENVELOPES[name].high_c for name in ("recommended", "A1", "A2", "A3", "A4")]
    assert order == sorted(order)
    with pytest.raises(KeyError, match="known: recommended, A1"):
        envelope_of("B")
    inlet = np.array([20.0, 33.0, 20.0])
    dew, humidity = np.array([8.0, 8.0, 18.0]), np.array([45.0, 20.0, 88.0])
    assert outside(envelope_of("A1"), inlet, dew, humidity).tolist() == [False, True, True]


def test_it_finds_the_first_crossing():
    times = np.array([0.0, 10.0, 20.0])
    values = np.array([[[20.0, 40.0, 1.0]], [[30.0, 41.0, 1.0]], [[34.0, 42.0, 1.0]]])
    assert first_crossing_s(times, values, 32.0).tolist() == [[15.0, 0.0, np.inf]]


def _stepped(drive, seconds, **changes):
    site = drive.site
    thermal = Thermal(site, C.replaced(**changes))
    state = thermal.initial(drive)
    powered = {
        kind: np.ones((drive.members, site.count(kind)))
        for kind in ("crac", "cdu", "chiller", "pump", "tower")
    }
    rated = thermal.layout.rack_rated_w
    for _ in range(int(seconds / 5)):
        thermal.step(
            state,
            drive,
            rack_w=np.repeat(rated[None] * 0.55, drive.members, axis=0),
            rack_airflow_m3s=np.repeat(rated[None] * 0.55 / 14_500, drive.members, axis=0),
            loss_w=np.full((drive.members, thermal.layout.halls), 6000.0),
            powered=powered,
            dt_s=5.0,
        )
    return thermal, state


def test_it_sizes_every_array():
    """A step keeps the shape that the start gives to every array of the state."""
    site = multiplied(read_site(), 2)
    drive = Drive(site, members=3)
    start = Thermal(site).initial(drive).to_arrays()
    after = _stepped(drive, 10)[1].to_arrays()
    assert {name: array.shape for name, array in start.items()} == {
        name: array.shape for name, array in after.items()
    }


def test_it_obeys_the_fan_laws():
    drive = Drive(read_site(), members=2)
    drive["crac", "fan_speed_sp_pct"][0] = 100.0
    drive["crac", "fan_speed_sp_pct"][1] = 70.0
    thermal, state = _stepped(drive, 120)
    values = thermal.values(state, drive)
    flow, power = values["crac", "airflow_m3s"], values["crac", "power_w"]
    assert flow[0, 0] == pytest.approx(6.2, rel=1e-3)
    assert flow[1, 0] / flow[0, 0] == pytest.approx(0.7, rel=1e-3)
    assert power[0, 0] == pytest.approx(7500, rel=1e-3)
    assert power[1, 0] / power[0, 0] == pytest.approx(0.343, rel=1e-3)
    assert values["crac", "filter_dp_pa"][1, 0] == pytest.approx(150 * 0.49, rel=1e-3)


def test_it_loses_flow_through_a_clogged_filter():
    drive = Drive(read_site())
    drive.set("crac-1", "filter_resistance", 4.0)
    thermal, state = _stepped(drive, 120)
    values = thermal.values(state, drive)
    flow, pressure = values["crac", "airflow_m3s"][0], values["crac", "filter_dp_pa"][0]
    # 1 / sqrt(1 + 0.12·3) = 0.8575 of the flow; 150·4·(0.7·0.8575)² = 216 Pa
    assert flow[0] / flow[1] == pytest.approx(0.8575, rel=1e-3)
    assert pressure[0] == pytest.approx(216, rel=5e-3)


def test_it_throttles_a_fan_with_its_damper():
    """Half open, 10 % of the pressure become 40 %: 1/sqrt(1.3) = 0.877 of the flow; the filter
    that is read back from its pressure drop is still the clean one."""
    drive = Drive(read_site())
    drive.set("crac-1", "damper_pct", 50.0)
    thermal, state = _stepped(drive, 120)
    values = thermal.values(state, drive)
    flow = values["crac", "airflow_m3s"][0]
    assert flow[0] / flow[1] == pytest.approx(0.877, rel=1e-3)
    assert throttled(np.array([100.0, 50.0, 0.0]), share=0.10, leak=0.02) == pytest.approx(
        [0.0, 0.3, 249.9]
    )
    told = {key: values["crac", key] for key in ("filter_dp_pa", "fan_speed_pct")}
    to_drive(thermal, drive, {("crac", name): value for name, value in told.items()})
    assert drive["crac", "filter_resistance"][0, :3] == pytest.approx(1.0, abs=0.01)


def test_it_gains_little_from_a_second_pump():
    drive = Drive(read_site())
    drive["pump", "run_cmd"][:] = 1.0
    _, state = _stepped(drive, 60)
    assert state.flow_lps.sum() == pytest.approx(12.0 * 1.0847, rel=1e-3)


def test_it_changes_over_to_the_standby_pump_and_back():
    drive = Drive(read_site())
    drive.set("chwp-1", "tripped", 1.0)
    _, state = _stepped(drive, 60)
    assert state.pump_running[0].tolist() == [0.0, 1.0]
    assert state.flow_lps[0, 1] == pytest.approx(12.0, rel=1e-2)
    assert state.chiller_w.sum() == 0.0  # the flow switch stopped it: 60 s to restart


def test_it_starts_the_standby_chiller_after_its_restart_time():
    drive = Drive(read_site())
    drive.set("chiller-1", "tripped", 1.0)
    _, early = _stepped(drive, 60)
    assert early.chiller_w[0].tolist() == [0.0, 0.0]
    _, late = _stepped(drive, 600)
    assert late.chiller_w[0, 1] > 100_000
    assert late.water_supply_c[0, 0] == pytest.approx(10.0, abs=0.3)


def test_it_takes_liquid_heat_through_the_cdu():
    drive = Drive(read_site())
    thermal, state = _stepped(drive, 1200)
    values = thermal.values(state, drive)
    heat = 0.6 * 0.55 * 45_000
    assert values["cdu", "supply_c"][0, 0] == pytest.approx(32.0, abs=0.1)
    # 14.85 kW in 0.84 L/s is 4.22 K
    assert values["cdu", "return_c"][0, 0] == pytest.approx(32.0 + heat / (0.84 * 4186), abs=0.1)
    assert values["cdu", "cooling_w"][0, 0] == pytest.approx(
        heat + state.cdu_power_w[0, 0], rel=5e-3
    )


def test_it_refuses_cold_plates_without_a_cdu():
    rack = AssetRecord("r1", "rack", "h", attributes={"liquid_fraction": 0.5})
    with pytest.raises(SiteError, match="rack r1 has liquid_fraction"):
        Thermal(Site([rack, AssetRecord("h", "hall", "h")]))


def test_it_refuses_a_unit_that_belongs_to_no_loop():
    assets = [AssetRecord("h", "hall", "h"), AssetRecord("r", "rack", "h")]
    links = []
    for name in "ab":
        assets += [AssetRecord(f"ch-{name}", "chiller"), AssetRecord(f"p-{name}", "pump")]
        links.append(LinkRecord(f"ch-{name}", f"p-{name}", "cooling", {}))
    crac = AssetRecord("crac-x", "crac", "h")
    with pytest.raises(SiteError, match="crac-x has no cooling link"):
        Thermal(Site([*assets, crac], links))
