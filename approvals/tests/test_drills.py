"""Known-bad proposals: planted now and then, told when decided, never executed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from approvals.audit import audit_append
from approvals.execution import execute
from approvals.honesty.flaws import FLAWS
from approvals.honesty.looks import look_note
from approvals.honesty.planting import EVERY_S, WEEK_S, drill_maybe, drill_plant, not_now, on_shift
from approvals.models import AuditEntry, Drill, Execution, PolicyVersion, Proposal
from approvals.outcome import outcomes_submit
from approvals.policy.default import DOCUMENT
from approvals.services import proposal_approve, proposal_expire_due, proposal_reject
from approvals.situations import situation_read
from approvals.tests.conftest import MakeProposal, SetValues

Plant = Callable[..., Proposal]


@pytest.fixture
def plant(set_values: SetValues, settings: Any) -> Plant:
    """Return a function that plants a drill in the healthy demo hall."""
    settings.EMBED_URLS = ["http://127.0.0.1:9"]

    def make(flaw: str = "wrong_direction", seed: int = 1) -> Proposal:
        made = drill_plant(rng=Random(seed), flaw=flaw)
        assert made is not None
        return made

    return make


def everything_shown(client: Any, proposal: Proposal) -> str:
    """All that a person can read of a proposal."""
    paths = (
        f"/approvals/{proposal.pk}/",
        "/approvals/",
        f"/api/v1/proposals/{proposal.pk}/",
        f"/api/v1/audit/?object=proposal:{proposal.pk}",
        "/api/v1/team/",
        "/approvals/team/",
    )
    answers = [client.get(path) for path in paths]
    assert all(answer.status_code == 200 for answer in answers)
    return " ".join(answer.content.decode() for answer in answers)


class TestHidden:
    @pytest.mark.parametrize("name", ["viewer", "operator", "supervisor"])
    def test_it_looks_like_any_other(
        self, plant: Plant, client_as: Any, name: str, request: pytest.FixtureRequest
    ) -> None:
        proposal = plant()
        drill = Drill.objects.get(proposal=proposal)
        text = everything_shown(client_as(request.getfixturevalue(name)), proposal)
        assert drill.flaw not in text
        assert "This was a drill" not in text
        assert "is_drill" not in text
        body = client_as(request.getfixturevalue(name)).get(f"/api/v1/proposals/{proposal.pk}/")
        assert body.json()["drill"] is None
        assert body.json()["author"] == "agent"

    def test_not_even_the_console_shows_it(self, plant: Plant, client_as: Any, admin: Any) -> None:
        proposal = plant()
        client = client_as(admin)
        assert f"#{proposal.pk}" not in client.get("/admin/approvals/drill/").content.decode()
        page = client.get(f"/admin/approvals/proposal/{proposal.pk}/change/").content.decode()
        assert "never executable" not in page


class TestDecided:
    def test_a_caught_one_is_told(self, plant: Plant, operator: Any, client_as: Any) -> None:
        proposal = plant()
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="the wrong way")
        drill = Drill.objects.get(proposal=proposal)
        assert drill.was_caught is True and drill.revealed_at is not None
        assert drill.flaw in everything_shown(client_as(operator), proposal)
        assert AuditEntry.objects.get(event="drill.revealed").payload["was_caught"] is True

    def test_a_signed_one_is_told_and_never_written(
        self, plant: Plant, operator: Any, client_as: Any
    ) -> None:
        proposal = plant()
        answer = client_as(operator).post(
            f"/api/v1/proposals/{proposal.pk}/approve",
            {"digest": proposal.digest},
            content_type="application/json",
        )
        assert answer.status_code == 200, answer.content
        assert answer.json()["state"] == "superseded"
        assert answer.json()["drill"]["was_caught"] is False
        assert execute(proposal_id=proposal.pk).outcome == ""
        assert not Execution.objects.exists()
        page = client_as(operator).get(f"/approvals/{proposal.pk}/").content.decode()
        assert "This was a drill" in page

    def test_the_database_refuses_to_execute_one(
        self, plant: Plant, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where nothing in Python would move it on."""
        from approvals.honesty import drills

        monkeypatch.setattr(drills, "drill_follow", lambda **_: None)
        monkeypatch.setattr("approvals.services.transitions.drill_follow", lambda **_: None, raising=False)  # fmt: skip
        proposal = plant()
        proposal_approve(proposal_id=proposal.pk, user=operator, digest=proposal.digest)
        if Proposal.objects.get(pk=proposal.pk).state == "approved":
            with pytest.raises(IntegrityError, match="is a drill"), transaction.atomic():
                Proposal.objects.filter(pk=proposal.pk).update(state="executing")
        assert execute(proposal_id=proposal.pk).outcome == ""
        assert not Execution.objects.exists()

    def test_an_expired_one_is_told_as_undecided(self, plant: Plant, settings: Any) -> None:
        proposal = plant()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(
                "ALTER TABLE approvals_proposal DISABLE TRIGGER approvals_proposal_guard"
            )
            Proposal.objects.filter(pk=proposal.pk).update(expires_at=timezone.now())
            cursor.execute("ALTER TABLE approvals_proposal ENABLE TRIGGER approvals_proposal_guard")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert proposal_expire_due() == 1
        drill = Drill.objects.get(proposal=proposal)
        assert drill.revealed_at is not None and drill.was_caught is None

    def test_a_real_one_for_the_same_target_takes_its_place(
        self, plant: Plant, make_proposal: MakeProposal
    ) -> None:
        drill = plant()
        real = (
            make_proposal(drill.kind, drill.target, {"fan_speed_pct": 90.0})
            if (drill.kind == "set_fan_speed")
            else make_proposal(drill.kind, drill.target, {next(iter(drill.params)): 16.0})
        )
        drill.refresh_from_db()
        assert (real.state, drill.state) == ("pending", "superseded")
        assert Drill.objects.get(proposal=drill).revealed_at is not None

    def test_it_is_no_experience(self, plant: Plant, operator: Any) -> None:
        proposal = plant()
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="the wrong way")
        assert outcomes_submit() == 0


