"""People ask the agent to look, the schedule makes it look; nobody signs what they asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.agent import investigation_answer, patrol
from approvals.agent.patrol import conspicuous, requests_waiting
from approvals.models import AuditEntry, Investigation, Proposal
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from approvals.tests.test_agent import _crac_2_alarm, few_procedures, no_engine
from facilities.models import Asset, Point, PointQuality, Quality, TwinFinding

__all__ = ["few_procedures", "no_engine"]

URL = "/api/v1/investigations/"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_engine")]


def _ask(client: Any, **body: str) -> Any:
    return client.post(URL, body, content_type="application/json")


@pytest.mark.usefixtures("few_procedures")
def test_what_a_person_asked_for_is_that_persons_proposal(
    set_values: SetValues, operator: Any, supervisor: Any, client_as: Any
) -> None:
    set_values(CRAC_2_DOWN)
    answer = _ask(client_as(operator), question="Why is CRAC 2 not cooling?")
    assert answer.status_code == 202
    body = answer.json()
    assert (body["trigger"], body["subject"], body["asked_by"]) == ("request", "crac-2", "operator")
    assert investigation_answer(investigation_id=body["id"]) == "proposed"
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.target) == ("start_standby_crac", "crac-4")
    assert proposal.requested_by == operator
    url = f"/api/v1/proposals/{proposal.pk}/approve"
    digest = {"digest": proposal.digest, "reason": "as asked"}
    refused = client_as(operator).post(url, digest, content_type="application/json")
    assert refused.status_code == 403
    assert (
        client_as(supervisor).post(url, digest, content_type="application/json").status_code == 200
    )
    actors = AuditEntry.objects.filter(object=f"investigation:{body['id']}").order_by("seq")
    assert [(e.event, e.actor) for e in actors] == [
        ("investigation.started", "operator"),
        ("investigation.concluded", "agent"),
    ]


def test_two_requests_at_one_asset_are_one_look(
    set_values: SetValues, operator: Any, client_as: Any
) -> None:
    first = _ask(client_as(operator), asset="crac-2")
    assert first.status_code == 202
    again = _ask(client_as(operator), asset="crac-2")
    assert (again.status_code, again.json()["code"]) == (409, "already_looking")
    assert _ask(client_as(operator), asset="crac-1").status_code == 202
    assert investigation_answer(investigation_id=first.json()["id"]) == "none"
    assert investigation_answer(investigation_id=first.json()["id"]) == ""
    assert _ask(client_as(operator), asset="crac-2").status_code == 202


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"asset": "crac-77"}, "unknown_asset"),
        ({"question": "is everything fine?"}, "nothing_to_look_at"),
        ({}, None),
    ],
)
def test_it_refuses_what_names_nothing(
    set_values: SetValues, operator: Any, client_as: Any, body: dict[str, str], code: str | None
) -> None:
    answer = _ask(client_as(operator), **body)
    assert answer.status_code == 400
    if code:
        assert answer.json()["code"] == code
    assert not Investigation.objects.exists()


def test_who_may_ask_and_who_may_look(
    set_values: SetValues, viewer: Any, operator: Any, supervisor: Any, client: Any, client_as: Any
) -> None:
    assert _ask(client, asset="crac-2").status_code in (401, 403)
    assert client.get(URL).status_code in (401, 403)
    refused = _ask(client_as(viewer), asset="crac-2")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    made = _ask(client_as(supervisor), asset="crac-2").json()
    for person in (viewer, operator, supervisor):
        assert client_as(person).get(URL).json()["count"] == 1
        page = client_as(person).get(f"/approvals/investigations/{made['id']}/")
        assert page.status_code == 200
        assert "asked" in page.content.decode().lower()
    assert client.get(f"/approvals/investigations/{made['id']}/").status_code == 302
    assert client_as(viewer).get(f"{URL}{made['id']}/").json()["hypotheses"] == []
    assert client_as(viewer).get(f"{URL}?outcome=nonsense").status_code == 400


def test_the_list_takes_a_fixed_number_of_queries(
    set_values: SetValues, operator: Any, client_as: Any, django_assert_max_num_queries: Any
) -> None:
    client = client_as(operator)
    for tag in ("crac-1", "crac-2", "crac-3", "chiller-1"):
        _ask(client, asset=tag)
    with django_assert_max_num_queries(4):
        assert client.get(URL).json()["count"] == 4


def test_a_request_whose_message_was_lost_is_found(
    set_values: SetValues, operator: Any, client_as: Any
) -> None:
    made = _ask(client_as(operator), asset="crac-2").json()
    assert requests_waiting() == []
    Investigation.objects.update(started_at=timezone.now() - timedelta(seconds=30))
    assert requests_waiting() == [made["id"]]
    investigation_answer(investigation_id=made["id"])
    assert requests_waiting() == []


def _finding(tag: str, *, confidence: float = 0.95) -> TwinFinding:
    now = timezone.now()
    return TwinFinding.objects.create(
        asset=Asset.objects.get(tag=tag), what="filter", parameter="resistance", value=2.0,
        sigma=0.1, slope_per_h=0.1, slope_sigma_per_h=0.01, level=3.0, found_at=now, last_at=now,
        confidence=confidence, text="the filter fouls; change limit in about 9 h",
    )  # fmt: skip


@pytest.mark.usefixtures("few_procedures")
def test_the_schedule_turns_a_finding_of_the_twin_into_a_work_order(set_values: SetValues) -> None:
    _finding("crac-3")
    _finding("crac-1", confidence=0.4)
    assert [o.asset for o in conspicuous()] == ["crac-3"]
    assert patrol()["looked"] == {"proposed": 1}
    looked, proposal = Investigation.objects.get(), Proposal.objects.get()
    assert (looked.trigger, looked.subject, looked.asked_by) == ("schedule", "crac-3", None)
    assert (proposal.kind, proposal.target) == ("open_work_order", "crac-3")
    assert proposal.writes[0]["body"]["asset"] == "crac-3"
    assert proposal.citations[0]["step"]
    assert conspicuous() == []


@pytest.mark.usefixtures("few_procedures")
def test_a_doubted_sensor_moves_no_machine(set_values: SetValues) -> None:
    point = Point.objects.get(tag="crac-1.supply_c")
    long_ago = timezone.now() - timedelta(minutes=30)
    PointQuality.objects.create(
        point=point, computed_at=timezone.now(), window_s=600, flag=Quality.FAIL, since=long_ago,
        tests={"flat_line": {"flag": 4, "detail": "one value for 30 min"}},
    )  # fmt: skip
    patrol()
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.target) == ("open_work_order", "crac-1")
    assert Investigation.objects.get().hypotheses[0]["of_instrument"] is True


@pytest.mark.usefixtures("few_procedures")
def test_one_silent_sensor_is_looked_at_and_a_silent_unit_is_the_alarms_affair(
    set_values: SetValues,
) -> None:
    now = timezone.now()
    common = {"computed_at": now, "window_s": 600, "since": now}
    told = {"gap": {"flag": 9, "detail": "No reading in the last 10 min; check the source."}}
    for tag in ("crac-2.return_c", "crac-3.return_c"):
        PointQuality.objects.create(
            point=Point.objects.get(tag=tag), flag=Quality.MISSING, tests=told, **common
        )
    good = Point.objects.get(tag="crac-2.supply_c")
    PointQuality.objects.create(point=good, flag=Quality.GOOD, **common)
    assert [(o.asset, o.what) for o in conspicuous()] == [("crac-2", "crac-2.return_c is silent")]
    assert patrol()["looked"] == {"proposed": 1}
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.target) == ("open_work_order", "crac-2")
    assert "No reading in the last 10 min" in proposal.rationale


def test_it_takes_no_residual_of_the_twin_for_a_sensor(set_values: SetValues) -> None:
    now = timezone.now()
    common = {"computed_at": now, "window_s": 600, "since": now - timedelta(hours=1)}
    unit = Asset.objects.get(tag="crac-2")
    for suffix in ("residual", "residual_sigma"):
        own = Point.objects.create(
            tag=f"crac-2.return_c_{suffix}", asset=unit, name=suffix, quantity=f"return_c_{suffix}"
        )
        PointQuality.objects.create(point=own, flag=Quality.MISSING, **common)
        other = Point.objects.create(
            tag=f"crac-2.supply_c_{suffix}", asset=unit, name=suffix, quantity=f"supply_c_{suffix}"
        )
        PointQuality.objects.create(point=other, flag=Quality.SUSPECT, **common)
    good = Point.objects.get(tag="crac-2.supply_c")
    PointQuality.objects.create(point=good, flag=Quality.GOOD, **common)
    assert conspicuous() == []


def test_the_schedule_leaves_alone_what_an_alarm_is_about(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    _finding("crac-2")
    assert len(conspicuous()) == 1
    _crac_2_alarm()
    assert conspicuous() == []


def test_a_healthy_hall_gives_the_schedule_nothing_to_do(set_values: SetValues) -> None:
    assert patrol()["looked"] == {}
    assert not Investigation.objects.exists()
