"""Prometheus remote write 1.0 and 2.0, message by message."""

from __future__ import annotations

import math
from typing import Any

import cramjam
import pytest

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.keys import series_key
from facilities.ingest.formats.prometheus import STALE, WrittenSamples
from facilities.ingest.formats.remote_write_pb import Label, Request, WriteRequest
from facilities.ingest.samples import Rejected, is_stale
from facilities.tests.formats.helpers import NOW_US, answered, decoded, listed, refusal, refused

V1 = "application/x-protobuf"
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
MS = NOW_US // 1000


def snappy(message: Any) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def v1(*series: tuple[dict[str, str], list[tuple[float, int]]]) -> Any:
    request = WriteRequest()
    for labels, samples in series:
        one = request.timeseries.add()
        for name, text in labels.items():
            one.labels.append(Label(name=name, value=text).SerializeToString())
        for value, stamp in samples:
            one.samples.add(value=value, timestamp=stamp)
    return request


def v2(*series: tuple[dict[str, str], list[tuple[float, int]]], unit: str = "") -> Any:
    request = Request(symbols=[""])

    def ref(text: str) -> int:
        if text not in request.symbols:
            request.symbols.append(text)
        return list(request.symbols).index(text)

    for labels, samples in series:
        one = request.timeseries.add()
        for name, text in labels.items():
            one.labels_refs.extend([ref(name), ref(text)])
        one.metadata.unit_ref = ref(unit)
        for value, stamp in samples:
            one.samples.add(value=value, timestamp=stamp)
    return request


TEMP = {"__name__": "DCGM_FI_DEV_GPU_TEMP", "gpu": "0", "Hostname": "srv-01"}
KEY = 'DCGM_FI_DEV_GPU_TEMP{Hostname="srv-01",gpu="0"}'


def written(samples: Any, *more: Rejected) -> dict[str, str]:
    answer = answered("prometheus", samples, *more, content_type=V2)
    return {
        name.removeprefix("X-Prometheus-Remote-Write-"): value
        for name, value in answer.headers.items()
    }


def test_it_reads_both_versions_alike() -> None:
    series = [
        (TEMP, [(63.0, MS), (64.0, MS + 15_000)]),
        ({"__name__": "up", "job": "x"}, [(0.0, MS)]),
    ]
    expected = [(KEY, NOW_US, 63.0), (KEY, NOW_US + 15_000_000, 64.0), ('up{job="x"}', NOW_US, 0.0)]
    assert listed(decoded("prometheus", snappy(v1(*series)), V1)) == expected
    assert listed(decoded("prometheus", snappy(v2(*series)), V2)) == expected


def test_it_reads_known_series_again_without_their_labels_being_parsed() -> None:
    first = decoded("prometheus", snappy(v1((TEMP, [(1.0, MS)]))), V1)
    again = decoded("prometheus", snappy(v1((TEMP, [(2.0, MS)]))), V1)
    assert first.names == again.names == [KEY]


def test_it_sorts_labels_and_drops_empty_ones() -> None:
    labels = {"z": "1", "__name__": "m", "a": 'say "hi"\\', "gone": ""}
    (name,) = decoded("prometheus", snappy(v1((labels, [(1.0, MS)]))), V1).names
    assert name == 'm{a="say \\"hi\\"\\\\",z="1"}'
    assert name == series_key("m", [("z", "1"), ("a", 'say "hi"\\')])


def test_it_keeps_stale_markers_bit_for_bit() -> None:
    for message, kind in (
        (v1((TEMP, [(STALE, MS), (math.nan, MS)])), V1),
        (v2((TEMP, [(STALE, MS), (math.nan, MS)])), V2),
    ):
        samples = decoded("prometheus", snappy(message), kind)
        assert is_stale(samples.value).tolist() == [True, False]


def test_it_takes_a_native_histogram_as_count_and_sum() -> None:
    for request, kind in ((v1((TEMP, [])), V1), (v2((TEMP, [])), V2)):
        series = request.timeseries[0]
        series.histograms.add(count_int=7, sum=3.5, timestamp=MS)
        series.histograms.add(count_float=7.5, sum=4.5, timestamp=MS + 1)
        series.histograms.add(count_int=0, sum=STALE, timestamp=MS + 2)
        series.exemplars.append(b"")
        samples = decoded("prometheus", snappy(request), kind)
        assert isinstance(samples, WrittenSamples)
        assert (samples.plain, samples.histograms, samples.exemplars) == (0, 3, 1)
        count, total = KEY.replace("TEMP", "TEMP_count"), KEY.replace("TEMP", "TEMP_sum")
        assert listed(samples)[:4] == [
            (count, NOW_US, 7.0),
            (total, NOW_US, 3.5),
            (count, NOW_US + 1_000, 7.5),
            (total, NOW_US + 1_000, 4.5),
        ]
        assert is_stale(samples.value).tolist() == [False] * 4 + [True, True]


def test_it_carries_the_unit_of_2_0_as_a_hint() -> None:
    assert decoded("prometheus", snappy(v2((TEMP, [(1.0, MS)]), unit="celsius")), V2).hints == {
        KEY: "celsius"
    }


