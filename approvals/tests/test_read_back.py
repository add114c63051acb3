"""Two-way confirmation: what the plant said it wrote, against what its points show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import execution
from approvals.execution import confirm
from approvals.models import Execution, Outcome, Proposal
from approvals.services import proposal_move
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import FAN, events, fans, made, signed

pytestmark = pytest.mark.django_db


def _written(operator: Any, *speeds: float, **more: Any) -> Proposal:
    proposal = signed(made(fans(*speeds), **more), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    return proposal


def test_it_confirms_when_the_points_show_the_values(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = _written(operator, 88.0, 89.0)
    assert execution.confirm_open() == 0, "no reading since the write yet"
    set_values({FAN.format(1): 88.0, FAN.format(2): 88.0})
    assert execution.confirm_open() == 0, "one of two shows another value: it may take a while"
    set_values({FAN.format(2): 89.0})
    assert execution.confirm_open() == 1
    done = Execution.objects.get(proposal=proposal)
    assert done.confirmed_at is not None
    assert [w["confirmed"] for w in done.writes] == [True, True]
    assert events(proposal)[-1] == "execution.confirmed"
    assert execution.confirm_open() == 0, "once"


def test_it_says_so_when_a_point_shows_another_value(
    operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
) -> None:
    proposal = _written(operator, 88.0)
    set_values({FAN.format(1): 70.0})
    assert execution.confirm_open() == 0
    monkeypatch.setattr(confirm, "CONFIRM_S", 0.0)
    assert execution.confirm_open() == 1
    [write] = Execution.objects.get(proposal=proposal).writes
    assert write["confirmed"] is False
    assert "reads 70" in write["confirm_detail"]
    assert "88 was written" in write["confirm_detail"]
    assert events(proposal)[-1] == "execution.not_confirmed"


def test_it_does_not_tell_when_the_point_is_silent(
    operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
) -> None:
    proposal = _written(operator, 88.0)
    monkeypatch.setattr(confirm, "CONFIRM_S", 0.0)
    assert execution.confirm_open() == 1
    [write] = Execution.objects.get(proposal=proposal).writes
    assert write["confirmed"] is None
    assert "sent no reading" in write["confirm_detail"]


def test_it_does_not_blame_a_write_that_another_one_followed(
    operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
) -> None:
    first = _written(operator, 88.0)
    proposal_move(proposal_id=first.pk, source="succeeded", target="verified")
    second = _written(operator, 75.0, kind="set_supply_setpoint")
    set_values({FAN.format(1): 75.0})
    monkeypatch.setattr(confirm, "CONFIRM_S", 0.0)
    assert execution.confirm_open() == 2
    [write] = Execution.objects.get(proposal=first).writes
    assert write["confirmed"] is None
    assert f"proposal {second.pk} wrote it" in write["confirm_detail"]


def test_it_asks_no_point_for_a_momentary_command(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    proposal = signed(made([{"tag": FAN.format(1), "value": 66.0, "read_back": False}]), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    assert execution.confirm_open() == 1
    [write] = Execution.objects.get(proposal=proposal).writes
    assert (write["confirmed"], "momentary" in write["confirm_detail"]) == (None, True)


def test_it_compares_within_the_points_smallest_step() -> None:
    assert confirm.equal(18.0, 18.04, 0.1)
    assert not confirm.equal(18.0, 18.04, 0.01)
    assert confirm.equal(18.300001, 18.3, None)
    assert not confirm.equal(0.0, 1.0, 0.1)


def test_it_keeps_what_the_point_read_before(
    operator: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    set_values({FAN.format(1): 63.0})
    proposal = _written(operator, 88.0)
    [write] = Execution.objects.get(proposal=proposal).writes
    assert write["before"] == 63.0
    assert write["previous"] is not None, "the plant's own word"
    assert timezone.now() - proposal.created_at < timedelta(minutes=1)
