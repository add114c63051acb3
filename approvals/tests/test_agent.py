"""The agent on the real procedures: the right action with a cited step, or none with a reason."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals.agent import alarms_to_investigate, investigate
from approvals.agent.choose import choice_schema, parse_choice
from approvals.agent.rank import Candidate, physics_fit, ranked
from approvals.agent.support import Support
from approvals.catalogue import KINDS, Action, Checked
from approvals.models import AuditEntry, Investigation, Proposal
from approvals.services import proposal_expire_due
from approvals.situations import situation_read
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from facilities.models import Alarm, AlarmRule, MaintenanceWindow, Point

PROCEDURES = Path(__file__).parents[2] / "rag" / "procedures"
WARM = {"rack-1-03.inlet_c": 28.6, "rack-2-03.inlet_c": 28.2}


@pytest.fixture
def no_engine(settings: Any) -> None:
    """Neither model nor query embedder: addresses at which nothing listens."""
    settings.LLM_URLS = settings.EMBED_URLS = ["http://127.0.0.1:9"]


@pytest.fixture
def procedures(db: None) -> None:
    """The demo facility's own procedures, in force for full-text search."""
    _import(PROCEDURES.glob("*.md"))


@pytest.fixture
def few_procedures(db: None) -> None:
    """Those that answer a lost CRAC, warm racks and work orders: the others take a second more."""
    _import(PROCEDURES / f"{name}.md" for name in ("EOP-CRAC-01", "SOP-TEMP-01", "SOP-WORK-01"))


def _import(paths: Iterable[Path]) -> None:
    from rag.intake.importing import collection_get_or_create, document_import
    from rag.models import Revision, RevisionState

    shelf = collection_get_or_create(slug="procedures")
    for path in sorted(paths):
        document_import(data=path.read_bytes(), source_path=path.name, collection=shelf, kind="sop")
    Revision.objects.update(state=RevisionState.READY)


def _raise_alarm(tag: str, *, value: float, rule: str) -> Alarm:
    point = Point.objects.get(tag=tag)
    now = timezone.now()
    found = AlarmRule.objects.get(name=rule)
    return Alarm.objects.create(
        point=point,
        rule=found,
        severity=found.severity,
        message=found.message,
        value=value,
        peak_value=value,
        raised_at=now,
    )


def _crac_2_alarm() -> Alarm:
    return _raise_alarm("crac-2.fault", value=1.0, rule="CRAC fault")


def _hot_alarm(tag: str = "rack-1-03.inlet_c") -> Alarm:
    return _raise_alarm(tag, value=28.6, rule="Rack inlet high")