class TestDatabase:
    def test_a_drill_is_a_proposal_that_is_marked_as_one(self, make_proposal: MakeProposal) -> None:
        with pytest.raises(IntegrityError, match="not marked as a drill"), transaction.atomic():
            Drill.objects.create(
                proposal=make_proposal(), flaw="invented", planted_at=timezone.now()
            )

    def test_its_flaw_is_fixed_and_it_is_told_once(self, plant: Plant, operator: Any) -> None:
        proposal = plant()
        with pytest.raises(IntegrityError, match="only be revealed"), transaction.atomic():
            Drill.objects.update(flaw="another")
        proposal_reject(proposal_id=proposal.pk, user=operator, reason="no")
        with pytest.raises(IntegrityError, match="only be revealed"), transaction.atomic():
            Drill.objects.update(was_caught=False)
        with pytest.raises(IntegrityError), transaction.atomic():
            Drill.objects.all()._raw_delete("default")


class TestFlaws:
    @pytest.mark.parametrize("name", ["wrong_direction", "wrong_unit"])
    def test_each_is_bad_in_a_way_that_the_card_shows(self, plant: Plant, name: str) -> None:
        proposal = plant(name)
        flaw = Drill.objects.get(proposal=proposal).flaw
        [write] = proposal.writes
        if name == "wrong_unit":
            named = flaw.split("speaks of ")[1].split(",")[0]
            assert named in proposal.rationale and named not in proposal.title
        elif proposal.kind == "set_fan_speed":
            assert write["value"] < 70.0 and "moves less air" in flaw
        else:
            assert write["value"] > 18.0 and "warmer air" in flaw

    def test_evidence_of_hours_ago_is_bad(self, set_values: SetValues, settings: Any) -> None:
        from approvals.tests.courses import course_write

        settings.EMBED_URLS = ["http://127.0.0.1:9"]
        long_ago = timezone.now() - timedelta(hours=3)
        for number in range(1, 9):
            tags = {f"rack-{r}-{number:02}.inlet_c": lambda s: 28.4 for r in (1, 2)}
            course_write(tags, wrote=long_ago, until=long_ago, since_s=-30)
        set_values({f"rack-{r}-{n:02}.inlet_c": 23.5 for r in (1, 2) for n in range(1, 9)})
        made = drill_plant(rng=Random(3), flaw="stale_evidence")
        assert made is not None
        assert "28.4 °C" in made.rationale
        assert "23.5 °C when the proposal was made" in Drill.objects.get().flaw

    def test_a_step_that_says_otherwise_is_bad(self, set_values: SetValues, settings: Any) -> None:
        from pathlib import Path

        from rag.intake.importing import collection_get_or_create, document_import
        from rag.models import Revision, RevisionState

        settings.EMBED_URLS = ["http://127.0.0.1:9"]
        path = Path(__file__).parents[2] / "rag" / "procedures" / "EOP-CRAC-01.md"
        shelf = collection_get_or_create(slug="procedures")
        document_import(data=path.read_bytes(), source_path=path.name, collection=shelf, kind="eop")
        Revision.objects.update(state=RevisionState.READY)
        made = drill_plant(rng=Random(3), flaw="contrary_step")
        assert made is not None
        [cited] = made.citations
        from approvals.catalogue import KINDS

        assert not KINDS[made.kind].instructed_by(cited["section"])
        assert "does not instruct this" in Drill.objects.get().flaw

    def test_a_hall_without_anything_for_it_has_none(self, demo_facility: None) -> None:
        situation = situation_read(hall="hall-1")
        assert all(flaw(situation, Random(1)) is None for flaw in FLAWS.values())


