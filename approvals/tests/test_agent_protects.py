"""The agent protects first, keeps off what people work on, and is held up by nothing unrelated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.agent import alarms_to_investigate, investigate
from approvals.agent.replay import replay
from approvals.models import Investigation, Proposal
from approvals.tests.conftest import CRAC_2_DOWN, MakeProposal, SetValues
from approvals.tests.test_agent import (
    WARM,
    _crac_2_alarm,
    _hot_alarm,
    _raise_alarm,
    few_procedures,
    no_engine,
)
from facilities.models import Asset, MaintenanceWindow

__all__ = ["few_procedures", "no_engine"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_engine", "few_procedures")]

VALVE_STUCK = {"crac-3.supply_c": 24.5, "crac-3.valve_pct": 6.0, "crac-3.return_c": 31.0}


def _agents() -> Any:
    return Proposal.objects.filter(requested_by=None)


def test_a_cordon_that_somebody_asked_for_does_not_hold_up_the_cooling(
    make_proposal: MakeProposal, person: Callable[[str, str], Any]
) -> None:
    asked = make_proposal("cordon_node", "srv-04", {}, person("operator", "olga"))
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents()] == [("start_standby_crac", "crac-4")]
    asked.refresh_from_db()
    assert not [e for e in asked.evidence if e["kind"] == "alarm"]


def test_it_waits_for_a_change_of_the_same_air_and_looks_again_when_that_is_over(
    make_proposal: MakeProposal,
    person: Callable[[str, str], Any],
    forced: Callable[..., None],
) -> None:
    asked = make_proposal(
        "set_fan_speed", "crac-1", {"fan_speed_pct": 90.0}, person("operator", "olga")
    )
    forced(asked.pk, state="approved")
    alarm = _crac_2_alarm()
    assert investigate(alarm_id=alarm.pk) == "attached"
    Investigation.objects.update(finished_at=timezone.now() - timedelta(minutes=2))
    assert alarms_to_investigate() == []
    forced(asked.pk, state="rejected")
    assert alarms_to_investigate() == [alarm.pk]
    assert investigate(alarm_id=alarm.pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents()] == [("start_standby_crac", "crac-4")]


@pytest.mark.parametrize(
    ("kind", "target", "params"),
    [
        ("set_fan_speed", "crac-1", {"fan_speed_pct": 90.0}),
        ("set_fan_speed", "crac-2", {"fan_speed_pct": 90.0}),
        ("shed_rack_load", "rack-1-03", {"load_cap_pct": 60.0}),
    ],
)
def test_a_fault_does_not_wait_for_what_somebody_asked_for_and_nobody_signed(
    make_proposal: MakeProposal,
    person: Callable[[str, str], Any],
    kind: str,
    target: str,
    params: dict[str, float],
) -> None:
    make_proposal(kind, target, params, person("operator", "olga"))
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents()] == [("start_standby_crac", "crac-4")]


def test_it_adds_to_the_same_action_that_somebody_asked_for(
    make_proposal: MakeProposal, person: Callable[[str, str], Any], set_values: SetValues
) -> None:
    set_values(CRAC_2_DOWN)
    asked = make_proposal("start_standby_crac", "crac-4", {}, person("operator", "olga"))
    assert investigate(alarm_id=_crac_2_alarm().pk) == "attached"
    asked.refresh_from_db()
    assert [e for e in asked.evidence if e["kind"] == "alarm"]
    assert not _agents()


def test_planned_work_wants_no_order(set_values: SetValues) -> None:
    """A unit that people took out of service, with the racks well supplied by the others."""
    now = timezone.now()
    alarm = _crac_2_alarm()
    MaintenanceWindow.objects.create(
        asset=Asset.objects.get(tag="crac-2"),
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        reason="filter",
    )
    set_values(CRAC_2_DOWN | {"crac-4.running": 1.0, "crac-4.fan_speed_pct": 70.0})
    assert investigate(alarm_id=alarm.pk) == "none"
    assert "people work on CRAC 2 (filter)" in Investigation.objects.get().conclusion


def test_what_was_rejected_for_its_own_cause_is_not_asked_again(
    set_values: SetValues, forced: Callable[..., None]
) -> None:
    set_values(CRAC_2_DOWN | WARM)
    first, second = _crac_2_alarm(), _hot_alarm()
    assert investigate(alarm_id=first.pk) == "proposed"
    assert investigate(alarm_id=second.pk) == "attached"
    Investigation.objects.update(finished_at=timezone.now() - timedelta(minutes=2))
    forced(*Proposal.objects.values_list("pk", flat=True), state="rejected")
    assert alarms_to_investigate() == []


def test_it_starts_nothing_that_people_work_on(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    now = timezone.now()
    MaintenanceWindow.objects.create(
        asset=Asset.objects.get(tag="crac-4"),
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
        reason="Belt change",
    )
    investigate(alarm_id=_crac_2_alarm().pk)
    assert not _agents().filter(target="crac-4").exists()
    looked = Investigation.objects.get()
    offered = next(s["output"] for s in looked.timeline if s["step"] == "enumerate")
    barred = next(c for c in offered["candidates"] if c["action"].startswith("Start standby"))
    assert barred["failed"][0] == "people work on CRAC 4: Belt change"
    assert replay(looked.record) == []


def test_it_protects_until_the_repair_where_a_unit_no_longer_cools(set_values: SetValues) -> None:
    """Two units that hold their supply air cannot carry the racks: the standby first, then hands."""
    set_values(VALVE_STUCK)
    alarm = _raise_alarm("crac-3.supply_c", value=6.5, rule="CRAC supply off setpoint")
    assert investigate(alarm_id=alarm.pk) == "proposed"
    proposal = _agents().get()
    assert (proposal.kind, proposal.target) == ("start_standby_crac", "crac-4")
    assert {"tag": "crac-3.supply_c", "op": ">=", "value": 20.0}.items() <= next(
        c for c in proposal.preconditions if c["tag"] == "crac-3.supply_c"
    ).items()
    assert proposal.case["alternatives"][0]["action"].startswith("Open work order for CRAC 3")


def test_it_only_orders_the_repair_where_the_others_carry_the_racks(set_values: SetValues) -> None:
    low = {f"rack-{row}-{n:02}.power_w": 4000.0 for row in (1, 2) for n in range(1, 9)}
    set_values(VALVE_STUCK | low)
    alarm = _raise_alarm("crac-3.supply_c", value=6.5, rule="CRAC supply off setpoint")
    assert investigate(alarm_id=alarm.pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents()] == [("open_work_order", "crac-3")]


def test_a_standby_that_trips_wants_a_repair_and_nothing_else(set_values: SetValues) -> None:
    set_values({"crac-4.fault": 1.0})
    alarm = _raise_alarm("crac-4.fault", value=1.0, rule="CRAC fault")
    assert investigate(alarm_id=alarm.pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents()] == [("open_work_order", "crac-4")]


def test_a_work_order_holds_nothing_up(set_values: SetValues) -> None:
    """The repair is ordered already; when the plant can no longer wait, it is protected as well."""
    racks = [f"rack-{row}-{n:02}.power_w" for row in (1, 2) for n in range(1, 9)]
    set_values(VALVE_STUCK | dict.fromkeys(racks, 4000.0))
    alarm = _raise_alarm("crac-3.supply_c", value=6.5, rule="CRAC supply off setpoint")
    assert investigate(alarm_id=alarm.pk) == "proposed"
    set_values(dict.fromkeys(racks, 9000.0))
    later = _raise_alarm("crac-3.supply_c", value=6.5, rule="CRAC gives no cooling")
    assert investigate(alarm_id=later.pk) == "proposed"
    assert [(p.kind, p.target) for p in _agents().order_by("pk")] == [
        ("open_work_order", "crac-3"),
        ("start_standby_crac", "crac-4"),
    ]
    third = _raise_alarm("crac-3.return_c", value=41.0, rule="CRAC return high")
    assert investigate(alarm_id=third.pk) == "attached"
    assert [replay(i.record) for i in Investigation.objects.all()] == [[], [], []]


def test_the_page_draws_the_conclusion_again(
    set_values: SetValues, viewer: Any, client_as: Any
) -> None:
    set_values(CRAC_2_DOWN)
    investigate(alarm_id=_crac_2_alarm().pk)
    looked = Investigation.objects.get()
    url = f"/approvals/investigations/{looked.pk}/"
    assert "can be drawn again at any time" in client_as(viewer).get(url).content.decode()
    page = client_as(viewer).get(f"{url}?again=1").content.decode()
    assert "the same conclusion, hypotheses, ranking and words" in page
    assert "Wrong if crac-2.fault clears" in page
    looked.record["verdict"]["text"] = "Proposed: something else."
    looked.save(update_fields=["record"])
    assert "it comes out otherwise" in client_as(viewer).get(f"{url}?again=1").content.decode()
