"""Trends: found with their lead time, and not where load, weather, steps or noise explain them."""

from __future__ import annotations

import numpy as np
import pytest

from facilities.twin.estimate.maintenance import FINE_S, Maintenance, Monitor, lead_times
from facilities.twin.estimate.trend import fit_trend

DAY = 86_400.0


def monitor(**changes: object) -> Monitor:
    values = {
        "what": "filter", "assets": ("crac-1", "crac-2"), "parameter": "filter resistance",
        "unit": "times clean", "direction": 1, "floor": 0.1, "level": 2.0,
        "says": "the air filter fouls", "sway": 0.2,
    } | changes  # fmt: skip
    return Monitor(**values)  # type: ignore[arg-type]


def run(
    made: Maintenance, hours: float, series, *, seed: int = 0, start: float = 0.0, load: float = 1.0
):
    """Feed a minute at a time; returns the findings of every judgement as (hour, findings)."""
    random = np.random.default_rng(seed)
    judged = []
    for minute in range(int(hours * 60)):
        at = start + minute * 60.0
        daily = load * np.sin(2 * np.pi * at / DAY)
        values = series(minute / 60, random, daily)
        if made.collect(at, [values], np.array([daily + 0.01 * random.normal()])):
            judged.append((minute / 60, made.findings()))
    return judged


@pytest.mark.parametrize(("memory", "most"), [(0.0, 8.0), (1.0, 3.0)])
def test_it_fits_a_line_with_errors_on_the_safe_side(memory, most):
    """Against repeated draws of white noise and of a random walk."""
    times = np.arange(100, dtype=np.float64) * 300.0
    slopes, errors = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        noise = np.zeros(100)
        for k in range(1, 100):
            noise[k] = memory * noise[k - 1] + 0.02 * random.normal()
        series = np.asarray(5 + 1e-4 * times + noise, dtype=np.float64)
        trend = fit_trend(times, series[:, None], np.zeros((100, 1)))
        slopes.append(trend.slope[0])
        errors.append(trend.slope_sigma[0])
    assert np.mean(slopes) == pytest.approx(1e-4, rel=0.05)
    assert 0.7 < np.mean(errors) / np.std(slopes) < most


def test_it_finds_a_fouling_filter_and_says_when():
    made = Maintenance([monitor()], 1)
    judged = run(
        made, 9,
        lambda h, r, d: np.array([1.0 + 0.05 * h, 1.0]) + 0.01 * r.normal(size=2) + 0.02 * d,
    )  # fmt: skip
    first, found = next((h, f) for h, f in judged if f)
    assert first < 6
    assert [f.asset for f in found] == ["crac-1"]
    finding = judged[-1][1][0]
    assert finding.slope_per_h == pytest.approx(0.05, rel=0.15)
    # at 9 h the value is 1.45: (2 - 1.45) / 0.05 = 11 h
    assert finding.lead_s == pytest.approx(11 * 3600, rel=0.15)
    assert finding.lead_low_s < finding.lead_s < finding.lead_high_s
    assert finding.confidence > 0.999
    assert "fouls" in finding.text and "hours" in finding.text


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_nothing_in_two_healthy_days(seed):
    """Load swings that the model gets wrong, a restless parameter, noise."""
    made = Maintenance([monitor(floor=0.1), monitor(direction=0, floor=0.1)], 1)
    random = np.random.default_rng(seed)
    wander = np.zeros(2)
    for minute in range(48 * 60):
        at = minute * 60.0
        daily = np.sin(2 * np.pi * at / DAY + seed)
        wander = 0.995 * wander + 0.001 * random.normal(size=2)
        values = 1.0 + 0.06 * daily + wander + 0.02 * random.normal(size=2)
        if made.collect(at, [values, values - 1], np.array([daily + 0.02 * random.normal()])):
            assert made.findings() == []


def test_it_takes_no_step_for_a_trend():
    made = Maintenance([monitor()], 1)
    judged = run(
        made, 12,
        lambda h, r, d: np.array([1.0 + 0.5 * (h > 5), 1.0]) + 0.01 * r.normal(size=2),
    )  # fmt: skip
    assert not any(found for _, found in judged)


def test_it_says_nothing_of_a_trend_that_is_too_small_or_the_good_way():
    made = Maintenance([monitor()], 1)
    judged = run(
        made, 10,
        lambda h, r, d: np.array([1.0 - 0.05 * h, 1.0 + 0.002 * h]) + 0.001 * r.normal(size=2),
    )  # fmt: skip
    assert not any(found for _, found in judged)


def test_it_reckons_with_missing_values_and_a_stored_past():
    first, second = Maintenance([monitor()], 1), Maintenance([monitor()], 1)

    def series(h, r, d):
        values = np.array([1.0 + 0.05 * h, 1.0]) + 0.01 * r.normal(size=2)
        return np.where(r.random(2) < 0.3, np.nan, values)

    run(first, 4, series)
    second.put(first.to_arrays())
    judged = run(
        second, 3, lambda h, r, d: series(h + 4, r, d), seed=1, start=4 * 3600.0
    )  # fmt: skip
    assert judged[-1][1][0].asset == "crac-1"
    with pytest.raises(ValueError, match="not"):
        Maintenance([monitor(assets=("x",))], 1).put(first.to_arrays())


def test_it_works_out_lead_times_by_hand():
    assert lead_times(1.0, 0.0, 0.001, 0.0, 2.0) == pytest.approx((1000.0, 1000.0, 1000.0))
    expected, low, high = lead_times(1.0, 0.1, 0.001, 0.0002, 2.0)
    assert expected == pytest.approx(1000.0)
    assert low == pytest.approx((1 - 0.1645) / (0.001 + 1.645 * 0.0002))
    assert high == pytest.approx((1 + 0.1645) / (0.001 - 1.645 * 0.0002))
    assert lead_times(2.5, 0.0, 0.001, 0.0, 2.0)[0] == 0.0
    assert lead_times(0.9, 0.0, -0.001, 0.0, 0.7)[0] == pytest.approx(200.0)
    assert lead_times(1.0, 0.0, 1e-9, 0.0, 2.0)[0] is None
    assert lead_times(1.0, 0.0, 0.001, 0.001, 2.0)[2] is None


def test_it_judges_once_in_five_minutes():
    made = Maintenance([monitor()], 1)
    judged = run(made, 2, lambda h, r, d: np.ones(2))
    assert len(judged) == 2 * 3600 / FINE_S - 1
