"""Steady states by hand, monotonicity, conservation, transients and step width of the air side."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from facilities.twin.drive import Drive
from facilities.twin.read import multiplied, read_site
from facilities.twin.site import AssetRecord, LinkRecord, Site
from facilities.twin.thermal import Thermal, ThermalConstants
from facilities.twin.thermal.state import ThermalState

AIR = 1.204 * 1006.0
SITE = read_site()


class Rig:
    """The thermal model with given rack power, air flow and supply of power."""

    def __init__(self, site: Site = SITE, *, members: int = 1, load: float = 0.55) -> None:
        self.site, self.drive = site, Drive(site, members=members)
        self.thermal = Thermal(site)
        rated = self.thermal.layout.rack_rated_w
        self.rack_w = np.repeat(rated[None] * load, members, axis=0)
        self.flow = np.repeat(rated[None] * 0.55 / 14_500, members, axis=0)
        self.loss_w = np.full((members, self.thermal.layout.halls), 6000.0)
        self.powered = {
            kind: np.ones((members, site.count(kind)))
            for kind in ("crac", "cdu", "chiller", "pump", "tower")
        }
        self.worst = 0.0

    def start(self) -> ThermalState:
        return self.thermal.initial(self.drive)

    def run(self, state: ThermalState, seconds: float, dt_s: float = 5.0) -> ThermalState:
        for _ in range(round(seconds / dt_s)):
            self.thermal.step(
                state,
                self.drive,
                rack_w=self.rack_w,
                rack_airflow_m3s=self.flow,
                loss_w=self.loss_w,
                powered=self.powered,
                dt_s=dt_s,
            )
            left = state.heat_in_w - state.heat_out_w - state.heat_stored_w
            self.worst = max(self.worst, float(np.abs(left / state.heat_in_w).max()))
        return state

    def settled(self) -> ThermalState:
        state = self.start()
        for _ in range(6):
            self.run(state, 450, 15.0)
            self.thermal.settle(state, self.drive)
        return state


def test_it_balances_the_room_as_a_hand_calculation_does():
    """Heat to air = racks without the liquid part, losses and fans; it leaves by three units at
    70 % that blow 18 °C, and through 15 W/K of wall per rack in series with 60.
    """
    rig = Rig()
    state = rig.settled()
    racks_w = 0.55 * (4 * 45_000 + 12 * 8_000) - 0.6 * 0.55 * 45_000  # 136.95 kW
    fans_w = 3 * 7500 * 0.343
    stream_w_k = 3 * 0.7 * 6.2 * AIR  # 15.77 kW/K
    wall_w_k = 16 / (1 / 60 + 1 / 15)  # 192 W/K
    # fans heat the air before the supply sensor, so they are not in the rise from 18 °C
    room_c = (racks_w + 6000 + stream_w_k * 18 + wall_w_k * 24) / (stream_w_k + wall_w_k)
    assert room_c == pytest.approx(26.98, abs=0.05)
    assert state.room_c[0, 0] == pytest.approx(room_c, abs=0.02)
    coils_w = stream_w_k * (room_c - 18) + fans_w
    assert state.unit_heat_w[0, :4].sum() == pytest.approx(coils_w, rel=2e-3)
    # the loop also carries the CDU and the pump's work; 12 L/s rise by heat / 50.2 kW/K
    loop_w = coils_w + 0.6 * 0.55 * 45_000 + 1500 * 0.343 + 5500
    assert state.chiller_w.sum() == pytest.approx(loop_w, rel=2e-3)
    rise = state.water_return_c - state.water_supply_c
    assert rise[0, 0] == pytest.approx(loop_w / (12 * 4186), rel=2e-3)


def test_it_mixes_a_rack_inlet_as_a_hand_calculation_does():
    """Inlet = (1 - r) · 18 + r · (0.5 · outlet + 0.5 · room), outlet = inlet + P / (ρ c V)."""
    rig = Rig()
    state = rig.settled()
    share = rig.thermal.layout.blocks[0].share
    reaching = (3 * [0.7 * 6.2] + [0.0]) @ share
    drawn = rig.flow[0]
    cover = (reaching / drawn) / (1 + (reaching / drawn) ** 4) ** 0.25
    recirculated = 1 - 0.94 * cover
    np.testing.assert_allclose(state.recirculation[0], recirculated, atol=2e-3)
    rise = 0.55 * 45_000 / (AIR * drawn[2])
    r = recirculated[2]
    inlet = ((1 - r) * 18 + r * (0.5 * rise + 0.5 * state.room_c[0, 0])) / (1 - 0.5 * r)
    assert state.inlet_c[0, 2] == pytest.approx(inlet, abs=0.05)
    assert state.outlet_c[0, 2] == pytest.approx(inlet + rise, abs=0.05)


def test_it_rejects_the_heat_by_the_tower():
    """Chillers' heat and electricity and the condenser pump leave at range = heat / (ρ c V)."""
    rig = Rig()
    state = rig.settled()
    heat_w = state.chiller_w.sum() + state.chiller_power_w.sum() + 4000
    leaving = state.condenser_c[0, 0]
    assert leaving == pytest.approx(24.0, abs=0.1)
    # conductance = 80 kW/K · (0.1 + 0.9 · fan) carries the heat over 24 - 11 K
    fan = (heat_w / (80_000 * (leaving - 11)) - 0.1) / 0.9
    assert state.tower_fan[0, 0] == pytest.approx(fan, abs=0.01)
    range_k = heat_w / (14 * 4186)
    evaporated = (0.044 * 11 + 0.3528 * range_k + 0.101) * (320_000 / 2.1e6) / 3.6
    makeup_lps = rig.thermal.values(state, rig.drive)["tower", "makeup_lps"]
    assert makeup_lps[0, 0] == pytest.approx(evaporated * (1 + 0.01 + 1 / 3), rel=1e-3)


