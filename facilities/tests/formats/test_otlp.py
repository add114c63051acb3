"""OTLP/HTTP metrics: every kind of point, both encodings, answers as the specification asks."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import cramjam
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.keys import split_key
from facilities.ingest.samples import Rejected, is_stale
from facilities.tests.formats.helpers import (
    NOW_US,
    answered,
    decoded,
    listed,
    refusal,
    refused,
    zipped,
)

PB, JSON = "application/x-protobuf", "application/json"
NS = str(NOW_US * 1000)


def attributes(**labels: Any) -> list[dict[str, Any]]:
    return [
        {
            "key": name.replace("__", "."),
            "value": {"stringValue": text} if isinstance(text, str) else text,
        }
        for name, text in labels.items()
    ]


def export(*metrics: dict[str, Any], **resource: Any) -> dict[str, Any]:
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes(**resource)},
                "scopeMetrics": [{"scope": {"name": "t"}, "metrics": list(metrics)}],
            }
        ]
    }


def gauge(name: str, *points: dict[str, Any], unit: str = "") -> dict[str, Any]:
    return {"name": name, "unit": unit, "gauge": {"dataPoints": list(points)}}


def point(value: float | None = 1.5, **more: Any) -> dict[str, Any]:
    return {"timeUnixNano": NS, **({} if value is None else {"asDouble": value}), **more}


def packed(data: dict[str, Any]) -> bytes:
    return json_format.ParseDict(data, ExportMetricsServiceRequest()).SerializeToString()


def both(data: dict[str, Any]) -> Any:
    """The samples of a message, checked to be the same in protobuf and in JSON."""
    samples = decoded("otlp", packed(data), PB)
    again = decoded("otlp", json.dumps(data).encode(), JSON)
    assert repr(listed(samples)) == repr(listed(again))
    assert samples.hints == again.hints
    assert samples.rejected == again.rejected or samples.rejected
    return samples


def test_it_reads_gauges_with_resource_and_point_attributes() -> None:
    samples = both(
        export(
            gauge(
                "room.temp",
                point(22.5, attributes=attributes(rack="7", host__name="own")),
                unit="Cel",
            ),
            gauge("n", {"timeUnixNano": NS, "asInt": "12"}),
            service__name="bms",
            host__name="gw-1",
        )
    )
    key = 'room.temp{host.name="own",rack="7",service.name="bms"}'
    assert listed(samples) == [
        (key, NOW_US, 22.5),
        ('n{host.name="gw-1",service.name="bms"}', NOW_US, 12.0),
    ]
    assert samples.hints == {key: "Cel"}


def test_it_leaves_out_attributes_that_change_with_a_restart() -> None:
    samples = both(
        export(
            gauge("t", point()),
            service__instance__id="2f1c",
            telemetry__sdk__version="1.45.2",
            process__pid={"intValue": "7"},
            os__description="Debian",
            service__version="3",
            rack="7",
        )
    )
    assert samples.names == ['t{rack="7"}']


def test_it_writes_every_type_of_attribute() -> None:
    values = {
        "b": {"boolValue": True},
        "i": {"intValue": "-3"},
        "d": {"doubleValue": 0.5},
        "y": {"bytesValue": base64.b64encode(b"\x01").decode()},
        "l": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}},
        "m": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}},
        "none": {},
    }
    samples = both(export(gauge("t", point(attributes=attributes(**values)))))
    assert split_key(samples.names[0])[1] == {
        "b": "true",
        "i": "-3",
        "d": "0.5",
        "y": "AQ==",
        "l": '[1, "x"]',
        "m": '{"k": false}',
    }


def test_it_keeps_deltas_apart_from_totals() -> None:
    def total(temporality: int) -> dict[str, Any]:
        return {
            "name": "energy",
            "sum": {
                "aggregationTemporality": temporality,
                "isMonotonic": True,
                "dataPoints": [point(5.0)],
            },
        }

    assert [name for name, _, _ in listed(both(export(total(2), total(1))))] == [
        "energy",
        "energy_delta",
    ]


def test_it_takes_histograms_as_totals_and_summaries_as_quantiles() -> None:
    shape = {"timeUnixNano": NS, "count": "4", "sum": 10.0, "min": 1.0, "max": 5.0}
    samples = both(
        export(
            {
                "name": "h",
                "histogram": {
                    "aggregationTemporality": 2,
                    "dataPoints": [{**shape, "bucketCounts": ["1", "3"], "explicitBounds": [2.0]}],
                },
            },
            {
                "name": "e",
                "exponentialHistogram": {
                    "aggregationTemporality": 1,
                    "dataPoints": [{"timeUnixNano": NS, "count": "2"}],
                },
            },
            {
                "name": "s",
                "summary": {
                    "dataPoints": [
                        {
                            "timeUnixNano": NS,
                            "count": "2",
                            "sum": 3.0,
                            "quantileValues": [{"quantile": 0.5, "value": 1.25}],
                        }
                    ]
                },
            },
        )
    )
    assert [(name, value) for name, _, value in listed(samples)] == [
        ("h_count", 4.0),
        ("h_sum", 10.0),
        ("h_min", 1.0),
        ("h_max", 5.0),
        ("e_delta_count", 2.0),
        ('s{quantile="0.5"}', 1.25),
        ("s_count", 2.0),
        ("s_sum", 3.0),
    ]
    assert samples.group == [0, 0, 0, 0, 1, 2, 2, 2]


def test_it_takes_a_point_without_recorded_value_for_stale_and_without_time_for_now() -> None:
    samples = both(export(gauge("a", point(None, flags=1)), gauge("b", {"asDouble": 2.0})))
    assert is_stale(samples.value).tolist() == [True, False]
    assert samples.ts_us.tolist() == [NOW_US, NOW_US]


def test_it_rejects_points_without_value_or_name() -> None:
    samples = both(
        export(gauge("a", point(None)), gauge("", point()), gauge("ok", point()), {"name": "empty"})
    )
    assert listed(samples) == [("ok", NOW_US, 1.5)]
    assert [(samples.group[item.index], item.code) for item in samples.rejected] == [
        (0, "bad_value"),
        (1, "malformed"),
    ]


def test_it_takes_gzip_deflate_and_zstd() -> None:
    plain = packed(export(gauge("a", point())))
    for encoding, body in (
        ("gzip", zipped(plain)),
        ("deflate", zlib.compress(plain)),
        ("zstd", bytes(cramjam.zstd.compress(plain))),
    ):
        assert len(decoded("otlp", body, PB, content_encoding=encoding)) == 1
    assert refused("otlp", plain, PB, content_encoding="lz4").status == 415


def test_it_reads_unknown_fields_numbers_for_enums_and_text_for_integers() -> None:
    data = export(
        {
            "name": "x",
            "later": {"a": 1},
            "sum": {
                "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
                "dataPoints": [{"timeUnixNano": int(NS), "asInt": 4}],
            },
        }
    )
    assert listed(decoded("otlp", json.dumps(data).encode(), JSON)) == [("x", NOW_US, 4.0)]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"\xff\xff", PB, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"resourceMetrics": 7}', JSON, 400),
        (b'{"resourceMetrics":' + b'[{"x":' * 9000, JSON, 400),
        (b"", "text/plain", 415),
        (b"", "application/grpc", 415),
    ],
)
def test_it_refuses_what_is_not_otlp(body: bytes, kind: str, status: int) -> None:
    assert refused("otlp", body, kind).status == status


def test_it_answers_in_the_type_of_the_request() -> None:
    samples = both(export(gauge("a", point()), gauge("b", point())))
    answer = answered("otlp", samples, content_type=PB)
    assert (answer.status, answer.content_type) == (200, PB)
    assert not ExportMetricsServiceResponse.FromString(answer.body).HasField("partial_success")
    answer = answered("otlp", samples, content_type=JSON)
    assert (answer.status, answer.content_type, answer.body) == (200, JSON, b"{}")


def test_it_reports_a_partial_success_by_data_point() -> None:
    histogram = {
        "name": "h",
        "histogram": {
            "aggregationTemporality": 2,
            "dataPoints": [{"timeUnixNano": NS, "count": "4", "sum": 1.0}],
        },
    }
    samples = both(export(histogram, gauge("b", point())))
    lost = [Rejected(n, "unknown_point", "no such point") for n in (0, 1)]  # count and sum of one
    answer = answered("otlp", samples, *lost, content_type=PB)
    partial = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert answer.status == 200
    assert partial.rejected_data_points == 1
    assert "data point 1: no such point" in partial.error_message
    said = json.loads(answered("otlp", samples, *lost, content_type=JSON).body)
    assert said["partialSuccess"]["rejectedDataPoints"] == "1"


@pytest.mark.parametrize(
    ("status", "seen", "code"),
    [
        (400, 400, 3),
        (401, 401, 16),
        (408, 503, 14),
        (413, 413, 8),
        (429, 429, 8),
        (503, 503, 14),
        (418, 418, 2),
    ],
)
def test_it_refuses_with_a_status_message(status: int, seen: int, code: int) -> None:
    error = IngestError(status, "x", "because", retry_after_s=4)
    answer = refusal("otlp", error, content_type=PB)
    said = Status.FromString(answer.body)
    assert (answer.status, answer.content_type, said.code, said.message) == (
        seen,
        PB,
        code,
        "because",
    )
    assert answer.headers["Retry-After"] == "4"
    answer = refusal("otlp", error, content_type=f"{JSON}; charset=utf-8")
    assert json.loads(answer.body) == {"code": code, "message": "because"}
