"""A procedure in force from its document to the plant: asked for and signed over REST, released on
the page's own terms, with a worker killed at the hold and between the steps."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection

from approvals import execution
from approvals.execution import run as runner
from approvals.models import Execution, Proposal
from approvals.tests.catalogue_kit import store_values
from approvals.tests.conftest import PlantProcess
from approvals.tests.execution_kit import die, events, in_child, keys
from approvals.tests.test_agent import PROCEDURES, _import

KILLED = -9
ORDERS = [("chwp-2.run_cmd", 1.0), ("chwp-1.run_cmd", 0.0),
          ("chiller-2.run_cmd", 1.0), ("chiller-1.run_cmd", 0.0)]  # fmt: skip


class DiesAt:
    """Kills the process before the entry of the trail with this event is written."""

    def __init__(self, event: str) -> None:
        self.event = event

    def __call__(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        if self.event in str(params):
            die()
        return execute(sql, params, many, context)


def _worker(proposal: Proposal, event: str) -> int:
    """One message, in a process of its own, that dies at `event`; its exit status."""

    def work() -> None:
        with connection.execute_wrapper(DiesAt(event)):
            execution.execute(proposal_id=proposal.pk)

    return in_child(work)


def _goes_on(proposal: Proposal, text: str) -> None:
    """Other workers go on until it says so; a killed one's lock goes in a moment."""
    deadline = time.monotonic() + 20
    while text not in (said := execution.execute(proposal_id=proposal.pk).detail):
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def _release(client: Any, proposal: Proposal, n: str) -> int:
    answer = client.post(
        f"/api/v1/proposals/{proposal.pk}/holds/{n}/release",
        {"digest": proposal.digest, "note": "Looked at it."},
        content_type="application/json",
    )
    return int(answer.status_code)


@pytest.mark.django_db(transaction=True)
def test_it_carries_out_a_document_with_workers_dying_on_the_way(
    demo_facility: None, plant: PlantProcess, operator: Any, supervisor: Any, viewer: Any,
    admin: Any, client_as: Any,
) -> None:  # fmt: skip
    _import([PROCEDURES / "MOP-CHW-03.md"])
    store_values({})
    asked = client_as(admin).post(
        "/api/v1/proposals/",
        {"kind": "run_procedure", "target": "chwp-1", "rationale": "It is due.",
         "params": {"document": "mop-chw-03", "revision": 1}},
        content_type="application/json",
    )  # fmt: skip
    assert asked.status_code == 201, asked.json()
    proposal = Proposal.objects.get(pk=asked.json()["id"])
    signed = client_as(operator).post(
        f"/api/v1/proposals/{proposal.pk}/approve", {"digest": proposal.digest},
        content_type="application/json",
    )  # fmt: skip
    assert signed.status_code == 200, signed.json()

    # Between the claim and the first write, and between a write and its confirmation.
    assert _worker(proposal, "write.sent") == KILLED
    assert keys(plant.writes(), proposal) == []
    _goes_on(proposal, "step 1 waits for")
    store_values({"chwp-2.running": 1.0, "chwp-2.flow_lps": 7.5})
    assert _worker(proposal, "step.done") == KILLED

    # At the hold before step 2: noted, and the worker dies.
    def dies_at_hold() -> None:
        real = runner.hold_reached

        def reaches_and_dies(run: Any, step: Any) -> Any:
            real(run, step)
            die()

        runner.hold_reached = reaches_and_dies  # in the child only
        execution.execute(proposal_id=proposal.pk)

    deadline = time.monotonic() + 20
    while (status := in_child(dies_at_hold)) == 0:
        assert time.monotonic() < deadline, "the lock of the killed worker is gone by now"
    assert status == KILLED
    _goes_on(proposal, "step 2 waits for somebody who confirms it")
    assert len(keys(plant.writes(), proposal)) == 1
    page = client_as(operator).get(f"/approvals/{proposal.pk}/").content.decode()
    assert 'data-act="release" data-step="2"' in page
    assert "1 of 5 steps" in page
    looking = client_as(viewer)
    assert "data-act=" not in looking.get(f"/approvals/{proposal.pk}/").content.decode()
    assert _release(looking, proposal, "2") == 403
    assert _release(client_as(supervisor), proposal, "2") == 200

    # Between step 2 and step 3.
    _goes_on(proposal, "step 2 waits for chwp-2.flow_lps")
    store_values({"chwp-2.flow_lps": 12.0, "chwp-2.running": 1.0, "chiller-1.running": 1.0})
    assert _worker(proposal, "write.sent") == KILLED
    assert Execution.objects.get(proposal=proposal).writes[2]["state"] == "planned"
    _goes_on(proposal, "step 3 waits for chiller-2.load_pct")
    store_values({"chiller-2.load_pct": 33.0})
    # What step 4 verifies is more than one point tells: the next step is a person's.
    _goes_on(proposal, "step 5 waits for somebody who confirms it")
    assert _release(client_as(supervisor), proposal, "5") == 200
    execution.execute(proposal_id=proposal.pk)
    store_values({f"crac-{n}.supply_c": 18.1 for n in (1, 2, 3)})
    _goes_on(proposal, "")
    proposal.refresh_from_db()
    assert proposal.state == "succeeded", Execution.objects.get(proposal=proposal).detail
    done = Execution.objects.get(proposal=proposal)
    mine = keys(plant.writes(), proposal)
    assert mine == [write["key"] for write in done.writes]
    log = {w["key"]: (w["tag"], w["value"]) for w in plant.writes()}
    assert [log[key] for key in mine] == ORDERS
    trail = events(proposal)
    assert (trail.count("hold.reached"), trail.count("step.done")) == (2, 5)
