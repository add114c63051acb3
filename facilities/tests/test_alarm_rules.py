"""Hysteresis and delay, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facilities.alarms.rules import NORMAL, Levels, Phase, State, step

T0 = datetime(2026, 3, 1, tzinfo=UTC)
ABOVE = Levels("above", 27.0, 26.0, 10.0)


def run(levels: Levels, samples: Sequence[tuple[float, float]]) -> list[State]:
    states, state = [], NORMAL
    for seconds, value in samples:
        state = step(levels, state, ts=T0 + timedelta(seconds=seconds), value=value)
        states.append(state)
    return states


def phases(levels: Levels, samples: Sequence[tuple[float, float]]) -> list[str]:
    return [state.phase.value for state in run(levels, samples)]


def test_it_waits_for_the_delay_by_reading_time():
    assert phases(ABOVE, [(0, 28), (5, 28), (9.9, 28), (10, 28)]) == [
        "pending",
        "pending",
        "pending",
        "active",
    ]


def test_it_starts_again_when_the_value_comes_back_before_the_delay():
    samples = [(0, 28), (8, 26.9), (9, 28), (18, 28), (19, 28)]
    assert phases(ABOVE, samples) == ["pending", "normal", "pending", "pending", "active"]


def test_it_stays_active_between_the_levels():
    samples = [(0, 28), (10, 28), (11, 26.5), (12, 27.5), (13, 26.0), (14, 26.5)]
    assert phases(ABOVE, samples)[1:] == ["active", "active", "active", "normal", "normal"]


def test_it_raises_at_once_without_a_delay():
    fault = Levels("above", 0.5, 0.5, 0)
    assert phases(fault, [(0, 0), (2, 1), (4, 1), (6, 0)]) == [
        "normal",
        "active",
        "active",
        "normal",
    ]


def test_it_mirrors_for_below():
    battery = Levels("below", 50, 80, 0)
    assert phases(battery, [(0, 50), (1, 49), (2, 79), (3, 80)]) == [
        "normal",
        "active",
        "active",
        "normal",
    ]


values = st.floats(-50, 100, allow_nan=False)
series = st.lists(st.tuples(st.floats(0.1, 30), values), max_size=60).map(
    lambda steps: [
        (sum(gap for gap, _ in steps[: i + 1]), value) for i, (_, value) in enumerate(steps)
    ]
)
levels = st.builds(
    lambda comparator, level, band, delay: Levels(
        comparator, level, level - band if comparator == "above" else level + band, delay
    ),
    st.sampled_from(["above", "below"]),
    values,
    st.floats(0, 20),
    st.sampled_from([0.0, 5.0, 60.0]),
)


@given(levels, series)
def test_it_is_never_active_before_the_condition_lasted_the_delay(levels, samples):
    since = None
    for (seconds, _value), state in zip(samples, run(levels, samples), strict=True):
        at = T0 + timedelta(seconds=seconds)
        if state.phase is Phase.ACTIVE and since is None:
            since = state.since
            assert since is not None
            assert at - since >= timedelta(seconds=levels.delay_s)
            inside = [v for s, v in samples if since <= T0 + timedelta(seconds=s) <= at]
            assert inside
            assert all(levels.is_abnormal(v) for v in inside)
        if state.phase is not Phase.ACTIVE:
            since = None


@given(levels, series)
def test_it_ends_only_at_the_clear_level(levels, samples):
    states = run(levels, samples)
    for before, after, (_, value) in zip(states, states[1:], samples[1:], strict=False):
        if before.phase is Phase.ACTIVE:
            assert (after.phase is Phase.NORMAL) == levels.is_clear(value)


@given(levels, series)
def test_it_goes_the_same_way_when_readings_come_twice(levels, samples):
    doubled = [sample for sample in samples for _ in range(2)]
    once, twice = run(levels, samples), run(levels, doubled)
    assert once == twice[1::2]


@pytest.mark.parametrize("value", [27.0, 26.999])
def test_it_is_normal_at_the_level_itself(value):
    assert step(ABOVE, NORMAL, ts=T0, value=value) == NORMAL