@settings(max_examples=12, deadline=None)
@given(
    fan=st.floats(50, 90),
    supply=st.floats(17, 22),
    load=st.floats(0.3, 0.6),
    rack=st.integers(0, 15),
)
def test_it_is_monotone(fan, supply, load, rack):
    """More fan, colder supply and less load never make an inlet warmer, as long as the coils hold
    the setpoint (past that, more air is warmer air).
    """
    rig = Rig(members=4, load=load)
    rig.drive["crac", "fan_speed_sp_pct"][:] = fan
    rig.drive["crac", "supply_sp_c"][:] = supply
    rig.drive["crac", "fan_speed_sp_pct"][1] = fan + 8
    rig.drive["crac", "supply_sp_c"][2] = supply - 1
    rig.rack_w[3, rack] += 2000.0
    state = rig.settled()
    assume(np.all(state.valve[:, :3] < 0.98))
    plain, more_fan, colder, loaded = state.inlet_c
    assert np.all(more_fan <= plain + 0.02)
    assert np.all(colder <= plain + 0.02)
    assert np.all(loaded >= plain - 0.02)
    assert loaded[rack] > plain[rack]


_HEALTH = st.sampled_from(
    [
        ("crac", "tripped", 1.0),
        ("crac", "fan_limit", 0.4),
        ("crac", "filter_resistance", 5.0),
        ("crac", "coil_ua", 0.3),
        ("crac", "valve_stuck", 0.1),
        ("crac", "run_cmd", 1.0),
        ("cdu", "tripped", 1.0),
        ("cdu", "exchanger_ua", 0.2),
        ("chiller", "tripped", 1.0),
        ("chiller", "capacity", 0.3),
        ("pump", "tripped", 1.0),
        ("pump", "head", 0.2),
        ("tower", "tripped", 1.0),
        ("tower", "fan_limit", 0.1),
        ("hall", "containment_open", 1.0),
        ("rack", "mixing_extra", 0.6),
    ]
)


@settings(max_examples=30, deadline=None)
@given(
    faults=st.lists(st.tuples(_HEALTH, st.integers(0, 15)), max_size=6),
    load=st.floats(0.0, 1.0),
    wet=st.floats(-5, 27),
    dark=st.sampled_from([(), ("crac",), ("pump", "chiller"), ("crac", "pump", "tower", "cdu")]),
    dt_s=st.sampled_from([1.0, 5.0, 15.0]),
)
def test_it_conserves_heat_under_any_faults(faults, load, wet, dark, dt_s):
    rig = Rig(load=load)
    rig.rack_w += 500.0
    state = rig.run(rig.start(), 20 * dt_s, dt_s)
    for (kind, quantity, value), index in faults:
        drive = rig.drive[kind, quantity]
        drive[0, index % drive.shape[1]] = value
    rig.drive["site", "wet_bulb_c"][:] = wet
    for kind in dark:
        rig.powered[kind][:] = 0.0
    rig.run(state, 60 * dt_s, dt_s)
    assert rig.worst < 1e-9  # the issue asks for 1e-3; this closes to rounding
    for name, values in state.to_arrays().items():
        assert np.all(np.isfinite(values)), name
    assert np.all(state.inlet_c > -10)


def test_it_warms_up_after_all_cooling_is_lost():
    """Without fans each rack breathes half its own exhaust and half the room: the A1 limit of 32 °C
    is passed within half a minute to minutes (published times for dense halls are of that order,
    recalled). All heat stays in the masses, about 2.4 MJ/K with the racks: 147 kW warm them by
    0.06 K/s at first, so the room must gain 5…60 K in ten minutes.
    """
    rig = Rig()
    state = rig.settled()
    before = state.inlet_c.max()
    for kind in ("crac", "pump", "chiller", "cdu"):
        rig.powered[kind][:] = 0.0
    crossed = None
    for second in range(5, 900, 5):
        rig.run(state, 5)
        if state.inlet_c.max() > 32.0:
            crossed = second
            break
    assert before < 25.0
    assert crossed is not None
    assert 15 < crossed < 400
    room_c = state.room_c[0, 0]
    rig.run(state, 600 - crossed)
    assert 5 < state.room_c[0, 0] - room_c < 60