class TestWhen:
    @pytest.fixture
    def wanted(self, set_values: SetValues, settings: Any) -> None:
        settings.EMBED_URLS = ["http://127.0.0.1:9"]
        newest = PolicyVersion.objects.order_by("-number").first()
        PolicyVersion.objects.create(
            number=(newest.number if newest else 0) + 1,
            document={**DOCUMENT, "drills": {"enabled": True, "per_week": 7}},
            digest="0" * 64,
            made_at=timezone.now(),
        )

    def _present(self, user: Any) -> None:
        audit_append(event="login.succeeded", actor=user.get_username())

    def test_it_is_off_as_shipped(self, set_values: SetValues, operator: Any) -> None:
        self._present(operator)
        assert DOCUMENT["drills"]["enabled"] is False
        assert all(drill_maybe(rng=Random(seed)) is None for seed in range(50))

    def test_it_comes_as_often_as_the_policy_says(self, wanted: None, operator: Any) -> None:
        """The chance of one look, times the looks of a week, is seven."""
        self._present(operator)
        chance = 7 * EVERY_S / WEEK_S
        assert drill_maybe(rng=_Always(chance * 1.01)) is None
        assert drill_maybe(rng=_Always(chance * 0.99)) is not None

    def test_not_while_nobody_is_there(self, wanted: None, operator: Any, viewer: Any) -> None:
        assert not_now() == "nobody is on shift"
        self._present(viewer)
        assert on_shift() == []
        self._present(operator)
        assert (on_shift(), not_now()) == (["operator"], "")

    def test_not_while_a_real_one_is_open(self, wanted: None, make_proposal: MakeProposal) -> None:
        make_proposal()
        assert not_now() == "a proposal is open"

    def test_not_while_a_serious_alarm_is_open(self, wanted: None, operator: Any) -> None:
        from facilities.models import Alarm, AlarmRule, Point

        self._present(operator)
        rule = AlarmRule.objects.get(name="CRAC fault")
        Alarm.objects.create(
            point=Point.objects.get(tag="crac-2.fault"),
            rule=rule,
            severity="critical",
            message="",
            value=1.0,
            peak_value=1.0,
            raised_at=timezone.now(),
        )
        assert not_now() == "a serious alarm is open"

    def test_a_look_is_presence_too(self, plant: Plant, operator: Any) -> None:
        look_note(proposal_id=plant().pk, user=operator, what="seen")
        assert on_shift() == ["operator"]


class _Always(Random):
    """A random source whose first fraction is known."""

    def __init__(self, first: float) -> None:
        super().__init__(5)
        self.first: float | None = first

    def random(self) -> float:
        first, self.first = self.first, None
        return super().random() if first is None else first