@pytest.mark.django_db
@pytest.mark.usefixtures("no_engine", "procedures")
class TestWithoutModel:
    def test_it_starts_the_standby_for_a_tripped_crac(self, set_values: SetValues) -> None:
        set_values(CRAC_2_DOWN)
        alarm = _crac_2_alarm()
        assert investigate(alarm_id=alarm.pk) == "proposed"
        proposal = Proposal.objects.get()
        assert (proposal.kind, proposal.target) == ("start_standby_crac", "crac-4")
        assert (proposal.state, proposal.author, proposal.alarm_id) == (
            "pending",
            "agent",
            alarm.pk,
        )
        cited = proposal.citations[0]
        assert (cited["document"], cited["step"]) == ("eop-crac-01", "4")
        assert "Start the standby unit crac-4" in cited["text"]
        assert "CRAC 2 reports a fault" in proposal.rationale
        assert {"tag": "crac-2.fault", "op": ">=", "value": 1}.items() <= (
            next(c for c in proposal.preconditions if c["tag"] == "crac-2.fault").items()
        )

    def test_it_records_every_step_and_says_that_the_model_was_away(
        self, set_values: SetValues
    ) -> None:
        set_values(CRAC_2_DOWN)
        investigate(alarm_id=_crac_2_alarm().pk)
        found = Investigation.objects.get()
        names = [step["step"] for step in found.timeline]
        assert names[:6] == [
            "gather", "correlate", "findings", "suppose", "waiting", "enumerate"
        ]  # fmt: skip
        assert names[-4:] == ["ask_model", "decide", "experience", "propose"]
        assert "retrieve" in names
        asked = next(step for step in found.timeline if step["step"] == "ask_model")
        assert not asked["ok"]
        assert asked["output"]["error"]
        assert found.with_model is False
        assert "(without model)" in found.conclusion
        assert all(step["ms"] >= 0 for step in found.timeline)
        events = AuditEntry.objects.filter(object=f"alarm:{found.alarm_id}").order_by("seq")
        assert [e.event for e in events] == ["investigation.started", "investigation.concluded"]

    def test_it_makes_one_proposal_for_the_alarms_of_one_cause(self, set_values: SetValues) -> None:
        set_values({**CRAC_2_DOWN, **WARM})
        first, others = _crac_2_alarm(), [_hot_alarm(), _hot_alarm("rack-2-03.inlet_c")]
        assert investigate(alarm_id=first.pk) == "proposed"
        assert [investigate(alarm_id=a.pk) for a in others] == ["attached", "attached"]
        proposal = Proposal.objects.get()
        attached = [e["alarm"] for e in proposal.evidence if e["kind"] == "alarm"]
        assert attached == [first.pk, *(a.pk for a in others)]
        assert proposal.digest == proposal.computed_digest()

    def test_it_prefers_fan_or_setpoint_for_a_hot_rack_with_all_units_running(
        self, set_values: SetValues
    ) -> None:
        set_values(WARM)
        assert investigate(alarm_id=_hot_alarm().pk) == "proposed"
        proposal = Proposal.objects.get()
        assert proposal.kind in ("set_fan_speed", "set_supply_setpoint")
        assert proposal.citations[0]["step"]

    def test_it_offers_nothing_when_the_standby_is_faulted_too(self, set_values: SetValues) -> None:
        set_values({**CRAC_2_DOWN, "crac-4.fault": 1.0})
        investigate(alarm_id=_crac_2_alarm().pk)
        assert not Proposal.objects.filter(kind="start_standby_crac").exists()

    def test_it_starts_nothing_without_chilled_water(self, set_values: SetValues) -> None:
        set_values({**CRAC_2_DOWN, "chiller-1.running": 0.0})
        assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
        looked, proposal = Investigation.objects.get(), Proposal.objects.get()
        assert (proposal.kind, proposal.target) == ("open_work_order", "crac-2")
        assert "chiller-1.running: expected >= 1, actual 0" in str(looked.timeline)

    def test_it_proposes_nothing_for_an_alarm_outside_the_catalogue(
        self, set_values: SetValues
    ) -> None:
        alarm = _raise_alarm("leak-1.wet", value=1.0, rule="Water leak")
        assert investigate(alarm_id=alarm.pk) == "none"
        assert "no rule explains Leak detector 1" in Investigation.objects.get().conclusion
        assert not Proposal.objects.exists()

    def test_it_sends_somebody_to_a_silent_sensor_and_leaves_the_plant_alone(
        self, set_values: SetValues
    ) -> None:
        set_values(CRAC_2_DOWN | WARM)
        alarm = _raise_alarm("rack-1-03.inlet_c", value=30.0, rule="Rack inlet silent")
        assert investigate(alarm_id=alarm.pk) == "proposed"
        looked, proposal = Investigation.objects.get(alarm=alarm), Proposal.objects.get()
        assert (proposal.kind, proposal.target) == ("open_work_order", "rack-1-03")
        assert looked.hypotheses[0]["of_instrument"] is True
        assert "no action on the plant follows from it" in proposal.rationale
        offered = next(s["output"] for s in looked.timeline if s["step"] == "enumerate")
        assert {c["action"].split(" for ")[0] for c in offered["candidates"]} == {"Open work order"}

    def test_it_looks_once_at_an_alarm(self, set_values: SetValues) -> None:
        set_values(CRAC_2_DOWN)
        alarm = _crac_2_alarm()
        assert alarms_to_investigate() == [alarm.pk]
        assert investigate(alarm_id=alarm.pk) == "proposed"
        assert alarms_to_investigate() == []
        assert investigate(alarm_id=alarm.pk) == ""

    def test_it_looks_again_when_its_proposal_ran_out(
        self, set_values: SetValues, settings: Any
    ) -> None:
        settings.PROPOSAL_TTL_S = -1
        set_values(CRAC_2_DOWN)
        alarm = _crac_2_alarm()
        investigate(alarm_id=alarm.pk)
        proposal_expire_due()
        assert alarms_to_investigate() == []
        Investigation.objects.update(finished_at=timezone.now() - timedelta(minutes=2))
        assert alarms_to_investigate() == [alarm.pk]
        assert investigate(alarm_id=alarm.pk) == "proposed"
        assert Proposal.objects.count() == 2
        assert Investigation.objects.get().attempts == 2

    def test_it_takes_over_from_a_dead_worker(self, set_values: SetValues) -> None:
        set_values(CRAC_2_DOWN)
        alarm = _crac_2_alarm()
        dead = timezone.now() - timedelta(minutes=10)
        Investigation.objects.create(alarm=alarm, started_at=dead)
        assert alarms_to_investigate() == [alarm.pk]
        assert investigate(alarm_id=alarm.pk) == "proposed"

    def test_it_looks_at_the_head_of_a_group_not_at_its_consequences(
        self, set_values: SetValues
    ) -> None:
        set_values({**CRAC_2_DOWN, **WARM})
        head, hidden = _crac_2_alarm(), _hot_alarm()
        Alarm.objects.filter(pk=hidden.pk).update(root=head, suppressed=True)
        assert alarms_to_investigate() == [head.pk]
        assert investigate(alarm_id=hidden.pk) == ""
        assert investigate(alarm_id=head.pk) == "proposed"
        assert "taken for its consequences: 1 alarms" in str(Investigation.objects.get().timeline)
        Alarm.objects.filter(pk=hidden.pk).update(suppressed=False)
        assert alarms_to_investigate() == [hidden.pk]

    def test_it_leaves_alone_what_is_shelved_or_in_maintenance(self, set_values: SetValues) -> None:
        set_values(CRAC_2_DOWN)
        alarm = _crac_2_alarm()
        now = timezone.now()
        Alarm.objects.filter(pk=alarm.pk).update(shelved_until=now + timedelta(hours=1))
        assert (alarms_to_investigate(), investigate(alarm_id=alarm.pk)) == ([], "")
        window = MaintenanceWindow.objects.create(
            asset=alarm.point.asset,
            starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(hours=1),
            reason="belt change",
        )
        Alarm.objects.filter(pk=alarm.pk).update(shelved_until=None, maintenance=window)
        assert (alarms_to_investigate(), investigate(alarm_id=alarm.pk)) == ([], "")
        MaintenanceWindow.objects.update(ends_at=now)
        assert alarms_to_investigate() == [alarm.pk]

    def test_it_ignores_a_cleared_alarm(self, set_values: SetValues) -> None:
        alarm = _crac_2_alarm()
        Alarm.objects.filter(pk=alarm.pk).update(cleared_at=timezone.now())
        assert alarms_to_investigate() == []
        assert investigate(alarm_id=alarm.pk) == ""


