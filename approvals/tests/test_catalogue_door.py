"""Every kind through the gate: proposed by a person, stored, signed over, planned by its driver."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.catalogue import KINDS, Action, check_conditions
from approvals.execution import dry_run, execute
from approvals.models import Proposal
from approvals.prediction import predictions_make
from approvals.services import proposal_approve
from approvals.services.proposals import ProposalDraft, action_validate, proposal_create
from approvals.tests.catalogue_kit import CRAC_2_DOWN, EXAMPLES, Site, store_values
from approvals.tests.conftest import PASSWORD, PlantProcess
from approvals.tests.test_agent import procedures  # noqa: F401 - fixture

pytestmark = pytest.mark.django_db


def test_it_has_an_example_of_every_kind() -> None:
    assert {name for name, *_ in EXAMPLES} == {k.name for k in KINDS.values() if not k.is_internal}


@pytest.mark.usefixtures("procedures", "demo_facility")
def test_it_stores_and_plans_every_kind(operator: Any, settings: Any) -> None:
    """Validated, its preconditions hold, stored with digest, steps and blast radius; its driver can
    plan each write."""
    settings.PLANT_URL = "http://plant.invalid:1"
    for name, target, params, changes in EXAMPLES:
        store_values(changes)
        action, situation = action_validate(kind=name, target=target, params=params)
        conditions = [c.as_dict() for c in KINDS[name].conditions(action, situation)]
        checked = check_conditions(conditions, situation.values, now=timezone.now())
        assert [c.detail for c in checked if not c.ok] == [], name
        proposal = proposal_create(
            draft=ProposalDraft(action=action, rationale="An example."),
            situation=situation,
            requested_by=operator,
        )
        assert proposal.state == "pending"
        assert proposal.computed_digest() == proposal.digest
        assert proposal.risk == KINDS[name].risk_of(action, situation)
        assert proposal.blast_radius["sentence"]
        assert proposal.blast_radius["assets"] == sorted(
            {w["tag"].rpartition(".")[0] for w in proposal.writes if "body" not in w}
        )
        assert [w for step in proposal.steps for w in step["writes"]] in ([], proposal.writes)
        planned = dry_run(writes=proposal.writes)
        assert len(planned) == len(proposal.writes) >= 1
        assert [write.problem for write in planned if write.problem] == [], name
        assert all(write.plan for write in planned)
    assert Proposal.objects.count() == len(EXAMPLES)


@pytest.mark.slow
@pytest.mark.usefixtures("demo_facility")
def test_it_reaches_the_plant_once_for_every_kind(
    operator: Any, supervisor: Any, admin: Any, plant: PlantProcess
) -> None:
    """Asked for, signed as the policy wants, executed twice: the plant's own logs have each write
    and each work order once, with the values that were signed."""
    for name, target, params, changes in EXAMPLES:
        if KINDS[name].needs_procedures:
            continue  # its holds are `test_procedure_run`'s
        store_values(changes)
        action, situation = action_validate(kind=name, target=target, params=params)
        proposal = proposal_create(
            draft=ProposalDraft(action=action, rationale="An example."),
            situation=situation,
            requested_by=admin,
        )
        people = (operator, supervisor) if proposal.risk == "high" else (operator,)
        for person in people:
            proposal_approve(
                proposal_id=proposal.pk, user=person, digest=proposal.digest,
                reason="It is needed.", password=PASSWORD,
            )  # fmt: skip
        assert [execute(proposal_id=proposal.pk).outcome for _ in range(2)] == ["succeeded", ""], (
            name,
            Proposal.objects.get(pk=proposal.pk).state,
        )
        written = [w for w in plant.writes() if w["key"].startswith(f"hp-{proposal.pk}-")]
        orders = plant.get("/work-orders")["work_orders"]
        ordered = [o for o in orders if o["key"].startswith(f"hp-{proposal.pk}-")]
        wanted = [(w["tag"], w["value"]) for w in proposal.writes if "body" not in w]
        assert [(w["tag"], w["value"]) for w in written] == wanted, name
        assert len(ordered) == (name == "open_work_order")
        if ordered:
            assert (ordered[0]["asset"], ordered[0]["title"]) == ("crac-3", "Replace the filters")


@pytest.mark.usefixtures("demo_facility")
def test_it_predicts_what_the_twin_has_drives_for_and_says_where_it_has_none() -> None:
    """One run for all; what the twin does not model blocks nobody else's prediction."""
    site = Site()
    store_values(CRAC_2_DOWN)
    situation = site.situation(CRAC_2_DOWN)
    order = {"title": "Look", "text": "", "priority": "low"}
    actions = [
        Action("start_standby_crac", "crac-4"),
        Action("set_damper", "crac-2", {"damper_pct": 0.0}),
        Action("set_chilled_water_setpoint", "chiller-1", {"chilled_water_c": 8.0}),
        Action("cordon_node", "srv-11"),
        Action("drain_node", "srv-11"),
        Action("open_work_order", "crac-2", order),
        Action("reset_node", "srv-11"),
    ]
    made = predictions_make(actions=actions, situation=situation)
    said = {a.kind: p["problem"] for a, p in zip(actions, made, strict=True)}
    assert said["start_standby_crac"] == said["set_chilled_water_setpoint"] == ""
    assert said["drain_node"] == ""
    for kind in ("cordon_node", "open_work_order", "reset_node"):
        assert said[kind].startswith("The twin does not model this")
    acting, nothing = made[0]["acting"]["p50"], made[0]["nothing"]["p50"]
    assert acting[-1] < nothing[-1] - 1
    assert predictions_make(actions=actions[3:4], situation=situation)[0]["problem"]


