"""Every kind of action by every driver that carries it: proposed, signed, executed, and once in the
device's own log. What a driver does not carry is refused before anything is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from approvals.catalogue import KINDS
from approvals.driver_reach import REFUSED
from approvals.execution import dry_run, execute
from approvals.models import DriverBinding, Execution, Proposal
from approvals.services import proposal_approve
from approvals.services.proposals import ProposalDraft, action_validate, proposal_create
from approvals.tests.catalogue_kit import EXAMPLES, store_values
from approvals.tests.conftest import PASSWORD
from approvals.tests.field_kit import Field, bound

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo_facility")]

DOCS = Path(__file__).parents[2] / "docs" / "drivers.md"
# By driver: the kinds that it carries; every other one is refused at planning.
CARRIED: dict[str, set[str]] = {
    "webhook": {name for name, *_ in EXAMPLES},
    "modbus": {
        "start_standby_crac", "set_fan_speed", "set_supply_setpoint", "start_standby_unit",
        "stop_unit", "set_chilled_water_setpoint", "set_damper", "transfer_ups_to_bypass",
        "return_ups_from_bypass", "reset_node", "run_procedure",
    },
    "redfish": {
        "start_standby_crac", "set_fan_speed", "set_supply_setpoint", "start_standby_unit",
        "stop_unit", "set_chilled_water_setpoint", "set_gpu_power_cap", "reset_node",
        "disable_link", "enable_link", "run_procedure",
    },
}  # fmt: skip


def _proposed(example: Any, requester: Any) -> Proposal:
    name, target, params, changes = example
    store_values(changes)
    action, situation = action_validate(kind=name, target=target, params=params)
    return proposal_create(
        draft=ProposalDraft(action=action, rationale="An example."),
        situation=situation,
        requested_by=requester,
    )


def _sign(proposal: Proposal, operator: Any, supervisor: Any) -> None:
    for person in (operator, supervisor) if proposal.risk == "high" else (operator,):
        proposal_approve(
            proposal_id=proposal.pk, user=person, digest=proposal.digest, reason="Needed.",
            password=PASSWORD,
        )  # fmt: skip


def _put_elsewhere(field: Field, writes: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    """A coil that holds already what is ordered would not be written."""
    for write in writes:
        point = settings.get("points", {}).get(write["tag"], {})
        if point.get("kind") == "coil":
            field.coil(point["register"], not write["value"])


def _settings(field: Field, driver: str, tags: list[str]) -> dict[str, Any]:
    if driver == "webhook":
        return field.webhook()
    points = field.registers(tags) if driver == "modbus" else field.resources(tags)
    settings = field.modbus if driver == "modbus" else field.redfish
    return settings(points or {"nothing.here": {"register": 1} if driver == "modbus" else
                               {"path": "/redfish/v1/x", "property": "/x"}})  # fmt: skip


def _logged(field: Field, driver: str, writes: list[dict[str, Any]]) -> list[Any]:
    """What the device's log should hold for these writes, in order."""
    points = DriverBinding.objects.get().settings.get("points", {})
    made: list[Any] = []
    for write in writes:
        point = points.get(write["tag"], {})
        if driver == "webhook":
            made.append((write["key"], write["tag"], write.get("body") or write["value"]))
        elif driver == "modbus":
            made.append((point.get("unit", 1), point["register"]))
        else:
            made.append(point["path"])
    return made


def _log(field: Field, driver: str) -> list[Any]:
    log = field.log(driver)
    if driver == "webhook":
        return [(e["key"], e["tag"], e.get("body") or e["value"]) for e in log]
    if driver == "modbus":
        return [(e["unit"], e["register"]) for e in log]
    return [e["path"].partition("/Actions/")[0] for e in log]


@pytest.mark.parametrize("driver", sorted(CARRIED))
def test_it_writes_every_kind_once_or_refuses_it(
    driver: str,
    field: Field,
    operator: Any,
    supervisor: Any,
    admin: Any,
) -> None:
    refused: list[tuple[Proposal, str]] = []
    for example in EXAMPLES:
        if KINDS[example[0]].needs_procedures:
            continue  # its holds are `test_procedure_live`'s
        proposal = _proposed(example, admin)
        DriverBinding.objects.all().delete()
        tags = [write["tag"] for write in proposal.writes]
        settings = _settings(field, driver, tags)
        bound(driver, settings)
        _put_elsewhere(field, proposal.writes, settings)
        field.ask(do="reset")
        if driver == "redfish":
            field.resources(tags)
        if example[0] not in CARRIED[driver]:
            problem = next(p.problem for p in dry_run(writes=proposal.writes) if p.problem)
            assert "cannot go by" in problem or "takes setpoints only" in problem
            refused.append((proposal, problem))
            continue
        _sign(proposal, operator, supervisor)
        outcomes = [execute(proposal_id=proposal.pk).outcome for _ in range(2)]
        done = Execution.objects.get(proposal=proposal)
        assert outcomes == ["succeeded", ""], (example[0], done.detail)
        assert _log(field, driver) == _logged(field, driver, done.writes), example[0]
        reads = [w["device_reads"] for w in done.writes if w.get("body") is None]
        blind = driver == "webhook" or example[0] == "reset_node"
        wanted = [None if blind else w["value"] for w in done.writes if "body" not in w]
        assert reads == pytest.approx(wanted)
    for proposal, problem in refused[-1:]:
        field.ask(do="reset")
        _sign(proposal, operator, supervisor)
        ended = execute(proposal_id=proposal.pk)
        assert (ended.outcome, problem in ended.detail) == ("refused", True), ended.detail
        assert field.log(driver) == []


def test_it_documents_exactly_what_is_carried() -> None:
    """The table in docs/drivers.md, cell by cell."""
    text = DOCS.read_text()
    head = next(line for line in text.splitlines() if line.startswith("| action |"))
    drivers = [cell.strip(" `") for cell in head.strip("|").split("|")[1:]]
    assert drivers == ["plant", "webhook", "modbus", "redfish"]
    found: dict[str, set[str]] = {driver: set() for driver in drivers}
    for line in text.split(head)[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for kind in re.findall(r"`(\w+)`", cells[0]):
            for driver, cell in zip(drivers, cells[1:], strict=True):
                if cell.startswith("yes"):
                    found[driver].add(kind)
                else:
                    assert cell.startswith("no"), line
    assert found.pop("plant") == CARRIED["webhook"]
    assert found == CARRIED


def test_it_refuses_a_binding_for_what_a_driver_does_not_carry(field: Field) -> None:
    from django.core.exceptions import ValidationError

    for driver in ("modbus", "redfish"):
        for quantity in REFUSED[driver]:
            point = {"register": 1} if driver == "modbus" else {"path": "/redfish/v1/x",
                                                                 "property": "/x"}  # fmt: skip
            settings = getattr(field, driver)({f"x-1.{quantity}": point})
            with pytest.raises(ValidationError, match="does not carry it"):
                bound(driver, settings)