@pytest.mark.django_db
@pytest.mark.usefixtures("no_engine")
def test_it_proposes_nothing_without_a_procedure_step(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    assert investigate(alarm_id=_crac_2_alarm().pk) == "none"
    assert "no procedure step instructs" in Investigation.objects.get().conclusion


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_engine", "procedures")
def test_it_makes_one_proposal_when_alarms_are_investigated_at_once(
    set_values: SetValues,
) -> None:
    set_values({**CRAC_2_DOWN, **WARM})
    alarms = [_crac_2_alarm(), _hot_alarm(), _hot_alarm("rack-2-03.inlet_c")]
    outcomes: list[str] = []

    def work(alarm_id: int) -> None:
        try:
            outcomes.append(investigate(alarm_id=alarm_id))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(a.pk,)) for a in alarms for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["", "", "", "attached", "attached", "proposed"]
    assert Proposal.objects.count() == 1


@pytest.mark.slow
@pytest.mark.django_db
def test_it_works_with_the_real_model_and_vectors(
    set_values: SetValues, procedures: None, kvserve_url: str, settings: Any
) -> None:
    from rag.intake.indexing import revision_embed
    from rag.models import Revision, RevisionState

    settings.LLM_URLS = settings.EMBED_URLS = [kvserve_url]
    Revision.objects.update(state=RevisionState.IMPORTING)
    wanted = ("EOP-CRAC-01", "MOP-CRAC-02", "SOP-TEMP-01")  # embedding all takes half a minute
    for revision in Revision.objects.filter(document__source_path__in=[f"{w}.md" for w in wanted]):
        revision_embed(revision_id=revision.pk)
    set_values({**CRAC_2_DOWN, **WARM})
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    found, proposal = Investigation.objects.get(), Proposal.objects.get()
    assert (proposal.kind, proposal.target) == ("start_standby_crac", "crac-4")
    assert (proposal.citations[0]["document"], proposal.citations[0]["step"]) == (
        "eop-crac-01",
        "4",
    )
    assert found.with_model is True
    asked = next(step["output"] for step in found.timeline if step["step"] == "ask_model")
    assert asked["choice"]
    assert not asked["error"]
    print(f"the model chose: {asked['chosen_action']} ({asked['answer']})")


