"""Which driver writes which points, and what of it everybody, or nobody, gets to see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from approvals import execution
from approvals.drivers import driver_for
from approvals.drivers.base import DriverError, Order
from approvals.execution.orders import send
from approvals.models import (
    AssetLease,
    AuditEntry,
    DriverBinding,
    Execution,
    Outcome,
    ProposalState,
)
from approvals.services.decisions import proposal_approve
from approvals.tests.conftest import MakeProposal
from approvals.tests.test_drivers import SECRET, Bms, Receiver


@pytest.fixture
def binding(db: None) -> DriverBinding:
    return DriverBinding.objects.create(
        name="bms",
        driver="webhook",
        pattern="crac-*",
        settings={"url": "http://127.0.0.1:1/x"},
        secret_name="bms",
    )


def test_it_picks_the_first_binding_that_fits(binding: DriverBinding, settings: Any) -> None:
    settings.DRIVER_SECRETS = {"bms": SECRET}
    DriverBinding.objects.create(
        name="later", driver="plant", pattern="*", priority=200, is_dry_run=False
    )
    assert driver_for("crac-1.run_cmd").binding == "bms"
    assert driver_for("rack-1-01.load_cap_pct").binding == "later"
    DriverBinding.objects.update(is_active=False)
    assert driver_for("crac-1.run_cmd").driver.name == "plant"


def test_it_writes_nothing_by_a_dry_run(
    binding: DriverBinding, make_proposal: MakeProposal, operator: Any, settings: Any
) -> None:
    settings.DRIVER_SECRETS = {"bms": SECRET}
    proposal = make_proposal()
    proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
    done = execution.execute(proposal_id=proposal.pk)
    proposal.refresh_from_db()
    assert (done.outcome, proposal.state) == (Outcome.REFUSED, ProposalState.FAILED)
    assert "dry run, nothing was written: binding bms would send POST" in done.detail
    assert Execution.objects.get(proposal=proposal).writes[0]["state"] == "planned"
    with pytest.raises(DriverError, match="dry run"):
        send(Order("crac-4.run_cmd", 1.0, "k:0"), obj="proposal:1")


def test_it_audits_each_read_of_a_secret_and_never_the_secret(
    binding: DriverBinding, make_proposal: MakeProposal, operator: Any, settings: Any
) -> None:
    bms = Bms()
    server = Receiver(bms)
    settings.DRIVER_SECRETS = {"bms": SECRET}
    DriverBinding.objects.update(settings={"url": server.url}, is_dry_run=False)
    proposal = make_proposal()
    dry = execution.dry_run(writes=proposal.writes)
    assert dry[0].problem == ""
    assert not AuditEntry.objects.filter(event="secret.read").exists(), "a plan reads no secret"
    proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
    send(Order("crac-4.run_cmd", 1.0, "k:1"), obj=f"proposal:{proposal.pk}")
    server.shutdown()
    entry = AuditEntry.objects.get(event="secret.read")
    assert (entry.object, entry.payload) == (
        f"proposal:{proposal.pk}",
        {"binding": "bms", "secret": "bms"},
    )
    everything = json.dumps(list(AuditEntry.objects.values_list("payload", flat=True)))
    assert SECRET not in everything
    assert SECRET.removeprefix("whsec_") not in everything
    token = AssetLease.objects.get(asset="crac-4").token
    assert bms.fences[0] == str(token)


def test_it_sends_nothing_when_the_read_of_a_secret_cannot_be_audited(
    binding: DriverBinding, settings: Any, monkeypatch: Any
) -> None:
    bms = Bms()
    server = Receiver(bms)
    settings.DRIVER_SECRETS = {"bms": SECRET}
    DriverBinding.objects.update(settings={"url": server.url}, is_dry_run=False)

    def broken(**_: Any) -> None:
        raise OSError("no trail")

    monkeypatch.setattr("approvals.execution.orders.audit_append", broken)
    with pytest.raises(OSError, match="no trail"):
        send(Order("crac-4.run_cmd", 1.0, "k:0"), obj="proposal:1")
    server.shutdown()
    assert bms.requests == 0


def test_it_says_before_the_first_write_that_a_driver_cannot(
    binding: DriverBinding, make_proposal: MakeProposal, operator: Any, settings: Any
) -> None:
    settings.DRIVER_SECRETS = {}
    proposal = make_proposal()
    proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
    assert "no signing secret" in execution.execute(proposal_id=proposal.pk).detail


def test_it_shows_the_plan_to_everybody_and_the_secret_to_nobody(
    binding: DriverBinding, make_proposal: MakeProposal, viewer: Any, client_as: Any, settings: Any
) -> None:
    settings.DRIVER_SECRETS = {"bms": SECRET}
    response = client_as(viewer).get(f"/api/v1/proposals/{make_proposal().pk}/dry-run")
    assert response.status_code == 200
    [write] = response.json()
    assert (write["driver"], write["is_dry_run"], write["problem"]) == ("webhook", True, "")
    assert "crac-4.run_cmd" in write["plan"][0]
    assert SECRET not in response.content.decode()
    assert client_as(viewer).get("/api/v1/proposals/999999/dry-run").status_code == 404


def test_it_records_who_changed_a_binding(
    binding: DriverBinding, admin: Any, client_as: Any
) -> None:
    form = {
        "name": "bms", "driver": "webhook", "pattern": "crac-*", "priority": 5, "is_active": "on",
        "settings": json.dumps({"url": "http://bms.example/x"}), "secret_name": "bms",
    }  # fmt: skip
    page = f"/admin/approvals/driverbinding/{binding.pk}/change/"
    assert client_as(admin).post(page, form).status_code == 302
    entry = AuditEntry.objects.get(event="driver.changed")
    assert (entry.actor, entry.payload["is_dry_run"]) == ("admin", False)
    form["settings"] = json.dumps({"url": "nowhere", "password": "x"})
    assert client_as(admin).post(page, form).status_code == 200, "the form comes back with errors"


@pytest.mark.parametrize(
    ("driver", "settings", "said"),
    [
        ("webhook", {}, "'url' is a required property"),
        ("modbus", {"host": "x", "points": {}}, "non-empty|too short|enough properties"),
        ("redfish", {"url": "ftp://x", "username": "u", "points": {}}, "does not match"),
    ],
)
def test_it_checks_settings_before_anything_uses_them(
    driver: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        DriverBinding(name="x", driver=driver, pattern="*", settings=settings).clean()
