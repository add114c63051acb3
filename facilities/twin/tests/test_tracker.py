"""The tracker: finds planted parameters, keeps calm where it should, survives what plants do."""

from __future__ import annotations

import numpy as np
import pytest

from facilities.twin.coupled import Parameters
from facilities.twin.estimate.read import read_specs
from facilities.twin.estimate.tracker import Tracker
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
    """Three hours of a plant that differs from the twin in known ways."""
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
    )  # fmt: skip
    made = tracker()
    for at_s, readings in plant.run(3.0):
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
        ("rack-1-04", "mixing", 0.16, 0.04),
        ("chiller-1", "chiller_cop", 0.85, 0.05),
    ],
)
def test_it_converges_to_planted_parameters(planted, asset, name, planted_value, off):
    found = estimate(planted[0], asset, name)
    assert found.value == pytest.approx(planted_value, abs=off)
    assert found.known
