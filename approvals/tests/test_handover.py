"""Shift hand-over: facts by the platform, words by one person, taken over by another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.errors import ConflictError, NotAllowedError, NotFoundError
from approvals.honesty.handover import (
    handover_facts,
    handover_since,
    handover_take,
    handover_write,
)
from approvals.honesty.handover_text import handover_markdown
from approvals.honesty.load import queue_load
from approvals.models import AuditEntry, GateHold, HandoverNote
from approvals.services import proposal_move, proposal_reject
from approvals.tests.conftest import MakeProposal
from approvals.tests.courses import written


@pytest.fixture
def shift(make_proposal: MakeProposal, operator: Any, supervisor: Any) -> dict[str, Any]:
    """One rejected, one without effect, one open, and the gate held."""
    rejected = make_proposal()
    proposal_reject(proposal_id=rejected.pk, user=operator, reason="the belt is being changed")
    failed = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    written(failed, operator)
    proposal_move(
        proposal_id=failed.pk, source="succeeded", target="no_effect", actor="meter", note="28 °C"
    )
    still = make_proposal()
    GateHold.objects.create(reason="smoke in row 2", made_by=supervisor, made_at=timezone.now())
    return {"rejected": rejected, "failed": failed, "open": still}


def test_the_facts_are_what_happened(shift: dict[str, Any], operator: Any) -> None:
    now = timezone.now()
    facts = handover_facts(since=now - timedelta(hours=1), until=now)
    assert [(d["proposal"], d["verdict"], d["by"]) for d in facts["decided"]] == [
        (shift["rejected"].pk, "reject", "operator"),
        (shift["failed"].pk, "approve", "operator"),
    ]
    assert [e["proposal"] for e in facts["executed"]] == [shift["failed"].pk]
    assert [(w["proposal"], w["became"]) for w in facts["went_wrong"]] == [
        (shift["failed"].pk, "no_effect")
    ]
    assert [o["proposal"] for o in facts["open"]] == [shift["open"].pk]
    assert [(h["reason"], h["by"]) for h in facts["holds"]] == [("smoke in row 2", "supervisor")]
    assert (facts["load"]["arrived"], facts["load"]["open"]) == (3, 1)


def test_it_asks_a_fixed_number_of_queries(shift: dict[str, Any]) -> None:
    now = timezone.now()
    with CaptureQueriesContext(connection) as asked:
        handover_facts(since=now - timedelta(hours=1), until=now)
    assert len(asked) <= 8, [query["sql"][:80] for query in asked]


def test_freeze_windows_that_come_are_told(db: None, supervisor: Any) -> None:
    from approvals.models import ChangeWindow

    now = timezone.now()
    for name, start in (("soon", timedelta(hours=3)), ("later", timedelta(days=3))):
        ChangeWindow.objects.create(
            name=name,
            kind="freeze",
            starts_at=now + start,
            ends_at=now + start + timedelta(hours=1),
            reason="audit",
            made_by=supervisor,
            made_at=now,
        )
    facts = handover_facts(since=now - timedelta(hours=1), until=now)
    assert [(w["name"], w["kind"]) for w in facts["windows"]] == [("soon", "freeze")]


def test_one_writes_and_another_takes_over(
    shift: dict[str, Any], operator: Any, supervisor: Any
) -> None:
    note = handover_write(user=operator, text=" CRAC 2 waits for its belt. ")
    assert note.text == "CRAC 2 waits for its belt."
    with pytest.raises(NotAllowedError, match="whoever comes") as refused:
        handover_take(note_id=note.pk, user=operator)
    assert refused.value.code == "own_handover"
    taken = handover_take(note_id=note.pk, user=supervisor)
    assert taken.taken_by == supervisor
    with pytest.raises(ConflictError, match="by supervisor already"):
        handover_take(note_id=note.pk, user=supervisor)
    with pytest.raises(NotFoundError):
        handover_take(note_id=note.pk + 1, user=supervisor)
    events = list(
        AuditEntry.objects.filter(event__startswith="handover.").values_list("event", flat=True)
    )
    assert sorted(events) == ["handover.denied"] * 3 + ["handover.taken", "handover.written"]


def test_the_next_one_begins_where_it_ended(shift: dict[str, Any], operator: Any) -> None:
    assert timezone.now() - handover_since() > timedelta(hours=11)
    note = handover_write(user=operator, text="")
    assert handover_since() == note.written_at
    facts = handover_facts(since=handover_since(), until=timezone.now())
    assert facts["decided"] == facts["executed"] == facts["went_wrong"] == []
    assert len(facts["open"]) == 1 and len(facts["holds"]) == 1


def test_a_viewer_reads_only(shift: dict[str, Any], viewer: Any, operator: Any) -> None:
    with pytest.raises(NotAllowedError, match="may not write a hand-over"):
        handover_write(user=viewer, text="hello")
    note = handover_write(user=operator, text="")
    with pytest.raises(NotAllowedError, match="may not take a shift over"):
        handover_take(note_id=note.pk, user=viewer)


class TestDatabase:
    def test_a_note_says_what_it_said(
        self, shift: dict[str, Any], operator: Any, supervisor: Any
    ) -> None:
        note = handover_write(user=operator, text="as it was")
        changes: list[dict[str, Any]] = [
            {"text": "another"},
            {"facts": {}},
            {"written_by": supervisor},
        ]
        for change in changes:
            with pytest.raises(IntegrityError, match="only be taken over"), transaction.atomic():
                HandoverNote.objects.filter(pk=note.pk).update(**change)
        with pytest.raises(IntegrityError, match="cannot take it over"), transaction.atomic():
            HandoverNote.objects.filter(pk=note.pk).update(
                taken_by=operator, taken_at=timezone.now()
            )
        with pytest.raises(IntegrityError), transaction.atomic():
            HandoverNote.objects.all()._raw_delete("default")


class TestLoad:
    def test_it_counts_by_the_hour(self, make_proposal: MakeProposal, operator: Any) -> None:
        for _ in range(3):
            proposal = make_proposal()
            proposal_reject(proposal_id=proposal.pk, user=operator, reason="no")
        make_proposal()
        now = timezone.now()
        load = queue_load(since=now - timedelta(hours=2), until=now)
        assert sum(hour["arrived"] for hour in load["hours"]) == load["arrived"] == 4
        assert load["hours"][-1]["open"] == load["open"] == 1
        assert load["per_hour"] == 2.0
        assert 0 <= load["median_wait_s"] <= load["p90_wait_s"] < 10

    def test_an_empty_queue_has_no_waiting_time(self, db: None) -> None:
        now = timezone.now()
        load = queue_load(since=now - timedelta(hours=2), until=now)
        assert (load["arrived"], load["median_wait_s"], load["p90_wait_s"]) == (0, None, None)


class TestPages:
    @pytest.mark.parametrize("name", ["viewer", "operator", "supervisor"])
    def test_everybody_reads(
        self, shift: dict[str, Any], client_as: Any, name: str, request: pytest.FixtureRequest
    ) -> None:
        operator = request.getfixturevalue("operator")
        note = handover_write(user=operator, text="<b>CRAC 2</b> waits")
        client = client_as(request.getfixturevalue(name))
        page = client.get("/approvals/handover/").content.decode()
        assert ("data-hand-over" in page) == (name != "viewer")
        assert "operator handed over at" in page
        one = client.get(f"/approvals/handover/{note.pk}/").content.decode()
        assert "&lt;b&gt;CRAC 2&lt;/b&gt; waits" in one
        assert "the belt is being changed" in one
        assert (f'data-take="{note.pk}"' in one) == (name == "supervisor")

    def test_a_stranger_is_sent_to_the_door(self, shift: dict[str, Any], client: Any) -> None:
        assert client.get("/approvals/handover/").status_code == 302
        for path in ("", "now", "1/export"):
            assert client.get(f"/api/v1/handover/{path}").status_code in (401, 403)

    def test_over_rest(
        self, shift: dict[str, Any], client_as: Any, operator: Any, supervisor: Any, viewer: Any
    ) -> None:
        def post(user: Any, path: str, body: dict[str, Any]) -> Any:
            return client_as(user).post(path, body, content_type="application/json")

        assert post(viewer, "/api/v1/handover/", {"text": "x"}).status_code == 403
        made = post(operator, "/api/v1/handover/", {"text": "belt"})
        assert made.status_code == 201, made.content
        take = f"/api/v1/handover/{made.json()['id']}/take"
        assert post(operator, take, {}).json()["code"] == "own_handover"
        assert post(supervisor, take, {}).json()["taken_by"] == "supervisor"
        assert post(supervisor, take, {}).status_code == 409
        listed = client_as(viewer).get("/api/v1/handover/").json()
        assert listed["results"][0]["text"] == "belt"
        now = client_as(viewer).get("/api/v1/handover/now").json()
        assert len(now["open"]) == 1

    def test_it_is_exported_as_plain_text(
        self, shift: dict[str, Any], client_as: Any, operator: Any, viewer: Any
    ) -> None:
        note = handover_write(user=operator, text="See [here](http://x)")
        answer = client_as(viewer).get(f"/api/v1/handover/{note.pk}/export")
        text = answer.content.decode()
        assert answer["Content-Type"] == "text/markdown; charset=utf-8"
        assert text == handover_markdown(HandoverNote.objects.get())
        assert "\\[here\\]" in text
        assert f"#{shift['rejected'].pk}" in text and "rejected by operator" in text
        assert "smoke in row 2" in text and "still held" in text
        assert "no effect at" in text
