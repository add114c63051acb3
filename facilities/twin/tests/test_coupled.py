"""The whole twin: coupling of the parts, conservation, runs, observation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.twin.coupled import Parameters, Twin, TwinState
from facilities.twin.drive import DRIVES, Drive
from facilities.twin.read import multiplied, read_site
from facilities.twin.schedule import Change, Schedule
from facilities.twin.site import AssetRecord, Site, SiteError
from facilities.twin.thermal import time_to

SITE = read_site()
TWIN = Twin(SITE)
REST = TWIN.initial(Drive(SITE))
NOTHING = Schedule()


def _run(changes=(), *, duration_s=600.0, variants=1, state=REST, twin=TWIN, **kwargs):
    drive = Drive(twin.site)
    return twin.run(
        state, drive, Schedule(changes), duration_s=duration_s, variants=variants, **kwargs
    )


def test_it_starts_settled():
    course = _run(duration_s=900)
    for key in (("rack", "inlet_c"), ("crac", "return_c"), ("chiller", "supply_c")):
        assert np.ptp(course.values[key], axis=0).max() < 0.1
    assert 0.5 < np.ptp(course.values["rack", "inlet_c"][-1]) < 6
    assert course.closure < 1e-9


def test_it_turns_all_electricity_of_the_racks_into_heat():
    state, drive = REST.repeated(1), Drive(SITE)
    TWIN.step(state, drive, 5.0)
    balance, values = TWIN.balance(state), TWIN.values(state, drive)
    racks_w = values["rack", "power_w"].sum()
    cooling_w = sum(power.sum() for power in TWIN.thermal.mechanical_w(state.thermal).values())
    tower_fan_w = (state.thermal.tower_power_w - 4000).sum()
    losses_w = state.power.loss_w.sum()
    assert balance.heat_in_w[0] == pytest.approx(racks_w + cooling_w - tower_fan_w + losses_w)
    # what the utility gives is what racks, cooling, lighting and losses take (battery is full)
    elsewhere_w = (state.power.ups_loss_w.sum() + state.power.pdu_loss_w.sum()) - (
        losses_w - 16 * 150
    )
    facility_w = values["utility", "power_w"].sum()
    assert facility_w >= racks_w + cooling_w
    assert abs(elsewhere_w) < 0.1 * facility_w
    assert values["hall", "facility_power_w"].sum() == pytest.approx(facility_w, rel=1e-6)
    assert balance.worst < 1e-9


def test_it_carries_a_slow_link_through_to_the_heat():
    """Network → GPU load → power → heat: each part of the chain moves."""
    slow = [Change(0, f"link-leaf-{n}-spine-{m}", "capacity", 0.15) for n in (1, 2) for m in (1, 2)]
    course = _run(slow, duration_s=900)
    job = course.of("job-1", "step_time_s")[:, 0]
    assert job[-1] > 1.15 * job[0]
    power = course.of("rack-1-03", "power_w")[:, 0]
    assert power[-1] < power[0] - 200
    # its fans slow down too, so the outlet tells little: the hall does
    returning = course.of("crac-1", "return_c")[:, 0]
    assert returning[-1] < returning[0] - 0.05
    other = course.of("rack-2-03", "power_w")[:, 0]
    assert abs(other[-1] - other[0]) < 50


def test_it_throttles_when_the_cooling_is_gone_and_the_job_slows():
    """Heat → temperature → throttling → job, the way back."""
    trips = [Change(0, f"crac-{n}", "tripped", 1) for n in (1, 2, 3)]
    course = _run(trips, duration_s=1500)
    inlet = course.values["rack", "inlet_c"].max(axis=(1, 2))
    assert inlet[-1] > 45
    assert course.values["gpu", "speed"].min() < 0.95
    assert course.values["job", "throughput_pct"][-1].min() < 95
    crossed = time_to(course, 32.0)[0]
    assert 15 < crossed < 400
    assert course.closure < 1e-9


def test_it_compares_acting_with_doing_nothing():
    changes = [Change(0, "crac-2", "tripped", 1), Change(60, "crac-4", "run_cmd", 1, variant=1)]
    course = _run(changes, duration_s=900, variants=2)
    nothing, acting = (
        course.of("rack-2-03", "inlet_c", variant=variant)[-1, 0] for variant in (0, 1)
    )
    assert nothing > acting + 2
    energy = course.of("crac-4", "power_w", variant=1)[-1, 0]
    assert energy == pytest.approx(2572, rel=0.01)
    alone = _run(changes[:1], duration_s=900)
    np.testing.assert_allclose(
        alone.values["rack", "inlet_c"][:, 0],
        course.values["rack", "inlet_c"][:, 0],
        rtol=1e-5,
    )


def test_it_leaves_state_and_drive_as_they_were():
    drive = Drive(SITE)
    before = {name: array.copy() for name, array in REST.to_arrays().items()}
    TWIN.run(REST, drive, Schedule([Change(0, "crac-1", "tripped", 1)]), duration_s=60)
    assert drive["crac", "tripped"].sum() == 0
    for name, array in REST.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_it_is_repeatable():
    first, second = (_run([Change(0, "utility-1", "available", 0)]) for _ in range(2))
    for key, values in first.values.items():
        np.testing.assert_array_equal(values, second.values[key])


def test_it_rides_through_a_utility_loss():
    """UPS carry the racks at once, the generator carries the cooling within 40 s."""
    course = _run([Change(0, "utility-1", "available", 0)], duration_s=300)
    assert course.values["rack", "power_w"].sum(axis=2).min() > 100_000
    running = course.values["crac", "running"][:, 0, :3].min(axis=1)
    assert running[2] == 0
    assert running[-1] == 1
    assert course.values["generator", "power_w"][-1].sum() > 150_000
    assert course.closure < 1e-9


def test_it_bands_the_result_by_draws_that_all_variants_share():
    rng = np.random.default_rng(7)
    twin = Twin(SITE, Parameters().drawn(8, rng).tiled(2))
    changes = [Change(0, "crac-2", "tripped", 1), Change(30, "crac-4", "run_cmd", 1, variant=1)]
    course = _run(changes, variants=2, twin=twin, state=REST.repeated(16), duration_s=600)
    nothing = course.of("rack-2-03", "inlet_c")
    acting = course.of("rack-2-03", "inlet_c", variant=1)
    assert nothing.shape[1] == acting.shape[1] == 8
    assert np.ptp(nothing[-1]) > 0.3
    np.testing.assert_allclose(nothing[1], acting[1], rtol=1e-5)  # same draws, before the action
    plain = _run(changes, variants=2, duration_s=600).of("rack-2-03", "inlet_c")
    np.testing.assert_allclose(nothing[:, 0], plain[:, 0], rtol=1e-5)  # draw 0 is the constants


def test_it_records_only_what_is_asked_and_tells_its_progress():
    shares: list[float] = []
    course = _run(duration_s=120, record=[("rack", "inlet_c")], every_s=30, progress=shares.append)
    assert list(course.values) == [("rack", "inlet_c")]
    assert course.times_s.tolist() == [0, 30, 60, 90, 120]
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_it_says_what_does_not_fit():
    with pytest.raises(SiteError, match="knows no asset crac-9"):
        _run([Change(0, "crac-9", "tripped", 1)])
    with pytest.raises(SiteError, match="crac-1 is a crac: it has no drive colour"):
        _run([Change(0, "crac-1", "colour", 1)])
    with pytest.raises(ValueError, match="3 states and 1 drives do not make 2"):
        _run(variants=2, state=REST.repeated(3))
    with pytest.raises(KeyError):
        _run(duration_s=10, record=[("rack", "colour")])


def test_it_stores_and_restores_its_state():
    restored = TwinState.from_arrays(REST.to_arrays())
    for name, array in restored.to_arrays().items():
        np.testing.assert_array_equal(array, REST.to_arrays()[name])
    with pytest.raises(KeyError):
        TwinState.from_arrays({"thermal.inlet_c": np.zeros((1, 1))})


def test_it_gives_every_constant_a_source():
    for part, constants in Parameters().listed().items():
        assert constants, part
        assert all(constant.source.strip() for constant in constants), part


def _readings(state, drive):
    """What perfect instruments would say, by tag."""
    values = TWIN.values(state, drive) | drive.values
    return {
        f"{tag}.{quantity}": float(values[kind, quantity][0, row])
        for (kind, quantity) in values
        if kind != "site"
        for row, tag in enumerate(SITE.tags(kind))
    }


def test_it_takes_its_state_from_instruments():
    """In the middle of a transient: the course from the observed state is that of the true one."""
    state, drive = REST.repeated(1), Drive(SITE)
    drive.set("crac-2", "tripped", 1.0)
    drive.set("crac-1", "filter_resistance", 3.0)
    drive.set("crac-1", "fan_speed_sp_pct", 90.0)
    drive.set("site", "wet_bulb_c", 17.0)
    for _ in range(24):
        TWIN.step(state, drive, 5.0)
    seen, seen_drive = TWIN.observe(_readings(state, drive))
    assert seen_drive["crac", "tripped"][0].tolist() == [0, 1, 0, 0]
    assert seen_drive["crac", "fan_speed_sp_pct"][0, 0] == 90
    assert seen_drive["site", "wet_bulb_c"][0, 0] == 17
    # the pressure drop tells the filter: ±0.2 from the fan's own lag
    assert seen_drive["crac", "filter_resistance"][0, 0] == pytest.approx(3.0, abs=0.3)
    true = TWIN.run(state, drive, NOTHING, duration_s=600).values
    told = TWIN.run(seen, seen_drive, NOTHING, duration_s=600).values
    for key, limit in (
        (("rack", "inlet_c"), 0.3),
        (("crac", "return_c"), 0.3),
        (("chiller", "supply_c"), 0.3),
        (("rack", "power_w"), 400.0),
        (("gpu", "temp_c"), 1.0),
    ):
        assert np.abs(true[key] - told[key]).max() < limit, key


def test_it_observes_what_little_there_is():
    state, drive = TWIN.observe(
        {
            "rack-1-03.inlet_c": 23.5,
            "unknown.tag": 1.0,
            "crac-1.fault": 2.0,
            "crac-1.fan_speed_pct": 45.0,
            "rack-1-04.inlet_c": float("nan"),
        }
    )
    assert state.thermal.inlet_c[0, 2] == 23.5
    assert np.isfinite(state.thermal.inlet_c).all()
    assert drive["crac", "fan_limit"][0, 0] == 0.45
    assert drive["crac", "tripped"].sum() == 0


_FAULTS = [
    (kind, quantity)
    for (kind, quantity), spec in DRIVES.items()
    if spec.role == "health" and spec.default in (0, 1) and SITE.count(kind)
]


@settings(max_examples=15, deadline=None)
@given(
    faults=st.lists(
        st.tuples(st.sampled_from(_FAULTS), st.integers(0, 200), st.floats(0, 1)), max_size=8
    ),
    dt_s=st.sampled_from([1.0, 5.0, 15.0]),
)
def test_it_closes_the_balance_under_any_faults(faults, dt_s):
    """Heat and electricity close within 0.1 % at every step, whatever is broken."""
    state, drive = REST.repeated(1), Drive(SITE)
    for (kind, quantity), index, size in faults:
        column = drive[kind, quantity]
        default = DRIVES[kind, quantity].default
        column[0, index % column.shape[1]] = 1.0 if default == 0 else max(size, 0.05)
    for _ in range(40):
        TWIN.step(state, drive, dt_s)
        assert TWIN.balance(state).worst < 1e-3
    for name, array in state.to_arrays().items():
        assert not np.isnan(array).any(), name


def test_it_runs_several_halls_at_once():
    site = multiplied(SITE, 3)
    twin = Twin(site)
    state = twin.initial(Drive(site))
    course = twin.run(
        state, Drive(site), Schedule([Change(0, "s2-crac-2", "tripped", 1)]), duration_s=300
    )
    inlet = course.values["rack", "inlet_c"][-1, 0].reshape(3, 16)
    np.testing.assert_allclose(inlet[0], inlet[1], atol=0.02)
    assert inlet[2].max() > inlet[0].max() + 2
    assert course.closure < 1e-9


def test_it_stands_an_empty_data_list():
    """A fresh installation has no asset yet: its pages ask the twin all the same."""
    empty = Site([], [])
    twin = Twin(empty)
    state, drive = twin.observe({"rack-1-03.inlet_c": 20.0})
    course = twin.run(state, drive, NOTHING, duration_s=30, variants=2)
    assert course.values["rack", "inlet_c"].shape[2] == 0


def test_it_takes_halls_that_only_racks_name():
    racks = [AssetRecord(f"r{n}", "rack", "hall-x", attributes={"rated_w": 8000}) for n in (1, 2)]
    crac = AssetRecord("c1", "crac", "hall-x")
    twin = Twin(Site([*racks, crac]))
    state = twin.initial(Drive(twin.site))
    assert np.isfinite(state.thermal.inlet_c).all()
