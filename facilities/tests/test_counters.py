"""Counters to rates: resets, wraps, repeats, processes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facilities.converters import convert_current
from facilities.converters.counters import KEPT, rate_at, remember
from facilities.ingest import points
from facilities.ingest.samples import STALE_BITS, is_stale, samples_of
from facilities.models import Converter, CounterState
from facilities.services.sources import source_create


class Sender(NamedTuple):
    source_id: int
    auto_register: bool = False


@pytest.fixture
def sender(small_facility) -> Sender:
    source = source_create(name="meter").source
    Converter.objects.create(
        source=source,
        document="rules: [{series: joules, point: rack-a.power_w, unit: J, counter: true}]",
    )
    return Sender(source.pk)


def rates(sender: Sender, *rows: tuple[float, float]) -> list[tuple[int, float]]:
    samples = samples_of([("joules", int(second * 1e6), count) for second, count in rows])
    _, batch = convert_current(sender, samples)
    return list(zip(batch.index.tolist(), batch.value.tolist(), strict=True))


@pytest.mark.django_db
def test_it_makes_watts_of_joules_across_requests_and_restarts(sender):
    assert rates(sender, (10, 1000.0)) == []
    points.forget()  # as in another process
    assert rates(sender, (12, 3000.0), (14, 3000.0)) == [(0, 1000.0), (1, 0.0)]


@pytest.mark.django_db
def test_it_starts_again_at_zero_after_a_reset(sender):
    rates(sender, (10, 9_000.0))
    assert rates(sender, (20, 500.0)) == [(0, 50.0)]


@pytest.mark.django_db
def test_it_gives_a_repeated_request_the_same_rates(sender):
    rates(sender, (10, 0.0))
    first = rates(sender, (20, 100.0), (30, 300.0))
    assert first == [(0, 10.0), (1, 20.0)]
    assert rates(sender, (20, 100.0), (30, 300.0)) == first


@pytest.mark.django_db
def test_it_uses_the_sample_before_even_when_it_arrives_late(sender):
    rates(sender, (10, 0.0))
    rates(sender, (30, 200.0))
    assert rates(sender, (20, 50.0)) == [(0, 5.0)]


@pytest.mark.django_db
def test_it_refuses_a_count_below_zero_and_passes_stale_markers_on(sender):
    samples = samples_of([("joules", 1_000_000, -1.0), ("joules", 2_000_000, 0.0)])
    samples.value.view(np.uint64)[1] = STALE_BITS
    _, batch = convert_current(sender, samples)
    assert is_stale(batch.value).tolist() == [True]
    assert [(r.index, r.code) for r in batch.rejected] == [(0, "bad_value")]
    assert not CounterState.objects.exists()


def test_it_takes_a_small_step_over_the_edge_as_a_wrap():
    history = [(0, 4_294_967_290.0)]
    assert rate_at(history, (1_000_000, 4.0), wraps_at=4_294_967_296.0) == 10.0
    assert rate_at(history, (1_000_000, 4.0)) == 4.0
    # A reset of a young counter is not a wrap: the way round would be nearly the whole range.
    assert rate_at([(0, 500.0)], (1_000_000, 20.0), wraps_at=4_294_967_296.0) == 20.0


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e9)), max_size=30))
def test_it_never_gives_a_negative_rate_and_keeps_history_in_order(steps):
    history: list[tuple[int, float]] = []
    for step in steps:
        rate = rate_at(history, step)
        assert rate is None or rate >= 0
        history = remember(history, step)
        assert history == sorted(history)
        assert len({ts for ts, _ in history}) == len(history) <= KEPT


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=KEPT))
def test_it_adds_up_to_the_count(increments):
    """Without resets, rate times duration summed over all steps is what was counted."""
    total, history, summed = 0.0, [(0, 0.0)], 0.0
    for second, increment in enumerate(increments, 1):
        total += increment
        summed += rate_at(history, (second * 1_000_000, total)) or 0.0
        history = remember(history, (second * 1_000_000, total))
    assert summed == pytest.approx(total)
