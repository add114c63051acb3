"""What an executed proposal did, measured on readings in the real database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.effects import effect_measure, effect_open
from approvals.effects.read import siblings_of
from approvals.models import AuditEntry, Effect, Execution, Proposal
from approvals.templatetags.honesty import effect_plot
from approvals.tests.conftest import MakeProposal, SetValues
from approvals.tests.courses import course_write, written

TAG = "rack-1-03.inlet_c"
RACKS = [f"rack-{r}-{n:02}.inlet_c" for r in (1, 2) for n in range(1, 9)]
Value = Callable[[float], float]
Written = Callable[..., Proposal]


def falling(before: float, after: float) -> Value:
    return lambda s: before if s <= 0 else after + (before - after) * 2.718 ** (-s / 10)


def steady(value: float) -> Value:
    return lambda s: value + 0.05 * ((int(s) * 7919 % 13) / 13 - 0.5)


@pytest.fixture
def carried_out(make_proposal: MakeProposal, operator: Any, set_values: SetValues) -> Written:
    """Return a function: crac-4 was started `ago_s` ago and rack 1-03 went the given way."""

    def make(
        course: Value | None,
        *,
        ago_s: float,
        before: float = 29.0,
        siblings: Value | None = None,
        since_s: float = -600.0,
        **executed: Any,
    ) -> Proposal:
        set_values({TAG: before})
        proposal = make_proposal()
        wrote = timezone.now() - timedelta(seconds=ago_s)
        written(proposal, operator, wrote=wrote, previous={"crac-4.run_cmd": 0.0}, **executed)
        assert Effect.objects.get(proposal=proposal).before == before
        if course is not None:
            course_write({TAG: course}, wrote=wrote, since_s=since_s)
        if siblings is not None:
            course_write({tag: siblings for tag in RACKS if tag != TAG}, wrote=wrote)
        set_values({"crac-4.running": 1.0})
        return Proposal.objects.get(pk=proposal.pk)

    return make


def test_it_is_verified_early_when_the_inlet_is_plainly_back(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=60)
    found = effect_measure(proposal_id=proposal.pk)
    assert found.verdict == "verified"
    assert "rack-1-03.inlet_c is now below 27: 29 before" in found.detail
    effect = Effect.objects.get(proposal=proposal)
    assert effect.estimate is not None and -4.2 < effect.estimate < -3.5
    assert effect.estimate_high is not None and effect.estimate_high < 0
    assert effect.control["used"] in ("own", "siblings")
    assert Proposal.objects.get(pk=proposal.pk).state == "verified"
    entry = AuditEntry.objects.filter(event="effect.verified").get()
    assert entry.payload["control"] == effect.control["used"]
    assert effect_measure(proposal_id=proposal.pk).detail == "no open effect"


def test_it_waits_while_the_inlet_is_above(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 28.0), ago_s=60)
    found = effect_measure(proposal_id=proposal.pk)
    assert (found.verdict, "waiting for below 27" in found.detail) == ("", True)


def test_it_has_no_effect_when_the_window_ends_warm(carried_out: Written) -> None:
    proposal = carried_out(steady(29.5), ago_s=300)
    assert effect_measure(proposal_id=proposal.pk).verdict == "no_effect"
    effect = Effect.objects.get(proposal=proposal)
    assert "rack-1-03.inlet_c is 29.4" in effect.detail and "not below 27" in effect.detail
    assert Proposal.objects.get(pk=proposal.pk).state == "no_effect"


def test_it_has_no_effect_when_the_unit_never_ran(
    carried_out: Written, set_values: SetValues
) -> None:
    proposal = carried_out(falling(29.0, 26.0), ago_s=300)
    set_values({"crac-4.running": 0.0})
    assert effect_measure(proposal_id=proposal.pk).verdict == "no_effect"
    assert "crac-4.running: expected >= 1, actual 0" in Effect.objects.get().detail


def test_it_waits_for_the_window_when_the_inlet_was_fine_before(carried_out: Written) -> None:
    proposal = carried_out(steady(25.0), ago_s=60, before=25.0)
    assert effect_measure(proposal_id=proposal.pk).verdict == ""
    long_ago = timezone.now() - timedelta(seconds=300)
    Effect.objects.update(started_at=long_ago)
    execution = Execution.objects.get()
    assert execution.writes[0]["state"] == "applied"
    assert effect_measure(proposal_id=proposal.pk).verdict == "verified"
    assert "stayed below 27" in Effect.objects.get().detail


def test_silence_cannot_be_told(carried_out: Written) -> None:
    proposal = carried_out(None, ago_s=300)
    assert effect_measure(proposal_id=proposal.pk).verdict == "cannot_tell"
    assert "sent no good reading since the write" in Effect.objects.get().detail
    assert Proposal.objects.get(pk=proposal.pk).state == "cannot_tell"


def test_readings_that_failed_their_tests_cannot_be_told(
    carried_out: Written, set_values: SetValues
) -> None:
    from facilities.models import Reading

    proposal = carried_out(falling(29.0, 25.0), ago_s=300)
    wrote = timezone.now() - timedelta(seconds=300)
    Reading.objects.filter(point__tag=TAG, ts__gt=wrote).update(quality=4)
    assert effect_measure(proposal_id=proposal.pk).verdict == "cannot_tell"
    assert "no good reading" in Effect.objects.get().detail


def test_a_short_history_cannot_tell_what_would_have_been(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=300, since_s=-20)
    assert effect_measure(proposal_id=proposal.pk).verdict == "cannot_tell"
    assert "too short a history" in Effect.objects.get().detail


def test_what_else_was_written_in_the_hall_cannot_be_told_apart(
    carried_out: Written, make_proposal: MakeProposal, operator: Any
) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=300)
    other = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 90.0})
    written(other, operator, wrote=timezone.now() - timedelta(seconds=200))
    assert effect_measure(proposal_id=proposal.pk).verdict == "cannot_tell"
    assert f"#{other.pk} ({other.title}) was carried out in the same time" in (
        Effect.objects.get(proposal=proposal).detail
    )


def test_a_read_back_that_differs_is_no_success(carried_out: Written) -> None:
    sentence = "crac-4.run_cmd was written 1 and reads 0"
    proposal = carried_out(falling(29.0, 25.0), ago_s=300, mismatch=sentence)
    assert effect_measure(proposal_id=proposal.pk).verdict == "no_effect"
    assert sentence in Effect.objects.get().detail


def test_an_early_verdict_waits_for_the_read_back(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=50, read_back=False)
    assert effect_measure(proposal_id=proposal.pk).verdict == ""
    Execution.objects.update(confirmed_at=timezone.now())
    assert effect_measure(proposal_id=proposal.pk).verdict == "verified"


class TestSiblings:
    """A rack is capped; the other racks of the hall are what it is held against."""

    def test_it_is_held_against_the_other_racks(
        self, carried_out: Written, set_values: SetValues
    ) -> None:
        proposal = carried_out(falling(29.0, 25.0), ago_s=60)
        effect = Effect.objects.select_related("proposal").get(proposal=proposal)
        effect.proposal.blast_radius = {"racks": ["rack-1-03", "rack-1-04"]}
        found = siblings_of(effect)
        assert TAG not in found and "rack-1-04.inlet_c" not in found
        assert set(found) == set(RACKS) - {TAG, "rack-1-04.inlet_c"}

    def test_an_unknown_reach_has_no_siblings(self, carried_out: Written) -> None:
        proposal = carried_out(None, ago_s=60)
        effect = Effect.objects.select_related("proposal").get(proposal=proposal)
        effect.proposal.blast_radius = {}
        assert siblings_of(effect) == []


def test_it_is_looked_at_with_few_queries(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 28.0), ago_s=60)
    with CaptureQueriesContext(connection) as asked:
        effect_measure(proposal_id=proposal.pk)
    assert len(asked) <= 10, [query["sql"][:90] for query in asked]


def test_what_promises_nothing_is_closed_at_once(
    make_proposal: MakeProposal, operator: Any
) -> None:
    proposal = written_without_effect(make_proposal(), operator)
    effect = effect_open(proposal=proposal)
    effect.refresh_from_db()
    assert (effect.verdict, effect.tag) == ("cannot_tell", "")
    assert "promises nothing" in effect.detail
    assert Proposal.objects.get(pk=proposal.pk).state == "cannot_tell"
    assert AuditEntry.objects.filter(event="effect.cannot_tell").exists()


def written_without_effect(proposal: Proposal, operator: Any) -> Proposal:
    """A succeeded proposal whose row, once loaded, promises nothing."""
    found = written(proposal, operator, opens=False)
    found.expected_effect = {"tag": "", "sentence": "nothing is measured"}
    return found


def test_a_verdict_is_given_once_also_by_sql(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=60)
    effect_measure(proposal_id=proposal.pk)
    changes: list[dict[str, Any]] = [{"verdict": "no_effect"}, {"estimate": 0.0}, {"detail": "x"}]
    for change in changes:
        with pytest.raises(IntegrityError, match="is evidence"), transaction.atomic():
            Effect.objects.filter(proposal=proposal).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        Effect.objects.all()._raw_delete("default")


def test_the_drawing_shows_measured_control_and_promise(carried_out: Written) -> None:
    proposal = carried_out(falling(29.0, 25.0), ago_s=60)
    effect_measure(proposal_id=proposal.pk)
    plot = effect_plot(Effect.objects.get())
    assert plot is not None
    assert plot.measured.count(",") >= 20
    assert plot.control and plot.limit is not None and plot.limit_text == "27 °C"


@pytest.mark.parametrize("name", ["viewer", "operator", "supervisor"])
def test_the_page_shows_the_effect(
    carried_out: Written, client_as: Any, name: str, request: pytest.FixtureRequest
) -> None:
    user = request.getfixturevalue(name)
    proposal = carried_out(falling(29.0, 25.0), ago_s=60)
    effect_measure(proposal_id=proposal.pk)
    page = client_as(user).get(f"/approvals/{proposal.pk}/").content.decode()
    assert "By the writes" in page
    assert "What it is held against" in page
    body = client_as(user).get(f"/api/v1/proposals/{proposal.pk}/").json()
    assert body["effect"]["estimate"] < -3
    assert body["effect"]["control"]["course"]["measured"]
