"""The tracker: finds planted parameters, keeps calm where it should, survives what plants do."""

from __future__ import annotations

import numpy as np
import pytest

from facilities.twin.coupled import Parameters
from facilities.twin.estimate.maintenance import Finding
from facilities.twin.estimate.read import read_specs
from facilities.twin.estimate.tracker import MAX_GAP_S, Tracker
from facilities.twin.read import read_site
from facilities.twin.tests.plants import Plant
from facilities.twin.thermal import ThermalConstants

SITE = read_site()
SPECS, LEVELS = read_specs(SITE)


def tracker(**changes: object) -> Tracker:
    return Tracker(SITE, SPECS, levels=LEVELS, step_s=15.0, **changes)  # type: ignore[arg-type]


def estimate(made: Tracker, asset: str, name: str):
    return next(e for e in made.estimates() if (e.asset, e.name) == (asset, name))


@pytest.fixture(scope="module")
def planted() -> tuple[Tracker, Plant]:
    """An hour of a plant that differs from the twin in known ways."""
    mixing = np.full((1, SITE.count("rack")), 0.06)
    mixing[0, SITE.locate("rack-1-04").row] = 0.16
    plant = Plant(
        SITE, SPECS,
        parameters=Parameters(
            thermal=ThermalConstants().replaced(mixing=mixing, chiller_cop=0.85)
        ),
        health={
            ("crac", "coil_ua"): {"crac-2": 0.75},
            ("crac", "fan_efficiency"): {"crac-1": 0.85},
            ("crac", "filter_resistance"): {"crac-3": 1.5},
            ("gpu", "thermal_resistance"): {"srv-06-gpu-2": 1.3},
        },
        biases={"chiller-1.return_c": 0.9},
        dt_s=60.0,
    )  # fmt: skip
    made = tracker()
    for at_s, readings in plant.run(1.0):
        made.update(at_s, readings)
    return made, plant


@pytest.mark.parametrize(
    ("asset", "name", "planted_value", "off"),
    [
        ("crac-2", "coil_ua", 0.75, 0.06),
        ("crac-1", "coil_ua", 1.0, 0.08),
        ("crac-1", "fan_efficiency", 0.85, 0.03),
        ("crac-3", "filter_resistance", 1.5, 0.06),
        ("crac-1", "filter_resistance", 1.0, 0.06),
        ("srv-06-gpu-2", "thermal_resistance", 1.3, 0.05),
        ("srv-06-gpu-3", "thermal_resistance", 1.0, 0.05),
        ("chiller-1", "chiller_cop", 0.85, 0.05),
    ],
)
def test_it_converges_to_planted_parameters(planted, asset, name, planted_value, off):
    found = estimate(planted[0], asset, name)
    assert found.value == pytest.approx(planted_value, abs=off)
    assert found.known


def test_it_finds_a_biased_sensor_and_learns_to_predict_it(planted):
    made, plant = planted
    block = next(b for b in made.blocks if b.kind == "chiller")
    column = [f.quantity for f in block.followed].index("return_c")
    row = SITE.locate("chiller-1").row
    assert made.filters["chiller"].offset[row, column] == pytest.approx(0.9, abs=0.1)
    update = made.update(plant.time_s + 60.0, next(iter(plant.run(1 / 60)))[1])
    point = next(p for p in update.points if p.tag == "chiller-1.return_c")
    assert abs(point.residual) < 0.3


def test_it_predicts_within_guideline_14_half_an_hour_ahead(planted):
    results = planted[0].free_score.results()
    assert len(results) > 20
    for quantity in ("rack.inlet_c", "crac.supply_c", "gpu.temp_c", "hall.it_power_w"):
        assert results[quantity].passed, (quantity, results[quantity])


def test_it_leaves_alone_what_stands_still(planted):
    for name in ("coil_ua", "filter_resistance", "fan_efficiency"):
        found = estimate(planted[0], "crac-4", name)
        assert found.value == 1.0
        assert not found.known


