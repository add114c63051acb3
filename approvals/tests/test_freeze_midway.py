"""A change freeze that begins while something is under way: it waits between steps, or is finished,
as the policy says; never between a write and its confirmation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import execution
from approvals.execution import frozen
from approvals.execution import run as runner
from approvals.models import AssetLease, ChangeWindow, Execution, Outcome, Proposal
from approvals.services.stops import execution_stop
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import events, fans, keys, made, signed
from approvals.tests.test_procedure_run import procedure, step

pytestmark = pytest.mark.django_db

NAME = "Quarter end"


def freeze(user: Any, **changes: Any) -> ChangeWindow:
    """A freeze over everything, from now on for hours."""
    now = timezone.now()
    row = {
        "name": NAME, "kind": "freeze", "starts_at": now - timedelta(seconds=1),
        "ends_at": now + timedelta(hours=6), "reason": "Books are closed.", "made_by": user,
        "made_at": now - timedelta(seconds=1), **changes,
    }  # fmt: skip
    return ChangeWindow.objects.create(**row)


def lift(user: Any) -> None:
    """Somebody cancels it."""
    ChangeWindow.objects.filter(name=NAME).update(cancelled_at=timezone.now(), cancelled_by=user)


@pytest.fixture
def freezes_after(monkeypatch: Any, operator: Any) -> Any:
    """Return a function that makes a freeze begin right after the plant took the n-th write."""
    sent: list[str] = []
    real = runner.send

    def arrange(n: int) -> None:
        def sends(order: Any, *, obj: str, **more: Any) -> Any:
            result = real(order, obj=obj, **more)
            sent.append(order.key)
            if len(sent) == n:
                freeze(operator)
            return result

        monkeypatch.setattr(runner, "send", sends)

    return arrange


def _three_steps() -> Proposal:
    return procedure(
        step("1", fans(71.0)), step("2", fans(72.0, 73.0, first=2)), step("3", fans(74.0))
    )


def _applied(plant: PlantProcess, proposal: Proposal) -> int:
    found = keys(plant.writes(), proposal)
    assert len(found) == len(set(found))
    return len(found)


def test_it_waits_before_the_next_step_and_goes_on_when_it_is_lifted(
    operator: Any,
    client_as: Any,
    viewer: Any,
    plant: PlantProcess,
    set_values: SetValues,
    freezes_after: Any,
) -> None:
    freezes_after(1)
    proposal = signed(_three_steps(), operator)
    done = execution.execute(proposal_id=proposal.pk)
    assert (done.outcome, "It waits before step 2" in done.detail) == ("", True), done.detail
    assert "change freeze “Quarter end” covers crac-1" in done.detail
    row = Execution.objects.get(proposal=proposal)
    assert execution.execute(proposal_id=proposal.pk).detail == done.detail
    row.refresh_from_db()
    assert (row.fence, row.waits["before"]) == (1, "step 2"), "nobody takes on what waits"
    assert _applied(plant, proposal) == 1
    assert AssetLease.objects.get(asset="crac-1").holder_id == proposal.pk
    page = client_as(viewer).get(f"/approvals/{proposal.pk}/").content.decode()
    assert "Books are closed." in page
    assert "It waits before step 2" in page
    body = client_as(viewer).get(f"/api/v1/proposals/{proposal.pk}/").json()
    assert body["execution"]["waits"]["code"] == "freeze"

    lift(operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    assert _applied(plant, proposal) == 4
    row.refresh_from_db()
    assert row.waits == {}
    trail = events(proposal)
    assert trail.count("execution.frozen") == trail.count("execution.thawed") == 1


def test_it_finishes_a_step_that_was_begun(
    operator: Any, plant: PlantProcess, set_values: SetValues, freezes_after: Any
) -> None:
    """The freeze begins between the two writes of step 2: both are written, step 3 waits."""
    freezes_after(2)
    proposal = signed(_three_steps(), operator)
    assert "It waits before step 3" in execution.execute(proposal_id=proposal.pk).detail
    assert _applied(plant, proposal) == 3
    steps = Execution.objects.get(proposal=proposal).steps
    assert [(row["n"], row["state"]) for row in steps] == [("1", "done"), ("2", "done")]


def test_it_waits_for_the_confirmation_of_a_step_in_a_freeze(
    operator: Any, plant: PlantProcess, set_values: SetValues, freezes_after: Any
) -> None:
    freezes_after(1)
    condition = {"tag": "crac-1.running", "op": ">=", "value": 1, "why": "it must turn"}
    proposal = signed(
        procedure(step("1", fans(71.0), confirm=[condition]), step("2", fans(72.0))), operator
    )
    assert "step 1 waits for" in execution.execute(proposal_id=proposal.pk).detail
    set_values({"crac-1.running": 1.0})
    assert "It waits before step 2" in execution.execute(proposal_id=proposal.pk).detail
    assert _applied(plant, proposal) == 1


def test_it_waits_between_the_writes_of_what_has_no_steps(
    operator: Any, plant: PlantProcess, set_values: SetValues, freezes_after: Any
) -> None:
    freezes_after(1)
    proposal = signed(made(fans(71.0, 72.0, 73.0)), operator)
    assert "It waits before write 2" in execution.execute(proposal_id=proposal.pk).detail
    assert _applied(plant, proposal) == 1
    lift(operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    assert _applied(plant, proposal) == 3


def test_it_ends_where_it_is_when_the_freeze_lasts(
    operator: Any,
    plant: PlantProcess,
    set_values: SetValues,
    freezes_after: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(frozen, "FREEZE_S", 0.0)
    freezes_after(1)
    proposal = signed(made(fans(71.0, 72.0)), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    done = execution.execute(proposal_id=proposal.pk)
    assert done.outcome == Outcome.FAILED
    assert "waited 0 minutes before write 2 and ended there" in done.detail
    assert "Already written: crac-1.fan_speed_sp_pct" in done.detail
    assert "Not written: crac-2.fan_speed_sp_pct" in done.detail
    assert _applied(plant, proposal) == 1
    assert not AssetLease.objects.exclude(holder=None).exists()
    assert "execution.frozen_out" in events(proposal)


def test_it_can_be_stopped_while_it_waits(
    operator: Any, plant: PlantProcess, set_values: SetValues, freezes_after: Any
) -> None:
    freezes_after(1)
    proposal = signed(made(fans(71.0, 72.0)), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    execution_stop(proposal_id=proposal.pk, user=operator, reason="Enough.")
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.STOPPED
    assert _applied(plant, proposal) == 1


@pytest.mark.parametrize("how", ["policy", "elsewhere"])
def test_it_finishes_where_the_policy_says_so_or_the_freeze_is_elsewhere(
    how: str,
    operator: Any,
    plant: PlantProcess,
    set_values: SetValues,
    freezes_after: Any,
    ask_for: Any,
    monkeypatch: Any,
) -> None:
    requirement: dict[str, Any] = {"signatures": 1}
    if how == "policy":
        ask_for(on_freeze="finish")
        requirement["on_freeze"] = "finish"
    freezes_after(1)
    proposal = signed(made(fans(71.0, 72.0), requirement=requirement), operator)
    if how == "elsewhere":
        real = freeze

        def over_racks(user: Any) -> ChangeWindow:
            return real(user, match={"target_kinds": ["rack"]})

        monkeypatch.setitem(globals(), "freeze", over_racks)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    assert ChangeWindow.objects.count() == 1
    assert _applied(plant, proposal) == 2
    assert "execution.frozen" not in events(proposal)
