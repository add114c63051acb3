"""The offline judge of alarm rules: delay, hysteresis, silence, expressions."""

from dataclasses import replace

import numpy as np
import pytest

from facilities.demo.plant.judge import Judge
from facilities.demo.plant.points import FacilitySpec

INLET = {"name": "Hot", "kind": "rack", "quantity": "inlet_c", "above": 27, "clear": 26}


def judged(facility: FacilitySpec, rule: dict[str, object]) -> Judge:
    return Judge(replace(facility, rules=(rule,)))


def readings(facility: FacilitySpec, **values: float) -> np.ndarray:
    vector = np.zeros(len(facility.points))
    for row, point in enumerate(facility.points):
        vector[row] = values.get(point.tag.replace("-", "_").replace(".", "__"), 20.0)
    return vector


def test_it_raises_after_the_delay_and_clears_past_the_clear_level(facility: FacilitySpec) -> None:
    judge = judged(facility, {**INLET, "delay_s": 10})
    key = ("Hot", "rack-1-03.inlet_c")
    for now_s, inlet_c, open_ in [
        (0, 27.5, False),
        (8, 27.5, False),
        (9, 26.9, False),  # below the limit: the delay begins anew
        (10, 27.5, False),
        (20, 27.5, True),
        (22, 26.5, True),  # between the levels it stays
        (24, float("nan"), True),  # silence clears nothing
        (26, 25.9, False),
    ]:
        judge.judge(readings(facility, rack_1_03__inlet_c=inlet_c), now_s=now_s)
        assert (key in judge.open) is open_, now_s
    assert judge.raised == {key: 20}


def test_it_judges_below_and_expressions_over_points(facility: FacilitySpec) -> None:
    rule = {
        "name": "Off",
        "type": "expression",
        "kind": "crac",
        "quantity": "supply_c",
        "below": -3,
        "parameters": {"expression": "({this.supply_sp_c} - {this}) * {this.running} + 0 * {crac-1.fault}"},
    }  # fmt: skip
    judge = judged(facility, rule)
    judge.judge(
        readings(
            facility, crac_1__supply_c=22.0, crac_1__supply_sp_c=18.0, crac_1__running=1.0,
            crac_2__supply_c=22.0, crac_2__supply_sp_c=18.0, crac_2__running=0.0,
        ),
        now_s=0,
    )  # fmt: skip
    assert judge.open == {("Off", "crac-1.supply_c")}


def test_it_refuses_more_than_arithmetic(facility: FacilitySpec) -> None:
    rule = {**INLET, "type": "expression", "parameters": {"expression": "max({this}, 3)"}}
    with pytest.raises(ValueError, match="is not"):
        judged(facility, rule).judge(readings(facility), now_s=0)


def test_it_knows_every_threshold_and_expression_of_the_facility_file(
    facility: FacilitySpec,
) -> None:
    Judge(facility).judge(readings(facility), now_s=0)
