"""Validation as a pure function: nothing it is given makes it fail, nothing is lost."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import native
from facilities.ingest.points import PointFacts
from facilities.ingest.validate import validate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
POINTS = {
    "a.x": PointFacts(1, "a.x", "Cel", -10.0, 60.0, True),
    "a.free": PointFacts(2, "a.free", "", -math.inf, math.inf, False),
}
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.just(10**400)
    | st.sampled_from(["a.x", "a.free", "2026-03-01T12:00:00Z", NOW, NOW * 1000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
items = junk | st.fixed_dictionaries({"point": junk, "ts": junk, "value": junk})


def check(rows):
    return validate(rows, POINTS, now=NOW, retention_s=86_400.0)


@given(st.lists(items, max_size=20))
def test_it_never_fails_and_accounts_for_every_item(rows):
    result = check(rows)
    assert len(result.readings) + len(result.rejected) == len(rows)
    indexes = [r.index for r in result.rejected]
    assert indexes == sorted(set(indexes))
    for facts, ts_us, value in result.readings:
        assert math.isfinite(value)
        assert facts.low <= value <= facts.high
        assert NOW - 86_400 <= ts_us / 1e6 <= NOW + 300
    assert all(len(r.detail) < 500 for r in result.rejected)


@given(st.integers(0, 80_000 * 10**6), st.timezones())
def test_it_reads_times_to_the_microsecond(before_us, zone):
    at = (datetime.fromtimestamp(NOW, UTC) - timedelta(microseconds=before_us)).astimezone(zone)
    at = at.astimezone(UTC)
    exact = int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**6 + at.microsecond
    rows = [
        {"point": "a.x", "ts": stamp, "value": 1}
        for stamp in (at.isoformat(), at.isoformat().replace("+00:00", "Z"), at.timestamp())
    ]
    result = check(rows)
    assert result.rejected == []
    assert [ts for _, ts, _ in result.readings][:2] == [exact, exact]
    assert abs(result.readings[2].ts_us - exact) <= 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_it_takes_any_finite_value_without_a_range(value):
    assert check([{"point": "a.free", "ts": NOW, "value": value}]).readings[0].value == value


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_it_parses_or_refuses_any_body(body):
    for kind in ("application/json", "application/x-ndjson"):
        try:
            check(native.parse(body, kind))
        except IngestError as error:
            assert error.status in (400, 413)


@given(st.lists(junk, max_size=5))
def test_it_reads_back_what_json_writes(rows):
    body = "\n".join(json.dumps(row) for row in rows).encode()
    parsed = native.parse(body, "application/x-ndjson")
    assert len(parsed) == len(rows)


@pytest.mark.slow
def test_it_is_fast_enough_for_a_fleet():
    stamp = datetime.fromtimestamp(NOW, UTC).isoformat()
    rows = [{"point": "a.x", "ts": stamp, "value": 20.0 + i % 10} for i in range(50_000)]
    best = math.inf
    for _ in range(3):
        started = time.perf_counter()
        check(rows)
        best = min(best, time.perf_counter() - started)
    assert len(rows) / best > 200_000  # about 1.5 million on the machine this was written on
