"""Native JSON and NDJSON: the quick way and the careful way say the same."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from facilities.ingest.formats import native
from facilities.ingest.formats.base import MAX_SAMPLES
from facilities.tests.formats.helpers import (
    NOW_US,
    answered,
    decoded,
    listed,
    parsed,
    refused,
    zipped,
)

JSON, NDJSON = "application/json", "application/x-ndjson"
SECOND = NOW_US // 1_000_000


def body(*readings: object) -> bytes:
    return json.dumps({"readings": readings}).encode()


def reading(
    point: object = "a.x", ts: object = "2026-03-01T12:00:00Z", value: object = 1.5
) -> object:
    return {"point": point, "ts": ts, "value": value}


def test_it_reads_json() -> None:
    samples = decoded("native", body(reading(), reading("b.y", SECOND + 1, 2)), JSON)
    assert listed(samples) == [("a.x", NOW_US, 1.5), ("b.y", NOW_US + 1_000_000, 2.0)]
    assert not samples.rejected


def test_it_reads_ndjson_with_empty_lines_and_carriage_returns() -> None:
    lines = (
        b'{"point":"a.x","ts":1772366400,"value":1}\r\n\n{"point":"a.x","ts":1772366401,"value":2}'
    )
    assert listed(decoded("native", lines, NDJSON)) == [
        ("a.x", NOW_US, 1.0),
        ("a.x", NOW_US + 1_000_000, 2.0),
    ]


def test_it_reads_every_spelling_of_a_time() -> None:
    stamps = [
        "2026-03-01T12:00:00Z",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T12:00:00.000000999Z",
        SECOND,
        SECOND * 1000,
        SECOND + 0.0,
    ]
    for together in (stamps, stamps[:3], stamps[3:]):
        samples = decoded(
            "native", body(*[reading(ts=ts) for ts in together]), f"{JSON}; charset=utf-8"
        )
        assert set(samples.ts_us.tolist()) == {NOW_US}


def test_it_takes_gzip_and_zstd() -> None:
    import cramjam

    plain = body(reading())
    for encoding, packed in (
        ("gzip", zipped(plain)),
        ("zstd", bytes(cramjam.zstd.compress(plain))),
    ):
        assert len(decoded("native", packed, JSON, content_encoding=encoding)) == 1


def test_it_says_what_is_wrong_with_each_item_and_takes_the_others() -> None:
    samples = decoded(
        "native",
        body(
            reading(),
            reading(value=None),
            reading(value=True),
            reading(point=7),
            reading(ts="yesterday"),
            reading(ts="2026-03-01T12:00:00"),
            reading(ts=True),
            {"point": "a.x"},
            "text",
            reading(value="auto"),
            reading(value=2),
        ),
        JSON,
    )
    assert listed(samples) == [
        ("a.x", NOW_US, 1.5),
        ("a.x", NOW_US, "auto"),
        ("a.x", NOW_US, 2.0),
    ]
    assert samples.index.tolist() == [0, 9, 10]
    assert [(item.index, item.code) for item in samples.rejected] == [
        (1, "bad_value"),
        (2, "bad_value"),
        (3, "malformed"),
        (4, "bad_timestamp"),
        (5, "bad_timestamp"),
        (6, "bad_timestamp"),
        (7, "malformed"),
        (8, "malformed"),
    ]
    assert "ts and value missing" in samples.rejected[6].detail
    assert json.loads(samples.rejected[0].raw)["value"] is None


def test_it_keeps_a_broken_line_as_raw_text() -> None:
    samples = decoded("native", b'{"point":"a.x","ts":1,"value":1}\n{"point":\n', NDJSON)
    assert len(samples) == 1
    (item,) = samples.rejected
    assert (item.index, item.code, item.raw) == (1, "malformed", '{"point":')


def test_it_passes_nan_and_infinity_on_to_the_pipeline() -> None:
    text = (
        b'{"readings":[{"point":"a.x","ts":1,"value":NaN},{"point":"a.x","ts":1,"value":-Infinity},'
        + (b'{"point":"a.x","ts":1,"value":1' + b"0" * 5000 + b"}]}")
    )
    value = decoded("native", text, JSON).value
    assert math.isnan(value[0])
    assert value[1:].tolist() == [-math.inf, math.inf]


def test_it_refuses_names_that_no_database_can_hold() -> None:
    samples = decoded(
        "native",
        b'{"readings":[{"point":"a\\u0000","ts":1,"value":1},{"point":"\\ud800","ts":1,"value":1},'
        b'{"point":"","ts":1,"value":1},{"point":"' + b"x" * 2000 + b'","ts":1,"value":1},'
        b'{"point":"ok.x","ts":1,"value":7}]}',
        JSON,
    )
    assert listed(samples) == [("ok.x", 1_000_000, 7.0)]
    assert samples.index.tolist() == [4]
    assert [(item.index, item.code) for item in samples.rejected] == [
        (n, "malformed") for n in range(4)
    ]
    for item in samples.rejected:
        item.raw.encode()
        assert "\x00" not in item.raw
        assert len(item.raw) < 1001


def test_it_refuses_what_is_not_the_format() -> None:
    cases = [
        (b"{}", JSON, 400),
        (b"[1]", JSON, 400),
        (b'{"readings":{}}', JSON, 400),
        (b"{", JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (body(), "text/html", 415),
        (body(), "", 415),
        (body(*[reading()] * (MAX_SAMPLES + 1)), JSON, 413),
    ]
    for text, kind, status in cases:
        assert refused("native", text, kind, limit=20_000_000).status == status


def test_it_answers_item_by_item() -> None:
    samples = decoded("native", body(reading(), reading(value=None)), JSON)
    answer = answered("native", samples)
    assert answer.status == 200
    said = parsed(answer)
    assert said["accepted"] == 1
    assert said["rejected"][0]["index"] == 1
    assert said["rejected"][0]["code"] == "bad_value"


numbers = st.integers(-(10**20), 10**20) | st.floats()
stamps = (
    st.integers(-(10**16), 10**16)
    | st.floats(-1e16, 1e16)
    | st.datetimes().map(lambda t: t.isoformat() + "Z")
    | st.datetimes().map(lambda t: t.isoformat())
)


@given(st.lists(st.tuples(st.sampled_from(["a.x", "b.y", "ü"]), stamps, numbers), max_size=5))
def test_it_reads_the_same_on_the_quick_and_the_careful_way(rows: list) -> None:
    items = [{"point": tag, "ts": ts, "value": value} for tag, ts, value in rows]
    quick = decoded("native", json.dumps({"readings": items}).encode(), JSON)
    careful = native._one_by_one(items)
    assert quick.ts_us.tolist() == careful.ts_us.tolist()
    assert repr(quick.value.tolist()) == repr(careful.value.tolist())
    assert [quick.names[i] for i in quick.series] == [careful.names[i] for i in careful.series]
    assert quick.index.tolist() == careful.index.tolist()
    assert quick.rejected == careful.rejected
