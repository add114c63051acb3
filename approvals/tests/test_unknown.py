"""A write that nobody answered: never assumed, never repeated, settled by looking or by a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import execution
from approvals.drivers import http
from approvals.execution import unknowns as reconciling
from approvals.models import AssetLease, AuditEntry, Effect, Execution, Outcome, Proposal
from approvals.tasks import execute_orphans, reconcile_unknown
from approvals.tests.conftest import PlantProcess, SetValues
from approvals.tests.execution_kit import FAN, events, fans, keys, made, signed
from approvals.tests.test_driver import LossyWire
from facilities.models import LatestReading

pytestmark = pytest.mark.django_db

Wire = Callable[..., LossyWire]


@pytest.fixture
def wire(plant: PlantProcess, settings: Any, monkeypatch: Any) -> Iterator[Wire]:
    """Put a bad wire between the product and the plant."""
    monkeypatch.setattr(http, "BACKOFF_S", (0.0, 0.0, 0.0))
    made_ones: list[LossyWire] = []

    def lay(*, delivers: bool = True) -> LossyWire:
        made_ones.append(LossyWire(plant.url, lost=99, delivers=delivers))
        settings.PLANT_URL = made_ones[-1].url
        return made_ones[-1]

    yield lay
    for one in made_ones:
        one.close()


@pytest.fixture
def unknown(wire: Wire, operator: Any, set_values: SetValues) -> tuple[Proposal, LossyWire]:
    """A proposal whose only write was applied, with every answer lost."""
    lossy = wire()
    proposal = signed(made(fans(91.0)), operator)
    done = execution.execute(proposal_id=proposal.pk)
    assert done.outcome == Outcome.UNKNOWN
    assert "may or may not have been applied" in done.detail
    proposal.refresh_from_db()
    assert proposal.state == "unknown"
    return proposal, lossy


def test_it_keeps_the_asset_and_sends_nothing_again_while_it_is_unknown(
    unknown: tuple[Proposal, LossyWire], operator: Any, plant: PlantProcess
) -> None:
    proposal, lossy = unknown
    lossy.mend()
    assert AssetLease.objects.get(asset="crac-1").holder_id == proposal.pk
    other = signed(made(fans(60.0), kind="set_supply_setpoint"), operator)
    before = len(plant.writes())
    assert execution.execute(proposal_id=proposal.pk).outcome == ""
    assert execution.execute(proposal_id=other.pk).outcome == ""
    assert len(plant.writes()) == before
    assert f"proposal {proposal.pk}" in execution.waiting_sentence(proposal=other)
    assert not Effect.objects.filter(proposal=proposal).exists()


def test_it_finds_in_the_plants_log_that_it_was_applied(
    unknown: tuple[Proposal, LossyWire], plant: PlantProcess
) -> None:
    proposal, lossy = unknown
    assert execution.reconcile(proposal_id=proposal.pk) == "", "nobody answers yet"
    lossy.mend()
    assert reconcile_unknown() == 1
    proposal.refresh_from_db()
    done = Execution.objects.get(proposal=proposal)
    assert (proposal.state, done.outcome) == ("succeeded", Outcome.SUCCEEDED)
    assert done.writes[0]["state"] == "applied"
    assert len(keys(plant.writes(), proposal)) == 1
    assert Effect.objects.filter(proposal=proposal).exists()
    assert not AssetLease.objects.exclude(holder=None).exists()
    assert events(proposal)[-4:] == [
        "write.unknown", "proposal.unknown", "execution.settled", "proposal.succeeded"
    ]  # fmt: skip


def test_it_finds_in_the_plants_log_that_it_was_not_applied_once_nothing_can_be_on_its_way(
    wire: Wire, operator: Any, plant: PlantProcess, set_values: SetValues, monkeypatch: Any
) -> None:
    lossy = wire(delivers=False)
    proposal = signed(made(fans(92.0, 93.0)), operator)
    assert execution.execute(proposal_id=proposal.pk).outcome == Outcome.UNKNOWN
    lossy.mend()
    assert execution.reconcile(proposal_id=proposal.pk) == "", "it may still be on its way"
    monkeypatch.setattr(reconciling, "SETTLE_S", 0.0)
    assert execution.reconcile(proposal_id=proposal.pk) == Outcome.FAILED
    proposal.refresh_from_db()
    assert proposal.state == "failed"
    detail = Execution.objects.get(proposal=proposal).detail
    assert "was not carried out" in detail
    assert "Not written: crac-2.fan_speed_sp_pct" in detail
    assert keys(plant.writes(), proposal) == []


@pytest.mark.parametrize(
    ("before", "reads", "age_s", "outcome"),
    [
        (70.0, 91.0, 5, Outcome.SUCCEEDED),
        (70.0, 70.0, 5, ""),
        (70.0, 70.0, 40, Outcome.FAILED),
        (91.0, 91.0, 40, ""),
    ],
)
def test_it_settles_by_telemetry_where_the_other_side_cannot_be_asked(
    unknown: tuple[Proposal, LossyWire],
    set_values: SetValues,
    before: float,
    reads: float,
    age_s: int,
    outcome: str,
) -> None:
    proposal, _ = unknown
    done = Execution.objects.get(proposal=proposal)
    sent = (timezone.now() - timedelta(seconds=age_s)).isoformat()
    write = {**done.writes[0], "before": before, "sent_at": sent}
    set_values({FAN.format(1): reads})
    found = reconciling._by_telemetry(
        write, reconciling.readings([write["tag"]])[write["tag"]], "x", _moment(sent)
    )
    wanted = {Outcome.SUCCEEDED: True, Outcome.FAILED: False, "": None}[outcome]
    assert found[0] is wanted
    assert f"reads {FAN.format(1)} = {reads:g}" in found[1]


def _moment(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def test_it_does_not_take_a_reading_from_before_the_write_for_an_answer(
    unknown: tuple[Proposal, LossyWire],
) -> None:
    proposal, _ = unknown
    assert execution.reconcile(proposal_id=proposal.pk) == ""
    proposal.refresh_from_db()
    assert proposal.state == "unknown"


def test_it_does_not_believe_a_source_whose_clock_is_ahead(
    unknown: tuple[Proposal, LossyWire],
) -> None:
    """It reads 70 and says that this was long after the write; it arrived before."""
    proposal, _ = unknown
    now = timezone.now()
    LatestReading.objects.filter(point__tag=FAN.format(1)).update(
        ts=now + timedelta(seconds=200), received_at=now - timedelta(minutes=1), value=70.0
    )
    assert execution.reconcile(proposal_id=proposal.pk) == ""
    LatestReading.objects.filter(point__tag=FAN.format(1)).update(
        received_at=now + timedelta(seconds=reconciling.SETTLE_S + 5)
    )
    assert execution.reconcile(proposal_id=proposal.pk) == Outcome.FAILED


def test_it_tells_people_once_when_it_stays_unknown(
    unknown: tuple[Proposal, LossyWire], monkeypatch: Any
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("approvals.notify.notify", lambda **said: told.append(said))
    proposal, _ = unknown
    execution.reconcile(proposal_id=proposal.pk)
    assert told == []
    monkeypatch.setattr(reconciling, "TELL_S", 0.0)
    execution.reconcile(proposal_id=proposal.pk)
    assert [t["event"] for t in told] == ["execution.unknown"]
    assert "settle it by hand" in told[0]["text"]


class TestByHand:
    def _post(self, client: Any, proposal: Proposal, **body: Any) -> Any:
        return client.post(
            f"/api/v1/proposals/{proposal.pk}/settle", body, content_type="application/json"
        )

    @pytest.mark.parametrize(("applied", "state"), [(True, "succeeded"), (False, "failed")])
    def test_it_lets_a_supervisor_say_what_happened(
        self,
        unknown: tuple[Proposal, LossyWire],
        supervisor: Any,
        client_as: Any,
        applied: bool,
        state: str,
    ) -> None:
        proposal, _ = unknown
        client = client_as(supervisor)
        answer = self._post(client, proposal, applied=applied)
        assert (answer.status_code, answer.json()["code"]) == (400, "reason_required")
        answer = self._post(client, proposal, applied=applied, reason="Read it at the panel.")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        entry = AuditEntry.objects.get(event="execution.settled")
        assert (entry.actor, entry.payload["applied"]) == ("supervisor", applied)
        assert "Read it at the panel" in entry.payload["why"]
        again = self._post(client, proposal, applied=not applied, reason="Or not.")
        assert (again.status_code, again.json()["code"]) == (409, "not_unknown")

    @pytest.mark.parametrize("role", ["viewer", "operator"])
    def test_it_lets_nobody_else(
        self, unknown: tuple[Proposal, LossyWire], role: str, client_as: Any, request: Any
    ) -> None:
        proposal, _ = unknown
        client = client_as(request.getfixturevalue(role))
        answer = self._post(client, proposal, applied=True, reason="Trust me.")
        assert answer.status_code == 403
        proposal.refresh_from_db()
        assert proposal.state == "unknown"
        assert AuditEntry.objects.filter(event="execution.settle_denied").exists()

    def test_it_refuses_a_stranger(self, unknown: tuple[Proposal, LossyWire], client: Any) -> None:
        proposal, _ = unknown
        assert self._post(client, proposal, applied=True, reason="x").status_code in (401, 403)


def test_it_is_not_taken_on_by_the_sweep(
    unknown: tuple[Proposal, LossyWire], plant: PlantProcess, monkeypatch: Any
) -> None:
    proposal, lossy = unknown
    lossy.mend()
    queued: list[int] = []
    monkeypatch.setattr("approvals.tasks.execute_proposal.delay", queued.append)
    monkeypatch.setattr("approvals.tasks.ORPHANED_AFTER_S", 0)
    execute_orphans()
    assert proposal.pk not in queued
