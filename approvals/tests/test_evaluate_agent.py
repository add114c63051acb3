"""The evaluation of the agent: one case through everything, and the figures it reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from approvals.evaluation.measure import (
    Outcome,
    Proposed,
    calibration_of,
    figures_of,
    summary,
    table,
)
from approvals.models import AuditEntry, Investigation, Proposal
from approvals.tests.test_agent import few_procedures, no_engine
from facilities.models import Alarm

__all__ = ["few_procedures", "no_engine"]

START = Proposed("start_standby_crac", "crac-4", "Start standby CRAC 4", False)


def outcome(**changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "case": "crac-2-trip", "group": "Cooling", "healthy": False, "with_model": False,
        "alarm_s": 2.0, "looks": 1, "named": "crac-2", "likelihood": 0.95, "right_asset": True,
        "right_class": True, "proposed": (START,), "plant_s": 0.0, "wall_s": 1.5,
        "conclusion": "Proposed: Start standby CRAC 4.",
    }  # fmt: skip
    return Outcome(**{**fields, **changes})


def test_it_counts_what_is_right_harmful_and_false() -> None:
    bad = Proposed("stop_unit", "crac-1", "Stop CRAC 1", True, ("the hottest inlet is 31 °C",))
    outcomes = [
        outcome(),
        outcome(case="b", right_asset=False, right_class=False, proposed=(bad,), plant_s=60.0),
        outcome(case="c", group="Network", right_class=True, proposed=(), plant_s=None),
        outcome(case="h1", group="Healthy", healthy=True, proposed=(), plant_s=None),
        outcome(case="h2", group="Healthy", healthy=True, proposed=(START,)),
    ]
    found = figures_of(outcomes)
    assert (found.faults, found.right_asset, found.right_class) == (3, 2, 2)
    assert (found.harmful, found.proposals) == (1, 3)
    assert (found.healthy, found.false) == (2, 1)
    assert found.plant_s == (30.0, 60.0)
    assert found.groups == {"Cooling": (1, 1, 2), "Network": (1, 1, 1)}
    assert "false proposals on healthy runs: 1 of 2 (50 %)" in summary(found)
    assert "HARM" in table(outcomes)[2]
    assert sum(b.cases for b in calibration_of(outcomes)) == 3


@pytest.mark.django_db
@pytest.mark.usefixtures("no_engine", "few_procedures", "demo_facility")
def test_it_runs_a_case_and_leaves_nothing_behind() -> None:
    from approvals.evaluation.cases import cases_read
    from approvals.evaluation.runner import case_run
    from facilities.demo.plant.points import read_facility

    facility = read_facility()
    case = next(c for c in cases_read(facility) if c.name == "crac-2-trip")
    before = AuditEntry.objects.count()
    found, deaf = case_run(case, facility, voices=[False, True], follow_twin=False)
    assert (found.problem, found.replayed, found.diverged) == ("", 1, ())
    assert deaf == replace(found, wall_s=deaf.wall_s)  # the same world; no model answers here
    assert (found.named, found.right_asset, found.right_class) == ("crac-2", True, True)
    assert [(p.kind, p.target, p.harmful) for p in found.proposed] == [
        ("start_standby_crac", "crac-4", False)
    ]
    assert found.with_model is False
    for model in (Proposal, Investigation, Alarm):
        assert not model.objects.exists()
    assert AuditEntry.objects.count() == before


@pytest.mark.django_db
def test_the_command_refuses_to_run_inside_a_transaction_or_for_nothing() -> None:
    with pytest.raises(CommandError, match="no case or group contains 'perpetual'"):
        call_command("evaluate_agent", "--only", "perpetual")
    with pytest.raises(RuntimeError, match="outside transactions"):
        call_command("evaluate_agent", "--only", "crac-2-trip-heat-wave")