def _post(client: Client, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = client.post("/api/v1/proposals/", json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


@pytest.mark.usefixtures("demo_facility")
class TestAsked:
    def test_it_takes_a_drain_from_an_operator(self, client_as: Any, operator: Any) -> None:
        store_values({})
        ask = {"kind": "drain_node", "target": "srv-11", "params": {}, "rationale": "XID 79"}
        status, body = _post(client_as(operator), ask)
        assert (status, body["state"], body["risk"]) == (201, "pending", "medium")
        assert body["blast_radius"]["jobs"] == ["job-2"]
        assert body["expected_effect"]["tag"] == "srv-11-gpu-7.util_pct"

    @pytest.mark.parametrize(
        ("ask", "code", "words"),
        [
            ({"kind": "reset_node", "target": "srv-11"}, "precondition_failed", "in_service"),
            ({"kind": "stop_unit", "target": "chiller-1"}, "precondition_failed", "chwp-1.running"),
            ({"kind": "stop_unit", "target": "ups-a"}, "invalid_action", "is a ups"),
            ({"kind": "roll_back", "target": "crac-1"}, "invalid_action", "not proposed by hand"),
            (
                {"kind": "set_damper", "target": "crac-1", "params": {"damper_pct": 101}},
                "invalid_action",
                "damper_pct",
            ),
            (
                {"kind": "migrate_rack_load", "target": "rack-1-03",
                 "params": {"servers": ["srv-16"]}},
                "invalid_action",
                "srv-16",
            ),
            (
                {"kind": "migrate_rack_load", "target": "rack-1-03", "params": {"servers": []}},
                "invalid_action",
                "servers",
            ),
            (
                {"kind": "open_work_order", "target": "crac-1",
                 "params": {"title": "x" * 121, "text": "", "priority": "low"}},
                "invalid_action",
                "title",
            ),
            (
                {"kind": "open_work_order", "target": "crac-1",
                 "params": {"title": "Look", "text": "", "priority": "low", "run_cmd": 1}},
                "invalid_action",
                "run_cmd",
            ),
            (
                {"kind": "run_procedure", "target": "crac-1",
                 "params": {"document": "mop-crac-03", "revision": 1}},
                "invalid_action",
                "no procedure in force",
            ),
        ],
    )  # fmt: skip
    def test_it_refuses_with_a_sentence(
        self, client_as: Any, operator: Any, ask: dict[str, Any], code: str, words: str
    ) -> None:
        store_values({})
        status, body = _post(client_as(operator), {"params": {}, "rationale": "because", **ask})
        assert (status in (400, 409), body["code"]) == (True, code), body
        assert words in body["detail"]
        assert not Proposal.objects.exists()

    def test_it_refuses_viewers_and_strangers(self, client_as: Any, viewer: Any) -> None:
        store_values({})
        ask = {"kind": "drain_node", "target": "srv-11", "params": {}, "rationale": "XID 79"}
        assert _post(client_as(viewer), ask)[0] == 403
        assert _post(Client(), ask)[0] in (401, 403)
