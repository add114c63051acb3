"""Causes from facts: the right asset first, evidence on both sides, shares that add up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.agent.calibration import Bin, binned, confidence_of, wilson_low
from approvals.agent.causes import hypotheses
from approvals.agent.facts import Facts, OpenAlarm, Thing, situation_from_json, situation_to_json
from approvals.agent.occasion import Occasion
from approvals.agent.rank import (
    NOTHING_SCORE,
    NOTHING_UNTHREATENED,
    fit_of,
    nothing_row,
    worse_than_nothing,
)
from approvals.catalogue.situation import Measured, Situation

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
THINGS = [
    Thing("hall-1", "Hall 1", "hall", "", "hall-1", "", ""),
    Thing("chwp-1", "Pump 1", "pump", "", "", "", "duty"),
    Thing("chwp-2", "Pump 2", "pump", "", "", "", "standby"),
    Thing("ups-b", "UPS B", "ups", "", "", "", ""),
    Thing("utility-1", "Utility", "utility", "", "", "", ""),
    Thing("rack-2-03", "Rack 2-03", "rack", "", "hall-1", "", ""),
    Thing("link-1", "Link 1", "link", "", "hall-1", "", ""),
    *(Thing(f"srv-0{n}", f"Server 0{n}", "server", "rack-2-03", "hall-1", "", "") for n in (1, 2)),
    *(
        Thing(f"srv-01-gpu-{n}", f"GPU {n}", "gpu", "rack-2-03", "hall-1", "srv-01", "")
        for n in range(4)
    ),
]
HEALTHY = {
    "chwp-1.running": 1.0, "chwp-1.fault": 0.0, "chwp-1.flow_lps": 12.0, "chwp-2.running": 0.0,
    "ups-b.on_battery": 0.0, "ups-b.input_v": 400.0, "utility-1.available": 1.0,
    "rack-2-03.inlet_c": 23.0, "srv-01.inlet_c": 23.1, "srv-02.inlet_c": 22.9, "link-1.up": 1.0,
    "link-1.enabled": 1.0, "link-1.error_rate": 0.0, "hall-1.door_open": 0.0,
    **{f"srv-01-gpu-{n}.temp_c": 60.0 for n in range(4)},
}  # fmt: skip


def facts(asset: str, quantity: str, values: dict[str, float], **more: Any) -> Facts:
    """Facts about a small site with these values, at an alarm of one point."""
    thing = next(t for t in THINGS if t.tag == asset)
    occasion = Occasion(
        trigger="alarm", asset=asset, asset_name=thing.name, asset_kind=thing.kind, what="Alarm",
        at="2026-03-02T09:00:00.000000Z", point=f"{asset}.{quantity}", quantity=quantity, alarm=1,
        **more.pop("occasion", {}),
    )  # fmt: skip
    situation = Situation(
        hall="hall-1",
        values={tag: Measured(v, NOW, "") for tag, v in {**HEALTHY, **values}.items()},
        limits={}, units=(), racks=(), subject=asset,
    )  # fmt: skip
    return Facts(occasion, situation, {t.tag: t for t in THINGS}, **more)


@pytest.mark.parametrize(
    ("asset", "quantity", "values", "cause", "named"),
    [
        ("chwp-1", "fault", {"chwp-1.fault": 1.0, "chwp-1.running": 0.0}, "pump_tripped", "chwp-1"),
        ("chwp-1", "flow_lps", {"chwp-1.flow_lps": 6.5}, "pump_worn", "chwp-1"),
        ("ups-b", "on_battery", {"ups-b.on_battery": 1.0}, "rectifier_failed", "ups-b"),
        (
            "ups-b",
            "on_battery",
            {"ups-b.on_battery": 1.0, "ups-b.input_v": 3.0},
            "feed_lost",
            "ups-b",
        ),
        (
            "ups-b",
            "on_battery",
            {"ups-b.on_battery": 1.0, "ups-b.input_v": 0.0, "utility-1.available": 0.0},
            "utility_lost",
            "utility-1",
        ),
        ("srv-01-gpu-2", "xid", {"srv-01-gpu-2.xid": 79.0}, "gpu_lost", "srv-01-gpu-2"),
        ("srv-01-gpu-2", "temp_c", {"srv-01-gpu-2.temp_c": 88.0}, "gpu_cooling", "srv-01-gpu-2"),
        ("link-1", "error_rate", {"link-1.error_rate": 900.0}, "link_errors", "link-1"),
        ("link-1", "up", {"link-1.up": 0.0}, "link_down", "link-1"),
        ("hall-1", "door_open", {"hall-1.door_open": 1.0}, "door_open", "hall-1"),
        ("rack-2-03", "inlet_c", {"rack-2-03.inlet_c": 28.0}, "instrument", "rack-2-03"),
    ],
)
def test_it_names_the_asset_that_is_broken(
    asset: str, quantity: str, values: dict[str, float], cause: str, named: str
) -> None:
    found = hypotheses(facts(asset, quantity, values))
    assert (found[0].cause, found[0].asset) == (cause, named)
    assert found[0].likelihood > 0.6
    assert found[0].evidence
    assert found[0].refuted_by


def test_it_suspects_nothing_on_a_healthy_site() -> None:
    assert hypotheses(facts("chwp-1", "fault", {})) == []


def test_an_unrelated_fault_does_not_explain_an_alarm() -> None:
    values = {"srv-01-gpu-2.xid": 79.0, "chwp-1.flow_lps": 6.5}
    at_the_gpu = hypotheses(facts("srv-01-gpu-2", "xid", values))
    at_the_pump = hypotheses(facts("chwp-1", "flow_lps", values))
    assert at_the_gpu[0].asset == "srv-01-gpu-2"
    assert at_the_pump[0].asset == "chwp-1"


def test_a_fault_that_explains_it_speaks_against_the_instrument() -> None:
    values = {"rack-2-03.inlet_c": 28.0}
    alone = hypotheses(facts("rack-2-03", "inlet_c", values))[0]
    alarm = OpenAlarm(
        2, "CRAC fault", "crac-2.fault", "crac-2", "crac", "fault", 1.0, "high", False
    )
    [beside] = [
        h
        for h in hypotheses(facts("rack-2-03", "inlet_c", values, alarms=(alarm,)))
        if h.of_instrument
    ]
    assert beside.likelihood < alone.likelihood
    assert any("crac-2.fault is on" in text for text in beside.against)


def test_an_instruments_fault_leaves_the_plant_alone() -> None:
    causes = hypotheses(facts("rack-2-03", "inlet_c", {"rack-2-03.inlet_c": 28.0}))
    assert fit_of("shed_rack_load", "rack-2-03", causes) == (0.0, None)
    fit, against = fit_of("open_work_order", "rack-2-03", causes)
    assert fit > 0.5
    assert against is not None and "sensor" in against.text


@given(
    st.dictionaries(
        st.sampled_from(sorted(HEALTHY)), st.floats(-50, 1000, allow_nan=False), max_size=12
    ),
    st.sampled_from([(t.tag, q) for t in THINGS for q in ("fault", "inlet_c", "xid", "up")]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_shares_add_up_and_order_is_stable(
    values: dict[str, float], subject: tuple[str, str], of_instrument: bool
) -> None:
    given_facts = facts(*subject, values, occasion={"of_instrument": of_instrument})
    found = hypotheses(given_facts)
    shares = [h.likelihood for h in found]
    assert shares == sorted(shares, reverse=True)
    assert all(0 < share < 1 for share in shares)
    assert sum(shares) < 1 + 1e-9
    assert found == hypotheses(given_facts)
    again = situation_from_json(situation_to_json(given_facts.situation))
    assert again == given_facts.situation


def _made(acting: float, nothing: float, **more: Any) -> dict[str, Any]:
    return {
        "problem": "", "fit": {"verdict": "fit", "text": ""}, "tag": "r.inlet_c",
        "acting": {"p50": [acting] * 3}, "nothing": {"p50": [nothing] * 3}, "times_s": [0, 1, 2],
        **more,
    }  # fmt: skip


def test_what_the_twin_expects_to_be_worse_is_never_proposed() -> None:
    assert worse_than_nothing(_made(25.0, 30.0), direction="below") == ""
    assert "would reach 30.0 instead of 25.0" in worse_than_nothing(
        _made(30.0, 25.0), direction="below"
    )
    assert worse_than_nothing(_made(30.0, 25.0), direction="above") == ""
    raised = {"rule": "UPS load high", "point": "ups-a.load_pct"}
    assert "would raise UPS load high" in worse_than_nothing(
        _made(25.0, 30.0, added=[raised], avoided=[]), direction="below"
    )
    unfit = {**_made(30.0, 25.0), "fit": {"verdict": "unfit", "text": ""}}
    assert worse_than_nothing(unfit, direction="below") == ""


def test_doing_nothing_is_worth_more_where_nothing_threatens() -> None:
    from approvals.tests.test_agent import TestRank

    candidate = TestRank()._candidate("A", physics=1.0)
    expectation: Any = type(
        "E", (), {"relief_w": 1000.0, "threshold": 27.0, "direction": "below", "tag": "r.inlet_c"}
    )()
    from dataclasses import replace

    def row(nothing: float) -> dict[str, Any]:
        made = _made(nothing - 1, nothing)
        return nothing_row([replace(candidate, expectation=expectation, prediction=made)])

    assert row(31.0)["score"] == NOTHING_SCORE
    assert row(24.0)["score"] == NOTHING_UNTHREATENED
    assert "ends at 24.0" in row(24.0)["prediction"]


def test_words_of_confidence_follow_frequencies() -> None:
    rows = [(0.95, True)] * 18 + [(0.95, False)] * 2 + [(0.5, True), (0.1, False)]
    assert [b for b in binned(rows) if b.cases] == [
        Bin(0.0, 0, 1),
        Bin(0.3, 1, 1),
        Bin(0.9, 18, 20),
    ]
    # 9 of 10: the 90 % Wilson interval begins at 0.65 (hand-worked).
    assert wilson_low(9, 10) == pytest.approx(0.65, abs=0.01)
    assert wilson_low(0, 0) == 0.0
    assert 0 <= confidence_of(0.95)["right"] <= confidence_of(0.95)["cases"]
