"""What the kinds promise, held against the demo plant: after a fault, the action that is offered
reaches its expected effect inside its window, and its rollback brings the setpoints back.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from django.utils import timezone

from approvals.catalogue import KINDS, Action, Expectation, check_conditions
from approvals.catalogue.base import OPERATORS
from approvals.catalogue.situation import Situation
from approvals.tests.catalogue_kit import Site
from facilities.demo.plant.offline import Offline
from facilities.demo.plant.points import read_facility

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def warm() -> Offline:
    """A healthy plant in its steady state; copy it, don't step it."""
    return Offline(read_facility(), step_s=2.0)


@pytest.fixture
def site(demo_facility: None) -> Site:
    return Site()


def _seen(plant: Offline, site: Site, alarm: str = "") -> Situation:
    known = {tag: value for tag, value in plant.readings.items() if tag in site.points}
    return site.situation({tag: v if v == v else None for tag, v in known.items()}, alarm=alarm)


def _act(plant: Offline, action: Action, situation: Situation) -> Expectation:
    """Check the conditions as the executor does, write, and wait for the window."""
    kind = KINDS[action.kind]
    conditions = [c.as_dict() for c in kind.conditions(action, situation)]
    checked = check_conditions(conditions, situation.values, now=timezone.now())
    assert [c.detail for c in checked if not c.ok] == []
    effect = kind.effect(action, situation)
    for write in kind.writes(action, situation):
        plant.plant.write(write.tag, write.value)
    plant.run(effect.window_s)
    return effect


def _reached(plant: Offline, effect: Expectation) -> bool:
    value = plant.readings[effect.tag]
    good = value < effect.threshold if effect.direction == "below" else value > effect.threshold
    return good and all(
        OPERATORS[c.op](plant.readings[c.tag], c.value) for c in effect.confirm
    )  # fmt: skip


# Fault, how long it lasts before somebody looks, the alarm's point, kind of action, target.
OFFERED = [
    ("crac-2-trip", 60, "crac-2.fault", "start_standby_crac", "crac-4"),
    ("ups-b-rectifier", 30, "ups-b.on_battery", "transfer_ups_to_bypass", "ups-b"),
    ("gpu-xid-79", 30, "srv-03-gpu-5.xid", "drain_node", "srv-03"),
    ("link-degraded", 60, "link-leaf-2-spine-1.error_rate", "disable_link", "link-leaf-2-spine-1"),
    ("gpu-heatsink-fouled", 600, "srv-05-gpu-3.temp_c", "set_gpu_power_cap", "srv-05-gpu-3"),
]


@pytest.mark.parametrize(("fault", "after_s", "alarm", "kind", "target"), OFFERED)
def test_it_offers_what_then_helps(
    warm: Offline, site: Site, fault: str, after_s: int, alarm: str, kind: str, target: str
) -> None:
    plant = copy.deepcopy(warm)
    plant.fail(fault)
    plant.run(after_s)
    situation = _seen(plant, site, alarm)
    offered = [a for a in KINDS[kind].candidates(situation) if a.target == target]
    assert offered, plant.readings[alarm]
    effect = _act(plant, offered[0], situation)
    assert _reached(plant, effect), (plant.readings[effect.tag], effect)


def test_it_drains_resets_and_returns_a_server(warm: Offline, site: Site) -> None:
    """The whole way of a GPU that fell off its bus: out, restarted, back in."""
    plant = copy.deepcopy(warm)
    plant.fail("gpu-xid-79")
    plant.run(30)
    alarm = next(tag for tag, v in plant.readings.items() if tag.endswith(".xid") and v == 79)
    situation = _seen(plant, site, alarm)
    [drain] = KINDS["drain_node"].candidates(situation)
    assert _reached(plant, _act(plant, drain, situation))
    situation = _seen(plant, site, alarm)
    [reset] = KINDS["reset_node"].candidates(situation)
    assert _reached(plant, _act(plant, reset, situation))
    situation = _seen(plant, site)
    back = Action("return_node", drain.target)
    assert _reached(plant, _act(plant, back, situation))
    assert plant.readings[f"{drain.target}.in_service"] == 1


@pytest.mark.parametrize(
    ("kind", "target", "params"),
    [
        ("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0}),
        ("set_supply_setpoint", "crac-1", {"supply_c": 17.0}),
        ("set_chilled_water_setpoint", "chiller-1", {"chilled_water_c": 9.0}),
        ("set_damper", "crac-1", {"damper_pct": 60.0}),
        ("transfer_ups_to_bypass", "ups-a", {}),
        ("shed_rack_load", "rack-1-03", {"load_cap_pct": 60.0}),
        ("set_gpu_power_cap", "srv-05", {"power_limit_w": 500.0}),
        ("migrate_rack_load", "rack-1-03", {"servers": ["srv-01", "srv-02"]}),
        ("cordon_node", "srv-11", {}),
        ("disable_link", "link-leaf-3-spine-2", {}),
        ("start_standby_unit", "chwp-2", {}),
    ],
)
def test_it_keeps_its_promise_and_can_be_undone(
    warm: Offline, site: Site, kind: str, target: str, params: dict[str, Any]
) -> None:
    plant = copy.deepcopy(warm)
    plant.run(4)
    situation = _seen(plant, site)
    action = Action(kind, target, params)
    written = [w.tag for w in KINDS[kind].writes(action, situation)]
    before = {tag: plant.readings[tag] for tag in written}
    effect = _act(plant, action, situation)
    if effect.tag:
        assert _reached(plant, effect), (plant.readings[effect.tag], effect)
    assert {tag: plant.readings[tag] for tag in written} != before
    for write in effect.rollback:
        plant.plant.write(write.tag, write.value)
    plant.run(4)
    assert {tag: plant.readings[tag] for tag in written} == pytest.approx(before)
