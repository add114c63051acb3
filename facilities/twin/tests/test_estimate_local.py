"""Slow parameters and offsets: found where the plant tells, left alone where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from facilities.twin.estimate.fitness import Score, fitness
from facilities.twin.estimate.local import LocalFilter, Prior

PRIOR = Prior(
    value=np.array([1.0]),
    sigma=np.array([0.3]),
    low=np.array([0.2]),
    high=np.array([3.0]),
    walk=np.array([0.02]),
    offset_sigma=np.array([1.0]),
    offset_walk=np.array([0.02]),
    model_error=np.array([0.2]),
    correlation_s=60.0,
)
NOISE = np.array([[0.01]])


def teach(
    local: LocalFilter,
    *,
    theta: float,
    offset: float,
    excitation: float,
    hours: float,
    seed: int = 0,
) -> None:
    """A measurement y = u·θ + b + noise, with u = 10 + excitation·sin over two hours."""
    random = np.random.default_rng(seed)
    for number in range(int(hours * 360)):
        u = 10 + excitation * np.sin(2 * np.pi * number / 720)
        y = u * theta + offset + 0.1 * random.normal()
        model = u * local.theta[0, 0]
        local.update(10.0, np.array([[y - model]]), np.array([[[u]]]), NOISE)


def test_it_finds_parameter_and_offset_when_the_load_moves():
    local = LocalFilter(1, PRIOR)
    teach(local, theta=1.25, offset=-0.6, excitation=6.0, hours=12)
    assert local.theta[0, 0] == pytest.approx(1.25, abs=0.04)
    assert local.offset[0, 0] == pytest.approx(-0.6, abs=0.4)
    assert local.theta_sigma[0, 0] < 0.1
    assert abs(local.theta[0, 0] - 1.25) < 4 * local.theta_sigma[0, 0]


def test_it_does_not_drift_without_excitation():
    """The sensitivity is nothing: a lasting error goes to the offset, the parameter stays."""
    local = LocalFilter(1, PRIOR)
    random = np.random.default_rng(1)
    for _ in range(3000):
        y = 0.5 + 0.1 * random.normal() - 0.0
        local.update(10.0, np.array([[y]]), np.array([[[1e-4]]]), NOISE)
    assert local.theta[0, 0] == 1.0
    assert local.theta_sigma[0, 0] == pytest.approx(0.3)
    assert local.offset[0, 0] == pytest.approx(0.5, abs=0.1)


def test_it_learns_nothing_from_silence():
    local = LocalFilter(2, PRIOR)
    before = local.covariance.copy()
    for _ in range(1000):
        local.update(10.0, np.full((2, 1), np.nan), np.full((2, 1, 1), 10.0), np.full((2, 1), 0.01))
    assert np.allclose(local.covariance, before, atol=1e-9)
    assert local.theta[:, 0].tolist() == [1.0, 1.0]


def test_it_is_not_poisoned_by_wild_values():
    local = LocalFilter(1, PRIOR)
    teach(local, theta=1.0, offset=0.0, excitation=4.0, hours=6)
    before = local.theta[0, 0]
    for _ in range(5):
        local.update(10.0, np.array([[500.0]]), np.array([[[10.0]]]), NOISE)
    assert abs(local.theta[0, 0] - before) < 0.02
    assert local.spread[0, 0] < 2.0


def test_it_stays_within_its_bounds():
    local = LocalFilter(1, PRIOR)
    teach(local, theta=9.0, offset=0.0, excitation=6.0, hours=20)
    assert local.theta[0, 0] == 3.0


def test_it_tells_how_uncertain_its_predictions_are():
    """Of honest residuals about 95 % lie within two sigma."""
    local = LocalFilter(1, PRIOR)
    random = np.random.default_rng(5)
    inside = []
    for number in range(4000):
        u = 10 + 5 * np.sin(number / 100)
        y = u * 1.1 + 0.3 * random.normal()
        found = local.update(
            10.0, np.array([[y - u * local.theta[0, 0]]]), np.array([[[u]]]), NOISE
        )
        if number > 1500:
            inside.append(abs(found.residual[0, 0]) < 2 * found.sigma[0, 0])
    assert 0.9 < np.mean(inside) < 0.99


def test_it_is_stored_and_taken_back():
    local, other = LocalFilter(1, PRIOR), LocalFilter(1, PRIOR)
    teach(local, theta=1.2, offset=0.2, excitation=6.0, hours=2)
    other.put(local.to_arrays())
    assert np.array_equal(other.mean, local.mean)
    with pytest.raises(ValueError, match="not"):
        LocalFilter(2, PRIOR).put(local.to_arrays())


def test_it_judges_by_ashrae_guideline_14():
    """Hand-worked: measured 10 and 20, predicted 11 and 18: RMSE √2.5, mean 15."""
    score = Score()
    score.add("x", np.array([10.0, np.nan]), np.array([11.0, 3.0]))
    score.add("x", np.array([20.0, 1.0]), np.array([18.0, np.nan]))
    found = score.results()["x"]
    assert found.samples == 2
    assert found.rmse == pytest.approx(np.sqrt(2.5))
    assert found.cv_rmse_pct == pytest.approx(100 * np.sqrt(2.5) / 15)
    assert found.nmbe_pct == pytest.approx(100 * (1 - 2) / 2 / 15)
    assert found.passed
    assert Score.from_json(score.to_json()).results() == score.results()
    assert score.merged(score).results()["x"].samples == 4


def test_it_fails_what_is_biased_or_scattered():
    assert not fitness(10, 100.0, 11.0, 12.2).passed  # 11 % bias
    assert fitness(10, 100.0, 9.0, 9.0).passed
    assert not fitness(10, 100.0, 0.0, 100.0).passed  # CV 31.6 %
    nothing = fitness(0, 0, 0, 0)
    assert nothing.cv_rmse_pct is None and not nothing.passed
    assert fitness(5, 0.0, 0.0, 5.0).cv_rmse_pct is None