def test_it_keeps_what_it_learnt_over_a_gap_and_a_jump_of_the_clock(planted):
    made, plant = planted
    readings = plant.readings()
    before = estimate(made, "crac-2", "coil_ua").value
    at_s = made.at_s
    assert made.update(at_s, readings) is None
    assert made.update(at_s - 5.0, readings) is None
    gap = made.update(at_s + MAX_GAP_S + 60.0, readings)
    assert "without a snapshot" in gap.restarted
    back = made.update(at_s - 3600.0, readings)
    assert "clock" in back.restarted
    assert estimate(made, "crac-2", "coil_ua").value == pytest.approx(before, abs=0.02)


def test_it_is_not_poisoned_by_bad_readings(planted):
    made, plant = planted
    before = {(e.asset, e.name): e.value for e in made.estimates()}
    readings = plant.readings()
    at_s = made.at_s
    for number in range(4):
        bad = {tag: (float("nan"), 1) for tag in list(readings)[::3]}
        bad |= dict.fromkeys(list(readings)[1::3], (1000000000000.0, 1))
        bad |= {tag: (value, 4) for tag, (value, _) in list(readings.items())[2::3]}
        assert made.update(at_s + 60.0 * (number + 1), bad) is None
    spike = readings | {"crac-2.valve_pct": (2.0, 1), "rack-1-03.inlet_c": (65.0, 1)}
    made.update(at_s + 60.0, spike)
    after = {(e.asset, e.name): e.value for e in made.estimates()}
    assert max(abs(after[key] - before[key]) for key in before) < 0.05
    state = made.live()[1]
    assert all(np.isfinite(v).all() for n, v in state.to_arrays().items() if "inlet" in n)


@pytest.fixture(scope="module")
def wearing() -> list[tuple[float, Finding]]:
    """Four hours in which a filter, a fan, a GPU's paste, a sensor and a battery go bad."""
    plant = Plant(SITE, SPECS, dt_s=60.0, swing=0.1)

    def wear(time_s: float) -> None:
        hours = time_s / 3600.0
        plant.drive.set("crac-3", "filter_resistance", 1.0 + 0.5 * hours)
        plant.drive.set("crac-1", "fan_efficiency", 1.0 - 0.04 * hours)
        plant.drive.set("srv-06-gpu-2", "thermal_resistance", 1.0 + 0.08 * hours)
        plant.biases["rack-1-07.inlet_c"] = 0.45 * hours

    made = tracker()
    seen: list[tuple[float, Finding]] = []
    for at_s, readings in plant.run(4.0, wear):
        readings["ups-b.battery_resistance_mohm"] = (160.0 + 8.0 * at_s / 3600.0, 1)
        readings["ups-a.battery_resistance_mohm"] = (160.0, 1)
        update = made.update(at_s, readings)
        assert update is not None
        seen += [(at_s, finding) for finding in update.findings or ()]
    return seen


@pytest.mark.parametrize(
    ("what", "asset"),
    [
        ("filter", "crac-3"),
        ("fan", "crac-1"),
        ("paste", "srv-06-gpu-2"),
        ("sensor", "rack-1-07"),
        ("battery", "ups-b"),
    ],
)
def test_it_finds_what_wears_out_before_its_limit(wearing, what, asset):
    found = [(at, f) for at, f in wearing if (f.what, f.asset) == (what, asset)]
    assert found, sorted({(f.what, f.asset) for _, f in wearing})
    _, first = found[0]
    assert first.lead_s is None or first.lead_s > 600
    assert abs(first.value) < abs(first.level) or first.what == "fan"


def test_it_accuses_nothing_else(wearing):
    assert {(f.what, f.asset) for _, f in wearing} <= {
        ("filter", "crac-3"), ("fan", "crac-1"), ("paste", "srv-06-gpu-2"),
        ("sensor", "rack-1-07"), ("battery", "ups-b"),
    }  # fmt: skip
