"""Lagged instruments: the filter against analytic cases, and what compensation wins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.twin.estimate.sensor import (
    Instruments,
    SensorFilter,
    lagged,
    process_noise,
    quantised,
    transition,
)


def one(tau_s: float = 30.0, *, precision: float = 0.1, delay_s: float = 0.0) -> SensorFilter:
    return SensorFilter(
        Instruments(
            tau_s=np.array([tau_s]),
            precision=np.array([precision]),
            delay_s=np.array([delay_s]),
            slope_noise=np.array([1.3e-5]),
        )
    )


def ramp(rate: float, tau_s: float, times: np.ndarray) -> np.ndarray:
    """Reading of an instrument that was settled when a ramp began at time 0: analytic."""
    return rate * (times - tau_s * (1 - np.exp(-times / tau_s)))


def test_it_predicts_a_ramp_exactly():
    step = transition(np.array([7.0]), np.array([20.0]))[0]
    x, slope, y = step @ np.array([10.0, 0.05, 9.0])
    assert x == pytest.approx(10 + 0.05 * 7)
    assert slope == 0.05
    # dy/dt = (x - y)/tau with x = 10 + 0.05 t, y(0) = 9: y = x - 1 + (9 - 10 + 1) e^(-t/20)
    assert y == pytest.approx(10.35 - 1.0 + (9 - 10 + 1.0) * np.exp(-7 / 20))


def test_it_adds_the_noise_of_a_random_slope():
    """Against the closed form of the value's and slope's part: [[t³/3, t²/2], [t²/2, t]]."""
    noise = process_noise(np.array([4.0]), np.array([30.0]))[0]
    assert noise[:2, :2] == pytest.approx(np.array([[64 / 3, 8], [8, 4]]), rel=1e-9)
    fine = (np.arange(200_000) + 0.5) * 4 / 200_000
    lag = fine - 30 * (1 - np.exp(-fine / 30))
    assert noise[2, 2] == pytest.approx((lag**2).mean() * 4, rel=1e-6)
    assert np.linalg.eigvalsh(noise).min() > -1e-12


def test_it_finds_the_true_value_on_a_ramp():
    """Reference case: 5 K a minute with tau 30 s leaves the reading 2.5 K behind."""
    rate, tau = 5 / 60, 30.0
    times = np.arange(0, 300, 2.0)
    true, shown = 20 + rate * times, 20 + ramp(rate, tau, times)
    assert true[-1] - shown[-1] == pytest.approx(2.5, rel=1e-3)
    found = one(tau)
    for reading in quantised(shown, np.array([0.1])):
        found.update(2.0, np.array([reading]), [1])
    gap = found.gap()
    assert gap.value[0] == pytest.approx(true[-1], abs=0.3)
    assert gap.slope[0] == pytest.approx(rate, rel=0.15)
    assert gap.gap[0] == pytest.approx(2.5, abs=0.35)


def test_it_adds_what_the_polling_delay_hides():
    """With 15 s of delay the ramp goes on for rate x delay: 1.25 K more."""
    found = one(30.0, delay_s=15.0)
    times = np.arange(0, 400, 5.0)
    for reading in 20 + ramp(5 / 60, 30.0, times):
        found.update(5.0, np.array([reading]), [1])
    assert found.gap().gap[0] == pytest.approx(2.5 + 1.25, abs=0.3)


@settings(max_examples=12, deadline=None)
@given(
    rate=st.floats(0.02, 0.12),
    tau=st.floats(8.0, 60.0),
    seed=st.integers(0, 1000),
)
def test_it_warns_at_least_r_tau_earlier(rate, tau, seed):
    """Rule of the reference: with compensation the alarm comes r·tau earlier, in degrees, so tau in
    time; less a fifth that the filter needs to believe in the ramp, one step of the instrument
    (0.1 K, noise included) and one sample."""
    random = np.random.default_rng(seed)
    level, times = 32.0, np.arange(0, 10 / rate + 3 * tau + 30, 2.0)
    shown = 22 + ramp(rate, tau, times) + 0.04 * random.normal(size=len(times))
    found, plain, early = one(tau), None, None
    for time, reading in zip(times, quantised(shown, np.array([0.1])), strict=True):
        found.update(2.0, np.array([reading]), [1])
        if plain is None and reading >= level:
            plain = time
        if early is None and found.gap().value[0] >= level:
            early = time
        if plain is not None and early is not None:
            break
    assert plain is not None and early is not None
    true_at = (level - 22) / rate
    assert early >= true_at - 12.0  # it does not cry wolf
    # the reading lags tau behind (or less, when the ramp is short against tau)
    lag = plain - true_at
    assert plain - early >= 0.8 * lag - 0.1 / rate - 2.0


def test_it_is_quiet_about_steady_noise():
    random = np.random.default_rng(3)
    found = one(30.0)
    values = []
    for _ in range(400):
        reading = np.round((22 + 0.04 * random.normal()) / 0.1) * 0.1
        found.update(2.0, np.array([reading]), [1])
        values.append(found.gap().value[0])
    settled = np.array(values[60:])
    assert abs(settled.mean() - 22) < 0.05
    assert settled.std() < 0.25
    assert settled.std() < 3 * found.gap().sigma[0]


def test_it_bridges_missing_and_refuses_bad_readings():
    found = one(10.0)
    for _ in range(60):
        found.update(2.0, np.array([20.0]), [1])
    sure = found.gap().sigma[0]
    for flag, reading in ((4, 90.0), (9, 90.0), (1, np.nan)):
        found.update(2.0, np.array([reading]), [flag])
    gap = found.gap()
    assert gap.value[0] == pytest.approx(20.0, abs=0.05)
    assert gap.sigma[0] > sure


def test_it_takes_a_suspect_reading_with_less_weight():
    good, suspect = one(5.0), one(5.0)
    for _ in range(50):
        good.update(2.0, np.array([20.0]), [1])
        suspect.update(2.0, np.array([20.0]), [1])
    good.update(2.0, np.array([20.6]), [1])
    suspect.update(2.0, np.array([20.6]), [3])
    assert 20 < suspect.mean[0, 2] < good.mean[0, 2] < 20.6


def test_it_shrugs_off_a_spike():
    found = one(10.0)
    for _ in range(100):
        found.update(2.0, np.array([20.0]), [1])
    found.update(2.0, np.array([28.0]), [1])
    for _ in range(5):
        found.update(2.0, np.array([20.0]), [1])
    assert found.gap().value[0] == pytest.approx(20.0, abs=0.6)


def test_it_starts_with_the_first_reading_and_ignores_a_clock_that_stands():
    found = SensorFilter(
        Instruments(
            tau_s=np.array([0.0, 20.0]),
            precision=np.array([0.1, 0.1]),
            delay_s=np.zeros(2),
            slope_noise=np.full(2, 1e-5),
        )
    )
    assert np.isnan(found.gap().value).all()
    found.update(2.0, np.array([np.nan, 21.0]), [1, 1])
    assert np.isnan(found.gap().value[0])
    assert found.gap().value[1] == 21.0
    before = found.mean.copy()
    found.update(0.0, np.array([np.nan, 25.0]), [1, 1])
    assert np.array_equal(found.mean[1], before[1])


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(0.1, 120.0), st.floats(-40, 90)), min_size=2, max_size=25),
    tau=st.floats(0.0, 120.0),
)
def test_it_keeps_its_covariance_whole_whatever_comes(steps, tau):
    found = one(tau)
    for dt, reading in steps:
        found.update(dt, np.array([reading]), [1])
        covariance = found.covariance[0]
        assert np.isfinite(found.mean).all()
        assert np.allclose(covariance, covariance.T, atol=1e-6 * (1 + np.abs(covariance).max()))
        assert np.linalg.eigvalsh(covariance).min() > -1e-6 * (1 + np.abs(covariance).max())


def test_it_models_the_instrument_itself():
    assert lagged(np.array([20.0]), np.array([30.0]), 10.0, np.array([10.0]))[0] == pytest.approx(
        30 - 10 / np.e
    )
    assert lagged(np.array([20.0]), np.array([30.0]), 10.0, np.array([0.0]))[0] == 30.0
    assert quantised(np.array([20.26, 20.26]), np.array([0.1, 0.0])).tolist() == pytest.approx(
        [20.3, 20.26]
    )