class TestRank:
    def _candidate(self, label: str, **changes: Any) -> Candidate:
        action = Action("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
        expectation: Any = type("E", (), {"relief_w": 1000.0})()
        good = Checked("crac-1.running", ">= 1", 1.0, True, "")
        fields: dict[str, Any] = {
            "label": label,
            "action": action,
            "title": label,
            "risk": "low",
            "checked": (good,),
            "expectation": expectation,
            "physics": 0.5,
            "support": Support(0.5, {"title": "SOP", "step": "2"}),
        }
        return Candidate(**{**fields, **changes})

    def test_it_never_lets_a_vote_beat_a_failed_precondition_or_a_missing_step(self) -> None:
        failed = Checked("crac-1.running", ">= 1", 0.0, False, "off")
        plain = self._candidate("A", physics=0.01, support=Support(0.01, {"title": "", "step": 1}))
        invalid = self._candidate("B", physics=1.0, checked=(failed,), voted=True)
        uncited = self._candidate("C", physics=1.0, support=Support(0.0, None), voted=True)
        assert [c.label for c in ranked([invalid, uncited, plain])] == ["A", "B", "C"]
        assert invalid.score == uncited.score == 0

    def test_it_lets_a_vote_tip_the_scale_between_equals_only(self) -> None:
        first, second = self._candidate("A"), self._candidate("B", voted=True)
        assert [c.label for c in ranked([first, second])] == ["B", "A"]
        strong = self._candidate("C", physics=1.0)
        assert ranked([second, strong])[0].label == "C"

    def test_it_prefers_what_fits_over_overshoot(self) -> None:
        assert physics_fit(relief_w=50.0, needed_w=100.0) == 0.5
        assert physics_fit(relief_w=100.0, needed_w=100.0) == 1.0
        assert 0.6 <= physics_fit(relief_w=500.0, needed_w=100.0) < 1.0


def test_it_admits_only_offered_labels_from_the_model() -> None:
    assert choice_schema(["A", "B"])["properties"]["choice"]["enum"] == ["A", "B", "none"]
    assert parse_choice('{"choice": "A"}', ["A"]) == ("A", "")
    for nonsense in ('{"choice": "Z"}', "{}", "open the breaker", "[]", ""):
        label, problem = parse_choice(nonsense, ["A"])
        assert label == ""
        assert problem


@pytest.mark.django_db
def test_it_enumerates_only_actions_inside_the_points_limits(set_values: SetValues) -> None:
    from jsonschema import Draft202012Validator

    set_values({**CRAC_2_DOWN, **WARM, "crac-1.fan_speed_sp_pct": 95.0, "crac-3.supply_sp_c": 14.5})
    situation = situation_read(hall="hall-1", alarm=_hot_alarm())
    actions = [a for kind in KINDS.values() for a in kind.candidates(situation)]
    assert {a.kind for a in actions} >= {"start_standby_crac", "set_fan_speed"}
    for action in actions:
        kind = KINDS[action.kind]
        schema = kind.schema(action.target, situation)
        Draft202012Validator(schema).validate(dict(action.params))
        for write in kind.writes(action, situation):
            if write.body is not None:  # an order, no setpoint
                continue
            limits = situation.limits[write.tag]
            assert limits.low <= write.value <= limits.high


@pytest.mark.django_db
def test_it_offers_nothing_on_a_healthy_hall(set_values: SetValues) -> None:
    situation = situation_read(hall="hall-1")
    assert [a for kind in KINDS.values() for a in kind.candidates(situation)] == []
