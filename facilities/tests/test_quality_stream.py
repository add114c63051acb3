"""The streaming tests: flags of single readings, against hand-made cases, ioos_qc and invariants."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities.ingest.points import PointColumns, columns_of
from facilities.ingest.samples import Batch, Flags
from facilities.quality.limits import OWN, limits_of
from facilities.quality.stream import StreamQuality

T0 = 1_700_000_000_000_000
LATER = T0 + 10**13
NAN = float("nan")


def table(count: int = 1, **facts: float) -> PointColumns:
    """Points of -10…70 Cel, 0.1, every 2 s, tau 10 s, unless told otherwise."""
    known = {"low": -10.0, "high": 70.0, "precision": 0.1, "interval": 2.0, "tau": 10.0, **facts}
    return columns_of(
        1,
        [(n + 1, f"a{n}.t_c", "Cel", "t_c", n + 1, *known.values(), False) for n in range(count)],
    )


def checker(columns: PointColumns, **own: float) -> StreamQuality:
    """The tests with declared limits for every point."""
    declared = {int(i): tuple(own.get(name) for name in OWN) for i in columns.id} if own else {}
    return StreamQuality(limits=limits_of(columns, states=np.empty(0, np.int64), own=declared))


def batch(values: list[float], *, times_s: list[float] | None = None, row: int = 0) -> Batch:
    count = len(values)
    seconds = times_s if times_s is not None else [2.0 * n for n in range(count)]
    return Batch(
        np.full(count, row, np.int32),
        np.array([T0 + round(s * 1e6) for s in seconds], np.int64),
        np.array(values, np.float64),
        np.arange(count, dtype=np.int32),
    )


def flags(values: list[float], *, columns: PointColumns | None = None, **own: float) -> list[int]:
    columns = columns or table()
    found = checker(columns, **own).check(columns, batch(values), LATER)
    return [int(flag) for flag in found]


def noise(count: int, *, seed: int = 1) -> list[float]:
    rng = np.random.default_rng(seed)
    return np.round(24 + rng.normal(0, 0.04, count), 1).tolist()


def test_it_passes_a_quiet_sensor():
    assert set(flags(noise(500))) == {1}


def test_it_fails_what_lies_outside_the_range():
    assert flags([24.0, 71.0, -10.1, 24.0, NAN]) == [1, 4, 4, 1, 4]


def test_it_suspects_what_lies_outside_the_declared_suspect_range():
    assert flags([24.0, 41.0, 24.0], suspect_low=10, suspect_high=40, rate_suspect=100) == [1, 3, 1]


def test_it_suspects_a_spike_and_passes_the_return():
    assert flags([24.0, 24.0, 34.0, 24.0, 24.0]) == [1, 1, 3, 1, 1]


def test_it_suspects_the_edge_of_a_step_and_passes_the_new_level():
    assert flags([24.0, 24.0, 34.0, 34.0, 34.1]) == [1, 1, 3, 1, 1]


def test_it_lets_a_slow_sensor_follow_a_step_at_the_speed_of_its_lag():
    # First-order answer to a step of a fifth of the span (16 K), tau 10 s, every 2 s.
    values = [24 + 16 * (1 - np.exp(-2 * n / 10)) for n in range(30)]
    assert set(flags(np.round(values, 1).tolist())) == {1}


def test_it_lets_a_fast_sensor_jump():
    assert set(flags([20.0, 65.0, 20.0, 65.0], columns=table(tau=0.0))) == {1}


def test_it_uses_declared_rates():
    found = flags([0.0, 1.0, 3.0, 13.0], rate_suspect=0.75, rate_fail=3.0)  # unit per second
    assert found == [1, 1, 3, 4]


def test_it_needs_to_have_seen_a_value_move_before_it_calls_it_stuck():
    assert set(flags([24.0] * 400)) == {1}


def one_by_one(values: list[float]) -> list[int]:
    """Flags when every reading comes in a batch of its own, as from a live sensor."""
    columns = table()
    check = checker(columns)
    return [
        int(check.check(columns, batch([value], times_s=[2.0 * n]), LATER)[0])
        for n, value in enumerate(values)
    ]


def test_it_finds_a_stuck_sensor_at_three_times_its_longest_usual_run():
    usual = noise(200)
    changes = np.flatnonzero(np.diff(usual))
    longest_s = float(np.diff(changes).max()) * 2
    found = one_by_one(usual + [24.0] * 400)
    assert set(found[:200]) == {1}
    whole = [*usual, 24.0]
    since = max(n for n in range(1, 201) if whole[n] != whole[n - 1])
    assert found.index(3) == since + round(3 * longest_s / 2)
    assert found.index(4) == since + round(9 * longest_s / 2)
    assert found[-1] == 4


def test_it_leaves_zero_and_the_ends_of_the_range_alone():
    assert set(one_by_one([*noise(100), *[0.0] * 300])[101:]) == {1}
    assert set(one_by_one([*noise(100), *[70.0] * 300])[101:]) == {1}


def test_it_judges_a_declared_flat_limit_even_at_zero():
    found = flags([0.0] * 40, flat_suspect_s=20, flat_fail_s=60)
    assert found == [1] * 10 + [3] * 20 + [4] * 10


def test_it_does_not_count_a_silence_as_standing_still():
    columns = table()
    check = checker(columns, flat_suspect_s=20, flat_fail_s=60)
    found = check.check(columns, batch([5.0] * 5, times_s=[0, 2, 4, 300, 302]), LATER)
    assert found.tolist() == [1, 1, 1, 1, 1]


def test_it_judges_a_late_reading_by_its_value_alone_and_forgets_it():
    columns = table()
    check = checker(columns)
    check.check(columns, batch([24.0, 24.1], times_s=[100, 102]), LATER)
    late = check.check(columns, batch([60.0, 99.0], times_s=[50, 52]), LATER)
    assert late.tolist() == [1, 4]
    assert check.check(columns, batch([24.0], times_s=[104]), LATER).tolist() == [1]


def test_it_suspects_a_reading_from_the_future():
    columns = table()
    check = checker(columns)
    assert check.check(columns, batch([24.0], times_s=[20]), T0).tolist() == [3]
    assert check.check(columns, batch([24.0], times_s=[4]), T0).tolist() == [1]


def test_it_says_unknown_where_nothing_can_be_judged():
    columns = table(low=-np.inf, high=np.inf)
    assert flags([1.0, 500.0, -7.0], columns=columns) == [2, 2, 2]
    assert flags([1.0, 500.0, 1.0], columns=columns, rate_suspect=10.0) == [2, 3, 3]


def test_it_keeps_its_memory_when_the_data_list_changes():
    old = table(3)
    check = StreamQuality(limits=limits_of(old, states=np.empty(0, np.int64), own={}))
    check.check(old, batch([24.0, 24.0], row=1), LATER)
    new = columns_of(2, [(2, "a1.t_c", "Cel", "t_c", 2, -10.0, 70.0, 0.1, 2.0, 10.0, False)])
    check._given = limits_of(new, states=np.empty(0, np.int64), own={})
    spike = check.check(new, batch([40.0], times_s=[4.0], row=0), LATER)
    assert spike.tolist() == [3]


walks = st.lists(
    st.tuples(
        st.integers(0, 3),  # point
        st.integers(0, 60),  # time, in half seconds
        st.sampled_from([-11.0, 0.0, 20.0, 20.1, 20.2, 30.0, 69.9, 70.0, 71.0]),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda item: item[:2],
)


def _batch_of(items: list[tuple[int, int, float]]) -> Batch:
    return Batch(
        np.array([item[0] for item in items], np.int32),
        np.array([T0 + item[1] * 500_000 for item in items], np.int64),
        np.array([item[2] for item in items], np.float64),
        np.arange(len(items), dtype=np.int32),
    )


@settings(max_examples=150, deadline=None)
@given(items=walks, cuts=st.sets(st.integers(1, 59), max_size=5))
def test_it_gives_the_same_flags_however_readings_are_batched(items, cuts):
    """One batch, several, or one reading at a time: in time order the flags are the same."""
    items = sorted(items, key=lambda item: (item[1], item[0]))
    columns = table(4, tau=3.0)
    limits = {"flat_suspect_s": 3.0, "flat_fail_s": 8.0, "gap_s": 10.0}
    whole = checker(columns, **limits).check(columns, _batch_of(items), LATER)
    parts = checker(columns, **limits)
    edges = [0, *sorted(cut for cut in cuts if cut < len(items)), len(items)]
    pieces: list[Flags] = [
        parts.check(columns, _batch_of(items[a:b]), LATER) for a, b in pairwise(edges)
    ]
    assert np.concatenate(pieces).tolist() == whole.tolist()


@settings(max_examples=100, deadline=None)
@given(items=walks)
def test_it_always_fails_what_is_out_of_range_and_only_uses_qartod_flags(items):
    columns = table(4)
    ready = _batch_of(items)
    found = checker(columns).check(columns, ready, LATER)
    assert set(found.tolist()) <= {1, 2, 3, 4}
    outside = (ready.value < -10) | (ready.value > 70)
    assert ((found == 4) >= outside).all()


class TestAgainstIoosQc:
    """Where the definitions coincide, ioos_qc gives the same flags."""

    qartod = pytest.importorskip("ioos_qc.qartod")

    def _times(self, count: int) -> np.ndarray:
        return (T0 // 1_000_000 + 2 * np.arange(count)).astype("datetime64[s]")

    def test_it_agrees_on_gross_range(self):
        values = np.random.default_rng(2).uniform(-30, 90, 400)
        columns = table(tau=0.0, precision=NAN)
        ours = checker(columns, suspect_low=0.0, suspect_high=60.0, spike_suspect=1e9).check(
            columns, batch(values.tolist()), LATER
        )
        theirs = self.qartod.gross_range_test(values, fail_span=(-10, 70), suspect_span=(0, 60))
        assert ours.tolist() == theirs.tolist()

    def test_it_agrees_on_rate_of_change(self):
        values = np.random.default_rng(3).normal(24, 3, 400).round(1)
        columns = table(tau=0.0)
        ours = checker(columns, rate_suspect=1.5, rate_fail=3.0).check(
            columns, batch(values.tolist()), LATER
        )
        theirs = self.qartod.rate_of_change_test(
            values, self._times(400), threshold=1.5, fail_threshold=3.0
        )
        assert ours.tolist() == theirs.tolist()
        assert {1, 3, 4} == set(ours.tolist())

    def test_it_agrees_on_isolated_spikes(self):
        """QARTOD marks n−1 when n is there; the stream marks it as it comes, the same reading."""
        values = np.full(200, 24.0)
        values[[20, 60, 130]] += [6.0, -6.5, 9.0]
        columns = table(tau=0.0)
        ours = checker(columns, spike_suspect=5.0, spike_fail=7.0).check(
            columns, batch(values.tolist()), LATER
        )
        theirs = self.qartod.spike_test(values, suspect_threshold=5.0, fail_threshold=7.0)
        assert ours[1:-1].tolist() == theirs[1:-1].tolist()

    def test_it_agrees_on_flat_lines(self):
        values = np.array(noise(60, seed=4) + [24.3] * 50 + noise(40, seed=5))
        columns = table(tau=0.0)
        ours = checker(columns, flat_suspect_s=20, flat_fail_s=60).check(
            columns, batch(values.tolist()), LATER
        )
        theirs = self.qartod.flat_line_test(
            values, self._times(150), suspect_threshold=20, fail_threshold=60, tolerance=0.05
        )
        assert ours.tolist() == theirs.tolist()
        assert 4 in ours
