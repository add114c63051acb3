"""What all formats share: keys, bounded decompression, and that no body is a surprise."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import COMPANIONS, FORMATS, Format
from facilities.ingest.formats.base import MAX_KEY, MAX_RAW
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.keys import series_key, split_key
from facilities.ingest.formats.remote_write_pb import Request, WriteRequest
from facilities.tests.formats.helpers import BY_NAME, MESSAGES, NOW_US, answered, decoded, listed

labels = st.dictionaries(
    st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6), max_size=4
)
names = st.text(min_size=1, max_size=8)


@given(names, labels)
def test_it_takes_a_key_apart_again(name: str, some: dict[str, str]) -> None:
    key = series_key(name, some.items())
    if some or name != key:  # a bare plain name reads as itself
        assert split_key(key) == (name, some)
    assert split_key(series_key(name, [*some.items(), ("always", "x")])) == (
        name,
        some | {"always": "x"},
    )


@given(names, labels, names, labels)
def test_it_gives_different_series_different_keys(
    n1: str, l1: dict[str, str], n2: str, l2: dict[str, str]
) -> None:
    same = (n1, l1) == (n2, l2)
    assert (series_key(n1, l1.items()) == series_key(n2, l2.items())) == same


@given(st.text(max_size=30))
def test_it_reads_any_text_as_a_key(text: str) -> None:
    name, _ = split_key(text)
    assert isinstance(name, str)


@pytest.mark.parametrize(
    "key", ["rack-1.inlet_c", "{}", "a{b}", 'a{b="c"', 'a{b="c"}x', '{"a"}', ""]
)
def test_it_leaves_a_tag_whole(key: str) -> None:
    name, some = split_key(key)
    assert (name, some) == ((key, {}) if key not in ("{}", '{"a"}') else (name, {}))


ALL = ("gzip", "deflate", "zstd", "snappy")
PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda body: bytes(cramjam.zstd.compress(body)),
    "snappy": lambda body: bytes(cramjam.snappy.compress_raw(body)),
}


@given(st.binary(max_size=300), st.sampled_from(ALL))
def test_it_undoes_every_encoding(body: bytes, encoding: str) -> None:
    packed = PACK[encoding](body)
    assert decompress(packed, {"content-encoding": encoding}, limit=300, allowed=ALL) == body


@pytest.mark.parametrize("encoding", ALL)
def test_it_stops_a_bomb_at_the_limit_without_holding_it(encoding: str) -> None:
    bomb = PACK[encoding](b"\0" * 40_000_000)
    tracemalloc.start()
    with pytest.raises(IngestError) as refused:
        decompress(bomb, {"content-encoding": encoding}, limit=1_000_000, allowed=ALL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 6_000_000


@given(st.binary(max_size=60), st.sampled_from(ALL))
def test_it_refuses_broken_encodings_and_nothing_else(body: bytes, encoding: str) -> None:
    try:
        decompress(body, {"content-encoding": encoding}, limit=10_000, allowed=ALL)
    except IngestError as error:
        assert error.status in (400, 413)


def test_it_joins_gzip_members_and_wants_them_whole() -> None:
    two = gzip.compress(b"a") + gzip.compress(b"b")
    assert decompress(two, {"content-encoding": "gzip"}, limit=10, allowed=ALL) == b"ab"
    with pytest.raises(IngestError, match="too early"):
        decompress(two[:-4], {"content-encoding": "gzip"}, limit=10, allowed=ALL)
    with pytest.raises(IngestError, match="send gzip or none"):
        decompress(b"x", {"content-encoding": "br"}, limit=10, allowed=("gzip",))


# --- hostile bodies --------------------------------------------------------------------------

nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["readings", "point", "ts", "value", "alerts", "labels", "alertname", "status", "startsAt", "endsAt",
             "MetricValues", "MetricId", "MetricValue", "Timestamp", "Events", "MessageId", "Oem", "Context",
             "resourceMetrics", "scopeMetrics", "metrics", "gauge", "sum", "histogram", "summary", "dataPoints",
             "name", "asDouble", "asInt", "timeUnixNano", "attributes", "key", "resource", "truncatedAlerts"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
CONTENT_TYPES = {
    "native": ["application/json", "application/x-ndjson"],
    "influx": ["text/plain"],
    "influx_v1": ["text/plain"],
    "prometheus": [
        "application/x-protobuf",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    ],
    "otlp": ["application/x-protobuf", "application/json"],
    "redfish": ["application/json"],
    "alertmanager": ["application/json"],
}
bodies = (
    st.binary(max_size=80)
    | nested.map(lambda data: json.dumps(data).encode())
    | st.text(st.sampled_from('m,=" \\1ti.-\n#é\x00'), max_size=60).map(str.encode)
)


def sound(wire: Format, body: bytes, kind: str, headers: dict[str, str]) -> None:
    """Whatever the body: an ``IngestError``, or columns that hold together and can be answered."""
    headers = {**headers, "content-type": kind}
    try:
        samples = wire.decode(body, kind, headers, {}, NOW_US, 100_000)
    except IngestError as error:
        assert 400 <= error.status < 500
        assert wire.refuse(error, headers).status >= 400
        return
    count = len(samples.series)
    assert {len(samples.ts_us), len(samples.value), len(samples.index)} == {count}
    assert len(set(samples.names)) == len(samples.names)
    if count:
        assert set(np.unique(samples.series).tolist()) <= set(range(len(samples.names)))
    assert all(0 <= at < count and np.isnan(samples.value[at]) for at in samples.text)
    for name in samples.names:
        assert name.encode()
        assert "\x00" not in name
        assert len(name) <= MAX_KEY
    for item in samples.rejected:
        assert len(item.raw.encode()) <= 4 * MAX_RAW
        assert "\x00" not in item.raw
    answered(wire.name, samples, content_type=kind)


@given(st.sampled_from(FORMATS), bodies, st.data())
def test_it_survives_any_body(wire: Format, body: bytes, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(CONTENT_TYPES[wire.name]))
    packed = PACK["snappy"](body) if wire.name == "prometheus" else body
    sound(wire, packed, kind, {})


@given(st.data())
def test_it_survives_damaged_messages(data: st.DataObject) -> None:
    """Real bodies with bytes changed, cut out or doubled reach deeper than random ones."""
    path = data.draw(
        st.sampled_from(sorted(MESSAGES.glob("*.json")) + sorted(MESSAGES.glob("*.lp")))
    )
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        size = data.draw(st.integers(0, 6))
        body[at : at + size] = data.draw(st.binary(max_size=6))
    wires = [w for w in FORMATS if (w.name.startswith("influx")) == (path.suffix == ".lp")]
    for wire in wires:
        for kind in CONTENT_TYPES[wire.name]:
            sound(wire, bytes(body), kind, {})


@given(st.data(), st.sampled_from([WriteRequest, Request]))
def test_it_survives_damaged_write_requests(data: st.DataObject, message: type) -> None:
    if message is WriteRequest:
        request = WriteRequest()
        one = request.timeseries.add(labels=[b"\n\x08__name__\x12\x01m"])
    else:
        request = Request(symbols=["", "__name__", "m"])
        one = request.timeseries.add(labels_refs=[1, 2])
    one.samples.add(value=1.5, timestamp=NOW_US // 1000)
    one.histograms.add(sum=1.5, timestamp=NOW_US // 1000)
    body = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for kind in CONTENT_TYPES["prometheus"]:
        sound(BY_NAME["prometheus"], PACK["snappy"](bytes(body)), kind, {})


# --- the sample messages and the small addresses ---------------------------------------------


@pytest.mark.parametrize("path", sorted(MESSAGES.glob("*.lp")), ids=lambda path: path.stem)
def test_it_reads_telegrafs_messages_completely(path) -> None:
    samples = decoded("influx", path.read_bytes(), "text/plain; charset=utf-8")
    assert not samples.rejected
    assert len(samples) >= len(path.read_text().splitlines())
    assert {ts for _, ts, _ in listed(samples)} == {NOW_US}


def test_it_keeps_each_path_for_one_format() -> None:
    paths = [path for wire in FORMATS for path in wire.paths]
    assert len(set(paths)) == len(paths)
    assert not set(paths) & {path for _, path in COMPANIONS}
    assert set(paths) == {
        "/api/v1/readings",
        "/api/v2/write",
        "/write",
        "/api/v1/prometheus/write",
        "/v1/metrics",
        "/api/v1/redfish/events",
        "/api/v1/alertmanager",
    }


def test_it_answers_ping_and_refuses_queries_for_good() -> None:
    assert COMPANIONS["GET", "/ping"].status == COMPANIONS["HEAD", "/ping"].status == 204
    # 403 is the answer after which Telegraf's v1 output no longer tries to create a database.
    assert COMPANIONS["POST", "/query"].status == 403
    assert "skip_database_creation" in json.loads(COMPANIONS["POST", "/query"].body)["error"]
