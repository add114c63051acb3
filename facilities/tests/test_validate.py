"""Validation as a pure function: nothing it is given makes it fail, nothing is lost."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facilities.ingest.points import columns_of
from facilities.ingest.samples import STALE_BITS, Batch
from facilities.ingest.validate import MAX_FUTURE_S, validate

NOW_US = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
DAY_US = 86_400_000_000
COLUMNS = columns_of(
    1,
    [
        (1, "a.x", "Cel", "x", 1, -10.0, 60.0, math.nan, math.nan, math.nan, True),
        (2, "a.free", "", "free", 1, -math.inf, math.inf, math.nan, math.nan, math.nan, False),
    ],
)
STALE = float(np.array([STALE_BITS], np.uint64).view(np.float64)[0])
values = st.floats() | st.sampled_from([-10.0, 60.0, 60.1, math.nan, math.inf, STALE])
times = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(NOW_US - 2 * DAY_US, NOW_US + 600_000_000)
    | st.sampled_from([NOW_US, NOW_US + MAX_FUTURE_S * 1_000_000, NOW_US - DAY_US])
)


def batch_of(rows):
    return Batch(
        np.array([r[0] for r in rows], np.int32),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.float64),
        np.arange(len(rows), dtype=np.int32),
    )


def judge(rows, *, strict=True):
    batch = batch_of(rows)
    return validate(
        COLUMNS,
        batch,
        strict=np.full(len(rows), strict),
        now_us=NOW_US,
        retention_us=DAY_US,
    )


@given(st.lists(st.tuples(st.integers(0, 1), times, values), max_size=20), st.booleans())
def test_it_never_fails_and_accounts_for_every_sample(rows, strict):
    verdict = judge(rows, strict=strict)
    assert not (verdict.good & verdict.stale).any()
    bad = set(verdict.bad().tolist())
    assert len(bad) + verdict.good.sum() + verdict.stale.sum() == len(rows)
    for at, (row, ts_us, value) in enumerate(rows):
        if verdict.good[at]:
            assert math.isfinite(value)
            assert NOW_US - DAY_US <= ts_us <= NOW_US + MAX_FUTURE_S * 1_000_000
            if strict:
                assert COLUMNS.low[row] <= value <= COLUMNS.high[row]
        elif at in bad:
            code, detail = verdict.reason(at)
            assert code in {"bad_value", "out_of_range", "future_timestamp", "too_old"}
            assert COLUMNS.tags[row] in detail
            assert len(detail) < 500


@pytest.mark.parametrize(
    ("ts_us", "value", "code", "says"),
    [
        (NOW_US, math.nan, "bad_value", "nan"),
        (NOW_US, -math.inf, "bad_value", "-inf"),
        (NOW_US + 301_000_000, 20.0, "future_timestamp", "301 s ahead of this server, at most 300"),
        (NOW_US - 2 * DAY_US, 20.0, "too_old", "2 days ago, readings are kept 1 days"),
        (NOW_US, 71.0, "out_of_range", "71 Cel is above its range -10…60 Cel"),
        (NOW_US, -11.0, "out_of_range", "-11 Cel is below its range -10…60 Cel"),
    ],
)
def test_it_names_the_point_and_both_sides(ts_us, value, code, says):
    verdict = judge([(0, ts_us, value)])
    assert verdict.bad().tolist() == [0]
    found, detail = verdict.reason(0)
    assert found == code
    assert detail.startswith("point a.x: ")
    assert says in detail


def test_it_tells_a_stale_marker_from_a_value_that_is_no_number():
    verdict = judge([(0, NOW_US, STALE), (0, NOW_US, math.nan), (0, NOW_US, 20.0)])
    assert verdict.stale.tolist() == [True, False, False]
    assert verdict.good.tolist() == [False, False, True]


def test_it_takes_a_value_outside_the_range_where_the_agent_cannot_be_told():
    assert judge([(0, NOW_US, 71.0)], strict=False).good.all()
    assert not judge([(0, NOW_US, math.inf)], strict=False).good.any()


@pytest.mark.slow
def test_it_is_fast_enough_for_a_fleet():
    batch = batch_of([(0, NOW_US, 20.0 + i % 10) for i in range(20_000)])
    strict = np.ones(20_000, np.bool_)
    best = math.inf
    for _ in range(20):
        started = time.perf_counter()
        validate(COLUMNS, batch, strict=strict, now_us=NOW_US, retention_us=DAY_US)
        best = min(best, time.perf_counter() - started)
    assert 20_000 / best > 5_000_000  # about 60 million on the machine this was written on
