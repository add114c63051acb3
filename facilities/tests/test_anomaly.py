"""The detector alone: online, one reading at a time, few false alarms, the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.anomaly import THRESHOLD, score01, snapshot
from facilities.anomaly.detector import EXPERTS, WARM_SAMPLES, Detector, Scored
from facilities.anomaly.feed import Readings, rounds

STEP_US = 5_000_000
T0 = 1_760_000_000_000_000


def feed(detector: Detector, values: np.ndarray, start: int = 0, precision: float = 0.0) -> Scored:
    """Feed [steps, rows], every 5 s; return the columns stacked by step."""
    rows = np.arange(values.shape[1])
    found = [
        detector.step(rows, np.full(len(rows), T0 + (start + at) * STEP_US), value, precision)
        for at, value in enumerate(values)
    ]
    return Scored(*(np.stack(column) for column in zip(*found, strict=True)))


def plant_like(steps: int, rows: int, seed: int = 0) -> np.ndarray:
    """A slow daily swing, noise with memory, a control loop's ripple: nothing unusual."""
    random = np.random.default_rng(seed)
    at = np.arange(steps)[:, None]
    noise = np.zeros((steps, rows))
    shocks = random.normal(size=(steps, rows)) * 0.05
    for step in range(1, steps):
        noise[step] = 0.9 * noise[step - 1] + shocks[step]
    ripple = 0.2 * np.sin(at / (20 + np.arange(rows) % 7))
    return 22 + 2 * np.sin(at * 5 / 86_400 * 2 * np.pi) + ripple + noise


def test_it_finds_a_jump_a_drift_of_noise_and_a_spike():
    values = plant_like(1_500, 4)
    values[1_200:, 0] += 5  # jump
    values[1_200, 1] += 6  # spike
    values[1_200:, 2] += 3 * np.random.default_rng(1).normal(size=300)  # restless
    found = feed(Detector(4), values)
    scores = score01(found.surprise)
    first = (scores >= THRESHOLD).argmax(axis=0)
    assert first[0] == first[1] == 1_200
    assert 1_200 <= first[2] <= 1_215
    assert (scores[:, 3] < THRESHOLD).all()
    assert found.expected[1_200, 0] == pytest.approx(values[:1_200, 0].mean(), abs=3)


def test_it_stays_calm_on_a_healthy_plant():
    """500 point hours after an hour of learning: two false alarms at most."""
    values = plant_like(2_160, 250, seed=5)  # three hours every 5 s
    scores = score01(feed(Detector(250), values, precision=0.05).surprise)
    assert (scores[720:] >= THRESHOLD).sum() <= 2
    assert (scores[:720] >= THRESHOLD).sum() <= 12  # while it learns: one point in twenty


def test_it_says_nothing_before_it_knows_the_point():
    values = plant_like(WARM_SAMPLES, 3)
    values[100] += 50
    found = feed(Detector(3), values)
    assert not found.surprise.any()


def test_it_is_silent_about_one_more_burst_and_not_about_a_larger_one():
    random = np.random.default_rng(4)
    values = random.random((3_000, 1)) * 0.5
    values[60::70] += 100 + random.random((len(values[60::70]), 1)) * 5  # bursts of one height
    usual = score01(feed(Detector(1), values).surprise)[600:]
    assert (usual < THRESHOLD).all()
    values[2_000] = 190
    assert score01(feed(Detector(1), values).surprise)[2_000, 0] >= THRESHOLD


def test_it_reports_one_anomaly_once_and_holds_its_score():
    values = plant_like(1_500, 1)
    values[1_200:, 0] += 5
    found = feed(Detector(1), values)
    loud = np.nonzero(score01(found.surprise[:, 0]) >= THRESHOLD)[0]
    assert len(loud) <= 3
    held = score01(found.held[:, 0])
    assert held[1_210] >= THRESHOLD
    assert held[1_499] < held[1_210]


def test_it_does_not_look_ahead():
    """A score depends on nothing that comes later."""
    values = plant_like(900, 2)
    other = values.copy()
    other[600:] = -500
    a, b = feed(Detector(2), values), feed(Detector(2), other)
    assert np.array_equal(a.surprise[:600], b.surprise[:600])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1_000), factor=st.sampled_from([1e-3, 1.0, 1e4]))
def test_it_scores_a_point_the_same_whoever_is_in_the_batch(seed, factor):
    values = plant_like(400, 5, seed) * factor
    values[350] *= 1.5
    together = feed(Detector(5), values)
    alone = feed(Detector(1), values[:, 2:3])
    assert np.allclose(together.surprise[:, 2], alone.surprise[:, 0], atol=1e-4)


def test_it_ignores_late_and_repeated_readings():
    detector = Detector(1)
    feed(detector, plant_like(300, 1))
    before = {name: array.copy() for name, array in detector.arrays().items()}
    late = detector.step(np.array([0]), np.array([T0]), np.array([1e9]))
    assert late.surprise[0] == 0.0
    assert all(np.array_equal(before[k], v, equal_nan=True) for k, v in detector.arrays().items())


def test_it_goes_on_from_a_snapshot_as_if_nothing_had_happened(tmp_path):
    values = plant_like(800, 3)
    values[700] += 4
    whole = Detector(3)
    feed(whole, values[:600])
    snapshot.save(tmp_path / "state.npz", whole, np.array([7, 8, 9]))
    loaded = snapshot.load(tmp_path / "state.npz")
    assert loaded is not None
    detector, ids = loaded
    assert ids.tolist() == [7, 8, 9]
    a, b = feed(whole, values[600:], 600), feed(detector, values[600:], 600)
    assert np.array_equal(a.surprise, b.surprise)
    assert (score01(a.surprise[100]) >= THRESHOLD).all()


@pytest.mark.parametrize("harm", ["empty", "cut", "other format"])
def test_it_starts_anew_from_a_broken_snapshot(tmp_path, harm):
    path = tmp_path / "state.npz"
    assert snapshot.load(path) is None
    snapshot.save(path, Detector(2), np.array([1, 2]))
    raw = path.read_bytes()
    if harm == "empty":
        path.write_bytes(b"")
    elif harm == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    else:
        np.savez(path, format=np.array("0"), ids=np.array([1, 2]))
    assert snapshot.load(path) is None


def test_it_keeps_rows_apart_when_points_come_and_go():
    detector = Detector(2)
    values = plant_like(400, 2)
    feed(detector, values)
    detector.grow(3)
    assert detector.warm().tolist() == [True, True, False]
    kept = detector.moments[1].copy()
    detector.take(np.array([1]))
    assert detector.rows == 1
    assert np.array_equal(detector.moments[0], kept)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=60))
def test_it_feeds_each_row_in_the_order_of_time(items):
    rows = np.array([row for row, _ in items], np.int64)
    ts = np.array([ts for _, ts in items], np.int64)
    readings = Readings(rows, ts, ts.astype(float), np.ones(len(rows), np.int16))
    seen: dict[int, list[int]] = {}
    for part in rounds(readings):
        assert len(set(part.row.tolist())) == len(part.row)
        for row, at in zip(part.row.tolist(), part.ts_us.tolist(), strict=True):
            seen.setdefault(row, []).append(at)
    assert sorted((r, t) for r, times in seen.items() for t in times) == sorted(items)
    assert all(times == sorted(times) for times in seen.values())


def test_it_names_its_tests():
    assert len(set(EXPERTS)) == len(EXPERTS)
    assert score01(0.0) == 0.0
    assert score01(1e9) < 1.0 + 1e-9
