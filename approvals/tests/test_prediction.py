"""The twin's prediction: stored and signed with the proposal, weighed when fit, compared after."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals import prediction as predicting
from approvals.agent import investigate
from approvals.agent.rank import CAUSE_SHARE, Candidate
from approvals.agent.support import Support
from approvals.catalogue import KINDS, Action
from approvals.models import Investigation, Proposal
from approvals.plot import plot_of
from approvals.services import proposal_request
from approvals.situations import situation_read
from approvals.tests.conftest import CRAC_2_DOWN, SetValues
from approvals.tests.test_agent import (  # noqa: F401 - fixtures
    _crac_2_alarm,
    no_engine,
    procedures,
)
from facilities.tracking import live

FIT = {"rack.inlet_c": {"rmse": 0.2, "cv_rmse_pct": 1.0, "nmbe_pct": 0.1, "passed": True}}


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin that has followed the plant and fits: the snapshot's state, with a good fitness."""
    plain = live.current

    def fit() -> live.Live:
        return dataclasses.replace(plain(), fitness=FIT, followed=True)

    monkeypatch.setattr("facilities.whatif.predict.current", fit)


def _request(operator: Any) -> Proposal:
    return proposal_request(
        user=operator,
        kind="start_standby_crac",
        target="crac-4",
        params={},
        rationale="CRAC 2 is lost.",
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("no_engine", "procedures", "followed")
def test_it_predicts_every_candidate_and_ranks_by_it(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    assert investigate(alarm_id=_crac_2_alarm().pk) == "proposed"
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.target) == ("start_standby_crac", "crac-4")
    found = proposal.prediction
    assert found["problem"] == ""
    assert found["fit"]["verdict"] == "fit"
    assert found["tag"] == proposal.expected_effect["tag"]
    acting, nothing = found["acting"], found["nothing"]
    assert acting["p50"][-1] < nothing["p50"][-1] - 1
    assert all(
        a <= b <= c for a, b, c in zip(*(acting[n] for n in ("p10", "p50", "p90")), strict=True)
    )
    assert "with this" in found["sentence"]
    steps = {step["step"]: step for step in Investigation.objects.get().timeline}
    assert steps["predict"]["ok"]
    assert steps["predict"]["output"]["used_for_ranking"]
    assert len(steps["predict"]["output"]["predictions"]) > 1
    first = steps["decide"]["output"]["ranking"][0]
    assert first["predicted"] > 0.3
    assert first["prediction"] == found["sentence"]


@pytest.mark.django_db
def test_it_is_part_of_what_is_signed(set_values: SetValues, operator: Any, sql: Any) -> None:
    set_values(CRAC_2_DOWN)
    proposal = _request(operator)
    assert proposal.prediction["sentence"]
    assert proposal.payload()["prediction"] == proposal.prediction
    stored = Proposal.objects.get(pk=proposal.pk)
    assert stored.computed_digest() == stored.digest
    stored.prediction["acting"]["p50"][-1] += 1
    assert stored.computed_digest() != stored.digest
    with pytest.raises(IntegrityError, match="cannot change"), transaction.atomic():
        sql("UPDATE approvals_proposal SET prediction = '{}' WHERE id = %s", proposal.pk)


@pytest.mark.django_db
def test_a_proposal_from_before_the_twin_keeps_its_digest(make_proposal: Any) -> None:
    proposal = make_proposal()
    assert proposal.prediction == {}
    assert "prediction" not in proposal.payload()


@pytest.mark.django_db
def test_it_goes_on_when_the_twin_fails(
    set_values: SetValues, operator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facilities.models import Asset

    set_values(CRAC_2_DOWN)
    Asset.objects.filter(tag="chiller-1").update(attributes={"cooling_w": "much"})
    live._twins.clear()
    try:
        proposal = _request(operator)
    finally:
        live._twins.clear()
    assert proposal.state == "pending"
    assert "cooling_w is 'much', not a number" in proposal.prediction["problem"]
    assert proposal.computed_digest() == proposal.digest


@pytest.mark.django_db
def test_an_unproven_twin_has_no_say_in_the_ranking(set_values: SetValues, operator: Any) -> None:
    set_values(CRAC_2_DOWN)
    found = _request(operator).prediction
    assert found["fit"]["verdict"] == "unknown"
    assert not predicting.usable(found)
    assert predicting.predicted_fit(found, threshold=27.0, direction="below") is None


def _made(nothing: float, acting: float, verdict: str = "fit") -> dict[str, Any]:
    times = [0.0, 300.0, 600.0, 900.0]
    line = lambda at: {"p10": [at - 0.5] * 4, "p50": [at] * 4, "p90": [at + 0.5] * 4}  # noqa: E731
    return {
        "problem": "", "fit": {"verdict": verdict}, "tag": "r.inlet_c", "horizon_s": 900.0,
        "times_s": times, "nothing": line(nothing), "acting": line(acting),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nothing", "acting", "expected"),
    [
        (33.0, 25.0, 1.0),  # brought 2 K below the limit of 27
        (33.0, 29.0, 0.5),  # half of the way
        (33.0, 33.0, 0.0),
        (33.0, 35.0, 0.0),  # worse than nothing is no merit
        (24.0, 22.0, None),  # nothing threatens
    ],
)
def test_its_worth_is_how_much_of_the_threat_it_takes(
    nothing: float, acting: float, expected: float | None
) -> None:
    assert predicting.predicted_fit(_made(nothing, acting), threshold=27.0, direction="below") == (
        None if expected is None else pytest.approx(expected)
    )
    assert (
        predicting.predicted_fit(_made(nothing, acting, "unfit"), threshold=27.0, direction="below")
        is None
    )


@pytest.mark.django_db
def test_a_better_prediction_ranks_higher(set_values: SetValues) -> None:
    set_values(CRAC_2_DOWN)
    situation = situation_read(hall="hall-1")
    action = Action("start_standby_crac", "crac-4")
    expectation = KINDS[action.kind].effect(action, situation)
    cited = Support(1.0, {"document": "eop-crac-01", "step": "4"})

    def candidate(acting: float) -> Candidate:
        return Candidate(
            "A", action, "", "low", (), expectation, 0.6, cited, prediction=_made(33, acting)
        )

    assert candidate(25.0).score > candidate(30.0).score > 0
    relief = (0.6 + 1.0) / 2  # what physics says and what the twin says, half each
    assert candidate(25.0).merit == pytest.approx(CAUSE_SHARE + (1 - CAUSE_SHARE) * relief)
    assert candidate(25.0).as_dict()["predicted"] == 1.0


def test_measured_is_compared_with_the_band_of_its_time() -> None:
    made = _made(33.0, 25.0)
    said = predicting.compared(made, tag="r.inlet_c", after=25.3, seconds=120)
    assert said == "the twin predicted 25.0 (24.5 to 25.5), measured 25.3 is within its band"
    assert "0.7 above its band" in predicting.compared(made, tag="r.inlet_c", after=26.2, seconds=9)
    assert "1.5 below its band" in predicting.compared(made, tag="r.inlet_c", after=23, seconds=9)
    assert predicting.compared(made, tag="other.inlet_c", after=23, seconds=9) == ""
    assert predicting.compared(made, tag="r.inlet_c", after=23, seconds=5000) == ""
    assert predicting.compared({}, tag="r.inlet_c", after=23, seconds=9) == ""
    broken = {"problem": "no twin", "tag": "r.inlet_c"}
    assert predicting.compared(broken, tag="r.inlet_c", after=23, seconds=9) == ""


def test_its_drawing_keeps_inside_and_shows_the_limit() -> None:
    plot = plot_of(_made(33.0, 25.0), threshold=27.0)
    assert plot is not None
    for points in (plot.nothing, plot.acting, plot.nothing_band, plot.acting_band):
        for pair in points.split():
            x, y = (float(value) for value in pair.split(","))
            assert plot.left <= x <= plot.right
            assert 0 <= y <= plot.bottom
    assert plot.limit is not None
    assert [tick.text for tick in plot.columns] == ["0 min", "5 min", "10 min", "15 min"]
    assert plot_of({"problem": "x"}, threshold=27.0) is None
    assert plot_of({}, threshold=None) is None


@pytest.mark.django_db
def test_its_card_shows_sentence_and_drawing(
    set_values: SetValues, operator: Any, viewer: Any, client_as: Any
) -> None:
    set_values(CRAC_2_DOWN)
    proposal = _request(operator)
    page = client_as(viewer).get(f"/approvals/{proposal.pk}/").content.decode()
    assert proposal.prediction["sentence"].replace("'", "&#x27;") in page
    assert "band--acting" in page
    assert "fitness unknown" in page
    assert "/whatif/?q=" in page
    shown = client_as(viewer).get(f"/api/v1/proposals/{proposal.pk}/").json()
    assert shown["prediction"] == proposal.prediction
