"""Held-out cases: breaks on any asset, deeds, planned work; outcomes and plants that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.catalogue import KINDS
from approvals.evaluation.breaks import Break, BreakBook, BreakError, breaks_read, deeds_read
from approvals.evaluation.cases import HELD_OUT, cases_read
from approvals.evaluation.harm import Harm
from approvals.evaluation.kept import Kept
from approvals.evaluation.measure import figures_of, summary
from approvals.evaluation.plant import PlantRun
from approvals.evaluation.stock import Stock
from approvals.tests.test_evaluate_agent import START, outcome
from facilities.demo.plant.points import read_facility

FACILITY = read_facility()
CASES = {case.name: case for case in cases_read(FACILITY, path=HELD_OUT)}
SCENARIOS = {case.name for case in cases_read(FACILITY)}


def test_the_held_out_cases_are_many_others_and_say_what_is_right() -> None:
    faulty = [case for case in CASES.values() if not case.healthy]
    assert len(faulty) >= 40 and len(CASES) - len(faulty) >= 20
    assert not SCENARIOS & set(CASES)
    assert all(case.expect.kinds <= set(KINDS) and case.breaks for case in faulty)
    assert {case.group for case in faulty} == {
        "Cooling", "Power", "Compute", "Network", "Double", "Instruments"
    }  # fmt: skip
    assert any(case.expect.never for case in faulty) and any(case.late_s for case in faulty)
    assert sum(len(case.expect.each) > 1 for case in faulty) >= 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"meteor": "crac-1"}, "names one of"),
        ({"crac_tripped": "chiller-1"}, "is of crac-1"),
        ({"crac_tripped": "crac-1", "colour": "red"}, "names one of"),
        ({"instrument": "crac-1.soul", "ailment": "stuck"}, "no point is called"),
        ({"instrument": "crac-1.supply_c", "ailment": "sad"}, "the ailment is one of"),
    ],
)
def test_it_refuses_a_break_that_cannot_be(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(BreakError, match=message):
        breaks_read([entry], FACILITY)
    with pytest.raises(BreakError, match="takes no 999"):
        deeds_read([{"at_s": 1, "set": "crac-1.fan_speed_sp_pct", "to": 999}], FACILITY)


@given(
    at_s=st.floats(0, 500),
    over_s=st.floats(1, 500),
    now_s=st.floats(-10, 2000),
    until_s=st.floats(100, 1500),
)
@settings(max_examples=60, deadline=None)
def test_a_break_develops_and_ends(
    at_s: float, over_s: float, now_s: float, until_s: float
) -> None:
    one = Break("crac_coil_ua", "crac-2", to=0.2, at_s=at_s, over_s=over_s, until_s=until_s)
    conditions = BreakBook(FACILITY, [one], began_s=100.0).conditions(100.0 + now_s)
    left = float(conditions.crac_coil_ua[FACILITY.place("crac", "crac-2")])
    assert 0.2 - 1e-9 <= left <= 1.0
    if not at_s <= now_s < until_s:
        assert left == 1.0
    elif now_s - at_s >= over_s + 1e-6:
        assert left == pytest.approx(0.2)
    assert float(conditions.crac_coil_ua.sum()) == pytest.approx(3.0 + left)


def test_a_reset_heals_what_a_reset_heals() -> None:
    book = BreakBook(
        FACILITY,
        breaks_read([{"gpu_xid": "srv-06-gpu-0", "to": 79}, {"server_brake": "srv-06"}], FACILITY),
        began_s=0.0,
    )
    gpu, server = FACILITY.place("gpu", "srv-06-gpu-0"), FACILITY.place("server", "srv-06")
    assert book.conditions(1.0).gpu_xid[gpu] == 79.0
    book.restarted(["srv-05"])
    assert book.conditions(2.0).gpu_xid[gpu] == 79.0
    book.restarted(["srv-06"])
    assert book.conditions(3.0).gpu_xid[gpu] == 0.0
    assert bool(book.conditions(3.0).server_brake[server])


def test_people_write_at_their_time_and_nobody_may_touch_what_they_work_on(tmp_path: Path) -> None:
    """One plant for three questions: it costs two seconds."""
    case = replace(
        CASES["crac-3-trips-during-work-on-crac-2"],
        does=deeds_read([{"at_s": 31, "set": "crac-1.fan_speed_sp_pct", "to": 90}], FACILITY),
    )
    stock = Stock(tmp_path)
    run = PlantRun(case, FACILITY, pause=True, stock=stock)
    assert run.alarm_s is not None
    assert run.sim.plant.setpoint("crac-1.fan_speed_sp_pct") == 70.0
    again = PlantRun(case, FACILITY, pause=True, stock=stock)  # kept, not run
    assert (again.alarm_s, again.at_s) == (run.alarm_s, run.at_s)
    for one in (run, again):
        one.step(60.0)
        assert one.sim.plant.setpoint("crac-1.fan_speed_sp_pct") == 90.0
    assert run.sim.facility is again.sim.facility
    np.testing.assert_array_equal(
        run.sim.history[-1].values, again.sim.history[-1].values, strict=True
    )
    barred = run.harm([{"tag": "crac-2.run_cmd", "value": 1.0}])
    assert barred.reasons == ["people work on crac-2"]
    asked: list[int] = []

    def ask() -> Harm:
        asked.append(1)
        return Harm(True, ["it did"], {"nothing": {"hottest_c": 30.0}})

    moves = [{"tag": "crac-1.run_cmd", "value": 0.0}]
    found = [stock.harm(case, 62.0, moves, ask) for _ in range(2)]
    assert found[0] == found[1] and asked == [1]
    assert stock.harm(case, 64.0, moves, ask) == found[0] and asked == [1, 1]


def test_outcomes_are_kept_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    told = outcome(replayed=2, proposed=(replace(START, alternatives=("Open work order for A",)),))
    Kept(path).add("without model", told)
    with path.open("a") as file:
        file.write('\n{"pass": "without model", "case": "cut-o')
    kept = Kept(path)
    assert kept.get("without model", "crac-2-trip") == told
    assert kept.get("with model", "crac-2-trip") is None
    kept.add("with model", told)
    assert Kept(path).get("with model", "crac-2-trip") == told
    assert json.loads(path.read_text().splitlines()[-1])["pass"] == "with model"
    said = "\n".join(summary(figures_of([told])))
    assert "1 of 1 (100 %), with the work order beside it 1" in said
    assert "drawn again from their records: 2, 0 different" in said


def test_only_the_cases_that_the_rules_were_written_on_calibrate() -> None:
    with pytest.raises(CommandError, match="the rules were written on alone"):
        call_command("evaluate_agent", "--cases", "held_out", "--calibrate")
