"""What people see of an execution, and who gets which button."""

from __future__ import annotations

from typing import Any

import pytest

from approvals import execution
from approvals.execution import confirm
from approvals.execution_view import execution_view
from approvals.models import Execution, Proposal
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import FAN, fans, made, signed
from approvals.tests.test_procedure_run import procedure, step

pytestmark = pytest.mark.django_db


def _page(client: Any, proposal: Proposal) -> str:
    answer = client.get(f"/approvals/{proposal.pk}/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def _view(proposal: Proposal) -> Any:
    proposal.refresh_from_db()
    return execution_view(
        proposal=proposal, execution=Execution.objects.filter(proposal=proposal).first()
    )


def test_it_shows_steps_holds_and_the_release_to_those_who_may(
    operator: Any,
    viewer: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
) -> None:
    proposal = signed(
        procedure(step("1", fans(71.0)), step("2", hold="operator"), step("3", fans(72.0))),
        operator,
    )
    assert [row.mark for row in _view(proposal).steps] == ["todo", "todo", "todo"]
    execution.execute(proposal_id=proposal.pk)
    view = _view(proposal)
    assert [(row.n, row.mark, row.waits) for row in view.steps] == [
        ("1", "done", False),
        ("2", "now", True),
        ("3", "todo", False),
    ]
    page = _page(client_as(operator), proposal)
    assert "1 of 3 steps" in page
    assert 'data-act="release" data-step="2"' in page
    assert 'data-act="stop"' in page
    looking = _page(client_as(viewer), proposal)
    assert "Waits until somebody confirms it" in looking
    assert "data-act=" not in looking


def test_it_shows_why_it_waits_and_lets_it_be_stopped(
    operator: Any, client_as: Any, plant: PlantProcess, set_values: SetValues
) -> None:
    from approvals.services.stops import gate_hold

    proposal = signed(made(fans(71.0)), operator)
    gate_hold(user=operator, reason="Fire alarm.")
    execution.execute(proposal_id=proposal.pk)
    page = _page(client_as(operator), proposal)
    assert "operator stopped every execution" in page
    assert 'data-act="stop"' in page


def test_it_shows_that_telemetry_does_not_agree(
    operator: Any, viewer: Any, client_as: Any, plant: PlantProcess, set_values: SetValues,
    monkeypatch: Any,
) -> None:  # fmt: skip
    proposal = signed(made(fans(88.0)), operator)
    execution.execute(proposal_id=proposal.pk)
    assert "reading back" in _page(client_as(viewer), proposal)
    set_values({FAN.format(1): 70.0})
    monkeypatch.setattr(confirm, "CONFIRM_S", 0.0)
    execution.confirm_open()
    assert "telemetry shows another value" in _page(client_as(viewer), proposal)


def test_it_offers_to_settle_to_supervisors_only(
    operator: Any,
    supervisor: Any,
    client_as: Any,
    plant: PlantProcess,
    set_values: SetValues,
    monkeypatch: Any,
) -> None:
    from approvals.drivers.base import DriverError
    from approvals.execution import run

    def lost(order: Any, *, obj: str, **_: Any) -> None:
        raise DriverError("no answer", maybe_applied=True)

    monkeypatch.setattr(run, "send", lost)
    proposal = signed(made(fans(89.0)), operator)
    execution.execute(proposal_id=proposal.pk)
    assert _view(proposal).is_unknown
    assert 'data-act="settle"' in _page(client_as(supervisor), proposal)
    page = _page(client_as(operator), proposal)
    assert 'data-act="settle"' not in page
    assert "A supervisor can settle it" in page
