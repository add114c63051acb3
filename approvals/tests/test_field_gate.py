"""The gate with field devices: what becomes of a proposal when its device clamps, is silent, is busy
while somebody presses stop, or when the worker is killed around the send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from approvals import execution
from approvals.catalogue import KINDS
from approvals.execution import run as runner
from approvals.execution import unknowns
from approvals.models import AssetLease, Execution, Outcome, Proposal
from approvals.services import proposal_move
from approvals.services.rollback import proposal_rollback
from approvals.services.stops import execution_stop, gate_hold, gate_resume
from approvals.tests.conftest import SetValues
from approvals.tests.execution_kit import FAN, die, events, fans, in_child, made, signed
from approvals.tests.field_kit import Field, bound

TAG = FAN.format(1)
RESET = "srv-11.reset_cmd"
DRIVERS = ("modbus", "redfish", "webhook")
KILLED = -9


def bind(driver: str, field: Field, tags: list[str]) -> None:
    """A binding for these points, which hold 70 (or nothing) before."""
    if driver == "webhook":
        bound(driver, field.webhook())
        return
    if driver == "modbus":
        bound(driver, field.modbus(field.registers(tags)))
        return
    settings = field.redfish(field.resources(tags))
    for tag in tags:
        if tag.endswith("_pct"):
            field.put(settings["points"][tag]["path"], {"SetPoint": 70, "SettingMax": 1000})
    bound(driver, settings)


@pytest.mark.django_db
class TestOutcomes:
    @pytest.mark.parametrize("driver", ["modbus", "redfish"])
    def test_it_fails_with_both_values_where_a_device_clamps(
        self, driver: str, field: Field, operator: Any, set_values: SetValues
    ) -> None:
        bind(driver, field, [TAG])
        field.faults(driver, {"kind": "clamp", "to": [800] if driver == "modbus" else 80})
        proposal = signed(made(fans(95.0)), operator)
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.FAILED
        assert "accepted 95 but holds 80" in done.detail
        proposal.refresh_from_db()
        [write] = Execution.objects.get(proposal=proposal).writes
        assert (proposal.state, write["state"], write["changed"]) == ("failed", "failed", True)
        assert write["device_reads"] == 80.0
        assert len(field.log(driver)) == 1
        assert not AssetLease.objects.exclude(holder=None).exists()
        if driver == "redfish":
            set_values({TAG: 80.0})
            undo = proposal_rollback(proposal_id=proposal.pk, user=operator)
            assert undo.writes == [{"tag": TAG, "value": 70.0}]

    @pytest.mark.parametrize(
        ("fault", "has_status", "outcome"),
        [
            ("lost_after", True, Outcome.SUCCEEDED),
            ("lost_before", True, Outcome.FAILED),
            ("lost_after", False, ""),
        ],
    )
    def test_it_asks_a_webhook_what_became_of_a_silent_write(
        self, fault: str, has_status: bool, outcome: str, field: Field, operator: Any,
        set_values: SetValues, monkeypatch: Any,
    ) -> None:  # fmt: skip
        field.ask(do="set", of="webhook", name="has_status", value=has_status)
        bind("webhook", field, [TAG])
        monkeypatch.setattr("approvals.drivers.http.ATTEMPTS", 1)
        field.faults("webhook", {"kind": fault})
        proposal = signed(made(fans(95.0)), operator)
        assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.UNKNOWN
        first = execution.reconcile(proposal_id=proposal.pk)
        assert first == (outcome if outcome == Outcome.SUCCEEDED else ""), "it may be on its way"
        monkeypatch.setattr(unknowns, "SETTLE_S", 0.0)
        if first == "":
            assert execution.reconcile(proposal_id=proposal.pk) == outcome
        done = Execution.objects.get(proposal=proposal)
        key = done.writes[0]["key"]
        assert [e["key"] for e in field.log("webhook")] == [key] * (fault == "lost_after")
        if outcome:
            assert f"says of {key}:" in done.writes[0]["settled"]
        proposal.refresh_from_db()
        assert proposal.state == (outcome or "unknown")

    @pytest.mark.parametrize(
        ("body", "outcome"),
        [
            ({"applied": True, "detail": "a\0b\ud800", "previous": "cold"}, Outcome.SUCCEEDED),
            ({"applied": True, "previous": float("nan")}, Outcome.UNKNOWN),
            ({"applied": "true"}, Outcome.UNKNOWN),
        ],
    )
    def test_it_can_keep_whatever_a_receiver_answers(
        self, body: dict[str, Any], outcome: str, field: Field, operator: Any,
        set_values: SetValues,
    ) -> None:  # fmt: skip
        bind("webhook", field, [TAG])
        field.faults("webhook", {"kind": "status", "status": 200, "body": body})
        proposal = signed(made(fans(95.0)), operator)
        assert execution.execute(proposal_id=proposal.pk).outcome == outcome

    def test_it_refuses_what_its_driver_does_not_carry_before_the_first_write(
        self, field: Field, operator: Any, set_values: SetValues
    ) -> None:
        bind("modbus", field, [TAG])
        writes = [*fans(80.0), {"tag": "srv-11.in_service", "value": 0.0}]
        proposal = signed(made(writes), operator)
        done = execution.execute(proposal_id=proposal.pk)
        assert done.outcome == Outcome.REFUSED
        assert "srv-11.in_service cannot go by modbus: the cluster's scheduler" in done.detail
        assert field.log("modbus") == []


def _later(act: Callable[[], Any]) -> threading.Thread:
    """Do it from another connection, once the driver waits."""

    def work() -> None:
        time.sleep(0.4)
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
class TestStop:
    @pytest.mark.parametrize("driver", DRIVERS)
    def test_it_ends_a_driver_that_waits(
        self, driver: str, field: Field, operator: Any, set_values: SetValues, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("approvals.drivers.modbus.BUSY_S", 20.0)
        bind(driver, field, [TAG])
        field.faults(driver, *([{"kind": "busy", "after": 20}] * 9))
        proposal = signed(made(fans(85.0)), operator)
        begun = time.monotonic()
        other = _later(
            lambda: execution_stop(proposal_id=proposal.pk, user=operator, reason="Leak.")
        )
        done = execution.execute(proposal_id=proposal.pk)
        other.join()
        assert time.monotonic() - begun < 10, "not the 20 s that the device asked for"
        assert done.outcome == Outcome.STOPPED, done.detail
        assert "operator stopped it (Leak.). Nothing was written." in done.detail
        assert field.log(driver) == []
        assert "write.not_sent" in events(proposal)

    def test_it_goes_on_after_a_hold_of_the_gate(
        self, field: Field, operator: Any, set_values: SetValues
    ) -> None:
        bind("webhook", field, [TAG])
        field.faults("webhook", {"kind": "busy", "after": 20}, {"kind": "fine"})
        proposal = signed(made(fans(85.0)), operator)
        other = _later(lambda: gate_hold(user=operator, reason="Wait."))
        assert "the gate is held" in execution.execute(proposal_id=proposal.pk).detail
        other.join()
        assert field.log("webhook") == []
        assert Execution.objects.get(proposal=proposal).writes[0]["state"] == "planned"
        gate_resume(user=operator)
        assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.SUCCEEDED
        assert len(field.log("webhook")) == 1


@pytest.mark.django_db(transaction=True)
class TestKilled:
    def _killed(self, proposal: Proposal, when: str) -> None:
        """A worker that dies right before, or right after, what it sent was taken."""
        real = runner.send

        def deadly(order: Any, *, obj: str, **more: Any) -> Any:
            if when == "after":
                real(order, obj=obj, **more)
            die()

        def work() -> None:
            runner.send = deadly  # in the child only
            execution.execute(proposal_id=proposal.pk)

        assert in_child(work) == KILLED

    @pytest.mark.parametrize("driver", DRIVERS)
    def test_it_is_done_once_when_the_worker_dies_around_the_send(
        self, driver: str, field: Field, operator: Any, set_values: SetValues, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(KINDS["set_fan_speed"], "cool_down_s", 0.0, raising=False)
        bind(driver, field, [TAG])
        for when, value in (("before", 82.0), ("after", 83.0)):
            field.ask(do="reset")
            if driver == "redfish":
                field.resources([TAG])
            proposal = signed(made(fans(value)), operator)
            self._killed(proposal, when)
            assert len(field.log(driver)) == (when == "after")
            assert _finished(proposal) == Outcome.SUCCEEDED
            assert len(field.log(driver)) == 1
            done = Execution.objects.get(proposal=proposal)
            assert done.writes[0]["duplicate"] is (when == "after")
            proposal_move(proposal_id=proposal.pk, source="succeeded", target="verified")

    @pytest.mark.parametrize(("driver", "when"), [("modbus", "after"), ("redfish", "before")])
    def test_it_gives_no_momentary_command_twice(
        self, driver: str, when: str, field: Field, operator: Any, set_values: SetValues
    ) -> None:
        """Nobody knows whether the reset was given: a person looks, nothing is sent again."""
        bind(driver, field, [RESET])
        write = {"tag": RESET, "value": 1.0, "read_back": False}
        proposal = signed(made([write], kind="reset_node", target="srv-11"), operator)
        self._killed(proposal, when)
        assert _finished(proposal) == Outcome.UNKNOWN
        assert len(field.log(driver)) == (when == "after")
        assert execution.reconcile(proposal_id=proposal.pk) == ""
        assert len(field.log(driver)) == (when == "after")


def _finished(proposal: Proposal) -> str:
    """Let other workers go on until it has ended; a killed one's lock goes in a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if outcome := execution.execute(proposal_id=proposal.pk).outcome:
            return outcome
        time.sleep(0.05)
    raise AssertionError("it did not end")