def test_it_gives_the_same_course_at_any_step_width():
    """A tripped unit for ten minutes: 1 s and 15 s agree within 0.5 K at every rack."""
    courses = []
    for dt_s in (1.0, 5.0, 15.0):
        rig = Rig()
        state = rig.settled()
        rig.drive.set("crac-2", "tripped", 1.0)
        course = []
        for _ in range(10):
            rig.run(state, 60, dt_s)
            course.append(np.concatenate([state.inlet_c[0], state.room_c[0]]))
        courses.append(np.array(course))
    assert np.abs(courses[0] - courses[1]).max() < 0.2
    assert np.abs(courses[0] - courses[2]).max() < 0.5


def test_it_warms_the_racks_with_an_open_containment_door():
    rig = Rig(members=2)
    rig.drive["hall", "containment_open"][1] = 1.0
    state = rig.settled()
    assert np.all(state.inlet_c[1] > state.inlet_c[0] + 1.0)


def test_it_leaves_the_supply_warm_when_the_valve_sticks():
    rig = Rig()
    rig.drive.set("crac-1", "valve_stuck", 0.05)
    state = rig.settled()
    assert state.supply_c[0, 0] > 21.0
    assert state.supply_c[0, 1] == pytest.approx(18.0, abs=0.1)


def test_it_keeps_members_apart():
    """A member's course does not depend on what the others do."""
    alone = Rig()
    first = alone.run(alone.start(), 300)
    many = Rig(members=3)
    many.drive["crac", "tripped"][1] = 1.0
    many.drive["site", "wet_bulb_c"][2] = 25.0
    state = many.run(many.start(), 300)
    for name, values in first.to_arrays().items():
        np.testing.assert_allclose(
            state.to_arrays()[name][0], values[0], rtol=1e-9, atol=1e-6, err_msg=name
        )


def test_it_repeats_a_site_side_by_side():
    """Two copies with a loop each are each what one is; a trip in one leaves the other alone."""
    one, two = Rig(), Rig(multiplied(SITE, 2))
    racks = one.site.count("rack")
    two.drive.set("s1-crac-2", "tripped", 1.0)
    single, both = one.run(one.start(), 600), two.run(two.start(), 600)
    np.testing.assert_allclose(both.inlet_c[:, :racks], single.inlet_c, rtol=1e-9)
    np.testing.assert_allclose(both.water_supply_c[:, :1], single.water_supply_c, rtol=1e-9)
    assert np.all(both.inlet_c[0, racks:] > single.inlet_c[0])
    assert two.worst < 1e-9


def _two_halls_one_loop() -> Site:
    assets = [AssetRecord("ch", "chiller", attributes={"cooling_w": 200_000})]
    assets += [
        AssetRecord("p", "pump"),
        AssetRecord("a", "hall", "a"),
        AssetRecord("b", "hall", "b"),
    ]
    links = [LinkRecord("ch", "p", "cooling", {})]
    for hall in "ab":
        for number in range(4):
            # racks of the halls alternate, so that neither is a contiguous block
            place = {"x_m": 1.0 * number, "y_m": 2.0, "rated_w": 20_000}
            assets.append(AssetRecord(f"{hall}{number}", "rack", hall, attributes=place))
        assets.append(AssetRecord(f"crac-{hall}", "crac", hall, attributes={"x_m": 0, "y_m": 0}))
        links.append(LinkRecord("p", f"crac-{hall}", "cooling", {}))
    assets.sort(key=lambda asset: asset.tag[-1])
    return Site(assets, links)


def test_it_shares_chilled_water_between_halls():
    rig = Rig(_two_halls_one_loop(), members=2)
    assert rig.thermal.layout.loops == 1
    hall_b = rig.thermal.layout.rack_hall == 1
    rig.drive.set("crac-a", "tripped", 1.0, members=slice(1, 2))
    rig.drive["chiller", "capacity"][:] = 0.25
    state = rig.run(rig.start(), 900)
    # without the load of hall a the overloaded chiller keeps hall b cooler
    assert state.inlet_c[1, ~hall_b].mean() > state.inlet_c[0, ~hall_b].mean() + 3
    assert state.inlet_c[1, hall_b].mean() < state.inlet_c[0, hall_b].mean() - 0.5
    assert rig.worst < 1e-9


def test_it_runs_on_outside_air_without_a_tower():
    rig = Rig(_two_halls_one_loop(), members=2)
    rig.drive["site", "dry_bulb_c"][:, 0] = 15.0, 38.0
    state = rig.run(rig.start(), 900)
    assert state.condenser_c[:, 0].tolist() == [15.0, 38.0]
    assert state.chiller_power_w[1, 0] > 1.2 * state.chiller_power_w[0, 0]


def test_it_takes_estimates_by_asset_and_by_member():
    c = ThermalConstants().replaced(
        coil_ua=np.array([[0.5, 1.0, 1.0, 1.0]]), mixing=np.array([[0.0], [0.3]])
    )
    drive = Drive(SITE, members=2)
    rig = Rig(members=2)
    rig.thermal = Thermal(SITE, c)
    rig.drive = drive
    state = rig.settled()
    assert np.all(state.inlet_c[1] > state.inlet_c[0] + 0.5)
    assert state.valve[0, 0] > state.valve[0, 1] * 1.2
    assert rig.worst < 1e-9