def test_it_answers_2_0_with_what_is_written() -> None:
    request = v2((TEMP, [(1.0, MS), (2.0, MS + 1)]))
    request.timeseries[0].histograms.add(count_int=1, sum=1, timestamp=MS)
    request.timeseries[0].exemplars.append(b"")
    samples = decoded("prometheus", snappy(request), V2)
    assert written(samples) == {
        "Samples-Written": "2",
        "Histograms-Written": "1",
        "Exemplars-Written": "0",
    }
    assert answered("prometheus", samples, content_type=V2).status == 204
    one, histogram = Rejected(1, "unknown_point", "no"), Rejected(2, "unknown_point", "no")
    assert written(samples, one) == {
        "Samples-Written": "1",
        "Histograms-Written": "1",
        "Exemplars-Written": "0",
    }
    assert written(samples, histogram, histogram)["Histograms-Written"] == "0"
    assert answered("prometheus", samples, one, content_type=V2).status == 400


def test_it_answers_1_0_without_those_headers() -> None:
    samples = decoded("prometheus", snappy(v1((TEMP, [(1.0, MS)]))), V1)
    answer = answered("prometheus", samples, content_type=V1)
    assert (answer.status, answer.body, answer.headers) == (204, b"", {})
    answer = answered(
        "prometheus", samples, Rejected(0, "unknown_point", "no such point"), content_type=V1
    )
    assert answer.status == 400
    assert b"no such point" in answer.body
    assert b"\n" not in answer.body


def test_it_takes_metadata_alone_as_prometheus_sends_it() -> None:
    request = WriteRequest()
    request.metadata.add(type=2, metric_family_name="up", help="is it up")
    samples = decoded("prometheus", snappy(request), V1)
    assert len(samples) == 0
    assert answered("prometheus", samples, content_type=V1).status == 204


def test_it_rejects_series_without_a_name_and_stores_the_others() -> None:
    bad: list[dict[str, str]] = [{"job": "x"}, {"__name__": ""}, {"__name__": "m", "": "x"}]
    samples = decoded(
        "prometheus",
        snappy(v1(*[(labels, [(1.0, MS), (2.0, MS)]) for labels in bad], (TEMP, [(3.0, MS)]))),
        V1,
    )
    assert listed(samples) == [(KEY, NOW_US, 3.0)]
    assert [item.index for item in samples.rejected] == list(range(6))
    assert samples.index.tolist() == [6]
    twice = v1((TEMP, [(1.0, MS)]))
    twice.timeseries[0].labels.append(Label(name="gpu", value="1").SerializeToString())
    twice.timeseries.add(labels=[b"\xff\xff"]).samples.add(value=1)
    assert len(decoded("prometheus", snappy(twice), V1).rejected) == 2


def test_it_rejects_references_beyond_the_symbol_table() -> None:
    request = v2((TEMP, [(1.0, MS)]), (TEMP, [(2.0, MS)]), (TEMP, [(3.0, MS)]))
    request.timeseries[0].labels_refs.append(1)
    request.timeseries[1].labels_refs[1] = 99
    samples = decoded("prometheus", snappy(request), V2)
    assert [value for _, _, value in listed(samples)] == [3.0]
    assert [
        "pairs" in samples.rejected[0].detail,
        "symbol table" in samples.rejected[1].detail,
    ] == [True, True]
    request.symbols[0] = "x"
    assert refused("prometheus", snappy(request), V2).status == 400


def test_it_rejects_times_beyond_the_calendar() -> None:
    samples = decoded("prometheus", snappy(v1((TEMP, [(1.0, 2**62), (2.0, MS)]))), V1)
    assert [item.code for item in samples.rejected] == ["bad_timestamp"]
    assert len(samples) == 1


@pytest.mark.parametrize(
    ("kind", "headers", "status"),
    [
        ("application/json", {}, 415),
        ("application/x-protobuf;proto=io.prometheus.write.v9.Request", {}, 415),
        ("", {}, 415),
        (V1, {"content_encoding": "gzip"}, 415),
        (V1, {"content_encoding": "SNAPPY"}, None),
        (f'{V1}; proto="prometheus.WriteRequest"', {"content_encoding": "snappy"}, None),
    ],
)
def test_it_takes_only_remote_write(kind: str, headers: dict[str, Any], status: int | None) -> None:
    body = snappy(v1((TEMP, [(1.0, MS)])))
    if status is None:
        assert len(decoded("prometheus", body, kind, **headers)) == 1
    else:
        assert refused("prometheus", body, kind, **headers).status == status


def test_it_refuses_broken_and_oversized_bodies() -> None:
    plain = v1((TEMP, [(1.0, MS)])).SerializeToString()
    framed = bytes(cramjam.snappy.compress(plain))
    assert "block format" in refused("prometheus", framed, V1).detail
    for body in (
        b"",
        plain,
        snappy(v1((TEMP, [(1.0, MS)])))[:-2],
        bytes(cramjam.snappy.compress_raw(b"\xff" * 9)),
    ):
        assert refused("prometheus", body, V1).status == 400
    bomb = bytes(cramjam.snappy.compress_raw(b"\0" * 3_000_000))
    assert len(bomb) < 200_000
    assert refused("prometheus", bomb, V1, limit=1_000_000).status == 413
    assert refused("prometheus", b"\xff\xff\xff\xff\x0f", V1).status in (400, 413)
    many = v1((TEMP, [(1.0, MS)] * 50_001))
    assert refused("prometheus", snappy(many), V1).status == 413


def test_it_never_answers_429_because_prometheus_drops_the_batch_at_it() -> None:
    error = IngestError(429, "rate_limited", "slower", retry_after_s=3)
    answer = refusal("prometheus", error)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert refusal("prometheus", IngestError(408, "too_slow", "x")).status == 503
    assert refusal("prometheus", IngestError(401, "bad_token", "x")).status == 401
